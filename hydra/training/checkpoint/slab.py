"""Host memory shared with the writer process: where a checkpoint waits while it is written.

The memory has no name (a memfd on Linux, an unlinked temporary file elsewhere), so nothing is left behind however the
trainer ends, and the size of /dev/shm, which containers keep small, does not matter. It is kept between saves: the
first one pays for fresh pages and, with a GPU, for pinning them; the next ones copy only.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile

import psutil
import torch
from torch import Tensor


class Slab:
    """One stretch of shared bytes that grows when a checkpoint needs more."""

    def __init__(self) -> None:
        self.descriptor = _anonymous_file()
        """Descriptor that the writer process inherits."""
        self._bytes: Tensor | None = None
        self._pinned = False

    def reserve(self, size: int, *, pinned: bool) -> Tensor:
        """At least `size` bytes as a uint8 tensor; `pinned` registers them with CUDA, for copies at full speed.

        Raises OSError (ENOMEM) if the host has not that much memory to spare.
        """
        if self._bytes is None or len(self._bytes) < size or (pinned and not self._pinned):
            self._release()
            self._bytes = self._map(size)
            if pinned:
                _register(self._bytes)
                self._pinned = True
        return self._bytes

    def close(self) -> None:
        """Give the memory back."""
        self._release()
        os.close(self.descriptor)

    def _map(self, size: int) -> Tensor:
        held = os.fstat(self.descriptor).st_size
        free = psutil.virtual_memory().available
        if size - held > free:
            raise OSError(errno.ENOMEM, f"staging takes {size:,} bytes of host memory and {free:,} are available")
        os.ftruncate(self.descriptor, max(size, held))
        # Allocating the pages now makes a lack of memory an error here instead of a signal in the middle of a copy.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.descriptor, 0, max(size, held))
        return torch.frombuffer(mmap.mmap(self.descriptor, max(size, held)), dtype=torch.uint8)

    def _release(self) -> None:
        if self._bytes is not None and self._pinned:
            _check(torch.cuda.cudart().cudaHostUnregister(self._bytes.data_ptr()), "unpin")
        self._bytes, self._pinned = None, False


def _anonymous_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("hydra-checkpoint", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _register(data: Tensor) -> None:
    _check(torch.cuda.cudart().cudaHostRegister(data.data_ptr(), len(data), 1), "pin")


def _check(code: object, what: str) -> None:
    if int(code) != 0:  # type: ignore[call-overload]  # cudart's error enum has no stub and converts to int
        raise OSError(errno.ENOMEM, f"CUDA could not {what} the memory that checkpoints are staged in (error {code})")
