"""Batches for the training loop: a background thread reads ahead, so that a step never waits for data."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import torch

from hydra.data.arrays import Int32, Int64
from hydra.data.dataset import Dataset
from hydra.errors import ManifestError


@dataclass(frozen=True)
class StepBatch:
    """What one rank trains on in one optimizer step: A micro-batches of B rows of T+1 tokens.

    `tokens`, `positions` and `documents` are int32 [A, B, T+1] as in `Batch`, `sources` int32 and `samples` int64
    [A, B]. `targets_global` counts the valid targets of all ranks and micro-batches: what the loss is divided by.
    """

    step: int
    tokens: torch.Tensor
    positions: torch.Tensor
    documents: torch.Tensor
    sources: torch.Tensor
    samples: torch.Tensor
    targets_global: int


class Loader:
    """An endless iterator over the steps of one rank, from `first_step` on.

    Row i of micro-batch a of rank r in step s is sample `s*batch + (a*R + r)*B + i`. So the rows of a step do not
    depend on the number of ranks R, and a resume needs only the step. An error while reading is raised by `next`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        micro_batch: int,
        rank: int,
        world: int,
        first_step: int,
        prefetch: int,
        *,
        pinned: bool = False,
    ) -> None:
        """`batch` rows per step over all ranks, `micro_batch` (B) per forward pass, `prefetch` steps read ahead.

        `pinned` puts tensors into page-locked memory, from which a GPU copies without waiting. Raises ManifestError
        when `batch` is no multiple of `world` times `micro_batch`.
        """
        if batch % (world * micro_batch):
            raise ManifestError(
                f"training.batch={batch} is no multiple of {world} ranks times training.micro_batch={micro_batch}",
                why="every rank does the same number of equal micro-batches in a step",
                fix=f"set training.batch to a multiple of {world * micro_batch}, or choose a smaller micro_batch",
                example=f"--set training.batch={-(-batch // (world * micro_batch)) * world * micro_batch}",
            )
        self._dataset, self._batch, self._pinned = dataset, batch, pinned
        self._own: Int64 = np.arange(batch, dtype=np.int64).reshape(-1, world, micro_batch)[:, rank]
        self._steps = itertools.count(first_step)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hydra-loader")
        self._ahead: deque[Future[StepBatch]] = deque()
        for step in itertools.islice(self._steps, prefetch):
            self._ahead.append(self._reader.submit(self._read, step))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StepBatch:
        """The next step's batch. Raises what reading it raised, and StopIteration once closed."""
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.popleft().result()
        self._ahead.append(self._reader.submit(self._read, next(self._steps)))
        return batch

    def close(self) -> None:
        """Stop reading ahead and wait for the thread to end. May be called more than once."""
        self._ahead.clear()
        self._reader.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self, step: int) -> StepBatch:
        shape = self._own.shape
        first = step * self._batch
        rows = self._dataset.rows((first + self._own).reshape(-1))
        return StepBatch(
            step=step,
            tokens=self._tensor(rows.tokens, (*shape, -1)),
            positions=self._tensor(rows.positions, (*shape, -1)),
            documents=self._tensor(rows.documents, (*shape, -1)),
            sources=self._tensor(rows.sources, shape),
            samples=self._tensor(rows.samples, shape),
            targets_global=self._dataset.targets(np.arange(first, first + self._batch, dtype=np.int64)),
        )

    def _tensor(self, array: Int32 | Int64, shape: tuple[int, ...]) -> torch.Tensor:
        tensor = torch.from_numpy(array).view(shape)
        return tensor.pin_memory() if self._pinned else tensor
