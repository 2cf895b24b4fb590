"""Who decides a setting of the trainer: profile, defaults, group, instance, manifest file, command line; later wins.

What a manifest file says is never passed again: it is listed where it beat somebody, so that a plan shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fleet.errors import Usage
from fleet.inventory.profiles.choosing import Choice
from fleet.inventory.profiles.in_manifest import Written
from fleet.inventory.values import Group, Instance, Scalar, inherited
from hydra.manifest.flow import flow
from hydra.manifest.paths import Path, parsed
from hydra.manifest.tree import Data

Layer = Literal["profile", "defaults", "group", "instance", "manifest", "command line"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, its value and who decided it."""

    name: str
    value: Data
    origin: str
    """`profile h100-sxm`, `fleet.json instances.h100-1.overrides`, `command line (profile h100-sxm said 25)`."""
    layer: Layer
    text: str
    """The value as `--set` takes it."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The trainer's arguments for it; none for what the manifest file says itself."""
        return ("--set", f"{self.name}={self.text}") if self.layer != "manifest" else ()


def settings_for(
    choice: Choice,
    instance: Instance,
    *,
    group: Group | None = None,
    manifest: Mapping[str, Written] | None = None,
    command_line: Sequence[str] = (),
) -> tuple[Setting, ...]:
    """Every setting that is passed to the trainer, or was to be and is not, in the order of the layers.

    `manifest` is `keys_in_manifest` of the file that is trained, `command_line` the texts after `--set`. Raises Usage
    or ManifestError for a text that is not `path=value`.
    """
    layers = [_profile(choice), _overrides("defaults", instance), _group(group), _overrides("instance", instance)]
    result: list[Setting] = []
    for layer in layers:
        result = _over(result, layer)
    result = _over_by_manifest(result, manifest or {})
    return tuple(_over(result, [_from_command_line(text) for text in command_line]))


def _over(lower: list[Setting], upper: list[Setting]) -> list[Setting]:
    """The lower settings that nothing above touches, then the upper ones, with a note of what they replaced."""
    places = [_place(setting.name) for setting in upper]
    kept = [old for old in lower if not any(_overlap(_place(old.name), place) for place in places)]
    return kept + [replace(one, origin=one.origin + _note(one, lower)) for one in upper]


def _over_by_manifest(lower: list[Setting], manifest: Mapping[str, Written]) -> list[Setting]:
    written = {_place(name): (name, one) for name, one in manifest.items()}
    beaten = [old for old in lower if any(_overlap(_place(old.name), place) for place in written)]
    winners = [
        Setting(name, one.value, one.origin, "manifest", flow(one.value))
        for place, (name, one) in written.items()
        if any(_overlap(_place(old.name), place) for old in beaten)
    ]
    return _over(lower, winners)


def _note(setting: Setting, lower: Iterable[Setting]) -> str:
    """` (profile l4 said 25)` if the same setting had another value."""
    for old in lower:
        if _place(old.name) == _place(setting.name) and old.value != setting.value:
            return f" ({old.origin.partition(' (')[0]} said {old.text})"
    return ""


def _profile(choice: Choice) -> list[Setting]:
    return [
        _setting(name, value, f"profile {choice.profile.name}", "profile") for name, value in choice.settings.items()
    ]


def _overrides(layer: Literal["defaults", "instance"], instance: Instance) -> list[Setting]:
    origins = {name: instance.origins[f"overrides.{name}"] for name in instance.overrides}
    return [
        _setting(name, value, origins[name], layer)
        for name, value in instance.overrides.items()
        if inherited(origins[name]) is (layer == "defaults")
    ]


def _group(group: Group | None) -> list[Setting]:
    if group is None:
        return []
    return [
        _setting(name, value, group.origins[f"overrides.{name}"], "group") for name, value in group.overrides.items()
    ]


def _from_command_line(text: str) -> Setting:
    name, equals, value = text.partition("=")
    try:
        parsed(name.strip())
    except ValueError:
        equals = ""
    if not equals:
        raise Usage(
            f"--set {text!r} is not of the form path=value",
            why="an override names one setting and its new value",
            fix="join the path and the value with '='",
            example="fleet train lab-a -- --set training.steps=50",
        )
    # Reading YAML takes 25 ms to import, and most command lines set nothing.
    from hydra.manifest.source import value as read

    return Setting(name.strip(), read(value, f"--set {name.strip()}"), "command line", "command line", value)


def _setting(name: str, value: Scalar, origin: str, layer: Layer) -> Setting:
    return Setting(name, value, origin, layer, flow(value))


def _place(name: str) -> Path:
    """The path of a setting in one spelling: a single optimizer rule, or corpus, may be written without its list."""
    path = parsed(name)
    if path[0] == "optimizer" and len(path) > 1 and isinstance(path[1], str):
        return (path[0], 0, *path[1:])
    if path[:2] == ("data", "corpus"):
        return ("data", "sources", 0, *path[1:])
    return path


def _overlap(one: Path, other: Path) -> bool:
    """Whether setting one of the places changes what stands at the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]
