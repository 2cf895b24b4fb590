"""The report: one run as one self-contained HTML page, with curves, samples, events, manifest and environment.

It exists so that a run can be looked at, kept and sent to somebody without a server, a network or Hydra itself.
"""

from __future__ import annotations

from hydra.report.page import FILE_NAME, render, write

__all__ = ["FILE_NAME", "render", "write"]
