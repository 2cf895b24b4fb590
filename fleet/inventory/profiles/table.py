"""The rows of profiles.json.

A peak is the vendor's dense figure for bf16 and the denominator of MFU; each row has its source. A row may set only
what the manifest has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.inventory.values import Scalar


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of device. Figures are None where they have to be measured on the host."""

    name: str
    products: tuple[str, ...]
    """Whole product names, as nvidia-smi reports them."""
    memory_gb: float | None
    bandwidth_gb_s: float | None
    bf16_tflops: float | None
    """Dense matrix products in bf16, 10^12 operations per second."""
    settings: Mapping[str, Scalar]
    """Path of a setting in the manifest -> value."""
    source: str


def _rows() -> dict[str, Profile]:
    rows = json.loads(Path(__file__).with_name("profiles.json").read_text("utf-8"))
    return {row["name"]: Profile(**row | {"products": tuple(row["products"])}) for row in rows}


PROFILES: Mapping[str, Profile] = _rows()
NAMES: tuple[str, ...] = tuple(PROFILES)
_BY_PRODUCT = {product: profile for profile in PROFILES.values() for product in profile.products}


def matching(product: str) -> Profile | None:
    """The profile of a product by its whole name: an L40S is no L4, and part of a device (MIG) is not the device."""
    return _BY_PRODUCT.get(product.strip())
