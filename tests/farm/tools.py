"""Executables that tests write: shell scripts under the name of a tool."""

from __future__ import annotations

from pathlib import Path


def tool(folder: Path, name: str, body: str) -> Path:
    """Write a shell script as an executable of this name; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed: a script that is open for writing cannot be executed.
    draft = folder / f".{name}"
    draft.write_text(f"#!/bin/sh\n{body}")
    draft.chmod(0o755)
    draft.rename(folder / name)
    return folder
