"""The held-out split: by content, on both sides, and never by chance."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.data.document import Document, content_key
from hydra.data.split import held_out_mask, require_both_sides, threshold
from hydra.errors import DataError

KEYS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30)


def array(keys: list[int]) -> np.ndarray:
    return np.array(keys, dtype=np.uint64)


@given(KEYS, st.floats(0, 1, exclude_max=True))
def test_the_mask_is_the_threshold(keys: list[int], fraction: float) -> None:
    assert held_out_mask(array(keys), fraction).tolist() == [key < threshold(fraction) for key in keys]


def test_about_the_fraction_is_held_out_and_equal_documents_stay_together() -> None:
    keys = [content_key(Document(f"document {number % 10000}", "x").encoded()) for number in range(20000)]
    mask = held_out_mask(array(keys), 0.1)
    assert 0.09 < mask.mean() < 0.11
    assert np.array_equal(mask[:10000], mask[10000:])


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=30, unique=True), st.floats(1e-9, 0.999))
def test_a_refused_fraction_names_one_that_works(keys: list[int], fraction: float) -> None:
    mask = held_out_mask(array(keys), fraction)
    if mask.any() and not mask.all():
        require_both_sides([array(keys)], ["s"], fraction)
        return
    with pytest.raises(DataError) as caught:
        require_both_sides([array(keys)], ["s"], fraction)
    named = re.search(r"data\.held_out=([-0-9.e]+)", caught.value.example)
    if named is not None:
        require_both_sides([array(keys)], ["s"], float(named[1]))


def test_a_single_document_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"the held-out split is empty: data.held_out=0.02 \(1 documents") as caught:
        require_both_sides([array([2**63])], ["s"], 0.02)
    assert "split a long file" in caught.value.fix
    with pytest.raises(DataError, match="every document of source 'b' is held out"):
        require_both_sides([array([2**63]), array([5])], ["a", "b"], 0.02)


def test_a_fraction_of_zero_misses_nothing() -> None:
    require_both_sides([array([0, 5])], ["s"], 0.0)
    assert not held_out_mask(array([0, 5]), 0.0).any()
