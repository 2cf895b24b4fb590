"""A host that lies: names that lead elsewhere, numbers that are none, streams that break their own rules."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.download.listing import is_safe
from fleet.errors import FleetError, RemoteFailed, Unverified, Usage
from fleet.ssh import Cmd
from tests.farm.local import LocalTransport


def listing(*paths: str, **changes) -> dict:
    """An answer that lists files with the content `x`, all of it inside the answer."""
    entry = {"size": 1, "mtime": 1.0, "sha256": hashlib.sha256(b"x").hexdigest(), "content": base64.b64encode(b"x")}
    entry["content"] = entry["content"].decode()
    files = [{"path": path, **entry, **changes} for path in paths]
    return {"run": "r", "root": "/nowhere", "steps": [], "files": files, "skipped": []}


@pytest.mark.parametrize(
    "path",
    [
        "../escaped", "/etc/cron.d/x", "a/../../x", "", ".", "..", "a//b", "a/", "a\nb", "a\rb", "a\x1b[2Jb", "a\\b",
        "a\x00b", "a\u202eb", "a\x9bb", "\udcff", "./a", "x" * 300, "/".join(["d" * 100] * 20),
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(host, tmp_path: Path, path: str) -> None:
    with pytest.raises(Unverified, match="the host lists") as caught:
        host.download(tmp_path / "to", ask=lambda *_: listing("good.txt", path))
    assert not set(str(caught.value)) & set("\x1b\u202e\x9b\r\x00")
    assert not (tmp_path / "to").exists(), "nothing at all is written"


def test_one_name_twice_is_refused(host, tmp_path: Path) -> None:
    with pytest.raises(Unverified, match="twice"):
        host.download(tmp_path / "to", ask=lambda *_: listing("a", "a"))


@given(st.text(max_size=40))
def test_what_is_safe_stays_inside(path: str) -> None:
    if is_safe(path):
        assert Path("/target", path).resolve().is_relative_to("/target")
        assert Path(path).as_posix() == path
        controls = {chr(number) for number in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F))}
        assert not set(path) & controls


@pytest.mark.parametrize(
    "changes",
    [
        {"size": -1}, {"size": "1"}, {"size": True}, {"size": 1 << 70}, {"sha256": "x"}, {"sha256": None},
        {"sha256": "A" * 64}, {"mtime": "now"}, {"mtime": float("nan")}, {"content": "%"}, {"content": 7},
        {"path": 7}, {"mtime": None},
    ],
)  # fmt: skip
def test_a_malformed_list_is_refused(host, tmp_path: Path, changes: dict) -> None:
    with pytest.raises(RemoteFailed, match="cannot be read"):
        host.download(tmp_path / "to", ask=lambda *_: listing("a", **changes))


@pytest.mark.parametrize("answer", [{}, {"files": None}, {**listing(), "root": "relative"}, {**listing(), "steps": 3}])
def test_an_answer_of_another_form_is_refused(host, tmp_path: Path, answer: dict) -> None:
    with pytest.raises(RemoteFailed):
        host.download(tmp_path / "to", ask=lambda *_: answer)


def test_content_that_is_not_its_digest_does_not_verify(host, tmp_path: Path) -> None:
    with pytest.raises(Unverified, match="did not verify"):
        host.download(tmp_path / "to", ask=lambda *_: listing("a", sha256="0" * 64))
    assert not list((tmp_path / "to").rglob("*"))


def test_a_planted_link_leads_no_write_out_of_the_folder(host, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("mine")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/log").symlink_to(outside)
    (tmp_path / "to/manifest.yaml").symlink_to(outside / "kept")
    with pytest.raises(Usage, match="links"):
        host.download(tmp_path / "to", include=["log"])
    host.download(tmp_path / "to", include=["manifest.yaml"])
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "mine"
    assert not (tmp_path / "to/manifest.yaml").is_symlink()


def test_links_and_odd_names_on_the_host_are_left_out_and_said(host, tmp_path: Path) -> None:
    secret = host.home / "secret"
    secret.write_text("mine")
    (host.run / "link").symlink_to(secret)
    (host.run / "two\nlines").write_text("x")
    (host.run / "log" / b"\xff".decode("utf-8", "surrogateescape")).write_text("x")
    done = host.download(tmp_path / "to")
    assert {skipped.path for skipped in done.skipped} == {"link", "'two\\nlines'", "'log/\\udcff'"}
    assert not (tmp_path / "to/link").exists()


def test_a_pipe_does_not_hang_the_listing(host, tmp_path: Path) -> None:
    os.mkfifo(host.run / "pipe")
    done = host.download(tmp_path / "to")
    assert [skipped.path for skipped in done.skipped] == ["pipe"]


class Lying(LocalTransport):
    """Sends a text of its own instead of the files."""

    text = b""

    def stream_out(self, cmd, *, deadline):
        return super().stream_out(Cmd(("printf", "%b", self.text.decode())), deadline=deadline)


@pytest.mark.parametrize(
    "text",
    [
        b"fleet-range 1 5\\nabcde", b"fleet-range 0 999\\nabc", b"fleet-range 0 -5\\n", b"fleet-range x y\\n",
        b"fleet-range 0 99999999999999999999999\\n", b"no range at all, for ever" * 4000, b"fleet-range 0 5 6\\n",
        b"fleet-range 0 4\\nabcdnext", b"fleet-range 0 4\\nabcdfleet-range 0 4\\nabcd", b"fleet-range 0 4\\nabcd\\n",
    ],
)  # fmt: skip
def test_a_stream_that_breaks_the_rules_is_an_error(host, tmp_path: Path, text: bytes, monkeypatch) -> None:
    monkeypatch.setattr("fleet.ssh.backoff.Backoff.next", lambda self: 0.001)
    for name in ("a", "b"):
        (host.run / name).write_text("efgh")
    transport = Lying(host.home)
    transport.text = text
    with pytest.raises(FleetError):
        host.download(tmp_path / "to", transport, include=["a", "b"])
    assert not [path for path in (tmp_path / "to").iterdir() if not path.name.endswith(".part")]


def test_a_greeting_of_the_shell_is_passed_over(host, tmp_path: Path) -> None:
    class Greeting(LocalTransport):
        def stream_out(self, cmd, *, deadline):
            line = Cmd(("sh", "-c", 'echo "Welcome!"; echo; exec "$@"', "sh", *cmd.argv))
            return super().stream_out(line, deadline=deadline)

    host.download(tmp_path / "to", Greeting(host.home))
    assert (tmp_path / "to/manifest.yaml").read_text() == "name: small-lm\n"
