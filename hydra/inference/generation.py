"""Text generation: prompts in, continuations out, the same ones every time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra.errors import UsageError
from hydra.inference.decoding import Cached, LanguageModel, Tokenizer, Uncached, device_of, evaluating
from hydra.inference.record import Ended, Generation
from hydra.inference.repetition import repetitive
from hydra.inference.sampling import Draw, Sampling, sample
from hydra.inference.stops import StopMatcher
from hydra.inference.text import TextStream

#: Called with the index of a prompt and the next piece of its text.
OnToken = Callable[[int, str], None]


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    tokens: int,
    sampling: Sampling,
    context: int,
    stops: Sequence[str] = (),
    on_token: OnToken | None = None,
    first_index: int = 0,
    forbid_end: bool = False,
    cache: bool = True,
) -> list[Generation]:
    """Continue each prompt by at most `tokens` tokens.

    A prompt starts a fresh document, so the model first sees end_of_document, then the prompt; the empty prompt asks
    for a document out of nothing. Text ends where the model ends the document, before the first stop string, after
    `tokens` tokens, or when the context of `context` tokens (end_of_document and prompt included) is full;
    `Generation.ended` says which. Padding of the vocabulary is never drawn. Stop strings are looked for in the
    continuation only.

    Prompts are processed one by one: their lengths differ, and so a prompt's text depends on (weights, device, prompt,
    settings, seed, its index) and never on its neighbours. `first_index` numbers the first prompt, for callers that
    spread prompts over processes; the same prompt under several indices gives several answers.

    `on_token(index, piece)` is called with each piece of text as it becomes certain: only whole characters, never part
    of a stop string; the pieces of a prompt add up to `Generation.text`. `forbid_end` also keeps the model from ending
    the document, for measurements that need a fixed length. `cache=False` reads the whole text again for each token; in
    exact arithmetic it gives the same tokens.

    No global random state is used, gradients are off, and every module returns to the mode it was in.

    Raises UsageError if `tokens` is not positive, a stop is empty, or a prompt leaves no room in the context (checked
    for all prompts before the first is continued), and NonFiniteLogits if the model gives NaN.
    """
    if tokens < 1:
        raise UsageError(
            f"{tokens} new tokens were asked for",
            why="a continuation has at least one token",
            fix="ask for a positive number of tokens",
            example="hydra generate RUN --tokens 128",
        )
    StopMatcher(stops)  # a wrong stop is refused before any work is done
    encoded = [_encode(tokenizer, prompt, context) for prompt in prompts]
    writer = _Writer(
        model, tokenizer, sampling, tokens, context, tuple(stops), forbid_end, Cached if cache else Uncached
    )
    with evaluating(model):
        return [
            writer.write(prompt, ids, first_index + number, on_token)
            for number, (prompt, ids) in enumerate(zip(prompts, encoded, strict=True))
        ]


def _encode(tokenizer: Tokenizer, prompt: str, context: int) -> list[int]:
    ids = [tokenizer.end_of_document, *(tokenizer.encode(prompt) if prompt else ())]
    if len(ids) < context:
        return ids
    shown = prompt if len(prompt) <= 40 else f"{prompt[:40]}..."
    raise UsageError(
        f"the prompt {shown!r} is {len(ids)} tokens long (end_of_document included) and the context {context} tokens",
        why="the model was built for that many tokens at once, and at least one of them has to be new",
        fix=f"shorten the prompt to at most {context - 1} tokens, or train with a longer context (data.sequence)",
        example=f"python trainer.py --set data.sequence={2 * max(context, len(ids))}",
    )


@dataclass(frozen=True)
class _Writer:
    """Continues one prompt at a time under fixed settings."""

    model: LanguageModel
    tokenizer: Tokenizer
    sampling: Sampling
    tokens: int
    context: int
    stops: tuple[str, ...]
    forbid_end: bool
    stepper: type[Cached | Uncached]

    def write(self, prompt: str, ids: list[int], index: int, on_token: OnToken | None) -> Generation:
        """The continuation of a prompt whose ids, end_of_document first, leave room in the context."""
        room = min(self.tokens, self.context - len(ids))
        stream = _Stream(TextStream(self.tokenizer.decode, ids[1:]), StopMatcher(self.stops), index, on_token)
        ended: Ended = "length" if room == self.tokens else "context"
        new: list[int] = []
        for token in self._tokens(ids, room, index):
            if token == self.tokenizer.end_of_document:
                ended = "end"
                break
            new.append(token)
            if stream.feed(token):
                break
        if stream.close():
            ended = "stop"
        return Generation(
            prompt=prompt, text=stream.text, ids=tuple(new), ended=ended, index=index, seed=self.sampling.seed,
            settings=self._settings(), repetitive=repetitive(new, self.tokenizer.decode),
        )  # fmt: skip

    def _tokens(self, ids: list[int], room: int, index: int) -> Iterator[int]:
        """Up to `room` drawn tokens; the caller stops asking when it has enough."""
        stepper = self.stepper(self.model, len(ids) + room)
        logits = stepper.first(ids)
        forbidden = self._forbidden(logits.shape[-1])
        for position in range(room):
            token = int(sample(logits, self.sampling, [Draw(index, position)], forbidden))
            yield token
            if position + 1 < room:
                logits = stepper.next(token)

    def _forbidden(self, vocabulary: int) -> Tensor:
        """The ids that are never drawn, bool `[V]`."""
        mask = torch.arange(vocabulary) >= self.tokenizer.size
        mask[self.tokenizer.end_of_document] |= self.forbid_end
        return mask.to(device_of(self.model))

    def _settings(self) -> dict[str, object]:
        chosen = self.sampling
        return {
            "temperature": chosen.temperature, "top_k": chosen.top_k, "top_p": chosen.top_p, "tokens": self.tokens,
            "stops": list(self.stops),
        }  # fmt: skip


class _Stream:
    """The text of one continuation, handed to the callback piece by piece."""

    def __init__(self, text: TextStream, matcher: StopMatcher, index: int, on_token: OnToken | None) -> None:
        self._text, self._matcher, self._index, self._on_token = text, matcher, index, on_token
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """All that was handed out."""
        return "".join(self._pieces)

    def feed(self, token: int) -> bool:
        """Take a token; whether a stop string is complete."""
        self._emit(self._matcher.feed(self._text.feed(token)))
        return self._matcher.met is not None

    def close(self) -> bool:
        """Hand out what was held; whether the text ended at a stop string."""
        self._emit(self._matcher.feed(self._text.flush()))
        self._emit(self._matcher.flush())
        return self._matcher.met is not None

    def _emit(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            if self._on_token is not None:
                self._on_token(self._index, piece)
