"""Run directories that no supervisor wrote: live for whoever looks, since this process holds their lock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleet.remote.locks import SupervisorLock
from hydra.runs import Exit, RunId, StateFile


@dataclass(frozen=True)
class Forged:
    """A run directory and the lock that makes it live."""

    path: Path
    state: StateFile
    lock: SupervisorLock

    @property
    def name(self) -> str:
        """The run id."""
        return self.path.name

    def complete(self) -> None:
        """The run ends well."""
        self.state.enter("completed", exit=Exit(code=0))
        self.lock.close()


def forge_run(deploy_dir: Path, name: str) -> Forged:
    """Make a run that says `running`, whose supervisor is this process."""
    path = deploy_dir / "runs" / str(RunId.draw(name))
    (path / "log").mkdir(parents=True)
    state = StateFile(path / "state.json", path.name, 1)
    state.enter("running")
    return Forged(path, state, SupervisorLock.take(str(path / "supervisor.lock"), attempt=1))
