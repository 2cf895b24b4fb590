"""Instances over defaults: what is merged, what is replaced, and where every value says it is from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleet.inventory import Address, Inventory, Row, Uv, Watchdog, view

Reader = Callable[[Any], Inventory]
DIGEST = "0" * 64


def file(**parts: Any) -> dict[str, Any]:
    """A file with these parts."""
    return {"version": 1, "project": "hydra", "instances": {"box": {"host": "192.0.2.1"}}, **parts}


def test_without_defaults_everything_has_its_built_in_value(inventory_of: Reader) -> None:
    box = inventory_of(file()).instances["box"]
    assert (box.port, box.user, box.identity, box.host_key, box.uv, box.secrets) == (None,) * 6
    assert (box.python, box.gpu, box.gpus, box.role, box.deploy_dir) == (
        *("auto", "auto", "all", "training"),
        "~/fleet/hydra",
    )
    assert (box.jump, box.env, box.overrides) == ((), {}, {})
    assert (box.watchdog.interval, box.watchdog.limit) == (3, 6)
    assert (box.limits.keep_releases, box.limits.min_free_gib, box.limits.max_upload_mib) == (5, 20, 500)
    assert set(box.origins.values()) == {"default", "fleet.json instances.box.host"}


def test_maps_merge_by_key_and_lists_replace(inventory_of: Reader) -> None:
    defaults = {
        "env": {"A": "default", "B": "default"},
        "overrides": {"training.batch": 8, "training": {"steps": 10}},
        "secrets": {"file": ".env", "allow": ["HF_TOKEN"]},
        "watchdog": {"limit": 30},
        "gpus": [0, 1],
        "uv": {"path": "uv", "sha256": DIGEST},
        "jump": ["a@192.0.2.9"],
    }
    own = {
        "host": "192.0.2.1",
        "env": {"B": "own", "C": "own"},
        "overrides": {"training": {"batch": 16}},
        "secrets": {"file": ".env.box"},
        "watchdog": {"interval": 5},
        "gpus": [3],
        "jump": [],
    }
    box = inventory_of(file(defaults=defaults, instances={"box": own})).instances["box"]
    assert box.env == {"A": "default", "B": "own", "C": "own"}
    assert box.overrides == {"training.batch": 16, "training.steps": 10}
    assert box.secrets is not None
    assert (box.secrets.file, box.secrets.allow) == (".env.box", ("HF_TOKEN",))
    assert box.watchdog == Watchdog(5, 30)
    assert (box.gpus, box.jump, box.uv) == ((3,), (), Uv("uv", DIGEST))
    own_, inherited = "fleet.json instances.box", "fleet.json defaults"
    assert box.origins["env.A"] == f"{inherited}.env"
    assert box.origins["env.B"] == f"{own_}.env"
    assert box.origins["overrides.training.batch"] == f"{own_}.overrides"
    assert box.origins["overrides.training.steps"] == f"{inherited}.overrides"
    assert box.origins["secrets.allow"] == f"{inherited}.secrets"
    assert box.origins["watchdog.limit"] == f"{inherited}.watchdog"
    assert box.origins["limits.keep_releases"] == "default"
    assert box.origins["gpus"] == f"{own_}.gpus"


def test_a_group_has_its_master_first(inventory_of: Reader, small: dict[str, Any]) -> None:
    small["groups"]["pair"] = {"members": ["box", "bay"], "master": "bay", "overrides": {"training.batch": 4}}
    pair = inventory_of(small).groups["pair"]
    assert (pair.members, pair.master) == (("bay", "box"), "bay")
    assert (pair.master_port, pair.lead_port, pair.interface) == (29500, 29501, "auto")
    assert pair.origins["overrides.training.batch"] == "fleet.json groups.pair.overrides"
    del small["groups"]["pair"]["master"]
    assert inventory_of(small).groups["pair"].master == "box"


def test_hops_are_instances_or_addresses_and_a_route_follows_the_first(inventory_of: Reader) -> None:
    instances = {
        "inner": {"host": "192.0.2.1", "jump": ["middle", "ada@[2001:db8::1]:2222"]},
        "middle": {"host": "192.0.2.2", "jump": ["outer"]},
        "outer": {"host": "192.0.2.3", "role": "jump"},
    }
    inventory = inventory_of(file(instances=instances))
    found = inventory.instances
    address = Address("ada", "2001:db8::1", 2222)
    assert found["inner"].jump == ("middle", address)
    assert inventory.route(found["inner"]) == (found["outer"], found["middle"], address)
    assert inventory.route(found["outer"]) == ()
    assert ("jump", "middle, ada@[2001:db8::1]:2222") in [(row.setting, row.value) for row in view(found["inner"])]


@pytest.mark.parametrize(
    ("text", "expected"), [(".env.local", "{here}/.env.local"), ("~/x", "{home}/x"), ("/etc/x", "/etc/x")]
)
def test_local_files_are_beside_the_file_or_at_home(
    inventory_of: Reader, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    inventory = inventory_of(file())
    assert str(inventory.file(text)) == expected.format(here=inventory.path.parent, home="/somewhere")


def test_a_view_shows_every_value_and_where_it_is_from(inventory_of: Reader) -> None:
    own = {
        "host": "192.0.2.1",
        "port": 40022,
        "env": {"A": "x"},
        "overrides": {"training.clip": None, "precision.tf32": True},
        "secrets": {"file": ".env", "allow": ["HF_TOKEN", "A_KEY"]},
        "uv": {"path": "uv", "sha256": DIGEST},
    }
    defaults = {"user": "ada", "limits": {"min_free_gib": 3}}
    rows = view(inventory_of(file(defaults=defaults, instances={"box": own})).instances["box"])
    own_ = "fleet.json instances.box"
    assert rows[0] == Row("host", "192.0.2.1", f"{own_}.host")
    for row in (
        Row("port", "40022", f"{own_}.port"),
        Row("user", "ada", "fleet.json defaults.user"),
        Row("identity", "from the SSH configuration, else the agent's", "default"),
        Row("env.A", "x", f"{own_}.env.A"),
        Row("overrides.training.clip", "null", f"{own_}.overrides.training.clip"),
        Row("overrides.precision.tf32", "true", f"{own_}.overrides.precision.tf32"),
        Row("secrets.allow", "HF_TOKEN, A_KEY", f"{own_}.secrets.allow"),
        Row("uv", "uv (0000000000000000)", f"{own_}.uv"),
        Row("gpus", "all", "default"),
        Row("watchdog.limit", "6", "default"),
        Row("limits.min_free_gib", "3", "fleet.json defaults.limits.min_free_gib"),
        Row("limits.keep_releases", "5", "default"),
    ):
        assert row in rows
    assert len({row.setting for row in rows}) == len(rows)


def test_webhooks_are_read(inventory_of: Reader) -> None:
    notify = inventory_of(file(notify={"webhook": {"url_env": "HOOK_URL", "kinds": ["run.failed"]}})).notify
    assert notify is not None
    assert (notify.url_env, notify.kinds) == ("HOOK_URL", ("run.failed",))
    assert inventory_of(file(notify={})).notify is None
