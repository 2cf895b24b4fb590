"""The trail of what was changed, where it cannot be written: what was done is told all the same."""

from __future__ import annotations

from tests.fleet.cli.site import Site


def test_a_trail_that_cannot_be_written_is_a_warning_beside_the_result(site: Site) -> None:
    trail = site.root / ".fleet" / "audit.jsonl"
    kept = trail.read_bytes() if trail.exists() else b""
    trail.unlink(missing_ok=True)
    trail.mkdir()
    try:
        done = site.fleet("deploy", "h0", "--json")
        shown = site.fleet("run", "h0", "--", "echo", "done")
    finally:
        trail.rmdir()
        trail.write_bytes(kept)
    assert done.code == 0 and done.data["h0"]["release"]
    assert any("audit.jsonl" in warning for warning in done.json.get("warnings", [done.err]))
    assert (shown.code, shown.out) == (0, "done\n")
    assert "audit.jsonl" in shown.err
