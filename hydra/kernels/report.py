"""The report of paths: for every op of a model that was really built, what runs, whether it is verified, and why.

Rows are made from the modules' own choices, never written as literals, so the report cannot claim a path that does not
run. The elementwise ops have no implementation of their own yet: inside a compiled block the compiler fuses their
reference (`inductor`), elsewhere the reference itself runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hydra.errors import Unsupported
from hydra.kernels.cases import ELEMENTWISE, Case, elementwise
from hydra.kernels.registry import Candidate, Choice, Facts, calls, select
from hydra.kernels.uses import Use, uses
from hydra.kernels.verification import Ledger, disagreement
from hydra.platform import Capabilities


class Built(Protocol):
    """A model as this report needs it: its modules, and what their choices were made from."""

    @property
    def facts(self) -> Facts:
        """What its choices were made from."""

    @property
    def pins(self) -> Mapping[str, str]:
        """Implementations named by the manifest, by op."""

    def modules(self) -> Iterator[nn.Module]:
        """The model and all modules in it."""


@dataclass(frozen=True)
class Row:
    """One op in one direction."""

    op: str
    direction: str  # forward, backward or step
    runs: str  # the implementation
    status: str  # verified or untested; a check that fails raises
    why: str  # the shape facts it was chosen for
    rejected: Mapping[str, str]  # the faster implementations and what speaks against them
    slow: bool  # a reference that was pinned where something faster is expected

    @property
    def calls(self) -> int:
        """How often it ran outside compiled graphs in this process."""
        return calls[self.op, self.runs, self.direction]


@dataclass(frozen=True)
class Report:
    """The table of paths of one model on one device."""

    headline: str
    rows: tuple[Row, ...]
    seconds: float  # spent on the self-check

    def text(self) -> str:
        """As printed at the start of a run: a headline, one line per op and direction, and a summary."""
        cells = [("op", "direction", "runs", "status", "why")]
        cells += [(row.op, row.direction, row.runs, row.status, row.why) for row in self.rows]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        marks = ["", *("  SLOW, pinned by kernels.pin" if row.slow else "" for row in self.rows)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)).rstrip() + mark
            for line, mark in zip(cells, marks, strict=True)
        ]
        slow = sum(row.slow for row in self.rows)
        untested = sum(row.status == "untested" for row in self.rows)
        summary = f"summary: {len(self.rows) - slow} fast, {slow} slow, 0 emulated, {untested} untested"
        return "\n".join([f"{self.headline}  self-check {self.seconds:.1f} s", *lines, summary])

    def record(self) -> list[dict[str, Any]]:
        """As stored in capabilities.json."""
        return [asdict(row) for row in self.rows]


def report(
    model: Built,
    capabilities: Capabilities,
    *,
    compiled: bool,
    accept: Iterable[str] = ("verified",),
    ledger: Ledger | None = None,
    others: Iterable[Use] = (),
) -> Report:
    """Bind the ops of a model, check each against its reference on the device, and tell.

    `compiled` says whether the blocks are compiled; `others` are ops outside the model, such as the optimizer's.
    Checks that `ledger` already knows are not repeated. Raises Unsupported when an op would run its reference on an
    accelerator without being pinned there, when a check disagrees, and when an op that has no check is not accepted
    as `untested`.
    """
    started = time.perf_counter()
    known = ledger if ledger is not None else Ledger(capabilities)
    bound = _bound([*uses(model), *others], model.facts, compiled, model.pins)
    _check(bound, model.facts, known, torch.device(capabilities.device))
    rows = [
        Row(op, direction, choice.implementation, _status(use), why, choice.rejected, choice.slow)
        for (op, choice, use, why) in ((choice.op, choice, found[0], _why(found)) for choice, found in bound)
        for direction in use.directions
    ]
    accepted = set(accept)
    for row in rows:
        if row.status not in accepted:
            raise _unaccepted(row, accepted)
    return Report(f"hydra on {capabilities.headline}", tuple(rows), time.perf_counter() - started)


def _bound(found: list[Use], facts: Facts, compiled: bool, pins: Mapping[str, str]) -> list[tuple[Choice, list[Use]]]:
    """Uses grouped by op and implementation, in the order in which they first appear."""
    groups: dict[tuple[str, str], tuple[Choice, list[Use]]] = {}
    for use in found:
        choice = use.choice if use.choice is not None else _elementwise(use, facts, compiled, pins)
        if pins.get(use.op, choice.implementation) != choice.implementation:
            raise _without_effect(f"{use.op}: {pins[use.op]}", f"{use.op} has {choice.implementation} only")
        members = groups.setdefault((use.op, choice.implementation), (choice, []))[1]
        if use.detail not in {member.detail for member in members}:
            members.append(use)
    run = {op for op, _ in groups}
    for op in sorted(set(pins) - run):
        raise _without_effect(op, f"this model runs {', '.join(sorted(run))}")
    return list(groups.values())


def _without_effect(pin: str, known: str) -> Unsupported:
    return Unsupported(
        f"kernels.pin names {pin}, which this model does not have",
        why=f"a pin without effect is usually a misspelt one; {known}",
        fix="correct the name, or remove the pin",
        example="kernels: {pin: {attention: flash}}",
    )


def _elementwise(use: Use, facts: Facts, compiled: bool, pins: Mapping[str, str]) -> Choice:
    refusal = None if compiled else "blocks are not compiled (training.compile: none)"
    fused = Candidate("inductor", refusal, use.detail)
    return select(use.op, (fused, Candidate("reference", None, use.detail)), facts, pins)


def _check(bound: list[tuple[Choice, list[Use]]], facts: Facts, ledger: Ledger, device: torch.device) -> None:
    """Run every check that the ledger does not know yet; the compiler's ops together, as one small graph."""
    fused: dict[str, tuple[str, Case]] = {}
    for choice, members in bound:
        for use in members:
            described = f"{choice.op} {choice.implementation} {use.detail} {facts}"
            if described in ledger or (use.case is None and use.op not in ELEMENTWISE):
                continue
            case = use.case(device) if use.case is not None else elementwise(use.op, device, facts.compute)
            if choice.implementation == "inductor":
                fused[described] = (use.op, case)
                continue
            _demand(choice, disagreement(case))
            ledger.add(described)
    _check_fused(fused, ledger)


