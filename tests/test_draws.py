"""Random numbers without state: the values are written down, and the same wherever they are computed."""

import numpy as np
import pytest
import torch
from numba import njit

from vecflap import draws
from vecflap.drawn import drawn

VECTORS = {  # (seed, purpose, a, b, c): the draw, written down; computed by `chain` below
    (0, 1, 0, 0, 0): -455868294865416418,
    (0, 1, 0, 1, 0): 7583596053625529919,
    (0, 2, 0, 0, 0): 3656281976914585349,
    (1, 1, 7, 123456, 0): 3576445321657527532,
    (-1, 4, 2**31, 2**40, 3): -8377598638168795684,
    (2**63 - 1, 8, -1, -(2**63), 2**63 - 1): -3167432208214229996,
}
ODD = (0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 0x5DEECE66D)


def finalise(z: int) -> int:
    """splitmix64's next() for a state, in Python's own unbounded ints."""
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def chain(*key: int) -> int:
    """What `draws.draw` is to return."""
    z = 0
    for number in key:
        z = finalise(z ^ number % 2**64)
    return z - 2**64 if z >= 2**63 else z


@njit
def compiled(seed, purpose, a, b, c):
    return draws.draw(seed, purpose, a, b, c)


def on_arrays(seed, purpose, a, b, c):
    return int(draws.draw(np.array([seed]), purpose, a, np.array([b]), c)[0])


def on_tensors(seed, purpose, a, b, c):
    return int(draws.draw(torch.tensor([seed]), purpose, a, torch.tensor([b]), c)[0])


def test_the_hash_is_splitmix64s():
    # The published first outputs of splitmix64 seeded with 1234567 and 0.
    assert finalise(1234567) == 6457827717110365317
    assert finalise(1234567 + 0x9E3779B97F4A7C15) == 3203168211198807973
    assert finalise(0) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("way", [chain, compiled, on_arrays, on_tensors])
def test_draws_are_the_written_down_ones(way):
    assert {key: way(*key) for key in VECTORS} == VECTORS


@pytest.mark.parametrize("way", [compiled, on_arrays, on_tensors])
def test_draws_of_odd_keys_are_the_chains(way):
    keys = [tuple(np.roll(np.array(ODD, object), shift)[:5]) for shift in range(len(ODD))]
    assert [way(*key) for key in keys] == [chain(*key) for key in keys]


@njit
def halves(seed, of_upper, of_lower):
    for i in range(len(of_upper)):
        bits = draws.draw(seed, 5, i, 3, 0)
        of_upper[i], of_lower[i] = draws.chance(bits >> 32, 2**31), draws.chance(bits, 2**31)


def test_a_chance_of_a_half_is_read_off_bits_that_did_not_overflow():
    """Its comparison is one of signs, which compilers may take from factors that are said not to overflow."""
    of_upper, of_lower = np.zeros((2, 64), np.bool_)
    halves(5, of_upper, of_lower)
    each = [chain(5, 5, i, 3, 0) for i in range(64)]
    assert of_upper.tolist() == [bits >= 0 for bits in each]
    assert of_lower.tolist() == [bits % 2**32 < 2**31 for bits in each]


def test_keys_broadcast_together():
    seed = torch.tensor([3])
    grid = draws.draw(seed, 1, torch.arange(4)[:, None], torch.arange(5), 0)
    assert grid.shape == (4, 5)
    assert grid.tolist() == [[chain(3, 1, a, b, 0) for b in range(5)] for a in range(4)]


def test_purposes_are_never_renumbered_and_give_different_streams():
    purposes = {name: number for name, number in vars(draws).items() if name.isupper() and 0 < number < 100}
    names = "GAPS_TRAIN, GAPS_SELECT, GAPS_EXAM, EXPLORE, EXPLORE_EXAM, SAMPLE, WEIGHTS, RECORD"
    names += ", STICKY, FLIP, PRACTICE"
    assert ", ".join(sorted(purposes, key=purposes.get)) == names
    assert sorted(purposes.values()) == list(range(1, 12))
    numbers = np.array(list(purposes.values()))[:, None]
    places = draws.below(draws.draw(np.zeros(1, np.int64), numbers, 0, np.arange(4000), 0), 8)
    for p in range(len(places)):  # two streams agree in one place of eight, as chance has it: 500 +- 21
        agree = (places[p] == places[p + 1 :]).sum(axis=1)
        assert ((400 < agree) & (agree < 600)).all()


def test_every_part_of_the_key_matters():
    keys = [(5, 1, 2, 3, 4)] + [
        tuple(n + (part == k) for k, n in enumerate((5, 1, 2, 3, 4))) for part in range(5)
    ]
    assert len({chain(*key) for key in keys}) == len({on_arrays(*key) for key in keys}) == 6


@pytest.mark.parametrize("n", [1, 2, 3, 8, 1000, 2**31 - 1])
def test_below_stays_below_and_is_a_multiply_high(n):
    bits = draws.draw(np.zeros(1, np.int64), 1, 0, np.arange(5000), 0)
    values = draws.below(bits, n)
    assert values.tolist() == [((b % 2**64 >> 32) * n) >> 32 for b in bits.tolist()]
    assert values.min() >= 0
    assert values.max() < n
    edges = np.array([0, -1, 2**63 - 1, -(2**63)])
    assert draws.below(edges, n).tolist() == [0, n - 1, (n * (2**31 - 1)) >> 32, n >> 1]


@pytest.mark.parametrize(("game", "purpose"), [(0, 1), (1, 1), (999, 1), (0, 2), (0, 3)])
def test_gaps_are_uniform(game, purpose):
    places = draws.below(draws.draw(np.zeros(1, np.int64), purpose, game, np.arange(80_000), 0), 8)
    counts = np.bincount(places, minlength=8)
    assert (
        (counts - 10_000) ** 2 / 10_000
    ).sum() < 24.3  # chi-square, 7 degrees of freedom: 1 in 1000 is above
    pairs = np.bincount(8 * places[:-1] + places[1:], minlength=64)
    assert ((pairs - 1250) ** 2 / 1250).sum() < 103.4  # 63 degrees of freedom


def test_chance_is_as_likely_as_it_says_and_independent_of_below():
    bits = draws.draw(np.zeros(1, np.int64), draws.EXPLORE, 0, np.arange(100_000), 0)
    for share in (0.0, 0.01, 0.3, 1.0):
        hit = draws.chance(bits, int(share * 2**32))
        assert abs(hit.mean() - share) <= 4 * (share * (1 - share) / len(bits)) ** 0.5
        upper = draws.below(bits, 2)[hit]
        assert share == 0 or abs(upper.mean() - 0.5) < 2 / len(upper) ** 0.5


@pytest.mark.parametrize("first", [0, 2**63 - 3])
def test_many_at_once_are_those_of_one_after_the_other(first):
    """By a kernel, and by tensors, which a device takes."""
    for seed, b, c in ((0, 0, 0), (-5, 2**40, 3), (2**63 - 1, 7, 12)):
        ours = drawn(seed, draws.SAMPLE, first, 5, b, c, torch.device("cpu"))
        numbers = torch.tensor(first) + torch.arange(5)
        keys = torch.full_like(numbers, seed), draws.SAMPLE, numbers, torch.tensor(b), c
        assert torch.equal(ours, draws.draw(*keys))
        assert torch.equal(
            ours, drawn(seed, draws.SAMPLE, torch.tensor(first), 5, torch.tensor(b), c, ours.device)
        )
