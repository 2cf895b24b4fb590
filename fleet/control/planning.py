"""What a start would do, decided before anything is done: devices, settings with the origin of each, arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.control.experiment import Arguments, Chosen, choose_run, parsed, validate
from fleet.control.session import Session
from fleet.health import HostReport
from fleet.inventory import Group
from fleet.inventory.profiles import Choice, Device, Setting, choose, keys_in_manifest, settings_for

#: Where the trainer keeps what it builds, per host and outside the release, which never changes. `{deploy_dir}` is
#: replaced on the host; the quotes are YAML's.
ARTIFACTS: Final = {
    "data.token_artifacts": '"{deploy_dir}/artifacts/tokens"',
    "data.tokenizer_artifacts": '"{deploy_dir}/artifacts/tokenizers"',
    "kernels.ledger": '"{deploy_dir}/artifacts/kernels.json"',
}


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the user said about a start."""

    manifest: Path | None = None
    """Manifest file; `manifests/default.yaml` of the project if absent."""
    name: str | None = None
    gpus: tuple[int, ...] | None = None
    """Indices of devices; absent: those that fleet.json allows."""
    nproc: int | None = None
    max_restarts: int = 3
    """Restarts in any hour."""
    waits: tuple[float, ...] | None = None
    """Seconds before the first, second, ... of them; absent: 10, 30, 90."""
    deploy: bool = True
    allow_busy: bool = False
    """Start although processes of others use the devices."""
    force: bool = False
    """Start although health says `failure`."""
    arguments: tuple[str, ...] = ()
    """Arguments of the trainer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run on one host, before it has an id."""

    host: str
    chosen: Chosen
    choice: Choice
    settings: tuple[Setting, ...]
    argv: tuple[str, ...]

    @property
    def nproc(self) -> int:
        """Processes on the host."""
        return self.choice.nproc


def chosen_run(session: Session, options: TrainOptions) -> Chosen:
    """The run that is meant, decided on this side alone. Raises ManifestError, and Usage for a manifest outside the
    project, several runs, or arguments that cannot be passed on.
    """
    return choose_run(session.root, options.manifest, options.name, parsed(options.arguments, "train"))


def plan(session: Session, name: str, options: TrainOptions, report: HostReport, group: Group | None = None) -> Plan:
    """Decide a start from the inventory, the manifest, the arguments and what the host has.

    Raises ManifestError, and Usage for a manifest outside the project, devices that are not there, or mixed devices.
    """
    instance = session.instance(name)
    arguments = parsed(options.arguments, "train")
    chosen = chosen_run(session, options)
    devices = [Device(gpu.index, gpu.name, gpu.uuid, gpu.capability) for gpu in report.gpus]
    wanted = options.gpus if options.gpus is not None else instance.gpus
    choice = choose(devices, gpu=instance.gpu, gpus=wanted, nproc=options.nproc)
    settings = settings_for(
        choice,
        instance,
        group=group,
        manifest=keys_in_manifest(session.root / chosen.manifest),
        command_line=arguments.overrides,
    )
    # Once more with all that will be passed on: what the trainer would refuse is found before anything is sent.
    validate(session.root / chosen.manifest, [setting.argv[1] for setting in settings if setting.argv])
    return Plan(name, chosen, choice, settings, _argv(chosen, settings, arguments))


def _argv(chosen: Chosen, settings: Sequence[Setting], arguments: Arguments) -> tuple[str, ...]:
    """The trainer's arguments: what fleet decides, then what the user wrote."""
    artifacts = [part for key, value in ARTIFACTS.items() for part in ("--set", f"{key}={value}")]
    settled = [part for setting in settings for part in setting.argv]
    only = [] if arguments.only is None else ["--only", arguments.only]
    return ("trainer.py", chosen.manifest, *artifacts, *settled, *only)
