"""The name of an environment: a digest of everything that decides what is in it, so that equal ones are built once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

Mode = Literal["reuse", "uv", "pip"]
#: Grows when the builder makes other environments from the same inputs; every environment is then built anew.
BUILDER: Final = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides the content of an environment."""

    lock: str
    """SHA-256 of what pins the packages."""
    python: str
    """Full version of the interpreter."""
    platform: str
    """Operating system, architecture and C library."""
    extras: tuple[str, ...]
    mode: Mode
    interpreter: str
    """Real path of the interpreter: the environment's own Python is a link to it."""
    base: Mapping[str, str] | None = None
    """In reuse mode, which interpreter and which torch are shown through: build, version and place of each."""
    builder: int = BUILDER

    def environment_id(self) -> str:
        """The first 16 hex digits of the digest of all fields. The order of extras does not matter."""
        fields = asdict(self)
        fields["extras"] = sorted(set(self.extras))
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
