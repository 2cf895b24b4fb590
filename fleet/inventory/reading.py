"""From merged plain data, fresh or out of the cache, to the values that the rest of `fleet` uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.inventory.hops import hop
from fleet.inventory.values import Group, Instance, Inventory, Limits, Secrets, Uv, Watchdog, Webhook


def inventory(path: Path, merged: dict[str, Any]) -> Inventory:
    """The inventory of merged data that was checked before."""
    names = merged["instances"]
    return Inventory(
        path=path,
        project=merged["project"],
        instances={name: _instance(name, own, names) for name, own in names.items()},
        groups={name: _group(name, own) for name, own in merged["groups"].items()},
        notify=_webhook(merged["notify"]),
    )


def _instance(name: str, own: dict[str, Any], names: Mapping[str, object]) -> Instance:
    gpus, secrets, uv = own["gpus"], own["secrets"], own["uv"]
    hops = [hop(text, names) for text in own["jump"]]
    return Instance(
        **own
        | {
            "name": name,
            "jump": tuple(found for found in hops if found is not None),
            "gpus": gpus if gpus == "all" else tuple(gpus),
            "secrets": Secrets(secrets["file"], tuple(secrets["allow"])) if secrets else None,
            "uv": Uv(**uv) if uv is not None else None,
            "watchdog": Watchdog(**own["watchdog"]),
            "limits": Limits(**own["limits"]),
        }
    )


def _group(name: str, own: dict[str, Any]) -> Group:
    master = own["master"]
    members = (master, *(member for member in own["members"] if member != master))
    return Group(**own | {"name": name, "members": members, "spares": tuple(own["spares"])})


def _webhook(own: dict[str, Any] | None) -> Webhook | None:
    return Webhook(own["url_env"], tuple(own["kinds"])) if own is not None else None
