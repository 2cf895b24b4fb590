"""A generated text and everything needed to get it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Ended = Literal["end", "stop", "length", "context"]


@dataclass(frozen=True)
class Generation:
    """What a model wrote after a prompt, with settings that reproduce it on the same weights and device."""

    prompt: str
    """The text that was continued."""
    text: str
    """The continuation, without the stop string."""
    ids: tuple[int, ...]
    """The ids that were generated, without end_of_document. With a stop string they run past the end of `text`."""
    ended: Ended
    """`end`: the model ended the document; `stop`: a stop string; `length`: all tokens asked for; `context`: fewer than
    asked for, since prompt and text fill the context."""
    index: int
    """Number of the prompt, which names its stream of random numbers."""
    seed: int
    """Seed of the draws."""
    settings: dict[str, Any]
    """`temperature`, `top_k`, `top_p`, `tokens` (limit asked for), `stops`."""
    repetitive: bool
    """Whether the text circles in itself; see `hydra.inference.repetition`."""

    @property
    def tokens(self) -> int:
        """Tokens generated, the closing end_of_document not counted."""
        return len(self.ids)

    def row(self, *, step: int, set: str, prompt_id: str, index: int = 0) -> dict[str, object]:
        """The line of `samples.jsonl` for a text written at an optimizer step in answer to a prompt of a set.

        `index` tells several answers to one prompt apart. The attempt is added by `hydra.runs.samples.SampleWriter`.
        """
        return {
            "step": step, "set": set, "prompt_id": prompt_id, "index": index, "seed": self.seed,
            "settings": self.settings, "prompt": self.prompt, "text": self.text, "tokens": self.tokens,
            "ended": self.ended, "repetitive": self.repetitive,
        }  # fmt: skip
