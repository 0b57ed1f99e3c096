"""What is sampled is what was played: held to a naive twin that keeps everything and walks along episodes."""

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import REWARDS, Ledger, both, crashing, fed, played, random_crashes

from vecflap import draws
from vecflap.priorities import UNIT, Priorities, priority
from vecflap.replay import CUT, Batch, Replay


def startable(replay: Replay) -> tuple[torch.Tensor, torch.Tensor]:
    """Every (row, game) that may be sampled: rows from max(0, t - T + K) to t - n, t being the open one, but
    those that led to a cut."""
    first, last = max(0, replay.row - replay.rows + replay.frames), replay.row - replay.n_step
    rows = torch.tensor(range(first, last + 1), dtype=torch.int64)
    row, game = rows.repeat_interleave(replay.envs), torch.arange(replay.envs).repeat(len(rows))
    uncut = replay.term[row % replay.rows, game] != CUT
    return row[uncut], game[uncut]


def place(replay: Replay, row: torch.Tensor, game: torch.Tensor) -> torch.Tensor:
    return row % replay.rows * replay.envs + game


def assert_equal(batch: Batch, expected: Batch) -> None:
    for name in ("obs", "act", "discount"):
        assert torch.equal(getattr(batch, name), getattr(expected, name)), name
    torch.testing.assert_close(batch.ret, expected.ret, rtol=0, atol=1e-6)
    goes_on = expected.discount > 0  # elsewhere next_obs is unspecified
    assert torch.equal(batch.next_obs[goes_on], expected.next_obs[goes_on])
    whole, real = torch.int64, torch.float32
    assert [t.dtype for t in batch] == [whole, whole, real, real, whole, real, whole]


def assert_holds(replay: Replay, ledger: Ledger) -> None:
    """All that an open row shows is what the twin has: for acting, for learning by either path."""
    every = torch.arange(replay.envs)
    latest = ledger.stacks(torch.full_like(every, replay.row), every)
    assert torch.equal(replay.latest(), latest)
    assert torch.equal(replay.latest_there(), latest)
    row, game = startable(replay)
    if not len(row):
        return
    assert_equal(replay.transitions(place(replay, row, game)), ledger.transitions(row, game))
    assert_ranked(replay, ledger)
    places = drawn(replay, 8)
    replay._drawn_there.fill_(replay.drawn)
    compiled, by_torch = replay.sample(8), replay.sample_there(8)
    for batch in (compiled, by_torch):
        assert batch.place.tolist() == places
    row = replay.row - (replay.row - compiled.place // replay.envs) % replay.rows
    assert_equal(compiled, ledger.transitions(row, compiled.place % replay.envs))
    assert torch.equal(compiled.next_obs, by_torch.next_obs), "the two paths, also where it means nothing"
    assert_equal(compiled, by_torch)
    ranks = replay.priorities.each.view(-1)[compiled.place].tolist()
    weights = [(min(ranks) / rank) ** replay.correction for rank in ranks]
    torch.testing.assert_close(compiled.weight, torch.tensor(weights))
    assert torch.equal(compiled.weight, by_torch.weight)


def assert_ranked(replay: Replay, ledger: Ledger) -> None:
    """Priorities are those of the first errors, and 0 where nothing may be sampled."""
    row, game = startable(replay)
    errors = [abs(ledger.error(r, g)) for r, g in zip(row.tolist(), game.tolist(), strict=True)]
    expected = torch.zeros(replay.rows * replay.envs)
    ranks = [max((error + 0.01) ** replay.exponent * UNIT, 1.0) for error in errors]
    expected[place(replay, row, game)] = torch.tensor(ranks)
    torch.testing.assert_close(replay.priorities.each.view(-1).float(), expected, rtol=1e-4, atol=2.0)
    assert torch.equal(replay.priorities.of_row, replay.priorities.each.sum(1))


def drawn(replay: Replay, batch: int) -> list[int]:
    """The places that the next sample must choose: draw number i is keyed with (seed, SAMPLE, i), and falls
    on one of all priorities laid end to end."""
    number = torch.arange(replay.drawn, replay.drawn + batch)
    bits = draws.draw(torch.full_like(number, replay.seed), draws.SAMPLE, number, 0, 0)
    ends = list(accumulate(replay.priorities.each.view(-1).tolist()))
    return [bisect_right(ends, bit % 2**63 % ends[-1]) for bit in bits.tolist()]


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("spare", [0, 1, 4])
def test_stacks_and_returns_are_right_with_crashes_in_every_position(spare, n_step):
    replay, ledger = both(4 + n_step + spare, 64, n_step=n_step)  # 64 games: all patterns of 6 rows
    for row in fed(replay, ledger, crashing(rows=30)):
        assert_holds(replay, ledger)
        assert row < 10 or len(ledger.transitions(*startable(replay)).discount.unique()) == 2


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.data())
def test_any_ring_holds_what_was_played(data):
    frames, n_step = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    envs, rate = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([0.0, 0.02, 0.2, 0.6, 1.0]))
    size = frames + n_step + data.draw(st.integers(0, 8))
    exponent, cuts = data.draw(st.sampled_from([0.0, 0.5, 1.0])), data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    options = {
        "exponent": exponent,
        "correction": data.draw(st.floats(0, 1)),
        "gamma": data.draw(st.floats(0, 1)),
    }
    replay, ledger = both(size, envs, frames=frames, n_step=n_step, **options)
    seed, strays = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.0, 0.2]))
    stream = random_crashes(2 * size + 3, envs, rate * (1 - cuts), seed, cuts, strays)
    for _ in fed(replay, ledger, stream):
        assert_holds(replay, ledger)


