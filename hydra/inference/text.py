"""Text out of a stream of tokens: a character appears once its last byte is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"


class TextStream:
    """Decodes tokens one at a time.

    A token of a byte-level vocabulary may end inside a UTF-8 character, which decodes to U+FFFD until the rest comes.
    So trailing U+FFFD are held until a later token settles them, or `flush` says that none comes; what was handed out
    is never taken back. Tokens are decoded together with those of the piece before them (at first: the prompt's),
    since some vocabularies drop the space at the start of a text. The cost per token does not grow with the text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        self._known = list(prompt)  # tokens whose text is settled, kept as left context of the next piece
        self._open: list[int] = []  # tokens of the piece under way
        self._given = 0  # characters of the piece already handed out

    def feed(self, token: int) -> str:
        """The text that this token settles; may be empty."""
        self._open.append(token)
        piece = self._piece()
        settled = piece.rstrip(REPLACEMENT)
        text = settled[self._given :]
        if piece and len(settled) == len(piece):
            self._known, self._open, self._given = self._open, [], 0
        else:
            self._given = max(self._given, len(settled))
        return text

    def flush(self) -> str:
        """What is left when no more tokens come: bytes that are no character become U+FFFD."""
        text = self._piece()[self._given :]
        self._known, self._open, self._given = self._open, [], 0
        return text

    def _piece(self) -> str:
        return self._decode(self._known + self._open)[len(self._decode(self._known)) :]
