"""Who decides a setting: every layer beats the one before it, and the plan says whom it beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import Usage
from fleet.inventory import Inventory
from fleet.inventory.profiles import Choice, Device, Setting, choose, keys_in_manifest, settings_for
from hydra.errors import ManifestError
from hydra.manifest import load

MANIFEST = """schema: 1
name: small-lm
data: {corpus: {kind: stdlib}, sequence: 256}
tokenizer: {kind: bytes}
model:
  preset: 1m
optimizer: {kind: adamw, lr: 3.0e-3}
schedule: {kind: wsd, warmup_steps: 20}
training:
  steps: 400
  batch: 16
  log_every: 5
evaluation: {samples: {prompts: [], tokens: 20}}
tracking: {}
"""


@pytest.fixture
def choice() -> Choice:
    """One L4, whose profile logs every 25 steps."""
    return choose([Device(0, "NVIDIA L4")])


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest that sets log_every itself."""
    path = tmp_path / "small.yaml"
    path.write_text(MANIFEST, encoding="utf-8")
    return path


Layers = Callable[..., dict[str, Setting]]


@pytest.fixture
def decided(inventory_of: Callable[[Any], Inventory], choice: Choice) -> Layers:
    """The settings by name, given what each layer says."""

    def decide(
        defaults: Any = None, own: Any = None, group: Any = None, manifest: Path | None = None, line: Any = ()
    ) -> dict[str, Setting]:
        inventory = inventory_of(
            {
                "version": 1,
                "project": "hydra",
                "defaults": {"overrides": defaults or {}},
                "instances": {"box": {"host": "192.0.2.1", "overrides": own or {}}},
                "groups": {"one": {"members": ["box"], "overrides": group or {}}},
            }
        )
        found = settings_for(
            choice,
            inventory.instances["box"],
            group=inventory.groups["one"] if group is not None else None,
            manifest=keys_in_manifest(manifest) if manifest is not None else None,
            command_line=line,
        )
        assert len({setting.name for setting in found}) == len(found)
        return {setting.name: setting for setting in found}

    return decide


def test_each_layer_beats_the_one_before(decided: Layers) -> None:
    name = "training.activation_checkpointing"
    own = "fleet.json instances.box.overrides"

    def told(**layers: Any) -> tuple[Any, str]:
        setting = decided(**{layer: {name: value} for layer, value in layers.items()})[name]
        return setting.value, setting.origin

    assert told() == ("selective", "profile l4")
    assert told(defaults="none") == ("none", "fleet.json defaults.overrides (profile l4 said selective)")
    assert told(defaults="none", group="full") == (
        "full",
        "fleet.json groups.one.overrides (fleet.json defaults.overrides said none)",
    )
    assert told(group="full", own="none") == ("none", f"{own} (fleet.json groups.one.overrides said full)")
    assert told(defaults="full", group="none", own="none") == ("none", own)
    assert told(defaults="selective") == ("selective", "fleet.json defaults.overrides")


def test_a_manifest_beats_profile_and_overrides_and_is_not_passed_again(decided: Layers, manifest: Path) -> None:
    setting = decided(own={"training": {"log_every": 50}, "training.batch": 16}, manifest=manifest)[
        "training.log_every"
    ]
    assert (setting.value, setting.layer, setting.argv) == (5, "manifest", ())
    assert setting.origin == f"{manifest}:12 (fleet.json instances.box.overrides said 50)"


def test_the_command_line_beats_everything_and_is_passed_as_written(decided: Layers, manifest: Path) -> None:
    found = decided(manifest=manifest, line=["training.log_every=10", "data.corpus={kind: text, files: [a.txt]}"])
    setting = found["training.log_every"]
    assert (setting.value, setting.argv) == (10, ("--set", "training.log_every=10"))
    assert setting.origin == f"command line ({manifest}:12 said 5)"
    assert found["data.corpus"].value == {"kind": "text", "files": ["a.txt"]}
    assert decided(line=["training.log_every=10"])["training.log_every"].origin == "command line (profile l4 said 25)"


def test_what_the_manifest_does_not_say_comes_from_the_profile(decided: Layers, manifest: Path) -> None:
    assert decided(manifest=manifest)["precision.compute"].argv == ("--set", "precision.compute=bf16")


