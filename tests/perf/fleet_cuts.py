"""Target 6: deploys cut at a random byte, 1,000 times, leave the host with a whole release and no rubbish.

    python -m tests.perf.fleet_cuts --count 1000

Each round changes the tree, deploys through a proxy that cuts the connection (orderly end, reset, or black hole) once a
random number of bytes has passed in either direction, and looks at the host: `current` must be the old tree or the new
one, to the byte, and every published release must be what its name says. Then it deploys again without a cut: that must
succeed, and nothing may be left of the cut upload. Every second round changes all files, the others a few.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.farm.proxy import Mode, Proxy
from tests.farm.sshd import Farm
from tests.perf.measuring import Sheet, Target, begin, parser
from tests.perf.programs import fleet, needed, scratch
from tests.perf.tree import Deployed, content, digests, make_tree

FILES, SIZE = 150, 3 << 20
#: Of ten cuts, so many are of this kind; a black hole costs the time in which a dead peer is noticed.
MODES: tuple[Mode, ...] = ("close",) * 5 + ("rst",) * 4 + ("hole",)
BUSY = 6
#: Seconds for which the receiver of a connection that vanished without a word may hold the lock.
LOCK_LIMIT = 60


@dataclass
class Tally:
    """What the rounds showed."""

    cut: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    noticed: list[float] = field(default_factory=list)
    """Seconds that a deploy into a black hole took to give up."""
    held: dict[str, list[float]] = field(default_factory=dict)
    """By the kind of cut: seconds for which the lock was still held after it, in rounds where it was at all."""


class Cutting:
    """A tree, a host behind a proxy, and rounds of cut deploys."""

    def __init__(self, folder: Path, farm: Farm, proxy: Proxy) -> None:
        self.tree, self.proxy, self.tally = folder / "tree", proxy, Tally()
        self.paths = make_tree(self.tree, FILES, SIZE)
        host = farm.through(0, proxy)
        farm.fleet_json(self.tree, hosts=[host], watchdog={"interval": 1, "limit": 2}, limits={"keep_releases": 2})
        self.name, self.host = host.name, Deployed(host.home / "fleet" / "hydra")
        self._traffic: dict[bool, int] = {}

    def change(self, everything: bool) -> None:
        """Give all files, or three of them, other contents."""
        chosen = self.paths if everything else random.sample(self.paths, 3)
        for path in chosen:
            path.write_bytes(content(random.Random(random.random()), random.randrange(1, 2 * SIZE // FILES)))

    def learn(self) -> None:
        """How many bytes a deploy of either kind takes, so that cuts fall anywhere in it."""
        for everything in (True, False):
            self.change(everything)
            before = self.proxy.bytes_up + self.proxy.bytes_down
            fleet("deploy", self.name, cwd=self.tree)
            self._traffic[everything] = self.proxy.bytes_up + self.proxy.bytes_down - before

    def round(self, number: int) -> None:
        """One cut and what follows from it."""
        everything, mode = number % 2 == 0, random.choice(MODES)
        old = digests(self.tree)
        self.change(everything)
        new = digests(self.tree)
        place = random.randrange(int(self._traffic[everything] * 1.02))
        what = f"round {number}: {mode} after {place} of {self._traffic[everything]} bytes"
        self.proxy.cut_after(place, mode, "both")
        started = time.monotonic()
        done = fleet("deploy", self.name, cwd=self.tree, expect=None)
        reached = self.proxy.has_cut
        self.proxy.disarm()
        self.tally.cut[mode if reached else "not reached"] += 1
        self.tally.statuses[done.returncode] += 1
        if mode == "hole" and reached and done.returncode != 0:
            self.tally.noticed.append(time.monotonic() - started)
        if done.returncode == 1 or "Traceback" in done.stderr:
            self.tally.traces.append(f"{what}: {done.stderr[-500:]}")
        # A deploy may go on after the cut by itself; if it says that it is done, it must be.
        self._look(what, *([new] if done.returncode == 0 else [old, new]))
        self._again(what, new, mode)

    def _look(self, what: str, *trees: dict[str, str]) -> None:
        if fault := self.host.fault(*trees):
            self.tally.faults.append(f"{what}: {fault}")
        self.tally.faults += [f"{what}: torn {torn}" for torn in self.host.torn_releases()]

    def _again(self, what: str, new: dict[str, str], mode: str) -> None:
        """The next deploy; the receiver of a connection that vanished may hold the lock for a while."""
        started, held = time.monotonic(), 0.0
        while True:
            done = fleet("deploy", self.name, cwd=self.tree, expect=None)
            if done.returncode != BUSY or held > LOCK_LIMIT:
                break
            held = time.monotonic() - started
        if held:
            self.tally.held.setdefault(mode, []).append(held)
        if done.returncode != 0:
            self.tally.refused.append(f"{what}: the next deploy exits {done.returncode}: {done.stderr[-500:]}")
            # A host that is stuck would fail every later round for the same reason.
            self.proxy.reset_all()
            return
        self._look(what, new)
        if left := self.host.leftovers():
            self.tally.leftovers.append(f"{what}: {[path.name for path in left]}")


def report(sheet: Sheet, tally: Tally, count: int) -> None:
    """Enter the tally."""
    for mode, times in sorted(tally.cut.items()):
        sheet.number(f"cuts: {mode}", times, f"of {count}")
    for status, times in sorted(tally.statuses.items()):
        sheet.number(f"exit status {status} of the cut deploy", times, f"of {count}")
    sheet.count("hosts with a corrupt or torn release", len(tally.faults), count, at_most=0)
    sheet.count("next deploys that fail", len(tally.refused), count, at_most=0)
    sheet.count("leftovers after the next deploy", len(tally.leftovers), count, at_most=0)
    sheet.count("cut deploys that end in a trace", len(tally.traces), count, at_most=0)
    for mode, waits in sorted(tally.held.items()):
        sheet.series(f"lock still held after {mode}", waits, "s", Target("max", at_most=LOCK_LIMIT))
    if tally.noticed:
        sheet.series("black hole: time to give up", tally.noticed, "s", Target("max", at_most=15))
    for line in [*tally.faults, *tally.refused, *tally.leftovers, *tally.traces]:
        print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    options = parser(__doc__, 1000).parse_args(arguments)
    needed("git")
    begin(options.seed)
    sheet = Sheet("Deploys that are cut", options.slack)
    with scratch() as folder, Farm(folder / "farm", 1) as farm:
        with Proxy(farm.hosts[0].address, farm.hosts[0].port) as proxy:
            cutting = Cutting(folder, farm, proxy)
            fleet("deploy", cutting.name, cwd=cutting.tree)
            cutting.learn()
            for number in range(options.count):
                cutting.round(number)
        report(sheet, cutting.tally, options.count)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
