"""A full disk: the tool's own words, and nothing half done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fleet.errors import Blocked, RemoteFailed
from fleet.release import Tree, scan
from fleet.ssh import Cmd
from tests.farm.fakes import tool
from tests.farm.local import LocalTransport
from tests.fleet.release.places import Host, write

#: Mounts are seen by one command and gone with it; a plain user becomes root in a namespace of his own for that.
UNSHARE = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
#: Run a command with deploy_dir on a disk of 1 MiB, then write down what is left there.
ON_SMALL_DISK = """
mkdir -p "$HOME/fleet" && mount -t tmpfs -o size=1m none "$HOME/fleet" || exit 99
sh -c "$1"
status=$?
find "$HOME/fleet" -type f >"$HOME/left"
exit $status
"""


class SmallDisk(LocalTransport):
    """A host with little room, for each command anew."""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        argv = [*UNSHARE, "sh", "-c", ON_SMALL_DISK, "small", cmd.line()]
        return subprocess.Popen(argv, cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.fixture
def large(place: Path) -> Tree:
    """More than fits."""
    probe = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", str(place)], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"this machine allows no mounts in a namespace: {probe.stderr.strip()}")
    write(place / "p", {f"data/{number}": os.urandom(100_000) for number in range(20)})
    return scan(place / "p")


def test_room_is_asked_for_before_anything_is_sent(place: Path, large: Tree) -> None:
    host = Host(place / "home", transport=SmallDisk(place / "home"))
    with pytest.raises(Blocked, match=r"1.0 MiB free in .*, this deploy wants 3\.\d MiB"):
        host.deploy(large)
    assert (host.home / "left").read_text() == ""


def test_a_disk_that_fills_up_is_reported_in_the_tool_s_words(place: Path, large: Tree) -> None:
    plenty = 'echo "Filesystem 1024-blocks Used Available Capacity Mounted"\necho "none 9999999 0 9999999 0% /x"\n'
    path = f"{tool(place / 'bin', 'df', plenty)}:/usr/bin:/bin"
    host = Host(place / "home", transport=SmallDisk(place / "home", path=path))
    with pytest.raises(RemoteFailed, match="No space left on device"):
        host.deploy(large)
    assert [Path(line).name for line in (host.home / "left").read_text().splitlines()] == ["deploy"]
