"""The head: from the last hidden states to logits or to the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra.kernels import Choice
from hydra.kernels.cases import Case, Run, normal
from hydra.kernels.linear_cross_entropy import IMPLEMENTATIONS, LinearCrossEntropy
from hydra.kernels.precision import widen
from hydra.kernels.uses import Use
from hydra.layers.initial import Distribution, TruncatedNormal


class Head(nn.Module):
    """Projection to the vocabulary, with its loss.

    A tied head has no weight of its own and is given the embedding's table at each call. `softcap` bounds logits by
    `c tanh(x / c)` (arXiv:2408.00118). The loss never needs all logits at once where `choice` is `chunked`.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        tied: bool,
        softcap: float | None,
        std: float,
        choice: Choice,
        compute: torch.dtype,
    ) -> None:
        super().__init__()
        self.weight = None if tied else nn.Parameter(torch.empty(vocabulary, width))
        self.softcap, self.std, self.choice, self.compute = softcap, std, choice, compute
        self._loss = IMPLEMENTATIONS[choice.implementation]

    def distributions(self) -> dict[str, Distribution]:
        """First values of the weight; none when tied."""
        return {} if self.weight is None else {"weight": TruncatedNormal(self.std)}

    def uses(self) -> tuple[Use, ...]:
        """The loss op."""
        return (Use("linear_cross_entropy", self.choice.why, self.choice, self._case),)

    def _case(self, device: torch.device) -> Case:
        """The loss on a few rows and a small vocabulary, one target ignored, against the reference."""
        hidden, table = normal((11, 32), device, self.compute), normal((300, 32), device, torch.float32, 1)
        targets = torch.arange(11, device=device) * 27 - 1

        def run(loss: LinearCrossEntropy) -> Run:
            return lambda hidden, table: loss(hidden, table, targets, self.softcap)

        return Case((hidden, table), run(self._loss), run(IMPLEMENTATIONS["reference"]))

    def logits(self, hidden: Tensor, table: Tensor) -> Tensor:
        """hidden [..., D] -> fp32 [..., vocabulary] (fp64 for fp64)."""
        logits = widen(functional.linear(hidden, table.to(hidden.dtype)))
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def forward(self, hidden: Tensor, table: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden [N, D], targets int64 [N] (-1 ignored) -> (total in nats, row losses [N] without gradient)."""
        return self._loss(hidden, table, targets, self.softcap)
