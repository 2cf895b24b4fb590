"""All optimizers of a run behind one face: rules are matched to parameters once, then everything is a device scalar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from hydra.errors import ManifestError, nearest
from hydra.manifest.section import Kind
from hydra.optim.adamw import AdamW
from hydra.optim.config import AdamWConfig
from hydra.optim.table import Row

Named = tuple[str, nn.Parameter]


class Optimizers:
    """The optimizers of all rules. They hold every parameter of the model exactly once."""

    def __init__(self, members: Sequence[AdamW], parameters: Sequence[nn.Parameter]) -> None:
        self._members, self._parameters = members, parameters

    def set_factor(self, factor: float) -> None:
        """Set every learning rate to `factor` (see `hydra.optim.factor`) times its rule's peak, without a host sync."""
        for member in self._members:
            member.set_factor(factor)

    def step(self, found_inf: Tensor | None = None) -> None:
        """Take one step.

        `found_inf` is an fp32 scalar on the device, 1 to withhold the step and 0 to take it. A withheld step changes no
        bit of any weight, moment or bias-correction counter, and the decision never reaches the host.
        """
        if found_inf is not None:
            assert found_inf.dtype == torch.float32 and found_inf.ndim == 0, "found_inf is an fp32 scalar"
        for member in self._members:
            member.step(found_inf)

    def zero_grad(self) -> None:
        """Drop all gradients, so the next backward pass writes instead of adding and their memory is free meanwhile."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All state, flat: `<parameter>.exp_avg` and so on.

        The same names from the first step to the last, and the storage that training uses: copying into these tensors
        restores a state.
        """
        return {name: tensor for member in self._members for name, tensor in member.state_tensors().items()}

    def table(self) -> list[Row]:
        """What happens to which parameters, one row per group, in the order of the rules."""
        return [row for member in self._members for row in member.table()]


def build(rules: Sequence[Kind], named_parameters: Iterable[Named]) -> Optimizers:
    """Match parameters to rules and build the optimizers.

    For each trainable parameter the first rule wins one of whose patterns matches its name (shell patterns, the case
    counts) and whose `ndim`, if given, is its number of dimensions. Frozen parameters are left out.

    Raises ManifestError naming a rule that takes nothing, or the parameters that no rule takes; Unsupported for a dtype
    without a kernel.
    """
    parameters = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    assert len({id(parameter) for _, parameter in parameters}) == len(parameters), "a shared parameter is listed twice"
    configs = [_known(rule) for rule in rules]
    taken: list[list[Named]] = [[] for _ in configs]
    orphans: list[str] = []
    for name, parameter in parameters:
        winner = next((i for i, config in enumerate(configs) if _matches(config, name, parameter)), None)
        if winner is None:
            orphans.append(name)
        else:
            taken[winner].append((name, parameter))
    if orphans:
        raise _orphaned(orphans)
    for i, config in enumerate(configs):
        if not taken[i]:
            raise _idle(i, config, parameters)
    return Optimizers(
        [AdamW(config, matched) for config, matched in zip(configs, taken, strict=True)],
        [parameter for _, parameter in parameters],
    )


def _known(rule: Kind) -> AdamWConfig:
    if not isinstance(rule, AdamWConfig):
        raise TypeError(f"{type(rule).__name__} is no optimizer")
    return rule


def _matches(config: AdamWConfig, name: str, parameter: nn.Parameter) -> bool:
    if config.ndim is not None and parameter.ndim != config.ndim:
        return False
    return any(fnmatchcase(name, pattern) for pattern in config.match)


def _orphaned(names: list[str]) -> ManifestError:
    return ManifestError(
        f"no optimizer rule takes {len(names)} parameters: {', '.join(names)}",
        why="a parameter without a rule would never be trained",
        fix="add a last rule that matches everything, or widen the patterns of one",
        example='optimizer: [{kind: adamw, lr: 3.0e-4, match: ["*"]}]',
    )


def _idle(index: int, config: AdamWConfig, parameters: Sequence[Named]) -> ManifestError:
    patterns = ", ".join(config.match)
    shadowed = [name for name, parameter in parameters if _matches(config, name, parameter)]
    names = [name for name, _ in parameters]
    if shadowed:
        fix = f"move it up: earlier rules take all that it matches ({', '.join(shadowed[:3])})"
    else:
        close = nearest(config.match[0], names)
        fix = f"correct its patterns or `ndim`{f'; closest is {close}' if close else ''}"
    return ManifestError(
        f"optimizer.{index} takes no parameter: match [{patterns}], ndim {config.ndim}",
        why="a rule without effect is a typing mistake that trains another model than the one that was meant",
        fix=fix,
        example=f"match: [{names[0]!r}]" if names else "match: ['*']",
    )
