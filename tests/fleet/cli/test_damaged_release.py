"""`fleet doctor` reads the release that the next run would be started from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.cli.site import Site


@pytest.fixture
def current(site: Site, tmp_path: Path) -> Iterator[Path]:
    """The current release of h0, which a test may damage."""
    [link] = (site.deploy_dir / "hosts").glob("*/current")
    release = link.resolve()
    shutil.copytree(release, tmp_path / "copy", symlinks=True)
    yield release
    for path in (release, *release.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(release)
    shutil.copytree(tmp_path / "copy", release, symlinks=True)


def test_a_release_that_differs_from_its_manifest_is_found(site: Site, current: Path) -> None:
    before = _snapshot(site)
    row = _release(site, 0)
    assert row["status"] == "ok" and current.name in row["evidence"]
    assert _snapshot(site) == before
    assert _release(site, 0, "--quick") == {}, "it reads every file, and a start deploys anyway"
    trainer = current / "trainer.py"
    trainer.chmod(0o644)
    trainer.write_text(trainer.read_text() + "\n")
    row = _release(site, 11)
    assert row["status"] == "fail" and "trainer.py" in row["evidence"] and row["fix"].startswith("fleet deploy h0")
    command, _, _ = row["fix"].partition(":")
    done = site.fleet(*command.split()[1:], "--json")
    assert done.data["h0"]["action"] == "uploaded" and "damaged" in done.json["warnings"][0]
    assert _release(site, 0)["status"] == "ok"


def _snapshot(site: Site) -> list[tuple[Path, int]]:
    """What a verification could change."""
    places = [path for folder in ("releases", "hosts") for path in (site.deploy_dir / folder).rglob("*")]
    return sorted((path, path.lstat().st_mtime_ns) for path in places)


def _release(site: Site, code: int, *options: str) -> dict[str, str]:
    checks = site.fleet("doctor", "h0", "--json", *options, expect=code).json["data"]["checks"]
    return next((check for check in checks if check["id"] == "release"), {})
