"""The table of commands: what `fleet --help` lists, and which module is imported when one runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: its module, and the first line of its help, repeated here so that listing it imports nothing."""

    module: str
    summary: str
    group: bool = False
    """Whether the module holds several commands (a typer application `app`) or one function `command`."""
    rest: bool = False
    """Whether something may follow `--`."""


COMMANDS: Final[dict[str, Entry]] = {
    "train": Entry("fleet.cli.train", "Start a run on a host or on a group of hosts.", rest=True),
    "resume": Entry("fleet.cli.resume", "Continue a run from its newest verified checkpoint.", rest=True),
    "stop": Entry("fleet.cli.stop", "Stop a run: it saves first, and nothing of it stays behind."),
    "status": Entry("fleet.cli.status", "Hosts: state, GPUs, live runs, release, disk, health."),
    "runs": Entry("fleet.cli.runs", "All runs: state, step, loss, checkpoint, why they ended."),
    "logs": Entry("fleet.cli.logs", "Show or follow the log of a run."),
    "events": Entry("fleet.cli.events", "Show or follow the events of a run."),
    "ps": Entry("fleet.cli.processes", "Live processes of our runs."),
    "download": Entry("fleet.cli.download", "Fetch a run's files, verified."),
    "deploy": Entry("fleet.cli.deploy", "Send this project's code to hosts and make it current."),
    "rollback": Entry("fleet.cli.rollback", "Make an earlier release current again."),
    "setup": Entry("fleet.cli.setup", "Make the Python environment of a release on hosts."),
    "prune": Entry("fleet.cli.prune", "Remove old releases, environments and temporary folders."),
    "doctor": Entry("fleet.cli.doctor", "Check that hosts are fit to train, and say what to do where they are not."),
    "gpuinfo": Entry("fleet.cli.gpuinfo", "Inventory of a host's GPUs, processor, memory and disk."),
    "run": Entry("fleet.cli.run", "Run a command on hosts.", rest=True),
    "ssh": Entry("fleet.cli.shell", "Open a shell on a host, with its key verified.", rest=True),
    "trust": Entry("fleet.cli.trust", "Show a host's key and keep it as the right one."),
    "sync-keys": Entry("fleet.cli.sync_keys", "Add or remove a public key in a host's authorized_keys."),
    "config": Entry("fleet.cli.config", "Check and show fleet.json.", group=True),
}
