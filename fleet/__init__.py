"""Remote training on hosts that are reached over plain SSH: `from fleet import Fleet`.

There is no daemon on a host; what runs there lives exactly as long as its run. Importing this package loads nothing
heavy, so that `fleet --help` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet.control.fleet import Fleet

__all__ = ["Fleet"]


def __getattr__(name: str) -> object:
    if name == "Fleet":
        from fleet.control.fleet import Fleet

        return Fleet
    raise AttributeError(f"module 'fleet' has no attribute {name!r}")