def test_episodes_longer_than_an_age_can_count_keep_their_stacks():
    replay, ledger = both(12, 3)
    ages = []
    for row in fed(replay, ledger, random_crashes(600, 3, rate=0.002, seed=1)):
        ages.append(int(replay.age[row % 12].max()))
        if row % 7 == 0 or 250 < row < 262:
            assert_holds(replay, ledger)
            replay.check()
    assert ages.count(255) > 200


def test_real_games_are_given_back_through_many_wraps_and_crashes():
    replay, ledger = both(50, 6)
    for row in fed(replay, ledger, played(envs=6, steps=400)):
        if row % 20 == 0:
            replay.check()
            assert_holds(replay, ledger)
    assert ledger.crashes > 20


@pytest.mark.parametrize(("rows", "n_step"), [(7, 3), (9, 2), (8, 1), (20, 1)])
def test_every_row_that_may_be_sampled_is_and_no_other(rows, n_step):
    envs = 3
    replay, ledger = both(rows, envs, n_step=n_step)
    for row in fed(replay, ledger, random_crashes(3 * rows, envs, rate=0.2, seed=2)):
        if row < n_step:
            with pytest.raises(AssertionError, match="nothing to sample"):
                replay.sample(1)
            continue
        rows_, games = startable(replay)  # all of the same priority
        reached, counts = replay.sample(1500).obs[:, -1, 0].unique(return_counts=True)
        numbers = torch.stack([ledger.rows[r].frame[g, 0] for r, g in zip(rows_, games, strict=True)])
        assert reached.tolist() == sorted(numbers.tolist())  # frames differ in their first word
        even = 1500 / len(rows_)
        assert (counts - even).abs().max() < 6 * even**0.5


def test_samples_follow_from_how_many_were_drawn_before():
    replay, ledger = both(20, 4)
    for _ in fed(replay, ledger, random_crashes(31, 4, rate=0.1, seed=3)):
        pass
    replay.open(ledger.rows[0].frame, ledger.rows[0].age)
    replay.rate(ledger.rows[0].value, ledger.rows[0].taken)
    state = {name: tensor.clone() for name, tensor in replay.state_dict().items()}
    one, other = replay.sample(10), replay.sample(6)
    assert not torch.equal(one.obs[:6], other.obs)
    replay.load_state_dict(state)
    for name, whole in replay.sample(16)._asdict().items():
        parts = torch.cat([getattr(one, name), getattr(other, name)])
        assert torch.equal(whole, parts) or name == "weight"
    assert replay.drawn == 16


