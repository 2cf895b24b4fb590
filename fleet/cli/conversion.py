"""Turning the texts of a command line into values without loading pydantic, which typer does for every parameter.

That import alone takes longer than a deploy that finds nothing to do. Only this file knows how typer keeps its
converters; where it keeps none under that name, its own are used, and a test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer

#: Where a parameter of typer keeps its converter, made at the first use unless it is there already.
PLACE: Final = "_runtime_param"
_CONVERTERS: Final[dict[Any, Callable[[str], Any]]] = {str: str, int: int, float: float, Path: Path}


class Converter:
    """The converter of one parameter. What it does not know it leaves to typer's own."""

    def __init__(self, param: Any) -> None:
        self._own = param.get_runtime_param
        described = param.type_descriptor
        self._annotation = described.annotation
        self._least, self._most = described.parameter_info.min, described.parameter_info.max

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of the parameter. Raises typer.BadParameter."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if self._annotation in _CONVERTERS:
            return self._within(self._converted(value, param, ctx), param, ctx)
        if self._annotation == list[str]:
            return list(value)
        if get_origin(self._annotation) is Literal and value in get_args(self._annotation):
            return value
        setattr(param, PLACE, None)
        return self._own().coerce(value, param=param, ctx=ctx)

    def _converted(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return _CONVERTERS[self._annotation](value)
        except ValueError:
            named = "a whole number" if self._annotation is int else "a number"
            raise typer.BadParameter(f"{value!r} is not {named}", ctx=ctx, param=param) from None

    def _within(self, value: Any, param: Any, ctx: Any) -> Any:
        # Written so that NaN, which is neither below nor above anything, is outside.
        if self._least is not None and not value >= self._least:
            raise typer.BadParameter(f"{value} is below {self._least:g}", ctx=ctx, param=param)
        if self._most is not None and not value <= self._most:
            raise typer.BadParameter(f"{value} is above {self._most:g}", ctx=ctx, param=param)
        return value


def converted_plainly(command: Any) -> Any:
    """The same command, with converters of our own where typer has a place for them."""
    listed: Callable[[Any], list[Any]] = command.get_params

    def get_params(ctx: Any) -> list[Any]:
        # Among them is the option --help, which typer makes only now.
        params = listed(ctx)
        for param in params:
            if getattr(param, PLACE, param) is None:
                setattr(param, PLACE, Converter(param))
        return params

    command.get_params = get_params
    for inner in getattr(command, "commands", {}).values():
        converted_plainly(inner)
    return command
