"""The replay's memory: its size, what it refuses, how it is saved, and that it notices what cannot be."""

import pytest
import torch
from ledger import both, fed, random_crashes

from vecflap.replay import RINGS, Replay


def test_a_step_takes_no_more_than_520_bytes():
    replay = Replay(1000, 7, n_step=3)
    arrays = {name: t for part in (replay, replay.priorities) for name, t in vars(part).items()}
    arrays = {name: t for name, t in arrays.items() if isinstance(t, torch.Tensor)}
    size = sum(t.element_size() * t.nelement() for t in arrays.values() if t.nelement() >= 7000)
    assert size == replay.nbytes <= 520 * 7000
    assert {name for name, t in arrays.items() if t.nelement() >= 7000} == {*RINGS, "each"}
    small = [t for t in arrays.values() if t.nelement() < 7000]
    assert sum(t.nbytes for t in small) < 500 + 8 * replay.rows


CONTRADICTIONS = {
    "age": 77,
    "act": 4,
    "term": 3,
    "rew": -2,
    "rew up": 4,
    "a crash without reward": 0,
    "a reward without crash": -1,
}


@pytest.mark.parametrize("rows", [6, 8, 9, 25])
@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_contradictions_are_noticed_wherever_they_are(what, rows):
    size = 8
    for back in range(1, min(rows, size - 1) + 1):  # the slot before may be the open row's
        replay, ledger = both(size, 2)
        for _ in fed(replay, ledger, random_crashes(rows, 2, rate=0.0, seed=7)):
            pass
        replay.check()
        slot = (replay.row - back) % size
        ring = {"rew up": "rew", "a crash without reward": "term", "a reward without crash": "rew"}
        value = 1 if what == "a crash without reward" else CONTRADICTIONS[what]
        getattr(replay, ring.get(what, what))[slot, 1] = value
        with pytest.raises(AssertionError):
            replay.check()


@pytest.mark.parametrize(("rows", "frames", "n_step"), [(6, 4, 3), (4, 4, 1), (1, 1, 1), (0, 1, 1)])
def test_a_ring_too_small_for_a_transition_is_refused(rows, frames, n_step):
    with pytest.raises(ValueError, match=f"--capacity {5 * (frames + n_step)} or more"):
        Replay(rows, 5, frames=frames, n_step=n_step)
    assert Replay(frames + n_step, 5, frames=frames, n_step=n_step).rows == frames + n_step


@pytest.mark.parametrize("rows", [5, 31, 60])
def test_a_restored_ring_goes_on_as_if_nothing_had_happened(rows):
    replay, ledger = both(20, 4, exponent=0.7)
    stream = list(random_crashes(rows + 45, 4, rate=0.1, seed=4, cuts=0.05, strays=0.1))
    for _ in fed(replay, ledger, iter(stream[:rows])):
        if replay.row >= 3:
            replay.sample(3)
    state = {name: tensor.clone() for name, tensor in replay.state_dict().items()}
    other, _ = both(20, 4, exponent=0.7)
    other.load_state_dict(state)
    for row in stream[rows:]:
        for ring in (replay, other):
            ring.open(row.frame, row.age)
            ring.rate(row.value, row.taken)
        assert torch.equal(replay.latest(), other.latest())
        for ours, theirs in zip(replay.sample(16), other.sample(16), strict=True):
            assert torch.equal(ours, theirs)
        for ring in (replay, other):
            ring.close(row.act, row.rew, row.term)
    assert all(torch.equal(a, other.state_dict()[name]) for name, a in replay.state_dict().items())