def test_a_preset_in_the_manifest_decides_the_whole_model(decided: Layers, manifest: Path) -> None:
    found = decided(own={"model.width": 64}, manifest=manifest)
    assert "model.width" not in found
    assert (found["model"].value, found["model"].origin) == ("1m", f"{manifest}:6")


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ({"optimizer.lr": 1.0}, {"optimizer.0.lr": 2.0}),
        ({"data.corpus.kind": "stdlib"}, {"data.sources.0.corpus.kind": "text"}),
        ({"tracking.wandb.project": "x"}, {"tracking.wandb": None}),
        ({"tracking.wandb": None}, {"tracking.wandb.mode": "offline"}),
    ],
)
def test_one_place_has_one_winner_however_it_is_written(decided: Layers, lower: Any, upper: Any) -> None:
    found = decided(defaults=lower, own=upper)
    assert set(upper) <= set(found)
    assert not set(lower) & set(found)


def test_the_manifest_is_asked_in_either_spelling(decided: Layers, manifest: Path) -> None:
    found = decided(own={"optimizer.0.lr": 1.0, "data.sources.0.corpus.kind": "text"}, manifest=manifest)
    assert (found["optimizer.lr"].value, found["data.corpus.kind"].value) == (0.003, "stdlib")
    assert "optimizer.0.lr" not in found


def test_repeated_settings_of_the_command_line_are_all_passed(
    inventory_of: Callable[[Any], Inventory], small: dict[str, Any], choice: Choice
) -> None:
    line = ["tracking.wandb={project: x}", "tracking.wandb.mode=offline"]
    found = settings_for(choice, inventory_of(small).instances["box"], command_line=line)
    assert [part for setting in found[-2:] for part in setting.argv] == ["--set", line[0], "--set", line[1]]


@pytest.mark.parametrize("text", ["training.steps", "=5", "a..b=5", ""])
def test_a_setting_without_a_name_or_a_value_is_refused(decided: Layers, text: str) -> None:
    with pytest.raises(Usage, match="not of the form path=value"):
        decided(line=[text])


def test_an_empty_value_is_refused(decided: Layers) -> None:
    with pytest.raises(ManifestError):
        decided(line=["training.steps="])


@pytest.mark.parametrize(
    "value", ["on", "1e-4", "16", "a b", "null", "", 16, 1e-4, 1e22, True, None, "ä: {x}", "'\"\\"]
)
def test_values_arrive_as_they_are(decided: Layers, manifest: Path, value: Any) -> None:
    """What `fleet.json` says is passed so that YAML reads back the same value."""
    setting = decided(own={"notes": value})["notes"]
    assert setting.argv[0] == "--set"
    [again] = [one for one in settings_of(setting.argv[1]) if one == ("notes", value)]
    assert type(again[1]) is type(value)


def settings_of(text: str) -> list[tuple[str, Any]]:
    """What the trainer reads out of an argument of --set."""
    from hydra.manifest import source

    name, _, value = text.partition("=")
    return [(name, source.value(value, name))]


def test_keys_in_a_manifest(manifest: Path) -> None:
    keys = keys_in_manifest(manifest)
    assert {"training.steps", "model.preset", "model", "optimizer.lr", "data.corpus.kind"} <= set(keys)
    assert (keys["training.batch"].value, keys["training.batch"].origin) == (16, f"{manifest}:11")
    assert keys["evaluation.samples.prompts"].value == []
    assert "tracking" not in keys, "an empty section says nothing"
    with pytest.raises(ManifestError):
        keys_in_manifest(manifest.parent / "absent.yaml")


def test_the_trainer_takes_what_is_passed(decided: Layers, manifest: Path) -> None:
    found = decided(own={"training.micro_batch": 4}, manifest=manifest, line=["training.steps=100"])
    overrides = [setting.argv[1] for setting in found.values() if setting.argv]
    [run] = load(manifest, overrides).runs
    assert (run.manifest.training.micro_batch, run.manifest.training.steps, run.manifest.training.log_every) == (
        4,
        100,
        5,
    )
    assert run.manifest.precision.compute == "bf16"
