"""What is brought: the right files, whole, under their names, and nothing twice."""

from __future__ import annotations

import itertools
import json
import os
import resource
from pathlib import Path

import pytest

from fleet.errors import Blocked, Busy, NotFound, Unverified, Usage
from tests.farm.local import LocalTransport

PLAIN = {"empty.txt", "log/00000000000000000000.seg", "manifest.yaml", "metrics.jsonl", "state.json"}


def checkpoint_files(step: int) -> set[str]:
    names = ("COMPLETE.json", "layout.json", "shard-00000.safetensors", "tokenizer/tokenizer.json", "train.json")
    return {f"checkpoints/step-{step}/{name}" for name in names}


def test_the_newest_checkpoint_comes_with_the_run(host, tree, tmp_path: Path) -> None:
    seen = []
    done = host.download(tmp_path / "to", on_progress=seen.append)
    there, here = tree(host.run), tree(tmp_path / "to")
    assert set(here) == PLAIN | checkpoint_files(200) | {"checkpoints/latest"}
    assert all(here[path] == there[path] for path in here)
    assert (done.files, done.files_reused, done.steps, done.bytes_reused) == (len(here), 0, (200,), 0)
    assert done.bytes_received == sum(map(len, here.values()))
    assert seen[-1].done == seen[-1].total == done.bytes_received
    assert all(a.done <= b.done for a, b in itertools.pairwise(seen))
    assert os.stat(tmp_path / "to/manifest.yaml").st_mtime == os.stat(host.run / "manifest.yaml").st_mtime


@pytest.mark.parametrize(
    ("checkpoint", "steps"),
    [("latest", (200,)), ("best", (100,)), ("50", (50,)), ("all", (50, 100, 200)), ("none", ())],
)
def test_the_checkpoint_that_was_asked_for_comes(host, tree, tmp_path: Path, checkpoint: str, steps) -> None:
    assert host.download(tmp_path / "to", checkpoint=checkpoint).steps == steps
    pointers = {f"checkpoints/{name}" for name, step in (("latest", 200), ("best", 100)) if step in steps}
    assert set(tree(tmp_path / "to")) == PLAIN.union(pointers, *map(checkpoint_files, steps))


def test_without_pointers_the_checkpoints_themselves_tell(host, tmp_path: Path) -> None:
    (host.run / "checkpoints" / "latest").unlink()
    (host.run / "checkpoints" / "best").write_text("step-9\n")
    assert host.download(tmp_path / "to", checkpoint="latest").steps == (200,)
    assert host.download(tmp_path / "to", checkpoint="best").steps == (100,)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["*.jsonl"]}, {"metrics.jsonl"}),
        ({"include": ["log"]}, {"log/00000000000000000000.seg"}),
        ({"include": ["log/", "manifest.yaml"], "exclude": ["*.seg"]}, {"manifest.yaml"}),
        ({"exclude": ["checkpoints/*", "log/*", "*.txt"]}, {"manifest.yaml", "metrics.jsonl", "state.json"}),
        ({"include": ["checkpoints/step-200/train.json"]}, {"checkpoints/step-200/train.json"}),
    ],
)
def test_globs_choose(host, tree, tmp_path: Path, options, expected) -> None:
    host.download(tmp_path / "to", **options)
    assert set(tree(tmp_path / "to")) == expected


def test_what_is_in_place_and_equal_is_not_sent_again(host, tmp_path: Path) -> None:
    first = host.download(tmp_path / "to")
    again = host.download(tmp_path / "to")
    assert (again.bytes_received, again.files_reused, again.bytes_reused) == (0, first.files, first.bytes_received)
    (tmp_path / "to/manifest.yaml").write_text("name: other-one\n")
    (tmp_path / "to/checkpoints/step-200/train.json").unlink()
    third = host.download(tmp_path / "to")
    assert third.files - third.files_reused == 2
    assert (tmp_path / "to/manifest.yaml").read_text() == "name: small-lm\n"


def test_a_file_that_grows_is_taken_as_it_was_listed(host, tmp_path: Path) -> None:
    listed = (host.run / "metrics.jsonl").read_bytes()

    def ask(command, request):
        answer = host.ask(command, request)
        with (host.run / "metrics.jsonl").open("ab") as file:
            file.write(b'{"step": 2}\n')
        (host.run / "state.json").write_text('{"state": "completed"}')
        return answer

    host.download(tmp_path / "to", ask=ask)
    assert (tmp_path / "to/metrics.jsonl").read_bytes() == listed
    assert json.loads((tmp_path / "to/state.json").read_text())["state"] == "running"
    host.download(tmp_path / "to")
    assert (tmp_path / "to/metrics.jsonl").read_bytes() == (host.run / "metrics.jsonl").read_bytes()


def test_many_small_files_come_in_one_stream(host, tree, tmp_path: Path) -> None:
    (host.run / "samples").mkdir()
    for number in range(300):
        (host.run / "samples" / f"sample {number}'s.txt").write_bytes(b"x" * number)
    streams = []

    class Counting(LocalTransport):
        def stream_out(self, cmd, *, deadline):
            streams.append(cmd)
            return super().stream_out(cmd, deadline=deadline)

    host.download(tmp_path / "to", Counting(host.home), checkpoint="none")
    assert len(streams) == 1
    assert tree(tmp_path / "to/samples") == tree(host.run / "samples")