def _check_fused(fused: Mapping[str, tuple[str, Case]], ledger: Ledger) -> None:
    distinct = dict(fused.values())
    if distinct and disagreement(_compiled(tuple(distinct.values()))) is not None:
        for op, case in distinct.items():
            _demand(Choice(op, "inductor", "", {}), disagreement(_compiled((case,))))
    for described in fused:
        ledger.add(described)


def _compiled(cases: tuple[Case, ...]) -> Case:
    """Several cases as one, whose candidate is one compiled graph."""

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        left = list(inputs)
        outputs: list[Tensor] = []
        for case in cases:
            own, left = left[: len(case.inputs)], left[len(case.inputs) :]
            answer = case.reference(*own)
            outputs.extend(answer if isinstance(answer, tuple) else (answer,))
        return tuple(outputs)

    inputs = tuple(x for case in cases for x in case.inputs)
    return Case(inputs, torch.compile(run, fullgraph=True, dynamic=False), run)


def _demand(choice: Choice, wrong: str | None) -> None:
    if wrong is not None:
        raise Unsupported(
            f"the self-check of {choice.op} ({choice.implementation}) failed: {wrong}",
            why="what it computes on this device disagrees with its reference, so the model would be wrong",
            fix="pin another implementation, and report the device and versions with this message",
            example=f"kernels: {{pin: {{{choice.op}: reference}}}}",
        )


def _status(use: Use) -> str:
    return "verified" if use.case is not None or use.op in ELEMENTWISE else "untested"


def _why(members: list[Use]) -> str:
    return "; ".join(use.detail for use in members[:3]) + (f"; {len(members) - 3} more" if len(members) > 3 else "")


def _unaccepted(row: Row, accepted: set[str]) -> Unsupported:
    return Unsupported(
        f"{row.op} ({row.runs}) is {row.status}",
        why=f"kernels.accept allows {', '.join(sorted(accepted))} only",
        fix=f"accept {row.status} implementations, or pin another one",
        example=f"kernels: {{accept: [verified, {row.status}]}}",
    )
