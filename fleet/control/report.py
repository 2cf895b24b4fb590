"""What came of an action on several hosts: every host has a row or an error, and none hides another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fleet.errors import PARTLY_FAILED, FleetError

T = TypeVar("T")


@dataclass(frozen=True)
class Report(Generic[T]):
    """Results by host name, in the order in which the hosts were named."""

    rows: dict[str, T]
    errors: tuple[FleetError, ...] = ()
    warnings: tuple[str, ...] = ()

    def only(self) -> T:
        """The one result of an action on one host. Raises that host's error if it has none."""
        if self.errors:
            raise self.errors[0]
        (row,) = self.rows.values()
        return row


def exit_code(report: Report[Any]) -> int:
    """0 if all succeeded, the common code if all failed alike, else 7. A host with an error did not succeed, even if it
    has a row that says so.
    """
    failed = {error.host for error in report.errors}
    return code_of([error.exit_code for error in report.errors], succeeded=len(set(report.rows) - failed))


def code_of(codes: Sequence[int], *, succeeded: int) -> int:
    """The exit code for so many successes and these failures."""
    if not codes:
        return 0
    return codes[0] if not succeeded and len(set(codes)) == 1 else PARTLY_FAILED
