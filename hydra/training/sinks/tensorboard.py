"""TensorBoard as a sink. Imported only by runs that ask for it, since the package is an extra."""

from __future__ import annotations

from collections.abc import Mapping

from torch.utils.tensorboard import SummaryWriter

from hydra.runs import RunDirectory


class TensorBoardSink:
    """TensorBoard event files under the run."""

    name = "tensorboard"
    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.path / "tensorboard"
        self._writer: SummaryWriter | None = None

    def open(self) -> None:
        """Open the event file."""
        self._writer = SummaryWriter(str(self._folder))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add one scalar per number."""
        assert self._writer is not None
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
