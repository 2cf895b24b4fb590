"""The host's own audit log gets a line with each release that it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.release import Deployed, Tree, deploy
from tests.fleet.release.places import Host, needs_git, soon

pytestmark = needs_git


def test_what_was_done_is_noted_on_the_host(host: Host, look: Callable[..., Tree], project: Path) -> None:
    def noted(text: str, **options: Any) -> Deployed:
        note = json.dumps({"action": text}).encode() + b"\n"
        return deploy(host.transport, look(), host.deploy_dir, deadline=soon(), note=note, **options)

    first = noted("uploaded")
    assert noted("nothing").action == "noop"
    (project / "README.md").write_bytes(b"2")
    assert noted("increment").files_reused > 0
    (project / "README.md").write_bytes(b"# Project\n")
    assert (again := noted("switched")).action == "switched" and again.release == first.release
    trail = host.base / "audit.jsonl"
    assert [json.loads(line)["action"] for line in trail.read_text().splitlines()] == [
        "uploaded",
        "increment",
        "switched",
    ]
    assert trail.stat().st_mode & 0o777 == 0o600
    assert not [path for name in ("note", "changes") for path in host.base.glob(f"releases/*/.fleet/{name}")]
    trail.unlink()
    trail.mkdir()
    (project / "README.md").write_bytes(b"3")
    assert "its audit log cannot be written" in noted("lost").warnings
    host.deploy(look())
