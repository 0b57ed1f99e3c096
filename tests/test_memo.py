"""Answers are remembered: the right ones, each asked for once."""

import numpy as np
import pytest
import torch

from vecflap import draws, evaluate, memo
from vecflap.evaluate import load
from vecflap.memo import Memo


class Asked:
    """Answers with two sums of a state, and notes which states it was asked."""

    def __init__(self):
        self.states = []

    def __call__(self, states):
        self.states += [state.numpy().tobytes() for state in states]
        return torch.stack([states.sum((1, 2)), states[:, 0, 0]], 1).float()


def states_of(numbers):
    """int64 [B, 4, 64]: a state for each number, far from and near to one another."""
    states = torch.zeros(len(numbers), 4, 64, dtype=torch.int64)
    states[:, 0, 0], states[:, 3, 63] = torch.tensor(numbers), 2**62
    return states


@pytest.mark.parametrize("size", [2**4, 2**10])
def test_every_answer_is_that_of_its_state_and_is_asked_for_once_until_all_are_forgotten(size, monkeypatch):
    monkeypatch.setattr(memo, "SIZE", size)
    chance, asked, plain = np.random.default_rng(0), Asked(), Asked()
    remembered = Memo(asked)
    for _ in range(200):
        states = states_of(chance.integers(0, 40, size=8))
        assert torch.equal(remembered(states), plain(states))
    distinct = len(set(asked.states))
    assert distinct == 40
    if size == 2**10:
        assert len(asked.states) == distinct
    else:
        assert distinct < len(asked.states) < len(plain.states)
        assert remembered.count <= size // 2


def test_the_first_of_equal_states_of_a_batch_is_asked():
    asked = Asked()
    answers = Memo(asked)(states_of([5, 7, 5, 7, 7]))
    assert len(asked.states) == 2
    assert answers[:, 1].tolist() == [5, 7, 5, 7, 7]


def test_states_that_differ_in_one_pixel_anywhere_are_told_apart():
    states = torch.zeros(4 * 64 * 64 + 1, 256, dtype=torch.int64)
    for pixel in range(4 * 64 * 64):
        states[pixel, pixel // 64] = -(2**63) if pixel % 64 == 63 else 2 ** (pixel % 64)
    asked = Asked()
    Memo(asked)(states.view(-1, 4, 64))
    assert len(asked.states) == len(states)


def test_birds_play_as_without_it(monkeypatch):
    """Deaths and pipes of a bird that errs now and then, so that some of its games end."""
    policy = load("flap7")

    def scores():
        options = {"seed": 3, "epsilon": 0.02, "purpose": draws.GAPS_SELECT}
        return evaluate.evaluate(policy, policy.config, 30, 8, **options)

    ours = scores()
    monkeypatch.setattr(evaluate, "Memo", lambda answer: answer)
    theirs = scores()
    assert 0 < ours.deaths == theirs.deaths
    assert ours.pipes.tolist() == theirs.pipes.tolist()
