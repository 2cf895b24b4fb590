"""What this machine can do: devices and capabilities, detected once on first use and never at import.

It exists so that every choice of a kernel rests on one frozen record that the report can print.
"""

from __future__ import annotations

from hydra.platform.capabilities import Capabilities, capabilities
from hydra.platform.environment import environment
from hydra.platform.peaks import peak_flops

__all__ = ["Capabilities", "capabilities", "environment", "peak_flops"]
