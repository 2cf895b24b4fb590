"""The agent's command `verify`: the checkpoint that a resume would continue from, read and compared in full."""

from __future__ import annotations

from typing import Any

from fleet.remote.checkpoints import BUDGET, Rejected, newest, steps, verify
from fleet.remote.fields import Fields
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.refusal import Answer, Refusal, answered

_HIGHEST = 10**18
_SHOWN = 10


def main(request: Any) -> tuple[Answer, int]:
    """Verify `{"deploy_dir", "run", "step": N or null, "budget": 300}`: that step, or the newest that is good.

    The answer holds `run`, `step` (null for a run without a checkpoint), `quick`, and `rejected` of `{step, problems}`,
    the newer ones that are torn. Refusals: not-found for a step that was not saved, unverified for one that is torn, or
    when all are.
    """
    return answered(_verify, request)


def _verify(request: Answer) -> Answer:
    fields = Fields(request, "verify")
    files = DeployDir.at(fields.text("deploy_dir")).existing_run(fields.text("run"))
    step = None if request.get("step") is None else fields.whole("step", 0, _HIGHEST)
    budget = fields.seconds("budget", BUDGET)
    if step is None:
        fields.optional("step")
    fields.finish()
    return _newest(files, budget) if step is None else _exactly(files, step, budget)


def _newest(files: RunFiles, budget: float) -> Answer:
    search = newest(files, budget)
    if search.verified is None and search.rejected:
        raise _torn(files, search.rejected)
    rejected = [item._asdict() for item in search.rejected]
    if search.verified is None:
        return {"run": files.run, "step": None, "quick": False, "rejected": rejected}
    return {"run": files.run, "step": search.verified.step, "quick": search.verified.quick, "rejected": rejected}


def _exactly(files: RunFiles, step: int, budget: float) -> Answer:
    known = steps(files)
    if step not in known:
        raise Refusal(
            "not-found",
            f"run {files.run} has no checkpoint of step {step}",
            why=f"its checkpoints are of steps: {', '.join(map(str, known[-_SHOWN:])) or 'none'}",
            fix="name one of them, or none to take the newest good one",
            example=f"fleet resume lab-a --step {known[-1]}" if known else "fleet train lab-a",
        )
    found = verify(files, step, budget)
    if isinstance(found, Rejected):
        raise _torn(files, [found])
    return {"run": files.run, "step": step, "quick": found.quick, "rejected": []}


def _torn(files: RunFiles, rejected: list[Rejected]) -> Refusal:
    problems = "; ".join(f"step {item.step}: {', '.join(item.problems[:_SHOWN])}" for item in rejected[:_SHOWN])
    return Refusal(
        "unverified",
        f"no such checkpoint of run {files.run} verifies: {problems}",
        why="its files are not the ones that were written: damaged, incomplete or changed from outside",
        fix="choose another step; the damaged ones stay where they are",
        example="fleet runs --show RUN",
    )
