"""The first process of an attempt: the trainer itself for one rank, else torchrun, which starts the ranks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess

from fleet.remote.identity import Identity, boot_id, stat_fields
from fleet.remote.launch import DEPLOY_DIR, RUN_DIR, Launch
from fleet.remote.pinning import Pinned
from fleet.remote.places import RunFiles

#: Linux's fcntl for the size of a pipe; Python knows its name since 3.10.
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


class Leader:
    """A process of this supervisor and the reading ends of its outputs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.pid = process.pid
        self.out, self.err = process.stdout.fileno(), process.stderr.fileno()
        fields = stat_fields(process.pid)
        assert fields is not None, "a child that was not collected is there, at least as a zombie"
        self.identity = Identity(boot_id(), process.pid, int(fields[19]))
        for descriptor in (self.out, self.err):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)

    @classmethod
    def start(cls, command: list[str], cwd: str, environment: dict[str, str]) -> Leader:
        """Start a program in a session of its own, without a stdin. Raises OSError if it cannot be executed."""
        return cls(
            subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )

    def collected(self, status: int) -> tuple[int | None, int | None]:
        """Note that it was collected with a wait status; returns its exit code and the signal that ended it."""
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if number is not None else os.WEXITSTATUS(status)
        # The object must not wait for a process that is collected elsewhere.
        self._process.returncode = code if code is not None else -(number or 0)
        return code, number

    def close(self) -> None:
        """Close the pipes."""
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def command_of(launch: Launch, pinned: Pinned, files: RunFiles, argv: tuple[str, ...]) -> list[str]:
    """The command line of an attempt.

    torchrun makes no restarts of its own, because restarts have one owner. Ranks of one host meet at a free port of the
    loopback, those of a group at the master's address, which is a number: names can take 30 s to look up.
    """
    trainer = [_with_places(word, files) for word in argv]
    if not launch.launched:
        return [pinned.python, *trainer]
    command = [pinned.python, "-m", "torch.distributed.run", "--max-restarts=0", f"--nproc-per-node={launch.nproc}"]
    group = launch.group
    if group is None:
        command += ["--standalone", "--local-addr=127.0.0.1"]
    else:
        command += [
            f"--nnodes={len(group.nodes)}",
            f"--node-rank={group.node_rank}",
            f"--master-addr={group.master_address}",
            f"--master-port={group.master_port}",
            f"--local-addr={group.nodes[group.node_rank].address}",
        ]
    return [*command, f"--log-dir={launcher_folder(files)}", "--tee=3", *trainer]


def launcher_folder(files: RunFiles) -> str:
    """Where torchrun keeps its own copies of the ranks' output, and their error files."""
    return files.file("launcher")


def _with_places(word: str, files: RunFiles) -> str:
    """A word of the request with the places of this host, which the controller does not know."""
    if word == RUN_DIR or word.startswith(RUN_DIR + "@"):
        return files.path + word[len(RUN_DIR) :]
    return word.replace(DEPLOY_DIR, os.path.dirname(os.path.dirname(files.path)))
