"""`__main__.py` of the agent's zip: runs it from its byte code, if this Python's was kept beside it and is whole.

A zip keeps no byte code, so each call would compile every module that it reads, which takes as long as everything else.
The byte code is a second zip of the same name and the version of Python, made by the first call
(`fleet.remote.bytecode`) and never changed. Nothing of the package may be imported before the choice between the two.
"""

from __future__ import annotations

import hashlib
import sys

#: Bytes of the SHA-256 that the byte code ends with, as the comment of its zip.
DIGEST_BYTES = 32


def beside(agent: str) -> str:
    """Where the byte code of an agent for this Python is."""
    return f"{agent[: -len('.pyz')]}.{sys.implementation.cache_tag}-{sys.hexversion:x}.pyz"


def whole(path: str) -> bool:
    """Whether a file is byte code as it was written."""
    try:
        with open(path, "rb") as file:
            data = memoryview(file.read())
    except OSError:
        return False
    return hashlib.sha256(data[:-DIGEST_BYTES]).digest() == bytes(data[-DIGEST_BYTES:])


def begin() -> None:
    """Run the command that the arguments name. A third argument `keep` allows byte code to be written."""
    place = beside(sys.argv[0])
    ready = whole(place)
    if ready:
        sys.path.insert(0, place)
    from fleet.remote.agent import main

    main(keep=place if sys.argv[2:] == ["keep"] and not ready else None)


if __name__ == "__main__":
    begin()
