"""How many bytes each id of a `tokenizer.json` stands for, worked out from its definition or refused.

Two families can be told exactly. Byte-level models spell each byte as one printable character (the alphabet of
GPT-2), so an id stands for as many bytes as it has characters. Metaspace models spell a space as U+2581, and bytes
they have no piece for as `<0x00>` to `<0xFF>`. Others (word pieces, whole words) forget the spaces between their
pieces: no number of bytes belongs to an id, and bits per byte would be wrong without a word.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from hydra.data.arrays import Int32
from hydra.errors import DataError

_METASPACE = "\u2581"
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


@functools.cache
def byte_alphabet() -> frozenset[str]:
    """The 256 characters that byte-level models write bytes with: printable Latin-1 as itself, the rest from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return frozenset(chr(byte) for byte in printable) | {chr(0x100 + index) for index in range(256 - len(printable))}


def token_bytes(definition: Mapping[str, Any], vocabulary: Mapping[str, int], size: int, origin: str) -> Int32:
    """Bytes of each id, [size]; 0 for special ids. `vocabulary` has added tokens too.

    Raises DataError when the definition leaves any of them open.
    """
    added = {token["id"]: token for token in definition.get("added_tokens") or []}
    family = _family(definition)
    if family is None:
        raise _undetermined(origin, f"its decoder is {_types(definition.get('decoder')) or 'absent'}")
    _require_every_byte(definition, vocabulary, family, origin)
    counts = np.zeros(size, dtype=np.int32)
    for text, index in vocabulary.items():
        counts[index] = _added(added[index], origin) if index in added else _piece(text, definition, family, origin)
    return counts


def unknown_id(definition: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int | None:
    """The id that a model gives to text it has no pieces for, if it has one."""
    model = definition["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    return vocabulary.get(model.get("unk_token") or "")


def _family(definition: Mapping[str, Any]) -> str | None:
    types = _types(definition.get("decoder"))
    if "ByteLevel" in types:
        return "byte-level"
    if "Metaspace" in types or _METASPACE in _replaced(definition.get("decoder")):
        return "metaspace"
    return None


def _types(part: Any) -> list[str]:
    """The types of a component and of those inside it, in order."""
    if not isinstance(part, Mapping):
        return []
    return [str(part.get("type")), *(kind for inner in part.get("decoders", []) for kind in _types(inner))]


def _replaced(part: Any) -> str:
    """All characters that a decoder replaces by a single space."""
    if not isinstance(part, Mapping):
        return ""
    own = str(part["pattern"].get("String", "")) if part.get("type") == "Replace" and part["content"] == " " else ""
    return own + "".join(_replaced(inner) for inner in part.get("decoders", []))


def _require_every_byte(definition: Mapping[str, Any], vocabulary: Mapping[str, int], family: str, origin: str) -> None:
    """Text without pieces must not vanish: all bytes are there, or an unknown id that encoding then refuses."""
    missing: AbstractSet[str]
    if family == "byte-level":
        missing = byte_alphabet() - vocabulary.keys()
    elif definition["model"].get("byte_fallback"):
        missing = {f"<0x{byte:02X}>" for byte in range(256)} - vocabulary.keys()
    else:
        missing = set() if unknown_id(definition, vocabulary) is not None else {"an unknown token"}
    if missing:
        raise _undetermined(origin, f"text can vanish in it: it lacks {len(missing)} of its bytes ({min(missing)!r})")


def _added(token: Mapping[str, Any], origin: str) -> int:
    if token.get("special"):
        return 0
    if token.get("lstrip") or token.get("rstrip"):
        raise _undetermined(origin, f"its added token {token['content']!r} swallows the spaces beside it")
    return len(str(token["content"]).encode("utf-8"))


def _piece(text: str, definition: Mapping[str, Any], family: str, origin: str) -> int:
    if family == "metaspace":
        if definition["model"].get("byte_fallback") and _BYTE_PIECE.fullmatch(text):
            return 1
        return len(text.replace(_METASPACE, " ").encode("utf-8", errors="surrogatepass"))
    if not byte_alphabet().issuperset(text):
        raise _undetermined(origin, f"its piece {text!r} is not spelled in the alphabet of byte-level models")
    return len(text)


def _undetermined(origin: str, reason: str) -> DataError:
    return DataError(
        f"{origin}: the bytes that its ids stand for cannot be determined",
        why=f"{reason}; without them there are no bits per byte",
        fix="use a byte-level tokenizer (GPT-2, Llama 3, Qwen) or one with metaspace pieces (Llama 2, Mistral)",
        example="tokenizer: {kind: bpe, vocabulary: 32768}",
    )
