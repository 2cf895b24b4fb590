"""Targets 2, 3 and 4: how long a deploy takes, as a whole process, beside `rsync -a` in the same minute.

    python -m tests.perf.fleet_deploy --count 20

Nothing to do, one changed file, and everything to send at round trips of 0, 20 and 80 ms. The tree has 2,078 files and
30.5 MiB. rsync gets the same ssh key, the same excludes and, for the round trips, the same proxy.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.farm.hosts import FarmHost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.measuring import Sheet, Target, begin, interleaved, parser
from tests.perf.programs import answer, fleet, needed, rsync, scratch
from tests.perf.tree import FILES, IGNORED, SIZE, Deployed, digests, make_tree

#: Milliseconds of the round trips that a proxy adds. Without any there is no proxy: it would take a third of a core.
DELAYS = (20, 80)
EXCLUDES = tuple(f"--exclude=/{name}" for name in IGNORED)


class Deploying:
    """A tree, a host that takes it, and the two ways to send it."""

    def __init__(self, folder: Path, farm: Farm, proxies: dict[int, Proxy], files: int, size: int) -> None:
        self.tree = folder / "tree"
        self.paths = make_tree(self.tree, files, size)
        self.direct = farm.hosts[0]
        slow = {trip: replace(farm.through(0, proxy), name=f"rtt{trip}") for trip, proxy in proxies.items()}
        farm.fleet_json(self.tree, hosts=[self.direct, *slow.values()])
        self.hosts = {0: self.direct, **slow}
        self.host = Deployed(self.direct.home / "fleet" / "hydra")
        self._edits = self._rounds = 0

    def deploy(self, host: FarmHost) -> str:
        """Deploy and say what it did: noop, switched or uploaded."""
        done = answer(fleet("deploy", host.name, "--json", cwd=self.tree))
        [row] = done.values() if isinstance(done, dict) and "hosts" not in done else done["hosts"]
        return str(row["action"])

    def nothing_to_do(self) -> None:
        """A deploy of what is already there."""
        action = self.deploy(self.direct)
        assert action == "noop", f"expected nothing to do, and it says {action}"

    def one_change(self) -> None:
        """Change one file (not measured apart: a few microseconds) and deploy."""
        self._edits += 1
        self.paths[len(self.paths) // 2].write_text(f"edit = {self._edits}\n")
        action = self.deploy(self.direct)
        assert action == "uploaded", f"expected one file to be sent, and it says {action}"

    def cold(self, host: FarmHost) -> None:
        """A deploy to a host that has nothing."""
        assert self.deploy(host) == "uploaded"

    def forget(self) -> None:
        """Put aside what was sent, so that the host has nothing.

        It is not removed: ext4 does not use a file's number again for a minute after its removal, and searches past all
        such numbers for each file that it creates. Removing 4,000 files here made both tools three times as slow.
        """
        self._rounds += 1
        aside = self.direct.home / f"round{self._rounds}"
        aside.mkdir()
        for folder in ("fleet", "rsync"):
            if (self.direct.home / folder).exists():
                (self.direct.home / folder).rename(aside / folder)

    def clear(self) -> None:
        """Remove all that was sent: releases have no write permission."""
        for aside in self.direct.home.glob("round*"):
            for path in aside.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)
            shutil.rmtree(aside)

    def rsync(self, host: FarmHost) -> None:
        """The same with rsync."""
        rsync(host, f"{self.tree}/", ":rsync/", "--delete", *EXCLUDES)


def measure_warm(sheet: Sheet, deploying: Deploying, count: int) -> None:
    """Nothing to do and one change, against a host that has the tree."""
    deploying.deploy(deploying.direct)
    deploying.rsync(deploying.direct)

    def change_rsync() -> None:
        deploying.paths[1].write_text(f"edit = {deploying.paths[1].stat().st_mtime_ns}\n")
        deploying.rsync(deploying.direct)

    # Within a round each tool first meets the other's edit, so the unmeasured calls put both level again.
    times: dict[str, list[float]] = {}
    for _ in range(count):
        deploying.deploy(deploying.direct)
        deploying.rsync(deploying.direct)
        actions = {"no-op": deploying.nothing_to_do, "rsync no-op": lambda: deploying.rsync(deploying.direct)}
        for name, taken in interleaved(actions, 1, warm=0).items():
            times.setdefault(name, []).extend(taken)
        for name, action in {"change": deploying.one_change, "rsync change": change_rsync}.items():
            times.setdefault(name, []).extend(interleaved({name: action}, 1, warm=0)[name])
            deploying.deploy(deploying.direct)
    sheet.series("no-op deploy, process", times["no-op"], "ms", Target("p50", at_most=250))
    sheet.series("no-op rsync", times["rsync no-op"], "ms")
    sheet.ratio("no-op deploy / rsync", times["no-op"], times["rsync no-op"], Target("value", at_most=0.7))
    sheet.series("one file changed", times["change"], "ms")
    sheet.series("one file changed, rsync", times["rsync change"], "ms")
    sheet.ratio("one changed / no-op", times["change"], times["no-op"], Target("value", at_most=1.2))
    fault = deploying.host.fault(digests(deploying.tree))
    assert fault is None and deploying.host.current() is not None, fault


def measure_cold(sheet: Sheet, deploying: Deploying, count: int) -> None:
    """Everything to send, at each round trip."""
    for trip, host in deploying.hosts.items():
        times: dict[str, list[float]] = {}
        actions = {"fleet": lambda host=host: deploying.cold(host), "rsync": lambda host=host: deploying.rsync(host)}
        for _ in range(count):
            deploying.forget()
            for name, taken in interleaved(actions, 1, warm=0).items():
                times.setdefault(name, []).extend(taken)
        sheet.series(f"cold deploy, {trip} ms", times["fleet"], "ms")
        sheet.series(f"cold rsync, {trip} ms", times["rsync"], "ms")
        sheet.ratio(f"cold deploy / rsync, {trip} ms", times["fleet"], times["rsync"], Target("value", at_most=1.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    description = parser(__doc__, 20)
    description.add_argument("--files", type=int, default=FILES, metavar="N", help="files of the tree")
    options = description.parse_args(arguments)
    needed("rsync", "ssh", "git")
    begin(options.seed)
    sheet = Sheet(f"Deploy of {options.files} files", options.slack)
    with scratch() as folder, Farm(folder / "farm", 1) as farm, ExitStack() as stack:
        target = farm.hosts[0]
        proxies = {trip: stack.enter_context(Proxy(target.address, target.port, delay_ms=trip / 2)) for trip in DELAYS}
        deploying = Deploying(folder, farm, proxies, options.files, SIZE * options.files // FILES)
        measure_warm(sheet, deploying, options.count)
        measure_cold(sheet, deploying, options.count)
        deploying.forget()
        deploying.clear()
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
