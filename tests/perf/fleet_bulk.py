"""Targets 5 and 7: 512 MiB each way beside rsync and scp, and what an interrupted download sends again.

    python -m tests.perf.fleet_bulk --count 20

Both ends lie in the memory file system, so that no disk is measured. Up and down go over one open connection as a
deploy and a download use it; `fleet download` is also measured as a whole process, hashing included: of a plain file,
whose digest the host has to make before it is sent, and of a checkpoint, whose digests it has.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fleet.ssh import Cmd, Deadline, Transport
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.perf.measuring import Sheet, Target, begin, interleaved, parser
from tests.perf.programs import fleet, needed, rsync, scp, scratch
from tests.perf.sessions import opened

RUN = "bulk-20250101-000000-abcd"
PIECE = 1 << 20


def fill(path: Path, size: int) -> None:
    """Write bytes that cannot be compressed."""
    block = random.randbytes(8 * PIECE)
    with path.open("wb") as file:
        while size > 0:
            file.write(block[:size])
            size -= len(block)


def pieces(path: Path) -> Iterator[bytes]:
    """The file as a deploy feeds it."""
    with path.open("rb") as file:
        while data := file.read(PIECE):
            yield data


def upload(transport: Transport, source: Path, target: Path) -> None:
    """One file up, through `cat`."""
    cmd = Cmd(("sh", "-c", 'cat > "$1"', "sh", str(target)))
    result = transport.stream_in(cmd, pieces(source), deadline=Deadline.after(120))
    assert result.ok and target.stat().st_size == source.stat().st_size, result


def receive(transport: Transport, source: Path, target: Path) -> None:
    """One file down, through `cat`."""
    with (
        transport.stream_out(Cmd(("cat", str(source))), deadline=Deadline.after(120)) as output,
        target.open("wb") as file,
    ):
        for data in output:
            file.write(data)
        assert output.result().ok
    assert target.stat().st_size == source.stat().st_size


def checkpoint(folder: Path, source: Path) -> None:
    """A complete checkpoint around one large file, as the trainer leaves it."""
    folder.mkdir(parents=True)
    (folder / "shard-00000.safetensors").hardlink_to(source)
    for name in ("layout.json", "train.json"):
        (folder / name).write_text("{}")
    files = {}
    for path in folder.iterdir():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[path.name] = {"size": path.stat().st_size, "sha256": digest}
    facts = {"schema": 1, "run": RUN, "attempt": 1, "step": 10, "serial": 1, "metric": None, "files": files}
    (folder / "COMPLETE.json").write_text(json.dumps(facts))


def measure_speed(sheet: Sheet, folder: Path, farm: Farm, size: int, count: int) -> None:
    """Rates of every way, in turn."""
    host = farm.hosts[0]
    project, local, remote = folder / "project", folder / "local.bin", host.home / "remote.bin"
    project.mkdir()
    farm.fleet_json(project)
    run = host.home / "fleet" / "hydra" / "runs" / RUN
    run.mkdir(parents=True)
    fill(local, size)
    fill(remote, size)
    (run / "data.bin").hardlink_to(remote)
    checkpoint(run / "checkpoints" / "step-10", remote)
    got = folder / "got"
    got.mkdir()

    def download(to: str, *options: str) -> None:
        fleet("download", host.name, "--run", RUN, "--to", str(got / to), *options, cwd=project)

    with opened(project) as session:
        transport = session.transport(host.name, Deadline.after(30))
        ways: dict[str, tuple[Callable[[], None], Path]] = {
            "fleet up": (lambda: upload(transport, local, host.home / "up"), host.home / "up"),
            "rsync up": (lambda: rsync(host, str(local), ":up-rsync", "--whole-file"), host.home / "up-rsync"),
            "scp up": (lambda: scp(host, str(local), ":up-scp"), host.home / "up-scp"),
            "fleet down": (lambda: receive(transport, remote, got / "a"), got / "a"),
            "rsync down": (lambda: rsync(host, ":remote.bin", str(got / "b"), "--whole-file"), got / "b"),
            "scp down": (lambda: scp(host, ":remote.bin", str(got / "c")), got / "c"),
            "fleet download": (lambda: download("run", "--checkpoint", "none"), got / "run" / "data.bin"),
            "fleet download, checkpoint": (
                lambda: download("saved", "--include", "checkpoints/*"),
                got / "saved" / "checkpoints" / "step-10" / "shard-00000.safetensors",
            ),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(count + 1):
            for _, target in ways.values():
                target.unlink(missing_ok=True)
            for name, taken in interleaved({name: way for name, (way, _) in ways.items()}, 1, warm=0).items():
                if number:
                    rates[name].append(size / PIECE / (taken[0] / 1e3))
    enter(sheet, rates)


def enter(sheet: Sheet, rates: dict[str, list[float]]) -> None:
    """The rates with their targets."""
    targets = {"fleet up": Target("p50", at_least=400), "fleet down": Target("p50", at_least=500)}
    for name, values in rates.items():
        sheet.series(name, values, "MiB/s", targets.get(name))
    sheet.ratio("up, fleet / rsync", rates["fleet up"], rates["rsync up"], Target("value", at_least=1.0))
    sheet.ratio("up, fleet / scp", rates["fleet up"], rates["scp up"], Target("value", at_least=1.5))
    sheet.ratio("down, fleet / rsync", rates["fleet down"], rates["rsync down"], Target("value", at_least=1.0))
    sheet.ratio("fleet download / scp", rates["fleet download"], rates["scp down"])
    saved = rates["fleet download, checkpoint"]
    sheet.ratio("fleet download, checkpoint / scp", saved, rates["scp down"], Target("value", at_least=1.0))


def measure_interrupted(sheet: Sheet, folder: Path, farm: Farm, size: int, count: int) -> None:
    """A download cut in its middle: how much comes twice, and whether the bytes are right."""
    host, run = farm.hosts[0], f"{RUN[:-4]}wxyz"
    source = host.home / "fleet" / "hydra" / "runs" / run / "data.bin"
    source.parent.mkdir(parents=True)
    fill(source, size)
    wanted = hashlib.sha256(source.read_bytes()).digest()
    wrong, again = 0, []
    with Proxy(host.address, host.port) as proxy:
        project = folder / "interrupted"
        project.mkdir()
        farm.fleet_json(project, hosts=[farm.through(0, proxy)])
        for number in range(count):
            target, before = folder / f"interrupted-{number}", proxy.bytes_down
            proxy.cut_after(size // 2, random.choice(("close", "rst")), "down")
            arguments = ("--run", run, "--to", str(target), "--checkpoint", "none")
            # The command itself goes on after a cut; should it give up instead, a second call must go on.
            if fleet("download", host.name, *arguments, cwd=project, expect=None).returncode != 0:
                fleet("download", host.name, *arguments, cwd=project)
            assert proxy.has_cut
            again.append((proxy.bytes_down - before - size) / (size * 0.05 + (1 << 20)))
            wrong += hashlib.sha256((target / "data.bin").read_bytes()).digest() != wanted
    sheet.series("interrupted download: sent again, of 5 % + 1 MiB", again, "×", Target("max", at_most=1, exact=True))
    sheet.count("interrupted downloads with wrong bytes", wrong, count, at_most=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and judge."""
    description = parser(__doc__, 20)
    description.add_argument("--mib", type=int, default=512, metavar="N", help="size of the file")
    options = description.parse_args(arguments)
    needed("rsync", "ssh", "scp")
    begin(options.seed)
    sheet = Sheet(f"{options.mib} MiB in the memory file system", options.slack)
    with scratch(in_memory=True) as folder, Farm(folder / "farm", 1) as farm:
        measure_speed(sheet, folder, farm, options.mib * PIECE, options.count)
        measure_interrupted(sheet, folder, farm, options.mib * PIECE // 4, options.count)
    return sheet.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
