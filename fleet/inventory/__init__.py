"""`fleet.json`: which hosts there are and how to use them, checked strictly, merged, every value with its origin.

The file is the user's: it is read and never written. Importing this room loads no pydantic.
"""

from __future__ import annotations

from fleet.inventory.describing import example, schema
from fleet.inventory.faults import Fault, InvalidInventory
from fleet.inventory.finding import find
from fleet.inventory.loading import Cache, load
from fleet.inventory.targets import Purpose, Targets, resolve
from fleet.inventory.values import (
    Address,
    Group,
    Hop,
    Instance,
    Inventory,
    Limits,
    Role,
    Scalar,
    Secrets,
    Uv,
    Watchdog,
    Webhook,
)
from fleet.inventory.view import Row, view

__all__ = [
    "Address",
    "Cache",
    "Fault",
    "Group",
    "Hop",
    "Instance",
    "InvalidInventory",
    "Inventory",
    "Limits",
    "Purpose",
    "Role",
    "Row",
    "Scalar",
    "Secrets",
    "Targets",
    "Uv",
    "Watchdog",
    "Webhook",
    "example",
    "find",
    "load",
    "resolve",
    "schema",
    "view",
]
