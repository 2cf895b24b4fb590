"""Sums over held-out rows, and the score they give: loss and bits per byte with their standard errors."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Self

import torch
from torch import Tensor

from hydra.errors import DataError


@dataclass(frozen=True)
class Sums:
    """Sums over rows in fp64.

    Unlike a `Score` they add up, so ranks that score a part of the rows each reduce `tensor()` with SUM and rebuild the
    whole with `from_tensor`.
    """

    rows: float = 0.0
    """Rows with at least one target."""
    nats: float = 0.0
    """Negative log-likelihood of the targets."""
    targets: float = 0.0
    """Target tokens."""
    bytes: float = 0.0
    """UTF-8 bytes of the targets."""
    nats_nats: float = 0.0
    """Squares and products of the sums of each row, for the standard errors."""
    nats_targets: float = 0.0
    targets_targets: float = 0.0
    nats_bytes: float = 0.0
    bytes_bytes: float = 0.0

    def tensor(self) -> Tensor:
        """The sums as an fp64 vector on the host."""
        return torch.tensor(astuple(self), dtype=torch.float64)

    @classmethod
    def from_tensor(cls, values: Tensor) -> Self:
        """From what `tensor` gave, possibly added over ranks."""
        return cls(**dict(zip((field.name for field in fields(cls)), values.tolist(), strict=True)))

    @classmethod
    def of_rows(cls, nats: Tensor, targets: Tensor, bytes: Tensor) -> Self:
        """From the sums of each row, vectors of one length; rows without targets count for nothing."""
        counted = targets > 0
        n, t, b = (column[counted].double() for column in (nats, targets, bytes))
        products = (n * n, n * t, t * t, n * b, b * b)
        return cls(float(n.numel()), *(math.fsum(column.tolist()) for column in (n, t, b, *products)))


@dataclass(frozen=True)
class Score:
    """A held-out score. Numbers are NaN if the model's losses were."""

    nats: float
    """Negative log-likelihood of all targets."""
    targets: int
    """Target tokens."""
    bytes: int
    """UTF-8 bytes of the targets; 0 where ids stand for no text."""
    rows: int
    """Rows scored."""
    loss: float
    """Nats per target."""
    loss_error: float | None
    """Standard error of `loss` over rows; None for a single row."""
    bits_per_byte: float | None
    """Bits per byte of text; None where ids stand for no text."""
    standard_error: float | None
    """Standard error of `bits_per_byte` over rows; None if that is None, or for a single row."""

    @classmethod
    def from_sums(cls, sums: Sums) -> Self:
        """The score that sums over all ranks give. Raises DataError if there was nothing to score."""
        if sums.targets == 0:
            raise DataError(
                "the held-out rows hold no target",
                why="a score is a mean over predicted tokens",
                fix="hold out more text, or use a shorter sequence",
                example="python trainer.py --set data.held_out=0.05",
            )
        bit = math.log(2.0)
        bits = sums.nats / (bit * sums.bytes) if sums.bytes else None
        per_byte = _ratio_error(sums.rows, sums.nats, sums.bytes, sums.nats_nats, sums.nats_bytes, sums.bytes_bytes)
        return cls(
            nats=sums.nats, targets=int(sums.targets), bytes=int(sums.bytes), rows=int(sums.rows),
            loss=sums.nats / sums.targets,
            loss_error=_ratio_error(
                sums.rows, sums.nats, sums.targets, sums.nats_nats, sums.nats_targets, sums.targets_targets
            ),
            bits_per_byte=bits, standard_error=None if per_byte is None else per_byte / bit,
        )  # fmt: skip


def _ratio_error(rows: float, x: float, y: float, xx: float, xy: float, yy: float) -> float | None:
    """Standard error of sum(x) / sum(y) over rows: the linearised ratio estimator (Cochran, 1977, section 2.11).

    The residuals x - R y have mean 0, so their variance needs only the sums of products, which add up over ranks.
    """
    if rows < 2 or y == 0:
        return None
    ratio = x / y
    squares = xx - 2 * ratio * xy + ratio * ratio * yy
    # Rounding may leave a little less than 0 where all rows agree; NaN has to stay NaN.
    return math.sqrt(rows / (rows - 1) * (0.0 if squares < 0 else squares)) / y
