"""Which charts a run gets, from the rows of its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hydra.report.chart import Chart, Curve, Marks
from hydra.report.quantities import magnitude, number
from hydra.report.series import Series, column, smoothed, span_of
from hydra.runs import MetricRow

_NOTHING = "no finite value"


def charts(rows: Sequence[MetricRow]) -> list[Chart]:
    """The charts that the rows have numbers for, in the order of the page."""
    makers = (_loss, _bits_per_byte, _learning_rate, _gradient_norm, _throughput, _utilisation)
    return [chart for chart in (make(rows) for make in makers) if any(len(curve.series) for curve in chart.curves)]


def marks(rows: Sequence[MetricRow], resumed: Mapping[int, int]) -> Marks:
    """The steps at which later attempts continued, and those whose update was withheld."""
    continued = sorted((attempt, step) for attempt, step in resumed.items() if step > 0)
    return Marks(
        resumes=tuple((step, f"attempt {attempt} continued from step {step:,}") for attempt, step in continued),
        skipped=tuple(row["step"] for row in rows if row.get("skipped")),
    )


def step_range(rows: Sequence[MetricRow]) -> tuple[float, float]:
    """First and last step of the rows, which all charts share as their axis."""
    return (float(rows[0]["step"]), float(rows[-1]["step"]))


def _loss(rows: Sequence[MetricRow]) -> Chart:
    raw, evaluated = column(rows, "loss"), column(rows, "eval.loss")
    curves = (*_raw_and_smooth("train", raw), Curve("held out", "points", evaluated))
    return Chart("loss", "Loss", "nats per token", _lowest(_best_of(raw)), _present(curves), log=True)


def _bits_per_byte(rows: Sequence[MetricRow]) -> Chart:
    series = column(rows, "eval.bits_per_byte")
    curves = _present((Curve("held out", "points", series),))
    return Chart("bits-per-byte", "Bits per byte", "held-out text", _lowest(series), curves)


def _learning_rate(rows: Sequence[MetricRow]) -> Chart:
    series = column(rows, "lr")
    known = series.finite
    peak = f"peak {number(float(known.max()))}, last {number(float(known[-1]))}" if len(known) else _NOTHING
    curves = _present((Curve("learning rate", "main", series),))
    return Chart("lr", "Learning rate", "", peak, curves, log=True, from_zero=True)


def _gradient_norm(rows: Sequence[MetricRow]) -> Chart:
    series, clip = column(rows, "grad_norm"), column(rows, "clip")
    summary = f"median {number(float(np.median(series.finite)))}" if len(series.finite) else _NOTHING
    if len(clip):
        summary += f", clipped in {np.mean(clip.values < 1):.0%} of the steps"
    curves = _present(_raw_and_smooth("before clipping", series))
    return Chart("grad-norm", "Gradient norm", "", summary, curves, log=True, from_zero=True)


def _throughput(rows: Sequence[MetricRow]) -> Chart:
    series = column(rows, "tokens_per_s")
    summary = f"median {magnitude(float(np.median(series.finite)))} tokens/s" if len(series.finite) else _NOTHING
    curves = _present(_raw_and_smooth("tokens/s", series))
    return Chart("throughput", "Throughput", "tokens/s", summary, curves, from_zero=True)


def _utilisation(rows: Sequence[MetricRow]) -> Chart:
    full, causal = (_percent(column(rows, name)) for name in ("mfu_full", "mfu_causal"))
    named = (("full", full), ("causal", causal))
    medians = [f"{name} {np.median(series.finite):.1f} %" for name, series in named if len(series.finite)]
    curves = _present((Curve("full attention", "main", full), Curve("causal half", "second", causal)))
    summary = f"median {', '.join(medians)}" if medians else _NOTHING
    return Chart("mfu", "Model FLOP utilisation", "% of the dense bf16 peak", summary, curves, from_zero=True)


def _raw_and_smooth(name: str, series: Series) -> tuple[Curve, ...]:
    """A noisy curve twice: as it is and smoothed; a short one needs no smoothing."""
    span = span_of(len(series))
    if span == 1:
        return (Curve(name, "main", series),)
    return (Curve(name, "raw", series), Curve(f"{name}, smoothed over {span} steps", "main", smoothed(series, span)))


def _best_of(series: Series) -> Series:
    return smoothed(series, span_of(len(series)))


def _lowest(series: Series) -> str:
    if not len(series.finite):
        return _NOTHING
    first, last = float(series.finite[0]), float(series.finite[-1])
    index = int(np.nanargmin(np.where(np.isfinite(series.values), series.values, math.nan)))
    lowest, step = float(series.values[index]), int(series.steps[index])
    return f"from {number(first)} to {number(last)}, lowest {number(lowest)} at step {step:,}"


def _percent(series: Series) -> Series:
    return Series(series.steps, series.values * 100.0)


def _present(curves: tuple[Curve, ...]) -> tuple[Curve, ...]:
    return tuple(curve for curve in curves if len(curve.series))
