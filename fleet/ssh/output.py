"""A running command whose stdout is read as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from fleet.ssh.command import Result
from fleet.ssh.deadline import Deadline
from fleet.ssh.session import Session

#: Pieces of stderr that are kept, the latest: a command that runs for hours may complain for hours.
_COMPLAINTS = 64


class RemoteOutput:
    """The `Output` of a command on a host."""

    def __init__(self, session: Session, deadline: Deadline) -> None:
        self._session, self._deadline = session, deadline
        self._errors: deque[bytes] = deque(maxlen=_COMPLAINTS)

    def __iter__(self) -> Iterator[bytes]:
        for stream, data in self._session.wait(self._deadline):
            if stream == "out":
                yield data
            else:
                self._errors.append(data)
        # The end of the output is not the end of the command if the connection was lost.
        if not self._session.closed:
            self._session.status()

    def result(self) -> Result:
        """Status and stderr, once stdout has ended; what is left of stdout is dropped."""
        for _ in self:
            continue
        return Result(self._session.status(), b"", b"".join(self._errors))

    def close(self) -> None:
        """End the command."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
