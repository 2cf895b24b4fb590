"""Boots and process starts where there is no `/proc`, such as macOS."""

from __future__ import annotations

import psutil


def boot_id() -> str | None:
    """None: the start below is absolute, so it differs from boot to boot by itself."""
    return None


def start_of(pid: int) -> int | None:
    """Creation time of a process in milliseconds since 1970; None if it has ended (a zombie has)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return None