def test_what_was_wrong_is_sampled_more_often_until_it_is_learned():
    replay, ledger = both(20, 4, exponent=1.0)
    for _ in fed(replay, ledger, random_crashes(31, 4, rate=0.1, seed=3, cuts=0.05, strays=0.1)):
        pass
    replay.open(ledger.rows[0].frame, ledger.rows[0].age)
    replay.rate(ledger.rows[0].value, ledger.rows[0].taken)
    ranks = replay.priorities.each.view(-1).double()
    for _ in range(2):
        counts = torch.bincount(replay.sample(40_000).place, minlength=80)
        expected = 40_000 * ranks / ranks.sum()
        assert ((counts - expected).abs() <= 6 * expected.sqrt()).all()
        known = (ranks > 0).nonzero()[:, 0]
        error = torch.where(known % 3 == 0, 5.0, -0.02)
        replay.renew(known, error)
        ranks[known] = (error.abs() + 0.01).double() * UNIT
        assert replay.priorities.each.view(-1)[known].tolist() == priority(error, 1.0).tolist()


def test_priorities_are_powers_of_errors():
    errors = torch.tensor([0.0, 0.99, -0.99, 3.99, 1e9])
    assert priority(errors, 0.5).tolist() == [6553, UNIT, UNIT, 2 * UNIT, 2**30]
    assert priority(errors, 0.0).tolist() == [UNIT] * 5
    assert priority(errors[:1], 9.0).tolist() == [1], "never 0: that would not be sampled again"


def test_every_place_is_picked_by_as_many_numbers_as_its_priority_says():
    each = torch.tensor([[0, 3, 0], [0, 0, 0], [1, 0, 2], [5, 1, 0]], dtype=torch.int32)
    priorities = Priorities(4, 3, torch.device("cpu"))
    priorities.fill(each)
    picked = priorities.pick(torch.arange(12))
    assert torch.bincount(picked, minlength=12).tolist() == each.view(-1).tolist()
    assert priorities.pick(torch.arange(-(2**63), -(2**63) + 12)).tolist() == picked.tolist()


def test_what_came_of_a_state_is_what_the_twin_counts():
    replay, ledger = both(40, 6)
    for row in fed(replay, ledger, random_crashes(150, 6, rate=0.03, seed=6)):
        for horizon in (1, 5, 36):
            if row - horizon >= replay.first:
                obs, realised = replay.realised(horizon)
                start, every = torch.full((6,), row - horizon), torch.arange(6)
                assert torch.equal(obs, ledger.stacks(start, every))
                expected = ledger.returns(start, every, horizon)
                torch.testing.assert_close(realised, expected, rtol=0, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
def test_a_ring_on_the_gpu_samples_what_one_on_the_cpu_does():
    replay, ledger = both(50, 6)
    on_gpu = Replay(50, 6, n_step=3, gamma=0.9, rewards=REWARDS, seed=5, device="cuda")
    for row, seen in zip(fed(replay, ledger, played(6, 200)), played(6, 200), strict=True):
        on_gpu.open(seen.frame, seen.age)
        on_gpu.rate(seen.value.cuda(), seen.taken.cuda())
        assert torch.equal(replay.latest(), on_gpu.latest().cpu())
        if row >= 3:
            assert_equal(Batch(*(t.cpu() for t in on_gpu.sample(64))), replay.sample(64))
        on_gpu.close(*(t.cuda() for t in (seen.act, seen.rew, seen.term)))
    on_gpu.check()
    horizon_obs, returns = on_gpu.realised(20)
    assert torch.equal(horizon_obs.cpu(), replay.realised(20)[0])
    np.testing.assert_allclose(returns.cpu(), replay.realised(20)[1], atol=1e-5)


@pytest.mark.parametrize(("recent", "least"), [(20, 10), (2, 4), (0, 61), (1_000, 61)])
def test_only_the_latest_steps_are_sampled_and_later_the_latest_half(recent, least):
    """least: rows. Of 64, the stacks of 61 are held, besides the open one."""
    replay, none = Replay(64, 2, n_step=3, recent=recent), torch.zeros(2)
    for row in range(150):
        replay.open(torch.full((2, 64), row), torch.full((2,), min(row, 255), dtype=torch.uint8))
        replay.rate(none, none)
        window = min(max(least, row // 2), 61)
        expected = range(max(0, row - window + 1), row - 3 + 1)
        sampled = replay.priorities.of_row.nonzero().flatten().tolist()
        assert sampled == sorted(t % 64 for t in expected)
        replay.close(none.byte(), none.to(torch.int8), none.byte())
    assert set(replay.transitions(replay.sample(100).place).obs[:, -1, 0].tolist()) <= set(expected)
