"""The order of rows: bijections, quotas, and independence of ranks and cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.data.order import BLOCK, Order, quotas
from hydra.data.scramble import hashes, key_of, mix, permute, shuffled
from hydra.errors import DataError

WEIGHTS = st.lists(st.floats(0.01, 10), min_size=1, max_size=6)


MASK = 2**64 - 1


def naive_mix(value: int) -> int:
    """SplitMix64's output function in Python's own integers."""
    state = (value + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) & MASK
    return state ^ state >> 31


def naive_permute(index: int, size: int, key: int) -> int:
    """The Feistel walk, one index at a time."""
    half = 1
    while 4**half < size:
        half += 1
    while True:
        left, right = divmod(index, 2**half)
        for number in range(6):
            left, right = right, left ^ naive_mix(right ^ naive_mix((key + number) & MASK)) % 2**half
        index = left * 2**half + right
        if index < size:
            return index


def naive_locate(seed: int, quota: tuple[int, ...], rows: tuple[int, ...], sample: int) -> tuple[int, int, int]:
    """The formulas of the module's docstring, read aloud."""

    def hashed(key: int, index: int) -> int:
        return naive_mix(naive_mix(index) ^ key)

    block, place = divmod(sample, BLOCK)
    key = hashed(key_of("order: mix", seed), block)
    labels = [source for source, count in enumerate(quota) for _ in range(count)]
    mixed = [labels[i] for i in sorted(range(BLOCK), key=lambda i: hashed(key, i))]
    source = mixed[place]
    occurrence = block * quota[source] + mixed[:place].count(source)
    epoch, inside = divmod(occurrence, rows[source])
    return source, naive_permute(inside, rows[source], hashed(key_of("order: rows", seed, source), epoch)), epoch


@settings(max_examples=20)
@given(st.integers(0, 99), st.lists(st.integers(1, 3000), min_size=1, max_size=3), st.integers(0, 3 * BLOCK))
def test_locate_equals_the_formulas(seed: int, rows: list[int], sample: int) -> None:
    quota = quotas(["s"] * len(rows), [1.0 + number for number in range(len(rows))])
    found = Order(seed, quota, rows).locate(np.array([sample]))
    assert tuple(int(part[0]) for part in found) == naive_locate(seed, quota, tuple(rows), sample)


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_permute_is_a_bijection(size: int, key: int) -> None:
    keys = np.full(size, key, dtype=np.uint64)
    image = permute(np.arange(size, dtype=np.int64), size, keys)
    assert sorted(image.tolist()) == list(range(size))


@given(st.integers(1, 2**40), st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**64 - 1)), min_size=1))
def test_permute_stays_inside_and_needs_no_neighbours(size: int, wanted: list[tuple[int, int]]) -> None:
    indices = np.array([index % size for index, _ in wanted], dtype=np.int64)
    keys = np.array([key for _, key in wanted], dtype=np.uint64)
    together = permute(indices, size, keys)
    assert ((together >= 0) & (together < size)).all()
    alone = [int(permute(indices[i : i + 1], size, keys[i : i + 1])[0]) for i in range(len(wanted))]
    assert together.tolist() == alone


def test_permutations_differ_by_key_and_scatter() -> None:
    indices = np.arange(1000, dtype=np.int64)
    images = [permute(indices, 1000, np.full(1000, key, dtype=np.uint64)) for key in range(20)]
    for image in images:
        assert abs(np.corrcoef(indices, image)[0, 1]) < 0.15
    assert len({tuple(image.tolist()) for image in images}) == 20


def test_the_hash_is_splitmix64_and_stays_what_it_is() -> None:
    # The first outputs of SplitMix64 from state 0, as its authors publish them: mix(0) and mix(golden).
    states = np.array([0, 0x9E3779B97F4A7C15], dtype=np.uint64)
    assert [hex(value) for value in mix(states).tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]
    assert shuffled(7, 8).tolist() == [int(i) for i in np.argsort(hashes(7, np.arange(8)))]
    # Golden values: another order would make every resume read other rows.
    assert Order(1, (BLOCK,), (1000,)).locate(np.arange(5))[1].tolist() == [412, 536, 823, 520, 17]
    assert Order(1, quotas("ab", [1, 3]), (9, 9)).locate(np.arange(9))[0].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1]


@given(WEIGHTS)
def test_quotas_fill_the_block_and_round_to_the_nearest(weights: list[float]) -> None:
    places = quotas([str(number) for number in range(len(weights))], weights)
    assert sum(places) == BLOCK
    for place, weight in zip(places, weights, strict=True):
        assert abs(place - weight / sum(weights) * BLOCK) < 1


def test_a_share_that_rounds_to_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"source 'b' has a share of 1.00e-06") as caught:
        quotas(["a", "b"], [1, 1e-6])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("micro_batch", [1, 2])
def test_ranks_and_cuts_do_not_change_the_sequence(ranks: int, micro_batch: int) -> None:
    batch, steps = 48, 110
    order = Order(5, quotas("abc", [5, 2, 1]), (601, 97, 13))
    whole = order.locate(np.arange(batch * steps))
    within = np.arange(batch).reshape(-1, ranks, micro_batch)
    for cut in (0, 86, 109):
        resumed = Order(5, quotas("abc", [5, 2, 1]), (601, 97, 13))
        pieces = []
        for step in range(cut, steps):
            by_rank = [resumed.locate(step * batch + within[:, rank].reshape(-1)) for rank in range(ranks)]
            merged = np.empty((3, batch), dtype=np.int64)
            for rank, found in enumerate(by_rank):
                merged[:, within[:, rank].reshape(-1)] = found
            pieces.append(merged)
        assert np.array_equal(np.concatenate(pieces, axis=1), np.stack(whole)[:, cut * batch :])


@given(st.integers(0, 50), st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_each_row_occurs_once_per_epoch_of_its_source(seed: int, rows: list[int]) -> None:
    order = Order(seed, quotas(["s"] * len(rows), [1.0 + n for n in range(len(rows))]), rows)
    source, row, epoch = order.locate(np.arange(3 * BLOCK))
    for number, size in enumerate(rows):
        mine = source == number
        assert mine.any()
        for round_ in range(int(epoch[mine].max())):
            assert sorted(row[mine & (epoch == round_)].tolist()) == list(range(size))


def test_every_block_holds_the_quota_and_blocks_differ() -> None:
    quota = quotas("ab", [3, 1])
    source, _, _ = Order(0, quota, (10, 10)).locate(np.arange(4 * BLOCK))
    blocks = source.reshape(4, BLOCK)
    assert (np.bincount(blocks[2]) == quota).all()
    assert not np.array_equal(blocks[0], blocks[1])


def test_seeds_and_epochs_give_other_orders() -> None:
    def first(seed: int, epoch: int) -> list[int]:
        return Order(seed, (BLOCK,), (50,)).locate(np.arange(50) + 50 * epoch)[1].tolist()

    assert len({tuple(first(seed, epoch)) for seed in range(5) for epoch in range(5)}) == 25
