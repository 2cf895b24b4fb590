"""Where metrics go besides metrics.jsonl: Weights & Biases and TensorBoard.

A sink is a convenience: it never blocks a step and never ends a run. When the service is slow its queue drops rows and
says how many, and when it fails that is one line in the log and on the console.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import ManifestError
from hydra.manifest import Manifest
from hydra.runs import RunDirectory
from hydra.training.sinks.thread import Sink, SinkThread

__all__ = ["Sink", "SinkThread", "scalars", "sinks"]


def sinks(run: RunDirectory, manifest: Manifest, config: Mapping[str, Any]) -> Sequence[Sink]:
    """The sinks that a manifest asks for. Raises ManifestError when TensorBoard is asked for and not installed."""
    found: list[Sink] = []
    if manifest.tracking.wandb is not None:
        from hydra.training.sinks.weights_and_biases import WandbSink

        found.append(WandbSink(run, manifest, config))
    if manifest.tracking.tensorboard:
        if importlib.util.find_spec("tensorboard") is None:
            raise ManifestError(
                "tracking.tensorboard is true, and the package tensorboard is not installed",
                why="it is an extra, since most runs do not need it",
                fix="install the extra, or set tracking.tensorboard to false",
                example="pip install -e '.[tensorboard]' -c constraints.txt",
            )
        from hydra.training.sinks.tensorboard import TensorBoardSink

        found.append(TensorBoardSink(run))
    return found


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers of a metrics row."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("step", "attempt", "schema")
    }
