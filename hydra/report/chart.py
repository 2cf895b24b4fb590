"""One chart as inline SVG: axes, curves, marks, and the numbers that the page's script reads out on hover."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hydra.report.markup import Markup, join, tag
from hydra.report.quantities import magnitude, number
from hydra.report.scale import Kind, Scale, fitted
from hydra.report.series import Array, Series, thinned

#: Size of a chart in SVG units; the page scales it to its column.
WIDTH, HEIGHT = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 12, 28
#: Parts into which a curve is thinned: about the pixels that its plot has on a screen.
COLUMNS = 480
#: A curve of more points than this is drawn without dots: they would touch.
DOTS = 60

Role = Literal["raw", "main", "second", "points"]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart. Its role decides how it is drawn: `raw` faint, `points` with a dot at each value."""

    name: str
    role: Role
    series: Series


@dataclass(frozen=True, slots=True)
class Marks:
    """What happened at certain steps, drawn into every chart."""

    resumes: tuple[tuple[int, str], ...] = ()
    """(step, label) of each place where an attempt continued."""
    skipped: tuple[int, ...] = ()
    """Steps whose update was withheld."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows. `log` offers a logarithmic view beside the straight one."""

    key: str
    title: str
    unit: str
    summary: str
    curves: tuple[Curve, ...]
    log: bool = False
    from_zero: bool = False


def figure(chart: Chart, marks: Marks, steps: tuple[float, float]) -> Markup:
    """The chart as a figure: title, legend, one SVG for each scale, a line of read-out and the data behind it."""
    curves = [Curve(c.name, c.role, thinned(c.series, *steps, COLUMNS)) for c in chart.curves]
    kinds: tuple[Kind, ...] = ("linear", "log") if chart.log else ("linear",)
    toggle = tag("label", tag("input", type="checkbox", class_="log-scale"), " log scale", class_="toggle")
    return tag(
        "figure",
        tag("div", tag("h3", chart.title, " ", tag("small", chart.unit)), toggle if chart.log else None, class_="head"),
        _legend(chart, marks),
        *(_drawing(chart, curves, marks, steps, kind) for kind in kinds),
        tag("figcaption", tag("span", chart.summary, class_="summary"), tag("output", class_="readout")),
        _data(curves),
        id=f"chart-{chart.key}",
        class_="chart",
    )


def _drawing(chart: Chart, curves: list[Curve], marks: Marks, steps: tuple[float, float], kind: Kind) -> Markup:
    low, high = steps if steps[1] > steps[0] else (steps[0] - 0.5, steps[0] + 0.5)
    across = Scale("linear", low, high, _LEFT, WIDTH - _RIGHT)
    values = np.concatenate([curve.series.values for curve in curves])
    up = fitted(values, kind, HEIGHT - _BOTTOM, _TOP, from_zero=chart.from_zero)
    name = f"{chart.key}-{kind}"
    return tag(
        "svg",
        tag("title", f"{chart.title} over steps ({kind} scale)", id=f"{name}-title"),
        tag("desc", chart.summary, id=f"{name}-desc"),
        _grid(across, up),
        *(_resume(across.at(step), label) for step, label in marks.resumes if low <= step <= high),
        *(_line(curve, across, up) for curve in curves),
        _crosses(curves, across),
        _triangles(marks.skipped, across),
        tag("line", class_="cursor", y1=_TOP, y2=HEIGHT - _BOTTOM),
        class_=kind,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_labelledby=f"{name}-title {name}-desc",
        data_x=_numbers(across),
        data_y=_numbers(up),
    )


def _grid(across: Scale, up: Scale) -> Markup:
    parts = []
    for value in up.ticks(5):
        y = _round(up.at(value))
        label = magnitude(value) if abs(value) >= 10_000 else number(value, 3)
        parts.append(tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y))
        parts.append(tag("text", label, x=_LEFT - 6, y=y, dy="0.35em", class_="y"))
    for value in across.ticks(4):
        if value == int(value):
            parts.append(tag("text", magnitude(value), x=_round(across.at(value)), y=HEIGHT - 8, class_="x"))
    return tag("g", *parts, class_="grid", aria_hidden="true")


def _line(curve: Curve, across: Scale, up: Scale) -> Markup:
    xs, ys = across(curve.series.steps), up(curve.series.values)
    drawn = [tag("path", d=_path(xs, ys))]
    if curve.role == "points" and len(curve.series) <= DOTS:
        dots = np.isfinite(xs) & np.isfinite(ys)
        drawn += [tag("circle", cx=_round(x), cy=_round(y), r=3) for x, y in zip(xs[dots], ys[dots], strict=True)]
    return tag("g", *drawn, class_=f"curve {curve.role}")


def _path(xs: Array, ys: Array) -> str:
    """Line segments between neighbours that are both finite; a point alone becomes a dot of the line's width."""
    commands: list[str] = []
    pen_down = False
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if math.isfinite(x) and math.isfinite(y):
            commands.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}{'' if pen_down else 'h0'}")
            pen_down = True
        else:
            pen_down = False
    return "".join(commands)


def _crosses(curves: Iterable[Curve], across: Scale) -> Markup | None:
    """A cross at the top for each place where a value was not finite."""
    steps = [s for curve in curves for s in curve.series.steps[~np.isfinite(curve.series.values)].tolist()]
    crosses = "".join(f"M{x - 3} {_TOP - 3}l6 6m0 -6l-6 6" for x in _places(steps, across))
    return tag("path", d=crosses, class_="nonfinite") if crosses else None


def _triangles(skipped: Iterable[int], across: Scale) -> Markup | None:
    bottom = HEIGHT - _BOTTOM
    triangles = "".join(f"M{x} {bottom - 8}l4 8h-8z" for x in _places(skipped, across))
    return tag("path", d=triangles, class_="skipped") if triangles else None


def _places(steps: Iterable[float], across: Scale) -> list[int]:
    """Positions of steps on the axis, rounded and each once, so that many marks stay few."""
    positions = across(np.array([step for step in steps if across.low <= step <= across.high], dtype=np.float64))
    return [int(position) for position in np.unique(np.round(positions))]


def _resume(x: float, label: str) -> Markup:
    line = tag("line", x1=_round(x), x2=_round(x), y1=_TOP, y2=HEIGHT - _BOTTOM)
    return tag("g", line, tag("title", label), class_="resume")


def _legend(chart: Chart, marks: Marks) -> Markup:
    entries = [tag("li", curve.name, class_=curve.role) for curve in chart.curves]
    if marks.resumes:
        entries.append(tag("li", "resumed", class_="resume"))
    if marks.skipped:
        entries.append(tag("li", "update skipped", class_="skipped"))
    if any(not np.isfinite(curve.series.values).all() for curve in chart.curves if curve.role != "main"):
        entries.append(tag("li", "not finite", class_="nonfinite"))
    return tag("ul", *entries, class_="legend")


def _data(curves: Iterable[Curve]) -> Markup:
    data = [
        {
            "name": curve.name,
            "role": curve.role,
            "x": [int(step) for step in curve.series.steps],
            "y": [float(f"{value:.5g}") if math.isfinite(value) else None for value in curve.series.values.tolist()],
        }
        for curve in curves
    ]
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return join([Markup('<script type="application/json">'), Markup(text), Markup("</script>")])


def _numbers(scale: Scale) -> str:
    return f"{scale.kind} {scale.low!r} {scale.high!r} {scale.start!r} {scale.end!r}"


def _round(value: float) -> float:
    return round(value, 1)
