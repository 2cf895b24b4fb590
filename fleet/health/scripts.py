"""The probes as commands: one text for one `sh`, made of the parts in `fleet/remote` that it needs."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from fleet.ssh import Cmd

#: Seconds that nvidia-smi gets, so that a host whose driver hangs answers within 10 s all the same.
SMI_SECONDS: Final = 9


def probe_script(name: str, deploy_dir: str, smi_seconds: int, *arguments: str) -> Cmd:
    """A probe of `fleet/remote` with what stands before it, and its arguments from `$3` on."""
    return Cmd(("sh", "-c", _text(name), name, deploy_dir, str(smi_seconds), *arguments))


@cache
def _text(name: str) -> str:
    parts = (files("fleet.remote") / part for part in ("probe-begin.sh", "probe-gpu.sh", name))
    lines = (line.strip() for part in parts for line in part.read_text(encoding="utf-8").splitlines())
    # Half of the text explains and indents; a shell reads it once for every look at every host.
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"
