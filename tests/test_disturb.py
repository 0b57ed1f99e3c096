"""Disturbed games: what sticks, comes late, flips or is skipped, each against a copy of it by hand."""

import numpy as np
import pytest
import torch
from test_sim import flaps
from twins import pixels

from vecflap.disturb import Disturb
from vecflap.sim import VecFlap

STEPS, GAMES = 150, 40


def played(sim: VecFlap, disturbed: Disturb, **more) -> list[np.ndarray]:
    """What a sim shows, step by step, under random flaps."""
    sim = VecFlap(GAMES, seed=3, disturb=disturbed, **more)
    seen = []
    for t in range(STEPS):
        sim.step(flaps(GAMES, t))
        seen.append(np.concatenate([sim.rows.reshape(-1), sim.frame.numpy().reshape(-1)]))
    return seen


def test_undisturbed_games_are_the_same_as_with_everything_at_zero():
    sims = [VecFlap(GAMES, seed=3), VecFlap(GAMES, seed=3, disturb=Disturb(0.0, False, 2**-40), skip=1)]
    assert sims[0].disturbance is None
    assert sims[1].disturbance is not None
    for t in range(STEPS):
        for sim in sims:
            sim.step(flaps(GAMES, t))
        assert (sims[0].rows == sims[1].rows).all()
        assert torch.equal(sims[0].frame, sims[1].frame)


def test_a_late_action_is_played_one_step_after_and_an_episode_begins_with_a_glide():
    late, plain = VecFlap(GAMES, seed=3, disturb=Disturb(latency=True)), VecFlap(GAMES, seed=3)
    before, crashes = np.zeros(GAMES, np.uint8), 0
    for t in range(STEPS):
        first = late.age.numpy() == 0
        late.step(flaps(GAMES, t))
        plain.step(np.where(first, 0, before))
        assert late.act.tolist() == flaps(GAMES, t).tolist(), "act is what was chosen"
        assert (late.rows == plain.rows).all()
        assert torch.equal(late.frame, plain.frame)
        before = flaps(GAMES, t)
        crashes += int(late.term.sum())
    assert crashes > GAMES


def test_sticky_actions_repeat_what_was_played_as_often_as_they_should():
    sticky, plain = VecFlap(400, seed=3, disturb=Disturb(sticky=0.25)), VecFlap(400, seed=3)
    before, stuck, could = np.zeros(400, np.uint8), 0, 0
    for t in range(200):
        given, first = flaps(400, t), sticky.age.numpy() == 0
        sticky.step(given)
        actual = sticky.disturbance.played
        assert (actual[first] == given[first]).all()
        assert ((actual == given) | (actual == before)).all()
        differs = ~first & (given != before)
        stuck, could = stuck + (actual != given)[differs].sum(), could + differs.sum()
        plain.step(actual)
        assert (sticky.rows == plain.rows).all()
        before = actual.copy()
    assert could > 5000
    assert stuck / could == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / could) ** 0.5)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_pixels_flip_as_often_as_they_should_and_the_games_go_on_as_before(share):
    flipped, plain = VecFlap(GAMES, seed=3, disturb=Disturb(flip=share)), VecFlap(GAMES, seed=3)
    counts, total = np.zeros((64, 64)), 0
    for t in range(60):
        for sim in (flipped, plain):
            sim.step(flaps(GAMES, t))
        assert (flipped.rows == plain.rows).all()
        counts += pixels((flipped.frame ^ plain.frame).numpy()).sum(axis=0)
        total += GAMES
    spread = (share * (1 - share) / total) ** 0.5
    assert counts.mean() / total == pytest.approx(share, abs=5 * spread / 64)
    assert abs(counts / total - share).max() < 6 * spread


def test_a_games_disturbances_do_not_depend_on_the_others():
    how = Disturb(sticky=0.3, latency=True, flip=0.02)
    one, many = VecFlap(1, seed=8, disturb=how), VecFlap(30, seed=8, disturb=how)
    for t in range(STEPS):
        one.step(flaps(1, t))
        many.step(flaps(30, t))
        assert (one.rows[0] == many.rows[0]).all()
        assert torch.equal(one.frame[0], many.frame[0])


def test_a_disturbed_state_dict_goes_on_as_if_nothing_had_happened():
    how = Disturb(sticky=0.3, latency=True, flip=0.02)
    sim, other = VecFlap(GAMES, seed=8, disturb=how), VecFlap(GAMES, seed=8, disturb=how)
    for t in range(50):
        sim.step(flaps(GAMES, t))
    other.load_state_dict(sim.state_dict())
    assert torch.equal(sim.frame, other.frame)
    for t in range(50, 100):
        sim.step(flaps(GAMES, t))
        other.step(flaps(GAMES, t))
        assert (sim.rows == other.rows).all()
        assert torch.equal(sim.frame, other.frame)


@pytest.mark.parametrize("skip", [2, 5])
def test_a_step_of_several_frames_ends_with_a_crash(skip):
    sim, plain = VecFlap(GAMES, seed=3, skip=skip), VecFlap(GAMES, seed=3)
    steps = np.zeros(GAMES, int)
    rewards = set()
    for t in range(STEPS):
        act = flaps(GAMES, t)
        sim.step(act)
        rew, term, alive = np.zeros(GAMES, int), np.zeros(GAMES, int), np.ones(GAMES, bool)
        for frame in range(skip):
            held = plain.rows.copy()
            plain.step(act if frame == 0 else np.zeros_like(act))
            plain.rows[~alive] = held[~alive]  # the others have ended their step
            crash = plain.term.numpy() == 1
            rew = np.where(alive, np.where(crash, -1, rew | (plain.rew.numpy() == 1)), rew)
            term |= alive & crash
            alive &= ~crash
        plain.draw()
        steps = np.where(term, 0, steps + 1)
        assert (sim.rows == plain.rows).all()
        assert torch.equal(sim.frame, plain.frame)
        assert (sim.rew.numpy() == rew).all()
        assert (sim.term.numpy() == term).all()
        assert (sim.age.numpy() == np.minimum(steps, 255)).all(), "ages count steps"
        rewards |= set(rew.tolist())
    assert rewards >= {-1, 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"disturb": Disturb(sticky=1.5)}, "sticky=1.5 is not a chance from 0 to 1"),
        ({"disturb": Disturb(sticky=float("nan"))}, "sticky=nan"),
        ({"disturb": Disturb(flip=-0.1)}, "flip=-0.1 is not a chance from 0 to 0.5"),
        ({"disturb": Disturb(flip=0.6)}, "flip=0.6"),
        ({"skip": 0}, "skip=0"),
    ],
)
def test_impossible_disturbances_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VecFlap(4, **arguments)
    assert VecFlap(4).envs == 4
