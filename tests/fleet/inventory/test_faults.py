"""Every mistake is found, all in one go, each with its line, its place and what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.inventory import Fault, InvalidInventory, example, load

Faults = Callable[[Any], list[Fault]]
EXAMPLES = 40
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

#: Where (dots between keys), the value put there, and what the message says.
ONE_MISTAKE: list[tuple[str, Any, str]] = [
    ("version", 2, "found 2; expected 1, the version"),
    ("version", "1", 'found "1"'),
    ("version", True, "found true"),
    ("project", "Hydra", "expected a name of 1 to 63"),
    ("instances", [], "found []; expected an object"),
    ("instances.box", "192.0.2.1", "expected an object"),
    ("instances.-box", {"host": "a"}, "expected a name of 1 to 63"),
    ("instances." + "a" * 64, {"host": "a"}, "expected a name of 1 to 63"),
    ("groups.box", {"members": ["box"]}, "an instance has this name, too"),
    ("instances.box.prot", 22, 'unknown key; did you mean "port"?'),
    ("instances.box.xyzzy", 22, "unknown key; known: deploy_dir"),
    ("defaults.host", "a", "belongs to an instance"),
    ("gorups", {}, 'did you mean "groups"?'),
    ("instances.box.host", "root@192.0.2.1", 'put the login into "user"'),
    ("instances.box.host", "192.0.2.1:22", 'put the port into "port"'),
    ("instances.box.host", "-oProxyCommand=x", "expected a host name"),
    ("instances.box.host", "a b", "expected a host name"),
    ("instances.box.host", "a\n", "expected a host name"),
    ("instances.box.host", None, "found null"),
    ("instances.box.user", "-l", "expected a login name"),
    ("instances.box.port", 0, "expected a port from 1 to 65535"),
    ("instances.box.port", 65536, "found 65536; expected a port from 1 to 65535"),
    ("instances.box.port", 22.0, "found 22.0"),
    ("instances.box.port", True, "found true"),
    ("instances.box.port", "22", "write it without quotes"),
    ("instances.box.port", None, "found null"),
    ("instances.box.identity", "~other/key", "expected the path of a file"),
    ("instances.box.host_key", KEY, "as ssh-keygen -l prints a key"),
    ("instances.box.host_key", f"SHA256:{KEY}=", "as ssh-keygen -l prints a key"),
    ("instances.box.python", "python3", "an absolute path"),
    ("instances.box.deploy_dir", "fleet", 'such as "/data/fleet" or "~/fleet"'),
    ("instances.box.deploy_dir", "~/", 'such as "/data/fleet" or "~/fleet"'),
    ("instances.box.deploy_dir", "~/a/../../b", 'without "." and ".."'),
    ("instances.box.gpu", "h100", 'is no profile; did you mean "h100-pcie"?'),
    ("instances.box.gpu", "xyzzy", "known: a100-40"),
    ("instances.box.gpus", "al", 'did you mean "all"?'),
    ("instances.box.gpus", [], '"all" or a list of indices'),
    ("instances.box.gpus", [0, -1], "found [0, -1]"),
    ("instances.box.gpus", [0, 1, 0], "0 is named twice"),
    ("instances.box.role", "trainig", 'did you mean "training"?'),
    ("instances.box.jump", "bay", 'expected a list such as ["bastion"]'),
    ("instances.box.jump", ["bya"], '"bya" is not an instance; did you mean "bay"?'),
    ("instances.box.jump", ["bay", "bay"], '"bay" is named twice'),
    ("instances.box.jump", ["a@b:0"], "or write user@host:port"),
    ("instances.box.jump", ["gateway.example.org"], "or write user@host:port"),
    ("instances.box.jump", ["box"], "in a circle: box -> box"),
    ("defaults.jump", ["bay"], 'in a circle: bay -> bay; give bay "jump": []'),
    ("instances.box.env", {"lower": "x"}, "made of A-Z, 0-9 and _"),
    ("instances.box.env", {"OMP_NUM_THREADS": 8}, "found a number; expected text in quotes"),
    ("instances.box.env", {"FLEET_RUN_ID": "x"}, "set by fleet itself"),
    ("instances.box.env", {"A": "\0"}, "expected text in quotes"),
    ("instances.box.overrides", {"micro_batch": 1}, 'did you mean "training.micro_batch"?'),
    ("instances.box.overrides", {"training.bacth": 1}, 'did you mean "training.batch"?'),
    ("instances.box.overrides", {"training": 5}, '"training" is a section'),
    ("instances.box.overrides", {"training.steps.x": 5}, "nothing is below it"),
    ("instances.box.overrides", {"training.steps": [1]}, "expected text, a number"),
    ("instances.box.overrides", {"training": {"steps": {}}}, "expected text, a number"),
    ("instances.box.overrides", {"training.": 5}, "is no path of a setting"),
    ("instances.box.overrides", {"training.steps": 1, "training": {"steps": 2}}, "sets training.steps already"),
    ("instances.box.overrides", {"tracking.wandb": None, "tracking.wandb.mode": "offline"}, "tracking.wandb already"),
    ("instances.box.secrets", {"file": ".env"}, 'has no "allow"'),
    ("defaults.secrets", {"allow": ["HF_TOKEN"]}, 'has no "file"'),
    ("instances.box.secrets", {"file": ".env", "allow": ["hf"]}, "made of A-Z, 0-9 and _"),
    ("instances.box.uv", {"path": "uv"}, "missing; expected a SHA-256"),
    ("instances.box.uv", {"path": "uv", "sha256": "AB"}, "expected a SHA-256"),
    ("instances.box.watchdog", {"interval": 0}, "found 0; expected seconds, more than 0"),
    ("instances.box.watchdog", {"interval": 6}, "a limit longer than the interval"),
    ("instances.box.limits", {"keep_releases": 0}, "found 0; expected a number from 1"),
    ("instances.box.limits", {"keep": 1}, 'did you mean "keep_releases"?'),
    ("groups.pair.members", ["box", "bax"], '"bax" is not an instance; did you mean "box"?'),
    ("groups.pair.members", ["box", "box"], '"box" is named twice'),
    ("groups.pair.members", [], "expected a list of instances"),
    ("groups.pair.master", "bux", 'is not among the members; did you mean "box"?'),
    ("groups.pair.spares", ["box"], '"box" is named twice'),
    ("groups.pair.lead_port", 29500, "for both ports"),
    ("groups.pair.interface", "eth 0", "the name of a network interface"),
    ("groups.pair.shared_storage", "no", "expected true or false"),
    ("groups.one", {}, "missing; expected a list of instances"),
    ("notify", {"webhook": {"url_env": "URL", "kinds": ["rum.failed"]}}, "a kind of event"),
]


def put(data: dict[str, Any], where: str, value: Any) -> None:
    """Set what stands at a place."""
    *above, last = where.split(".")
    for key in above:
        data = data.setdefault(key, {})
    data[last] = value


@pytest.mark.parametrize(("where", "value", "said"), ONE_MISTAKE, ids=range(len(ONE_MISTAKE)))
def test_one_mistake(small: dict[str, Any], faults_of: Faults, where: str, value: Any, said: str) -> None:
    put(small, where, value)
    faults = faults_of(small)
    assert said in faults[0].text
    assert len(faults) == 1
    place = parts(faults[0].place)
    assert (*place, *where.split("."))[: where.count(".") + 1] == tuple(where.split("."))
    assert shows(json.dumps(small, indent=1).split("\n")[faults[0].line - 1], small, place)


def parts(place: str) -> tuple[str | int, ...]:
    """The keys and positions of a place as it is shown."""
    found = re.findall(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[]+)', place)
    return tuple(int(index) if index else quoted or plain for quoted, index, plain in found)


def shows(line: str, data: Any, place: tuple[str | int, ...]) -> bool:
    """Whether a line has the last key or item of a place that the data has."""
    sought: str | None = None
    for part in place:
        if isinstance(part, str) and (not isinstance(data, dict) or part not in data):
            break
        data = data[part]
        sought = f"{json.dumps(part)}:" if isinstance(part, str) else json.dumps(data)
    return sought is not None and sought in line


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(faults_of: Faults) -> None:
    text = """{
  "version": 1, "project": "hydra",
  "defaults": {"env": {"WANDB_API_KEY": "hunter2-hunter2"}},
  "instances": {
    "h100-1": {"host": "192.0.2.11",
               "prot": 22, "port": 70000},
    "h100-2": {"host": "192.0.2.12"},
    "h100-2": {"host": "192.0.2.13"}
  },
  "groups": {
    "pair": {"members": ["h100-1",
                         "h100-3"], "master": "h100-2"}
  }
}"""
    told = [(fault.line, fault.place, fault.text) for fault in faults_of(text)]
    fix = 'name it in "secrets.allow" and keep its value in the file that "secrets.file" names'
    assert told == [
        (3, "defaults.env.WANDB_API_KEY", f"looks like a secret, and env is no place for one; {fix}"),
        (6, "instances.h100-1.port", "found 70000; expected a port from 1 to 65535"),
        (6, "instances.h100-1.prot", 'unknown key; did you mean "port"?'),
        (8, "instances.h100-2", "given twice; first on line 7"),
        (12, "groups.pair.master", '"h100-2" is not among the members; did you mean "h100-3"?'),
        (12, "groups.pair.members[1]", '"h100-3" is not an instance; did you mean "h100-2"? known: h100-1, h100-2'),
    ]


def test_the_message_has_all_of_it_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    path.write_text('{"version": 1,\n"project": "p", "instances": {}, "defaults": {"env": {"A": ["hunter2"]}, "x": 1}}')
    with pytest.raises(InvalidInventory) as raised:
        load(path)
    told = str(raised.value)
    assert f"2 mistakes in {path}" in told
    assert "fleet.json:2  defaults.env.A  found a list; expected text in quotes, without" in told
    assert "fleet.json:2  defaults.x      unknown key" in told
    assert "hunter2" not in told


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "MONKEY", "KEYBOARD"])
def test_names_that_only_look_alike_pass(small: dict[str, Any], inventory_of: Callable[[Any], Any], name: str) -> None:
    put(small, "instances.box.env", {name: "x"})
    assert inventory_of(small).instances["box"].env[name] == "x"


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "{}", '{"instances": 1, "groups": [], "defaults": "x"}'])
def test_what_is_hardly_a_file_is_refused(faults_of: Faults, text: str) -> None:
    assert faults_of(text)


def test_text_that_is_no_json_is_one_mistake(faults_of: Faults) -> None:
    [fault] = faults_of('{"version": 1,\n "instances": {"box": {"host": "a",}}}')
    assert fault == Fault(2, "instances.box", 'found "}" after a comma; JSON has no comma after the last item')


@given(st.data())
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_misspelt_key_is_found_on_its_line_wherever_it_stands(tmp_path: Path, data: st.DataObject) -> None:
    """In the example, laid out one key a line, any key of a fixed spelling may be misspelt."""
    tree = json.loads(example())
    where = data.draw(st.sampled_from([path for path in keys(tree) if not named_by_user(path)]))
    node = tree
    for key in where[:-1]:
        node = node[key]
    node[where[-1] + "x"] = node.pop(where[-1])
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps(tree, indent=2))
    with pytest.raises(InvalidInventory) as raised:
        load(path)
    found = [fault for fault in raised.value.faults if fault.text.startswith("unknown key")]
    assert [parts(fault.place) for fault in found] == [(*where[:-1], where[-1] + "x")]
    assert f'"{where[-1]}x":' in path.read_text().split("\n")[found[0].line - 1]
    assert f'did you mean "{where[-1]}"?' in found[0].text


def keys(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key."""
    pairs = value.items() if isinstance(value, dict) else ()
    return [found for key, item in pairs for found in [(*path, key), *keys(item, (*path, key))]]


def named_by_user(path: tuple[str, ...]) -> bool:
    """Whether a key is a name of the user's own, not one of the format."""
    return path[:-1] in {("instances",), ("groups",)} or path[-2:-1] in {("env",), ("overrides",)}
