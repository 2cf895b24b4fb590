"""`Fleet`: everything that the command line can do, for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

from fleet.control import (
    access,
    deploying,
    doctor,
    downloads,
    following,
    hardware,
    processes,
    releases,
    runs,
    setting_up,
    status,
    stopping,
    training,
)
from fleet.control.commands import RemoteCommand, run
from fleet.control.deploying import DeployOptions
from fleet.control.downloads import DownloadOptions, Fetched
from fleet.control.finding import Found
from fleet.control.launching import Started
from fleet.control.planning import TrainOptions
from fleet.control.report import Report
from fleet.control.resuming import ResumeOptions
from fleet.control.session import Session
from fleet.control.setting_up import SetupOptions
from fleet.control.stopping import Stopped
from fleet.environment import Ready
from fleet.health import Check, GpuInventory, HostReport
from fleet.inventory import Group
from fleet.logs import Failed, Record
from fleet.release import Deployed, Pruned, RolledBack
from fleet.ssh import Stream


def _quiet(*_: object) -> None:
    """Progress that nobody asked for."""


class Fleet:
    """A fleet as its `fleet.json` describes it. Targets are written as on the command line: `lab-a`, `pair`, `a,b`.

    Every method that works on several hosts returns a `Report`: a row for each host that succeeded and an error for
    each that did not. Connections are opened when they are needed, and kept until `close`.

        with Fleet.open() as fleet:
            started = fleet.train("lab-a", TrainOptions(manifest=Path("manifests/1b.yaml"))).only()
            print(started.run, fleet.status("lab-a").only().gpus)
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    @classmethod
    def open(cls, config: Path | None = None, *, jobs: int = 32, timeout: float | None = None) -> Self:
        """The fleet of a `fleet.json`: the given one, or the nearest in the working folder or above.

        `timeout` limits everything that is done with it, in seconds. Raises Usage for a file that is missing or wrong.
        """
        return cls(Session.open(config, jobs=jobs, timeout=timeout, argv=("fleet.Fleet",)))

    def status(self, target: str | None = None, *, detail: bool = False) -> Report[HostReport]:
        """Look at hosts, all of them without a target. Every host has a row."""
        return status.status(self.session, self._names(target), detail=detail)

    def runs(self, target: str | None = None, *, state: str | None = None) -> Report[tuple[Found, ...]]:
        """All runs of hosts, newest first."""
        return runs.runs(self.session, self._names(target), state)

    def processes(self, target: str | None = None) -> Report[list[dict[str, Any]]]:
        """Live processes of our runs."""
        return processes.processes(self.session, self._names(target))

    def deploy(self, target: str, options: DeployOptions | None = None) -> Report[Deployed]:
        """Send the project's code and make it current."""
        names = self.session.names(target, purpose="deploy")
        return deploying.deploy_all(self.session, names, options or DeployOptions())

    def rollback(self, target: str, *, to: str | None = None) -> Report[RolledBack]:
        """Make an earlier release current again."""
        return releases.roll_back(self.session, self.session.names(target, purpose="deploy"), to)

    def prune(self, target: str, *, keep: int | None = None, remove: bool = False) -> Report[Pruned]:
        """List what can go, and with `remove` remove it."""
        names = self.session.names(target, purpose="deploy")
        listed = releases.prune_plan(self.session, names, keep)
        return releases.prune_listed(self.session, listed, keep) if remove else listed

    def setup(
        self, target: str, options: SetupOptions | None = None, on_progress: Callable[[str], None] = _quiet
    ) -> Report[Ready]:
        """Make the environment of the current release."""
        names = self.session.names(target, purpose="setup")
        return setting_up.setup_all(self.session, names, options or SetupOptions(), on_progress)

    def train(
        self, target: str, options: TrainOptions | None = None, on_progress: Callable[[str], None] = _quiet
    ) -> Report[Started]:
        """Start a run on each instance of the target, and one on all hosts of a group."""
        targets = self.session.targets(target, purpose="train")
        return training.train_all(self.session, targets, options or TrainOptions(), on_progress)

    def resume(
        self, target: str, options: ResumeOptions | None = None, on_progress: Callable[[str], None] = _quiet
    ) -> Report[Started]:
        """Continue a run from its newest verified checkpoint."""
        targets = self.session.targets(target, purpose="resume")
        return training.resume_all(self.session, targets, options or ResumeOptions(), on_progress)

    def stop(
        self, target: str, run: str | None = None, *, every: bool = False, grace: float = 60.0, kill: bool = False
    ) -> Report[tuple[Stopped, ...]]:
        """Stop a run; it saves first unless `kill`."""
        targets = self.session.targets(target, purpose="stop")
        names, members = [one.name for one in targets.instances], stopping.members_only(targets)
        return stopping.stop(self.session, names, run, every=every, grace=grace, kill=kill, members=members)

    def follow(
        self, target: str, run: str | None = None, *, cursor: int = 0, stop: Event | None = None
    ) -> Iterator[tuple[str, Record | Failed]]:
        """The log of a run from a cursor on, until the run ends, over any number of lost connections."""
        found = following.runs_to_read(self.session, self._names(target), run)
        if not found.rows:
            raise found.errors[0]
        cursors = {name: (row, cursor) for name, row in found.rows.items()}
        return following.following(self.session, cursors, stop or Event())

    def download(self, host: str, options: DownloadOptions | None = None) -> Fetched:
        """Fetch a run's files, verified."""
        return downloads.fetch(self.session, host, options or DownloadOptions(), _quiet)

    def doctor(self, target: str, *, quick: bool = False) -> Report[tuple[Check, ...]]:
        """Check that hosts are fit to train; of a group also its network."""
        targets = self.session.targets(target, purpose="train")
        group = next((unit for unit in targets.units if isinstance(unit, Group)), None)
        return doctor.doctor(self.session, [one.name for one in targets.instances], quick=quick, group=group)

    def gpuinfo(self, target: str, *, full: bool = False) -> Report[GpuInventory]:
        """What hardware hosts have."""
        return hardware.gpu_inventories(self.session, self._names(target), full=full)

    def run(
        self, target: str, command: RemoteCommand, sink: Callable[[str, Stream, bytes], None] = _quiet
    ) -> Report[int]:
        """Run a command; the rows are exit statuses."""
        return run(self.session, self._names(target), command, sink)

    def sync_keys(self, target: str, key: Path | None = None, *, remove: bool = False) -> Report[access.Change]:
        """Add a public key to authorized_keys, or remove it."""
        return access.sync_keys(self.session, self._names(target), key, remove=remove)

    def close(self) -> None:
        """Close every connection."""
        self.session.close()

    def _names(self, target: str | None) -> Sequence[str]:
        return self.session.names(target, everything=target is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
