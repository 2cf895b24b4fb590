"""Whether a release on a host is still exactly what its manifest says."""

from __future__ import annotations

from fleet.release.outcome import fields, refusal
from fleet.release.script import verify_command
from fleet.ssh import Deadline, Transport


def verify(transport: Transport, deploy_dir: str, release: str, *, deadline: Deadline, python: str = "python3") -> int:
    """Read every file of a release, and return how many names it has. Nothing is locked or changed.

    Raises Unverified naming what differs, NotFound if there is no such release, RemoteFailed if the host could not
    look, and what the transport raises.
    """
    result = transport.exec(verify_command(deploy_dir, release, python), deadline=deadline)
    said = dict(fields(result))
    if not result.ok or not said.get("verified", "").strip().isdigit():
        raise refusal(result, transport.name, deploy_dir, f"release {release} was not verified")
    return int(said["verified"])