def test_more_files_than_a_command_takes_come_in_several(host, tree, tmp_path: Path) -> None:
    (host.run / "samples").mkdir()
    for number in range(600):
        (host.run / "samples" / f"{number:0200d}").write_bytes(b"%d" % number)
    host.download(tmp_path / "to", checkpoint="none")
    assert tree(tmp_path / "to/samples") == tree(host.run / "samples")


def test_a_folder_that_holds_another_run_stays_as_it_is(host, tree, tmp_path: Path) -> None:
    for name in ("run.json", "state.json"):
        folder = tmp_path / name.removesuffix(".json")
        folder.mkdir()
        (folder / name).write_text('{"run": "other-20260131-235959-k3qz"}')
        before = tree(folder)
        with pytest.raises(Usage, match="holds run other-20260131-235959-k3qz, not"):
            host.download(folder)
        assert tree(folder) == before
        (folder / name).write_text(json.dumps({"run": host.run.name}))
        host.download(folder)


def test_a_missing_run_names_those_that_are_there(host, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no run other") as caught:
        host.download(tmp_path / "to", run="other")
    assert host.run.name in str(caught.value)
    with pytest.raises(Usage, match="no run id"):
        host.download(tmp_path / "to", run="../runs")
    assert not (tmp_path / "to").exists()


def test_a_missing_checkpoint_names_those_that_are_there(host, tmp_path: Path) -> None:
    with pytest.raises(Usage, match="no checkpoint 'newest'") as wrong:
        host.download(tmp_path / "to", checkpoint="newest")
    assert "latest, best, all, none or a step" in wrong.value.fix
    with pytest.raises(NotFound, match="no checkpoint '75'") as caught:
        host.download(tmp_path / "to", checkpoint="75")
    assert "50, 100, 200" in str(caught.value)


def test_a_run_without_checkpoints_comes_too(host, tree, tmp_path: Path) -> None:
    for path in sorted((host.run / "checkpoints").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert host.download(tmp_path / "to").steps == ()
    assert set(tree(tmp_path / "to")) == PLAIN
    with pytest.raises(NotFound, match="'best'"):
        host.download(tmp_path / "to", checkpoint="best")


def test_a_changed_checkpoint_does_not_verify_and_the_rest_comes(host, tree, tmp_path: Path) -> None:
    shard = host.run / "checkpoints/step-200/shard-00000.safetensors"
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(Unverified, match=r"shard-00000\.safetensors did not verify") as caught:
        host.download(tmp_path / "to")
    assert caught.value.exit_code == 10
    here = set(tree(tmp_path / "to"))
    damaged = {"checkpoints/step-200/shard-00000.safetensors", "checkpoints/step-200/COMPLETE.json"}
    assert checkpoint_files(200) - here == damaged, "no part of it stays, and nothing says that it is complete"
    assert not [path for path in here if path.endswith(".part")]


def test_a_torn_checkpoint_is_refused_before_it_is_sent_and_passed_over_by_all(host, tmp_path: Path) -> None:
    (host.run / "checkpoints/step-200/train.json").write_bytes(b"{}")
    with pytest.raises(Unverified, match=r"train\.json has 2 bytes"):
        host.download(tmp_path / "to")
    (host.run / "checkpoints/step-50/COMPLETE.json").unlink()
    done = host.download(tmp_path / "to", checkpoint="all")
    assert done.steps == (100,)
    assert {skipped.path for skipped in done.skipped} == {"checkpoints/step-50", "checkpoints/step-200"}


def test_a_file_that_goes_away_is_named(host, tmp_path: Path) -> None:
    def ask(command, request):
        answer = host.ask(command, request)
        (host.run / "metrics.jsonl").unlink()
        return answer

    with pytest.raises(NotFound, match=r"metrics\.jsonl went away"):
        host.download(tmp_path / "to", ask=ask)


def test_too_little_space_is_said_before_anything_is_sent(host, tmp_path: Path) -> None:
    def ask(command, request):
        answer = host.ask(command, request)
        answer["files"][0]["size"] = 1 << 59
        return answer

    with pytest.raises(Blocked, match="bytes free"):
        host.download(tmp_path / "to", ask=ask)
    assert not list((tmp_path / "to").iterdir())


def test_a_disk_that_fills_up_is_said_and_nothing_incomplete_is_in_place(host, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))

    try:
        with pytest.raises(Blocked, match="File too large"):
            host.download(tmp_path / "to", on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "to").rglob("*.safetensors"))
    host.download(tmp_path / "to")
    assert not list((tmp_path / "to").rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_a_usage_error(host, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Usage, match="cannot be written"):
        host.download(tmp_path / "file" / "to")
    (tmp_path / "to/manifest.yaml").mkdir(parents=True)
    with pytest.raises(Usage, match=r"manifest\.yaml"):
        host.download(tmp_path / "to")


def test_two_downloads_never_write_one_file(host, tmp_path: Path) -> None:
    refused = []

    def second(progress) -> None:
        if not refused:
            refused.append(progress)
            with pytest.raises(Busy, match="another download"):
                host.download(tmp_path / "to")

    host.download(tmp_path / "to", on_progress=second)
    assert refused
