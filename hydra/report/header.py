"""The top of the page: what run this is, how it went, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator

from hydra.report.contents import Contents, dig, elapsed, last_loss, recent_rate
from hydra.report.markup import Markup, tag
from hydra.report.quantities import duration, magnitude, moment, number
from hydra.report.series import Series, column


def header(contents: Contents) -> Markup:
    """Name, state, and a grid of facts; a run that failed says why at once."""
    state = contents.observed.state or "unknown"
    name = str(contents.manifest.get("name") or contents.name)
    notes = str(dig(contents.manifest, "manifest", "notes") or "")
    facts = [
        tag("div", tag("dt", label), tag("dd", value, tag("small", note) if note else None))
        for label, value, note in _facts(contents)
    ]
    return tag(
        "header",
        tag("p", contents.name, class_="run-id"),
        tag("h1", name, " ", tag("span", state, class_=f"state {state}")),
        tag("p", notes, class_="notes") if notes else None,
        _trouble(contents),
        tag("dl", *facts, class_="facts"),
        tag("p", f"Read {moment(contents.read_at)}.", class_="read-at"),
    )


def _facts(contents: Contents) -> Iterator[tuple[str, str, str]]:
    """(name, value, note) of each fact that is known."""
    rows, progress = contents.rows, contents.progress
    step = progress.step if progress else (rows[-1]["step"] if rows else 0)
    total = progress.total_steps if progress else dig(contents.manifest, "manifest", "training", "steps")
    yield "step", f"{step:,}", f"of {total:,}" if isinstance(total, int) else ""
    loss = last_loss(contents)
    if loss is not None:
        yield "loss", number(loss[0]), f"nats/token, smoothed over {loss[1]} steps" if loss[1] > 1 else "nats/token"
    bits = column(rows, "eval.bits_per_byte")
    if len(bits.finite):
        yield "bits per byte", number(float(bits.finite[-1])), _change(bits, column(rows, "eval.standard_error"))
    rate = recent_rate(contents)
    if rate is not None:
        yield "tokens/s", magnitude(rate[0]), f"median of the last {rate[1]} steps"
    tokens = column(rows, "tokens")
    if len(tokens):
        yield "tokens", magnitude(float(tokens.values[-1])), "trained"
    parameters = dig(contents.manifest, "parameters", "total")
    if isinstance(parameters, int):
        yield "parameters", magnitude(parameters), f"{parameters:,}"
    yield "duration", duration(elapsed(contents)), _attempts(contents)
    device = dig(contents.manifest, "resolved", "device")
    if device:
        yield "device", str(device), _world(contents)


def _change(series: Series, errors: Series) -> str:
    error = f" ± {number(float(errors.finite[-1]), 2)}" if len(errors.finite) else ""
    if len(series.finite) < 2:
        return f"held out{error}, at step {int(series.steps[-1]):,}"
    return f"held out{error}; {number(float(series.finite[0]))} at step {int(series.steps[0]):,}"


def _attempts(contents: Contents) -> str:
    attempts = {event.attempt for event in contents.events} | {row["attempt"] for row in contents.metrics}
    return f"in {len(attempts)} attempts" if len(attempts) > 1 else ""


def _world(contents: Contents) -> str:
    ranks = dig(contents.manifest, "layout", "world_size")
    compute = dig(contents.manifest, "resolved", "compute")
    parts = [f"{ranks} ranks" if isinstance(ranks, int) and ranks > 1 else "", str(compute or "")]
    return ", ".join(part for part in parts if part)


def _trouble(contents: Contents) -> Markup | None:
    """Why the run is not well, if it is not."""
    written, lines = contents.observed.written, []
    if contents.observed.reason:
        lines.append(contents.observed.reason)
    ended = written.exit if written is not None else None
    if written is not None and ended is not None and written.state not in ("completed", "stopped"):
        how = f"signal {ended.signal}" if ended.signal is not None else f"exit code {ended.code}"
        lines.append(f"{how}{f', {ended.kind}' if ended.kind else ''}")
        if ended.culprit is not None:
            what = f"{ended.culprit.exception or 'died'} {ended.culprit.message}"
            lines.append(f"rank {ended.culprit.rank}: {what}")
    if not lines:
        return None
    return tag("div", *(tag("p", line) for line in lines), class_="trouble", role="alert")
