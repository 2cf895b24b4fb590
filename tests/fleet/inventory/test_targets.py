"""Which hosts a name means, for which purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleet.errors import Usage
from fleet.inventory import Inventory, Purpose, resolve


@pytest.fixture
def inventory(inventory_of: Callable[[Any], Inventory]) -> Inventory:
    """Hosts of every role and two groups."""
    roles = {"a": "training", "b": "training", "extra": "spare", "way": "jump"}
    instances = {name: {"host": name, "role": role} for name, role in roles.items()}
    groups = {"pair": {"members": ["b", "a"], "spares": ["extra"]}, "odd": {"members": ["a", "extra"]}}
    return inventory_of(
        {"version": 1, "project": "hydra", "instances": instances, "groups": groups},
    )


def names(inventory: Inventory, text: str | None, purpose: Purpose, **options: Any) -> tuple[list[str], list[str]]:
    """Names of the units and of the instances."""
    found = resolve(inventory, text, purpose=purpose, **options)
    return [unit.name for unit in found.units], [instance.name for instance in found.instances]


def test_an_instance_and_a_list(inventory: Inventory) -> None:
    assert names(inventory, "a", "look") == (["a"], ["a"])
    assert names(inventory, "b, a", "deploy") == (["b", "a"], ["b", "a"])


def test_a_group_is_one_run_for_runs_and_its_members_elsewhere(inventory: Inventory) -> None:
    for purpose in ("train", "resume", "stop"):
        assert names(inventory, "pair", purpose) == (["pair"], ["b", "a"])
        assert names(inventory, "a,b", purpose) == (["a", "b"], ["a", "b"])
    assert names(inventory, "pair", "look") == (["b", "a"], ["b", "a"])
    assert names(inventory, "a,pair", "deploy") == (["a", "b"], ["a", "b"])


def test_all_leaves_out_hosts_that_lead_to_others_where_there_is_work(inventory: Inventory) -> None:
    assert names(inventory, None, "look", all=True)[0] == ["a", "b", "extra", "way"]
    assert names(inventory, None, "stop", all=True)[0] == ["a", "b", "extra", "way"]
    for purpose in ("deploy", "setup", "bench"):
        assert names(inventory, None, purpose, all=True)[0] == ["a", "b", "extra"]
    assert names(inventory, "way", "deploy")[0] == ["way"]


def test_training_takes_a_spare_only_when_it_is_named(inventory: Inventory) -> None:
    found = resolve(inventory, None, purpose="train", all=True)
    assert [unit.name for unit in found.units] == ["a", "b"]
    assert [name for name, _ in found.skipped] == ["extra", "way"]
    assert names(inventory, "extra", "train")[0] == ["extra"]
    with pytest.raises(Usage, match='extra in group "odd" has the role spare'):
        resolve(inventory, "odd", purpose="train")
    assert names(inventory, "odd", "stop")[0] == ["odd"]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (None, {}, "no target"),
        ("a", {"all": True}, 'both "a" and --all'),
        ("paer", {}, 'there is no "paer"'),
        ("a,,b", {}, "an empty name"),
        ("", {}, "an empty name"),
        ("a,b,a", {}, '"a" is named twice'),
    ],
)
def test_what_means_nothing_lists_what_exists(
    inventory: Inventory, text: str | None, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Usage) as raised:
        resolve(inventory, text, purpose="look", **options)
    assert said in raised.value.what
    assert "instances: a, b, extra, way; groups: pair, odd" in raised.value.why
    assert raised.value.exit_code == 2


def test_the_nearest_name_is_offered(inventory: Inventory) -> None:
    with pytest.raises(Usage) as raised:
        resolve(inventory, "paer", purpose="look")
    assert (raised.value.fix, raised.value.example) == ('did you mean "pair"?', "fleet status pair")


def test_a_file_without_hosts_says_so(inventory_of: Callable[[Any], Inventory]) -> None:
    empty = inventory_of({"version": 1, "project": "hydra", "instances": {}})
    for options in ({}, {"all": True}):
        with pytest.raises(Usage, match="instances: none"):
            resolve(empty, None, purpose="look", **options)
