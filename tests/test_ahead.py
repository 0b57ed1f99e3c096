"""Games that go on by themselves ask about every state once, and end as games that are stepped together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vecflap import ahead, draws
from vecflap.ahead import BEFORE, MOST_ENDS, Ahead, steps_of
from vecflap.evaluate import evaluate, load
from vecflap.rules import RULES
from vecflap.sim import VecFlap

EASY = RULES["flap9"]._replace(gap=190)


class Low:
    """Flaps when the bird is low; notes what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, states):
        self.asked.append([state.numpy().tobytes() for state in states])
        return (states[:, -1, 15] >> 32 & 0x1FF != 0).to(torch.uint8)


def played(games, pipes, rules=EASY, seed=3, skip=1):
    """The games, and what was asked."""
    sim, choice = VecFlap(games, rules, seed, purpose=draws.GAPS_SELECT, skip=skip), Low()
    run = Ahead(sim, choice, pipes, 0.0, 0)
    while run.playing:
        run.play()
    return run, choice.asked


def seen(games, pipes, seed=3, skip=1):
    """The states that such games show, the steps that they take, and where they stood before each, by a loop
    over rows."""
    sim, states = VecFlap(games, EASY, seed, purpose=draws.GAPS_SELECT, skip=skip), set()
    over, steps, choice = np.zeros(games, bool), np.zeros(games, int), Low()
    stack, log = sim.frame[:, None].repeat(1, 4, 1), []
    while not over.all():
        states |= {one.numpy().tobytes() for one in stack[torch.from_numpy(~over)]}
        log.append(sim.state.copy())
        sim.step(choice(stack))
        steps += ~over
        over |= (sim.term.numpy() == 1) | (sim.score.numpy() >= pipes)
        stack = torch.cat([stack[:, 1:], sim.frame[:, None]], 1)
    return states, steps, np.array(log)


@pytest.mark.parametrize("skip", [1, 2])
def test_every_state_that_is_shown_is_asked_about_once(skip):
    run, asked = played(40, 6, skip=skip)
    all_asked = [state for batch in asked for state in batch]
    assert len(all_asked) == len(set(all_asked)) == run.count
    states, steps, _ = seen(40, 6, skip=skip)
    assert set(all_asked) == states
    assert run.steps.tolist() == steps.tolist()
    assert len(all_asked) < 0.8 * run.steps.sum(), "most were seen before"
    assert 0 < len(run.died) < 40


@pytest.mark.parametrize("skip", [1, 2])
def test_where_games_stood_before_birds_died_is_remembered(skip):
    run, _ = played(40, 6, skip=skip)
    _, steps, log = seen(40, 6, skip=skip)
    ends, before = run.ends(), steps_of(BEFORE, skip)
    assert before == {1: 45, 2: 23}[skip]
    assert len(ends) == min(len(run.died), MOST_ENDS) > 3
    for game, states in zip(run.died, ends, strict=False):
        assert np.array_equal(states, log[steps[game] - before : steps[game], :, game][::-1])


def test_games_do_not_wait_for_each_other():
    run, asked = played(10, 60, EASY._replace(gap=230, top=140))
    assert len(run.died) == 0
    assert len(asked) < 0.8 * run.steps.max()


def test_what_is_forgotten_is_asked_about_again_and_changes_nothing(monkeypatch):
    run, asked = played(40, 6)
    monkeypatch.setattr(ahead, "SIZE", 2**9)
    other, again = played(40, 6)
    assert sum(map(len, again)) > sum(map(len, asked))
    assert other.count <= 2**8
    assert (other.status == run.status).all()
    assert (other.score == run.score).all()


def test_the_games_that_are_given_stay_as_they_are():
    sim = VecFlap(5, EASY, 3)
    before, frame = sim.state.copy(), sim.frame.clone()
    Ahead(sim, Low(), 2, 0.0, 0).play()
    assert (sim.state == before).all()
    assert torch.equal(sim.frame, frame)


@pytest.mark.parametrize("skip", [1, 2])
@pytest.mark.parametrize("name", ["flap7", "flap9"])
def test_birds_play_as_in_games_that_are_stepped_together(name, skip):
    """Deaths and pipes of a bird that errs now and then, so that some of its games end."""
    policy = load(name)
    alone = replace(policy.config, skip=skip)
    together = replace(alone, sticky=1e-9)  # so that something could disturb them
    ours, theirs = (
        evaluate(policy, config, 30, 8, seed=3, epsilon=0.02, purpose=draws.GAPS_SELECT)
        for config in (alone, together)
    )
    assert 0 < ours.deaths == theirs.deaths
    assert np.array_equal(ours.ends, theirs.ends)
    assert len(ours.ends)
    assert ours.pipes.tolist() == theirs.pipes.tolist()
    assert ours.rows == theirs.rows
