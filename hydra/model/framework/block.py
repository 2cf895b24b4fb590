"""One block of the model: a mixer along time and a feed-forward network along channels, each on a normalised input."""

from __future__ import annotations

from torch import Tensor, nn

from hydra.attention import AttentionBackend, MixerState, SeqMeta


class Block(nn.Module):
    """`x <- x + mixer(norm(x)); x <- x + mlp(norm(x))`.

    The residual stream x [B, T, D] is never normalised itself and gets no constant factor, so gradients reach every
    depth unchanged (pre-norm, arXiv:2002.04745).
    """

    def __init__(self, mixer_norm: nn.Module, mixer: AttentionBackend, mlp_norm: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.mixer_norm, self.mixer = mixer_norm, mixer
        self.mlp_norm, self.mlp = mlp_norm, mlp

    def forward(self, x: Tensor, meta: SeqMeta) -> Tensor:
        """Training and scoring: x [B, T, D] -> [B, T, D]."""
        x = x + self.mixer(self.mixer_norm(x), meta)
        after: Tensor = x + self.mlp(self.mlp_norm(x))
        return after

    def prefill(self, x: Tensor, meta: SeqMeta, state: MixerState) -> tuple[Tensor, MixerState]:
        """Continue a state by T tokens."""
        y, state = self.mixer.prefill(self.mixer_norm(x), meta, state)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state

    def decode(self, x: Tensor, meta: SeqMeta, state: MixerState) -> tuple[Tensor, MixerState]:
        """Continue a state by one token per row."""
        y, state = self.mixer.decode(self.mixer_norm(x), meta, state)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state
