"""Target 10: how soon a followed line arrives, and that none is lost or repeated through 100 forced drops.

    python -m tests.perf.fleet_follow --count 100

A writer on the host appends numbered frames to a run's log, as its supervisor would; each line says when it was
written. `fleet logs -f --json` reads them as a process. For the drops, a proxy resets or closes every connection at
random moments; what arrived must be what was written, compared by hash, and go on within 2 s of each drop.
"""

from __future__ import annotations

import hashlib
import json
import queue
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet.remote import frames
from tests.farm.hosts import FarmHost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.forged import Forged, forge_run
from tests.perf.measuring import Sheet, Target, begin, parser
from tests.perf.programs import needed, scratch, start_fleet

LINES = 3000
"""Lines of the latency measurement."""
RATE = 200
"""Lines a second."""


class Writer:
    """Writes the log of a run until it is stopped; the last frame ends the run."""

    def __init__(self, run: Path, rate: float) -> None:
        self._rate, self._stop = rate, threading.Event()
        self._log = (run / "log" / frames.segment_name(0)).open("ab", buffering=0)
        self.digest, self.count = hashlib.sha256(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Write the last frame."""
        self._stop.set()
        self._thread.join()
        ended = json.dumps({"state": "completed", "exit": {"code": 0}})
        self._write(ended, frames.END, frames.FLEET)
        self._log.close()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.is_set():
            text = f"line {self.count} {time.time_ns()} {'x' * random.randrange(60)}"
            self.digest.update(text.encode() + b"\n")
            self._write(text, frames.WHOLE, frames.OUT)
            self._stop.wait(max(0.0, started + self.count / self._rate - time.monotonic()))

    def _write(self, text: str, flags: str, stream: str) -> None:
        self.count += 1
        frame = frames.Frame(self.count, int(time.time() * 1e3), 0, 0, stream, flags, text)
        self._log.write(frame.line())


@dataclass(frozen=True)
class Line:
    """One line that arrived."""

    text: str
    arrived: int
    """Unix nanoseconds."""

    @property
    def written(self) -> int:
        """When the writer wrote it, Unix nanoseconds."""
        return int(self.text.split()[2])


class Follower:
    """A `fleet logs -f` process, read as it speaks."""

    def __init__(self, host: FarmHost, project: Path, run: str) -> None:
        self.digest, self.lines = hashlib.sha256(), 0
        self.arrived: queue.SimpleQueue[Line] = queue.SimpleQueue()
        self._process = start_fleet("logs", host.name, "--run", run, "-f", "--since", "0", "--json", cwd=project)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float) -> int:
        """The exit status."""
        status = self._process.wait(seconds)
        self._reader.join(seconds)
        return status

    def kill(self) -> str:
        """End it, and say what it complained about."""
        self._process.kill()
        return self._process.communicate()[1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            now = time.time_ns()
            text = text_of(json.loads(line))
            if text is not None and text.startswith("line "):
                self.lines += 1
                self.digest.update(text.encode() + b"\n")
                self.arrived.put(Line(text, now))


def text_of(row: dict[str, object]) -> str | None:
    """The text of a line in the answer of `fleet logs --json`, or None for another kind of object."""
    data = row.get("data", row)
    text = data.get("text") if isinstance(data, dict) else None
    return text if isinstance(text, str) else None


def project_of(folder: Path, farm: Farm, host: FarmHost) -> tuple[Path, Forged]:
    """A folder with fleet.json, and a forged live run on the host."""
    folder.mkdir()
    farm.fleet_json(folder, hosts=[host])
    return folder, forge_run(host.home / "fleet" / "hydra", "follow")


def measure_latency(sheet: Sheet, folder: Path, farm: Farm, lines: int) -> None:
    """Time from the write to the line on stdout."""
    project, run = project_of(folder / "latency", farm, farm.hosts[0])
    writer = Writer(run.path, RATE)
    writer.start()
    follower = Follower(farm.hosts[0], project, run.name)
    # What was written before the connection stood is no measure of latency.
    warm = [follower.arrived.get(timeout=30) for _ in range(RATE)]
    times = [follower.arrived.get(timeout=30) for _ in range(lines)]
    writer.end()
    run.complete()
    status = follower.wait(30)
    taken = [(line.arrived - line.written) / 1e6 for line in times if line.written > warm[-1].arrived]
    sheet.series("latency of a followed line", taken, "ms", Target("p99", at_most=20))
    sheet.count("exit status of a follower whose run completed", status, 1, at_most=0)


def measure_drops(sheet: Sheet, folder: Path, farm: Farm, drops: int) -> None:
    """Drops at random moments, and the hash of everything."""
    with Proxy(farm.hosts[0].address, farm.hosts[0].port) as proxy:
        host = farm.through(0, proxy)
        project, run = project_of(folder / "drops", farm, host)
        writer = Writer(run.path, RATE)
        writer.start()
        follower = Follower(host, project, run.name)
        follower.arrived.get(timeout=30)
        resumed = []
        for _ in range(drops):
            time.sleep(random.uniform(0.0, 0.4))
            random.choice((proxy.reset_all, proxy.close_all))()
            dropped = time.time_ns()
            line = follower.arrived.get(timeout=60)
            # Lines on their way count as before the drop; the first one written after it shows that it goes on.
            while line.written < dropped:
                line = follower.arrived.get(timeout=60)
            resumed.append((line.arrived - dropped) / 1e9)
        writer.end()
        run.complete()
        status = follower.wait(60)
        connections = proxy.connections
    sheet.series("goes on after a drop", resumed, "s", Target("max", at_most=2))
    sheet.count("drops that took effect", connections - 1, drops, at_least=drops)
    sheet.count("lines written, minus lines received", abs(writer.count - 1 - follower.lines), writer.count, at_most=0)
    sheet.count("differing hashes", int(writer.digest.digest() != follower.digest.digest()), 1, at_most=0)
    sheet.count("exit status of the dropped follower", status, 1, at_most=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    options = parser(__doc__, 100).parse_args(arguments)
    needed("ssh")
    begin(options.seed)
    sheet = Sheet("Following a log", options.slack)
    with scratch() as folder, Farm(folder / "farm", 1) as farm:
        measure_latency(sheet, folder, farm, min(LINES, 30 * options.count))
        measure_drops(sheet, folder, farm, options.count)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
