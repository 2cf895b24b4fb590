"""Stop strings: where a text ends although the model would go on."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import UsageError


class StopMatcher:
    """Cuts a stream of text before the first stop string.

    Stops are matched on characters, so it does not matter how tokens cut them. A tail that may still become a stop is
    held back, hence nothing that was handed out ever belongs to one. The stop that is complete first wins, the longer
    one if two end together; how the text is cut into pieces has no influence. Raises UsageError for an empty stop.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        if any(not stop for stop in stops):
            raise UsageError(
                "a stop string is empty",
                why="the empty string is found everywhere, so nothing would ever be written",
                fix="leave it out, or name the text to stop at",
                example="hydra generate RUN --stop '\\n\\n'",
            )
        self._stops = tuple(stops)
        self._held = ""
        #: The stop that was met, or None.
        self.met: str | None = None

    def feed(self, text: str) -> str:
        """The part of the text so far held and this piece that belongs to no stop. Nothing after a stop was met."""
        if self.met is not None:
            return ""
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            _, at, self.met = min(found)
            self._held = ""
            return text[:at]
        safe = len(text) - self._overlap(text)
        self._held = text[safe:]
        return text[:safe]

    def flush(self) -> str:
        """What was held back and turned out to be no stop, when no more text comes."""
        text, self._held = self._held, ""
        return text

    def _overlap(self, text: str) -> int:
        """Length of the longest tail that some stop begins with."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            tail = text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
