"""What every writer of a run directory shares: it can be used in a `with` block, which closes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Something that holds an open file until it is closed."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything held; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
