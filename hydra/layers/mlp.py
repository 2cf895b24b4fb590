"""Feed-forward networks of a block: two plain kinds and two gated ones."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from hydra.kernels.geglu import geglu
from hydra.kernels.gelu import gelu
from hydra.kernels.relu_squared import relu_squared
from hydra.kernels.swiglu import swiglu
from hydra.kernels.uses import Use
from hydra.layers.config import MlpConfig
from hydra.layers.linear import Linear

_GATED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"swiglu": swiglu, "geglu": geglu}
_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {"relu_squared": relu_squared, "gelu": gelu}


class GatedMlp(nn.Module):
    """`down(act(gate(x)) * up(x))`: three projections, one of which decides what passes (arXiv:2002.05202)."""

    def __init__(self, config: MlpConfig, width: int, std: float, output_std: float) -> None:
        super().__init__()
        self.kind = config.kind
        self.gate = Linear(width, config.hidden, std)
        self.up = Linear(width, config.hidden, std)
        self.down = Linear(config.hidden, width, output_std)

    def uses(self) -> tuple[Use, ...]:
        """The op between the projections."""
        return (Use(self.kind, f"hidden {self.down.weight.shape[1]}"),)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., width] -> the same shape and type."""
        hidden: Tensor = _GATED[self.kind](self.gate(x), self.up(x))
        result: Tensor = self.down(hidden)
        return result


class PlainMlp(nn.Module):
    """`down(act(up(x)))`: two projections around an activation."""

    def __init__(self, config: MlpConfig, width: int, std: float, output_std: float) -> None:
        super().__init__()
        self.kind = config.kind
        self.up = Linear(width, config.hidden, std)
        self.down = Linear(config.hidden, width, output_std)

    def uses(self) -> tuple[Use, ...]:
        """The op between the projections."""
        return (Use(self.kind, f"hidden {self.down.weight.shape[1]}"),)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., width] -> the same shape and type."""
        hidden: Tensor = _PLAIN[self.kind](self.up(x))
        result: Tensor = self.down(hidden)
        return result


def mlp(config: MlpConfig, width: int, std: float, output_std: float) -> GatedMlp | PlainMlp:
    """The feed-forward network a manifest describes.

    `std` is the initial scale of the projections into the hidden layer, `output_std` of the one back into the
    residual stream.
    """
    kind = GatedMlp if config.kind in _GATED else PlainMlp
    return kind(config, width, std, output_std)
