"""The table of commands: what `hydra --help` lists, and which module is imported when one runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: its module, and the first line of its help, repeated here so that listing it imports nothing."""

    module: str
    summary: str
    group: bool = False
    """Whether the module holds several commands (a typer application `app`) or one function `command`."""


COMMANDS: Final[dict[str, Entry]] = {
    "train": Entry("hydra.cli.train", "Train a model as a manifest says, or continue a run."),
    "generate": Entry("hydra.cli.generate", "Continue prompts with a trained model."),
    "eval": Entry("hydra.cli.evaluate", "Score a trained model on its held-out text, in bits per byte."),
    "runs": Entry("hydra.cli.runs", "List runs: state, step, loss, speed."),
    "report": Entry("hydra.cli.report", "Write one run as one self-contained HTML page."),
    "checkpoint": Entry("hydra.cli.checkpoint", "List and verify the checkpoints of a run.", group=True),
    "data": Entry("hydra.cli.data", "Build token shards; show the exact rows of any step.", group=True),
    "check": Entry("hydra.cli.check", "Check a manifest: settings, sizes, optimizer groups."),
    "lower": Entry("hydra.cli.lower", "Print the explicit runs that a manifest stands for."),
    "diff": Entry("hydra.cli.diff", "Show the settings at which two manifests or runs differ."),
    "compare": Entry("hydra.cli.compare", "Judge the finished runs of a comparison."),
    "paths": Entry("hydra.cli.paths", "Show which implementation of each op runs here, and why."),
    "schema": Entry("hydra.cli.schema", "Print every manifest setting, for editors or for people."),
}
