"""Which names say that their value is a secret."""

from __future__ import annotations

import re

#: A name that has one of these as a whole word says that its value is secret.
WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
#: Names of the project itself that have such a word and hold nothing secret: a metric's key, the print of a host's key,
#: a public key, a folder of token files.
PUBLIC = frozenset({"key", "host_key", "public_key", "token_artifacts"})

_BETWEEN_UNDERSCORES = re.compile(rf"(?:^|_)(?:{'|'.join(WORDS)})(?:_|$)", re.IGNORECASE)
_WHOLE_WORD = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(WORDS)})(?![A-Za-z0-9])", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether an environment variable's name says that it holds a secret: `HF_TOKEN`, not `TOKENIZERS_PARALLELISM`."""
    return _BETWEEN_UNDERSCORES.search(name) is not None


def is_hidden_name(name: str) -> bool:
    """Whether a value under this name is hidden: as above, also with hyphens and points, but for `PUBLIC` names."""
    return name.rpartition(".")[2] not in PUBLIC and _WHOLE_WORD.search(name) is not None
