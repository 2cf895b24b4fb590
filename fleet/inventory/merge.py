"""Instances laid over the defaults: maps are joined key by key, everything else is replaced; who said what is kept."""

from __future__ import annotations

from typing import Any

from fleet.inventory.overrides import flat
from fleet.inventory.values import DEFAULT

#: Objects whose keys are merged one by one; all other values, `uv` too, are taken whole.
MAPS = ("env", "overrides", "secrets", "watchdog", "limits")
_INSTANCE: dict[str, Any] = {
    "port": None,
    "user": None,
    "identity": None,
    "jump": [],
    "host_key": None,
    "python": "auto",
    "env": {},
    "gpu": "auto",
    "gpus": "all",
    "overrides": {},
    "role": "training",
    "secrets": {},
    "uv": None,
    "watchdog": {"interval": 3, "limit": 6},
    "limits": {"keep_releases": 5, "min_free_gib": 20, "max_upload_mib": 500},
}
_GROUP: dict[str, Any] = {
    "master_port": 29500,
    "lead_port": 29501,
    "interface": "auto",
    "spares": [],
    "shared_storage": False,
    "env": {},
    "overrides": {},
}


def merged(data: dict[str, Any], file: str) -> dict[str, Any]:
    """Plain data of everything a valid file says; `file` is its name in origins."""
    defaults = ("defaults", data.get("defaults", {}))
    built_in = {**_INSTANCE, "deploy_dir": f"~/fleet/{data['project']}"}
    instances = {
        name: _laid(built_in, [defaults, (f"instances.{name}", own)], file) for name, own in data["instances"].items()
    }
    groups = {
        name: _laid({**_GROUP, "master": own["members"][0]}, [(f"groups.{name}", own)], file)
        for name, own in data.get("groups", {}).items()
    }
    webhook = data.get("notify", {}).get("webhook")
    return {"project": data["project"], "instances": instances, "groups": groups, "notify": webhook}


def _laid(built_in: dict[str, Any], layers: list[tuple[str, dict[str, Any]]], file: str) -> dict[str, Any]:
    """The layers in order over the built-in values; `origins` says of each value, or key of a map, where it is from."""
    result: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for place, layer in [("", built_in), *layers]:
        for field, value in layer.items():
            origin = f"{file} {place}.{field}" if place else DEFAULT
            if field in MAPS:
                own = flat(value) if field == "overrides" else value
                result[field] = result.get(field, {}) | own
                origins |= {f"{field}.{key}": origin for key in own}
            else:
                result[field] = value
                origins[field] = origin
    return result | {"origins": origins}
