"""A table finds the states that were put there, each once."""

import numpy as np
import pytest
import torch

from vecflap.memo import find


def found(states, keys):
    """Which of int64 [B, 4, 64] states are new, and all their places."""
    places, new = np.empty((2, len(states)), np.int64)
    count = find(states.flatten(1).numpy(), keys, places, new)
    return new[:count].tolist(), places.tolist()


def states_of(numbers):
    """int64 [B, 4, 64]: a state for each number, far from and near to one another."""
    states = torch.zeros(len(numbers), 4, 64, dtype=torch.int64)
    states[:, 0, 0], states[:, 3, 63] = torch.tensor(numbers), 2**62
    return states


@pytest.mark.parametrize("size", [2**6, 2**10])
def test_every_state_has_one_place_and_is_new_once(size):
    chance, keys, place_of = np.random.default_rng(0), np.zeros(size, np.int64), {}
    for _ in range(200):
        numbers = chance.integers(0, 40, size=8).tolist()
        first = [n for n, number in enumerate(numbers) if number not in [*place_of, *numbers[:n]]]
        new, places = found(states_of(numbers), keys)
        assert new == first
        for number, place in zip(numbers, places, strict=True):
            assert place_of.setdefault(number, place) == place
    assert len(set(place_of.values())) == len(place_of) == 40
    assert (keys != 0).sum() == 40


def test_states_that_differ_in_one_pixel_anywhere_are_told_apart():
    states = torch.zeros(4 * 64 * 64 + 1, 256, dtype=torch.int64)
    for pixel in range(4 * 64 * 64):
        states[pixel, pixel // 64] = -(2**63) if pixel % 64 == 63 else 2 ** (pixel % 64)
    new, _ = found(states.view(-1, 4, 64), np.zeros(2**16, np.int64))
    assert len(new) == len(states)
