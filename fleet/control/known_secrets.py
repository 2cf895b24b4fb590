"""The values that no command may print or write down, read from the files of secrets on this side."""

from __future__ import annotations

import contextlib

from fleet.errors import Usage
from fleet.inventory import Inventory


def known_secrets(inventory: Inventory) -> frozenset[str]:
    """Every value that fleet.json allows to any host.

    A file or a name that is missing is passed over here: only a command that sends it needs it, and then says so.
    """
    wanted = {
        (inventory.file(one.secrets.file), name)
        for one in inventory.instances.values()
        if one.secrets is not None
        for name in one.secrets.allow
    }
    if not wanted:
        return frozenset()
    # Imported late: it costs more than a deploy that finds nothing to do, and many fleets have no secrets.
    from fleet.environment import read_allowed

    found: set[str] = set()
    for path, name in wanted:
        with contextlib.suppress(Usage):
            found |= set(read_allowed(path, [name]).values())
    return frozenset(found)
