"""The parts of a deploy that a plan shares: what has to be done, how much is sent, by which command."""

from __future__ import annotations

from typing import Final, Literal

from fleet.errors import Blocked
from fleet.release.base import Base
from fleet.release.inspection import Inspection
from fleet.release.script import receive_command
from fleet.release.tree import MIB, Tree
from fleet.release.upload import Progress, Upload
from fleet.ssh import Cmd, Deadline

Action = Literal["noop", "switched", "uploaded"]
#: What is left to do: nothing, verify a release that is there (and switch to it), or send it.
Task = Literal["nothing", "verify", "send"]

#: Room that must be free, in units of the estimate.
_ROOM: Final = 1.5
#: What a file takes on a disk beyond its bytes.
_SLACK: Final = 4096
#: Seconds that a receiver outlives its controller's deadline, at most.
_PATIENCE: Final = 5
#: Seconds without a byte after which a receiver takes its controller for gone. A transport notices a dead host in 6, so
#: this is longer than any upload that is still going on can be silent.
SILENCE: Final = 20
#: Seconds after which any receiver ends.
_LONGEST: Final = 3600


def task(host: Inspection, tree: Tree, switch: bool) -> Task:
    """What has to be done, going by what the host says it has.

    A deploy that is to switch believes that a current release is whole, since reading it takes longer than all else.
    One that is only to put the release there reads it, which is the way to mend a damaged one.
    """
    if switch and host.current == tree.release and host.current_digest == tree.digest:
        return "nothing"
    return "verify" if tree.release in host.releases else "send"


def prepared(tree: Tree, base: Base | None, progress: Progress | None = None, note: bytes = b"") -> Upload:
    """The upload of a tree, or of what a base lacks, with a line for the host's audit log."""
    if base is None:
        return Upload(tree, tree.entries, None, progress, note)
    return Upload(tree, base.changes.send, base.changes.steps, progress, note)


def receiving(
    tree: Tree,
    host: Inspection,
    upload: Upload,
    base: Base | None,
    deploy_dir: str,
    switch: bool,
    deadline: Deadline,
    python: str,
) -> Cmd:
    """The command that takes an upload on the host."""
    return receive_command(
        deploy_dir,
        host.machine,
        tree.release,
        upload.digests,
        base="" if base is None else base.release,
        switch=switch,
        seconds=min(int(deadline.remaining()) + _PATIENCE, _LONGEST),
        silence=SILENCE,
        parts=upload.parts,
        python=python,
    )


def check_room(name: str, host: Inspection, upload: Upload) -> None:
    """Raise Blocked if the host has less room than one and a half times what the upload takes there."""
    need = int((upload.least + _SLACK * upload.files) * _ROOM)
    if host.free is not None and host.free < need:
        raise Blocked(
            f"{name} has {host.free / MIB:.1f} MiB free in {host.base}, this deploy wants {need / MIB:.1f} MiB",
            why="a disk that fills up stops every run that writes to it",
            fix="remove old releases and environments, or make room otherwise",
            example=f"fleet prune {name}",
            host=name,
        )
