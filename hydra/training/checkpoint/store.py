"""The checkpoints of a run, for the one process that writes them."""

from __future__ import annotations

import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from hydra.errors import CheckpointError
from hydra.manifest.sections import Checkpoint
from hydra.runs.encoding import encode_document
from hydra.runs.failures import write_failed
from hydra.training.checkpoint import names
from hydra.training.checkpoint.durable import replace_line
from hydra.training.checkpoint.planning import Plan, make_plan
from hydra.training.checkpoint.process import WriterDied, WriterProcess
from hydra.training.checkpoint.reading import Checkpoints
from hydra.training.checkpoint.request import Reply, SaveRequest
from hydra.training.checkpoint.results import Saved, SaveFailure
from hydra.training.checkpoint.retention import Entry, best, kept
from hydra.training.checkpoint.slab import Slab
from hydra.training.checkpoint.verification import Verification

#: Bytes that must stay free beside a new checkpoint: metrics, logs, the tokenizer.
MARGIN = 64 << 20

Result = Saved | SaveFailure


class CheckpointStore(Checkpoints):
    """Saves beside training, one save at a time; a context manager, to be used by rank 0 in its main thread.

    Entering it waits for the writer of an earlier, killed attempt, removes what that left half done and starts a writer
    of its own. `run`, `attempt`, `configuration` (`hydra.manifest.experiment_hash`) and `world_size` go into each
    COMPLETE.json. Raises RunLocked if another live process writes there.
    """

    def __init__(
        self, directory: Path, *, run: str, attempt: int, configuration: str, keep: Checkpoint, world_size: int = 1
    ) -> None:
        super().__init__(directory)
        self._identity = {"run": run, "attempt": attempt, "configuration": configuration, "world_size": world_size}
        self._policy = keep
        self._slab: Slab | None = None
        self._writer: WriterProcess | None = None
        self._underway: _Underway | None = None
        self._results: list[Result] = []
        self._rejected: set[int] = set()

    def open(self) -> Self:
        """Start writing; what `with` does on entry."""
        assert self._slab is None, "the store is open already"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            slab = Slab()
            try:
                self._writer = WriterProcess(self.directory, slab.descriptor)
            except BaseException:
                slab.close()
                raise
        except OSError as error:
            raise write_failed(self.directory, error) from error
        self._slab = slab
        return self

    def close(self) -> None:
        """Finish the save under way and end the writer. Results stay readable through `finished`."""
        if self._slab is None:
            return
        self._collect(None)
        if self._writer is not None:
            self._writer.close()
        self._slab.close()
        self._slab = self._writer = None

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def save(
        self,
        step: int,
        tensors: dict[str, Tensor],
        train: dict[str, Any],
        tokenizer: Path | None = None,
        metric: float | None = None,
    ) -> None:
        """Start saving; on return the tensors may change again (with `asynchronous: false` it is complete or failed).

        Waits first for a save that is under way: two never run at once, and staging memory is never doubled. `train` is
        JSON; `tokenizer` a directory to copy; `metric` bits per byte (one that is not finite counts as not measured).
        How it ended comes from `finished` or `wait`: a full disk is a result and not an exception, because training can
        go on. Raises CheckpointError for tensors that the format cannot hold.
        """
        assert self._slab is not None, "the store is not open"
        self._collect(None)
        started = time.monotonic()
        plan = make_plan(tensors)
        try:
            self._stage(plan, tensors)
            request = self._request(step, plan, train, tokenizer, metric)
            self._living_writer().send(request)
        except OSError as error:
            self._results.append(SaveFailure(step, error.strerror or str(error)))
            return
        except WriterDied as error:
            self._results.append(SaveFailure(step, str(error)))
            return
        self._underway = _Underway(step, time.monotonic() - started, request.remove)
        if not self._policy.asynchronous:
            self._collect(None)

    def finished(self) -> list[Result]:
        """Results that were not returned yet; does not wait."""
        self._collect(0.0)
        results, self._results = self._results, []
        return results

    def wait(self) -> list[Result]:
        """Wait for the save under way, then the same as `finished`."""
        self._collect(None)
        return self.finished()

    def newest_verified(self, resumed: tuple[int, int] | None = None) -> tuple[int | None, list[Verification]]:
        """The newest checkpoint that verifies, and the newer ones that did not; `latest` is made to name the former.

        Rejected checkpoints are neither counted nor removed by the retention rules of this process.
        """
        step, rejected = super().newest_verified(resumed)
        self._rejected |= {verification.step for verification in rejected}
        if self._slab is not None and self._underway is None:
            self._repair_latest(step)
        return step, rejected

    def _repair_latest(self, step: int | None) -> None:
        pointer = self.directory / names.LATEST
        if step is None:
            pointer.unlink(missing_ok=True)
        elif not pointer.is_file() or pointer.read_bytes() != f"{names.folder(step)}\n".encode():
            replace_line(pointer, names.folder(step))

    def _stage(self, plan: Plan, tensors: dict[str, Tensor]) -> None:
        assert self._slab is not None
        on_gpu = any(tensor.device.type == "cuda" for tensor in tensors.values())
        plan.stage(self._slab.reserve(plan.memory, pinned=on_gpu))

    def _request(
        self, step: int, plan: Plan, train: dict[str, Any], tokenizer: Path | None, metric: float | None
    ) -> SaveRequest:
        measured = metric if metric is not None and math.isfinite(metric) else None
        others = [entry for entry in self._entries() if entry.step != step]
        serial = 1 + max((entry.serial for entry in others), default=0)
        entries = [*others, Entry(step, serial, measured)]
        stay = kept(entries, self._policy)
        documents = {
            names.LAYOUT: plan.layout.model_dump_json(by_alias=True) + "\n",
            names.TRAIN: encode_document(train).decode(),
        }
        return SaveRequest(
            step=step,
            memory=plan.memory,
            shards=plan.shards,
            documents=documents,
            tokenizer=None if tokenizer is None else str(tokenizer.resolve()),
            complete=self._facts(step, serial, measured),
            room=sum(shard.length + len(shard.header) for shard in plan.shards) + MARGIN,
            read_back=self._policy.read_back,
            aside=self._aside(step) if step in self._rejected else None,
            best=best([entry for entry in entries if entry.step in stay]),
            remove=tuple(entry.step for entry in others if entry.step not in stay),
        )

    def _facts(self, step: int, serial: int, metric: float | None) -> dict[str, Any]:
        return {
            "schema": names.SCHEMA,
            **self._identity,
            "step": step,
            "serial": serial,
            "metric": metric,
            "part": 1,
            "parts": 1,
            "created": time.time(),
        }

    def _entries(self) -> list[Entry]:
        """Complete checkpoints, from the disk each time; unreadable and rejected ones are not among them."""
        found = []
        for step in self.steps():
            if step in self._rejected:
                continue
            try:
                complete = self.complete(step)
            except CheckpointError:
                self._rejected.add(step)
                continue
            found.append(Entry(step, complete.serial, complete.metric))
        return found

    def _aside(self, step: int) -> str:
        name = f"rejected-{names.folder(step)}"
        number = 1
        while (self.directory / f"{name}-{number}").exists():
            number += 1
        return f"{name}-{number}"

    def _living_writer(self) -> WriterProcess:
        assert self._slab is not None
        if self._writer is not None and self._writer.alive():
            return self._writer
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._writer = WriterProcess(self.directory, self._slab.descriptor)
        return self._writer

    def _collect(self, timeout: float | None) -> None:
        """Take the answer to the save under way, if there is one within `timeout` seconds (None: wait for it)."""
        if self._underway is None:
            return
        assert self._writer is not None
        try:
            reply = self._writer.receive(timeout)
        except WriterDied as error:
            self._results.append(SaveFailure(self._underway.step, str(error)))
            self._underway = None
            return
        if reply is not None:
            self._results.append(self._underway.result(reply))
            self._rejected.discard(reply.step)
            self._underway = None


class _Underway:
    """A save that was handed to the writer."""

    def __init__(self, step: int, stall: float, remove: tuple[int, ...]) -> None:
        self.step, self._stall, self._remove = step, stall, remove

    def result(self, reply: Reply) -> Result:
        """What the writer's answer means for the caller."""
        if reply.error is not None:
            return SaveFailure(self.step, reply.error)
        removed = self._remove if reply.complaint is None else ()
        return Saved(self.step, self._stall + reply.seconds, reply.size, self._stall, removed, reply.complaint)
