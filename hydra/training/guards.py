"""The guard against numbers that are not finite: what was skipped is recorded, and too much of it stops the run.

The step itself is withheld on the device (see step.py); here the host learns of it, keeps the evidence, and gives up
when the budget of the manifest is spent, because a run that skips everything only burns electricity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hydra.data import Dataset
from hydra.errors import Diverged
from hydra.manifest import Manifest
from hydra.runs import RunDirectory, write_json
from hydra.training.state import Nonfinite

_SHOWN = 8
_CHARACTERS = 200


def evidence(run: RunDirectory, dataset: Dataset, step: int, samples: np.ndarray, facts: dict[str, Any]) -> None:
    """Write `guard/step-N.json`: the verdict's numbers, the batch's sample indices, and the beginning of its text."""
    batch = dataset.rows(samples[:_SHOWN])
    rows = [
        {
            "sample": int(sample),
            "source": int(source),
            "text": dataset.tokenizer.decode(tokens.tolist())[:_CHARACTERS],
        }
        for sample, source, tokens in zip(batch.samples, batch.sources, batch.tokens, strict=True)
    ]
    report = {"step": step, **facts, "samples": [int(sample) for sample in samples], "rows": rows}
    write_json(run.guard_report(step), report)


def spent(nonfinite: Nonfinite, manifest: Manifest) -> bool:
    """Whether so many steps were skipped that the run must stop."""
    training = manifest.training
    in_a_row, recent = nonfinite.in_a_row, len(nonfinite.recent)
    return in_a_row >= training.nonfinite_in_a_row or recent >= training.nonfinite_in_1000


def check_budget(nonfinite: Nonfinite, manifest: Manifest, step: int, samples: np.ndarray, run: RunDirectory) -> None:
    """Raise Diverged when the budget of skipped steps is spent, naming the batch that did it."""
    if not spent(nonfinite, manifest):
        return
    training = manifest.training
    in_a_row, recent = nonfinite.in_a_row, len(nonfinite.recent)
    raise Diverged(
        f"step {step} was the {in_a_row}. in a row and the {recent}. of the last 1,000 whose loss or gradient was not "
        f"finite; its batch holds samples {int(samples.min())} to {int(samples.max())}",
        why=f"the limits are {training.nonfinite_in_a_row} in a row (training.nonfinite_in_a_row) and "
        f"{training.nonfinite_in_1000} in 1,000 (training.nonfinite_in_1000)",
        fix=f"look at {run.guard_report(step)}; lower the learning rate or lengthen the warm-up, and resume from a "
        f"checkpoint before step {step - in_a_row + 1}, where it began",
        example=f"python trainer.py --resume {run.id}@STEP --set optimizer.0.lr=1.0e-4 --changed optimizer.0.lr",
    )
