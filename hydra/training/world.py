"""The ranks of a run and what they agree on: the process group, shared facts, and requests at step boundaries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from hydra.training.identity import Identity

#: Longest silence of a peer before a collective gives up. Compilation and evaluation happen between collectives.
TIMEOUT = timedelta(minutes=30)


class World:
    """All ranks of a run, as one of them sees it; a single process is a world of one and needs no process group."""

    def __init__(self, identity: Identity) -> None:
        self.rank, self.size, self.leads = identity.rank, identity.size, identity.leads
        if self.size > 1:
            # NCCL connects at its first collective, so naming it costs a CPU run nothing.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=TIMEOUT)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Add a tensor over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(values, op=dist.ReduceOp.SUM)
        return values

    def share(self, facts: Any) -> Any:
        """Give every rank what the leading one has; facts are JSON, so nothing is unpickled."""
        if self.size == 1:
            return facts
        text = json.dumps(facts).encode() if self.leads else b""
        size = torch.tensor([len(text)], dtype=torch.int64)
        dist.broadcast(size, 0)
        buffer = torch.zeros(int(size.item()), dtype=torch.uint8)
        if self.leads:
            buffer = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        dist.broadcast(buffer, 0)
        return json.loads(buffer.numpy().tobytes())

    def spread(self, tensors: Iterable[torch.Tensor]) -> None:
        """Fill the tensors of every rank, in place, with those of the leading one."""
        if self.size > 1:
            for tensor in tensors:
                # As bytes, because not every backend knows every type.
                dist.broadcast(tensor.reshape(-1).view(torch.uint8), 0)

    def largest(self, values: list[int]) -> list[int]:
        """Element-wise maximum of small host integers over all ranks."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        found: list[int] = tensor.tolist()
        return found

    def wait(self) -> None:
        """Return when all ranks are here."""
        if self.size > 1:
            self.largest([0])

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


class Agreement:
    """Requests that all ranks act on at the same step.

    Each rank's flags are reduced with MAX on the CPU while the step runs on the device, and read before the next step
    starts; so a signal that reaches one rank stops all of them at one boundary.
    """

    def __init__(self, world: World, width: int) -> None:
        self._world, self._width = world, width
        self._words: torch.Tensor | None = None
        self._work: dist.Work | None = None

    def start(self, flags: list[bool]) -> None:
        """Post this rank's flags at the start of a step."""
        assert len(flags) == self._width
        self._words = torch.tensor(flags, dtype=torch.int64)
        if self._world.size > 1:
            self._work = dist.all_reduce(self._words, op=dist.ReduceOp.MAX, async_op=True)

    def result(self, latest: list[bool]) -> list[bool]:
        """The flags that any rank had raised by the start of the step; a world of one takes the latest instead."""
        if self._world.size == 1:
            return latest
        assert self._words is not None and self._work is not None
        self._work.wait()
        return [bool(word) for word in self._words.tolist()]
