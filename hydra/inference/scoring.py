"""Held-out scoring: how many bits a model needs per byte of text it has not seen.

Nats per token depend on the tokenizer; bits per byte do not, so models with different vocabularies compare:
`sum of nats / (ln 2 * sum of UTF-8 bytes of the target text)`. Special ids stand for no bytes, but their nats count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hydra.inference.decoding import LanguageModel, device_of, evaluating
from hydra.inference.sums import Score, Sums
from hydra.model import IGNORED, model_inputs

Integers = npt.NDArray[np.int32]


class HeldOut(NamedTuple):
    """A batch of rows to score, each tensor int `[B, T+1]`; documents of -1 are padding."""

    tokens: Tensor
    positions: Tensor
    documents: Tensor


class Rows(Protocol):
    """Packed rows as numpy arrays, as `hydra.data` gives them: each `[n, T+1]`."""

    @property
    def tokens(self) -> Integers:
        """Token ids."""

    @property
    def positions(self) -> Integers:
        """Positions inside each document."""

    @property
    def documents(self) -> Integers:
        """Document numbers inside each row, -1 for padding."""


def score(
    model: LanguageModel,
    batches: Iterable[HeldOut],
    token_bytes: Integers | Tensor,
    *,
    masked: bool = True,
    max_document: int | None = None,
) -> Score:
    """The score of a model on held-out rows, in one process; parameters and errors as for `measure`."""
    return Score.from_sums(measure(model, batches, token_bytes, masked=masked, max_document=max_document))


def measure(
    model: LanguageModel,
    batches: Iterable[HeldOut],
    token_bytes: Integers | Tensor,
    *,
    masked: bool = True,
    max_document: int | None = None,
) -> Sums:
    """The raw sums of a model on held-out rows, for ranks that each score a part.

    `token_bytes` (int `[V]`) holds the UTF-8 bytes that each id stands for, 0 for special ids. `masked` says whether
    rows hold several documents that must not see each other (`data.document_masks`), `max_document` how long one can be
    (absent: T). Row sums stay on the device until the end, so no batch waits for the host; gradients are off and every
    module returns to its mode.
    """
    device = device_of(model)
    sizes = token_bytes.to(device) if isinstance(token_bytes, Tensor) else torch.tensor(token_bytes, device=device)
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(model):
        for batch in batches:
            tokens, positions, documents = (part.to(device, non_blocking=True) for part in batch)
            inputs, targets, meta = model_inputs(tokens, positions, documents, masked=masked, max_document=max_document)
            _, nats = model(inputs, targets, meta)
            valid = targets != IGNORED
            bytes = (sizes[targets.clamp_min(0)] * valid).sum(-1)
            columns.append((nats, valid.sum(-1), bytes))
    if not columns:
        return Sums()
    return Sums.of_rows(*(torch.cat(column).cpu() for column in zip(*columns, strict=True)))


def torch_rows(rows: Rows, batch: int) -> Iterator[HeldOut]:
    """Packed numpy rows in batches of one size; the last is filled up with padding, which counts for nothing.

    One size means one compiled graph: a smaller last batch would make the compiler start again.
    """
    count = rows.tokens.shape[0]
    for start in range(0, count, batch):
        missing = max(0, start + batch - count)
        yield HeldOut(
            *(
                torch.from_numpy(np.pad(part[start : start + batch], ((0, missing), (0, 0)), constant_values=fill))
                for part, fill in ((rows.tokens, 0), (rows.positions, 0), (rows.documents, -1))
            )
        )
