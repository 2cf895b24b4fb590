"""Weights & Biases as a sink. Imported only by runs that ask for it, since the package takes a second to load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import wandb

from hydra.manifest import Manifest
from hydra.runs import RunDirectory

#: Longest wait for the service. A run that ends earlier waits for it too, so it is shorter than W&B's own 90 seconds.
_CONNECT_SECONDS = 30


class WandbSink:
    """Weights & Biases; a resumed run continues the same W&B run on the same step axis."""

    name = "wandb"
    failures: tuple[type[Exception], ...] = (wandb.Error, OSError, RuntimeError)

    def __init__(self, run: RunDirectory, manifest: Manifest, config: Mapping[str, Any]) -> None:
        assert manifest.tracking.wandb is not None
        self._settings, self._run, self._config = manifest.tracking.wandb, run, dict(config)
        self._wandb: Any = None

    def open(self) -> None:
        """Start or continue the W&B run named after this run."""
        self._wandb = wandb.init(
            project=self._settings.project,
            entity=self._settings.entity,
            mode=self._settings.mode,
            tags=list(self._settings.tags),
            id=self._run.id,
            name=self._run.id,
            resume="allow",
            dir=str(self._run.path),
            config=self._config,
            settings=wandb.Settings(console="off", silent=True, init_timeout=_CONNECT_SECONDS),
        )
        self._wandb.define_metric("step")
        self._wandb.define_metric("*", step_metric="step")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Hand a row to W&B's own process."""
        self._wandb.log({"step": step, **numbers})

    def close(self) -> None:
        """Flush and finish."""
        if self._wandb is not None:
            self._wandb.finish()
