"""The example that is committed is valid, complete and belongs to nobody; the schema describes every key."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

from fleet.inventory import example, load, schema

DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


def test_the_committed_example_is_the_one_that_the_tool_prints(root: Path) -> None:
    assert (root / "fleet.json.example").read_text("utf-8") == example()


def test_the_example_is_valid(root: Path) -> None:
    inventory = load(root / "fleet.json.example")
    assert set(inventory.instances) == {"l4-a", "box", "h100-1", "h100-2", "bastion"}
    assert inventory.groups["pair"].members == ("h100-1", "h100-2")
    assert inventory.instances["h100-1"].overrides == {"training.micro_batch": 16}
    assert [hop.name for hop in inventory.route(inventory.instances["h100-2"])] == ["bastion"]  # type: ignore[union-attr]


def test_addresses_are_those_of_documentation() -> None:
    addresses = re.findall(r"\d+\.\d+\.\d+\.\d+", example())
    assert len(addresses) == 5
    assert all(any(ipaddress.ip_address(address) in net for net in DOCUMENTATION) for address in addresses)


def keys(described: dict[str, Any], name: str) -> dict[str, Any]:
    """The keys that an object of the schema has."""
    found = described["$defs"][name]
    assert found["additionalProperties"] is False
    return found["properties"]


def test_the_schema_describes_what_the_example_has() -> None:
    described, data = schema(), json.loads(example())
    assert set(data) <= set(described["properties"])
    instance = keys(described, "Instance")
    assert set().union(data["defaults"], *data["instances"].values()) <= set(instance)
    assert set(data["groups"]["pair"]) <= set(keys(described, "Group"))
    assert all(entry.get("description") for entry in instance.values())
    assert set(keys(described, "Defaults")) == set(instance) - {"host"}
    assert described["$defs"]["Instance"]["required"] == ["host"]
    assert '"default": null' not in json.dumps(described)
    assert instance["port"] == {**instance["port"], "minimum": 1, "maximum": 65535, "type": "integer"}
