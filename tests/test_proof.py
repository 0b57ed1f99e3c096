"""All situations of a bird: the same as a naive twin finds, one by one, and as likely as in games played."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from test_evaluate import Erratic, Fixed, policy
from torch import nn

from vecflap import proof
from vecflap.config import Config
from vecflap.evaluate import Policy, evaluate
from vecflap.physics import MAX_PIPES
from vecflap.proof import Situations, situations
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap

TWO_GAPS = Rules(flap_vy=-9, gap=200, score_drawn=False, top=(100, 140), top_step=40)

CEILING = Rules(flap_vy=-9, gap=230, score_drawn=False, top=0)


class Low(nn.Module):
    """Flaps when the bird is low, and errs in some stacks; there both values may be nearly the same."""

    def __init__(self, unsure: bool = False) -> None:
        super().__init__()
        self.erratic, self.unsure = Erratic(), unsure
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        q = self.erratic(obs) - torch.tensor([0.0, 0.5])
        low = (obs[:, -1, 15] >> 32 & 0x1FF) != 0
        errs = (q[:, 1] > 0) != low
        return torch.where(errs[:, None] & self.unsure, 1e-6 * q, q)


def naive(bird: Policy, rules: Rules, pipes: int, skip: int = 1) -> dict[str, Any]:
    """What situations() should find, and the chances to be lost before so many pipes: one game at a time."""
    sim = VecFlap(1, rules, skip=skip)
    low, high = rules.top if isinstance(rules.top, tuple) else (rules.top, rules.top)
    tops = list(range(low, high + 1, rules.top_step))

    def key_of(state: np.ndarray, stack: torch.Tensor) -> tuple:
        sim.state[:] = state
        g, exist = sim.games, int(sim.games.pipes[0])
        where = (*g.pipe_x[0, :exist].tolist(), *g.gap_y[0, :exist].tolist())
        beat = int(g.age[0]) if g.age[0] < 3 else 3 + int(g.age[0]) % 3
        bird = (int(g.bird_y[0]), int(g.bird_vy[0]), int(g.wing_cycle[0]), beat)
        return (*bird, where, stack.numpy().tobytes())

    def after(state: np.ndarray, stack: torch.Tensor, act: int) -> tuple[list, int]:
        sim.state[:] = state
        before = int(sim.games.score[0])
        sim.step([act])
        passed = int(sim.score[0]) - before
        if sim.term[0]:
            return [], passed
        moved, follows = sim.state.copy(), []
        appeared = moved[11, 0] > state[11, 0]
        for top in tops if appeared else [None]:
            new = moved.copy()
            if top is not None:
                new[6 + MAX_PIPES - 1] = top
            sim.state[:] = new
            sim.draw()
            follows.append((new, torch.cat([stack[1:], sim.frame])))
        return follows, passed

    found, waiting, chances = {}, [], {}
    for wing in range(4):
        for first in tops:
            for second in tops:
                sim.restart()
                state = sim.state.copy()
                state[2], state[6], state[7] = wing, first, second
                sim.state[:] = state
                sim.draw()
                waiting.append((state, sim.frame.repeat(4, 1)))
                if wing == 0:
                    chances[key_of(*waiting[-1])] = Fraction(1, len(tops) ** 2)
    leads, passes = {}, {}
    close = fatal = close_fatal = 0
    while waiting:
        state, stack = waiting.pop()
        key = key_of(state, stack)
        if key in found:
            continue
        q = bird.q(stack[None])[0]
        act = int(q[1] > q[0])
        follows, passed = after(state, stack, act)
        found[key], passes[key] = act, passed > 0
        leads[key] = [key_of(*one) for one in follows]
        fatal += not follows
        waiting += follows
        if abs(float(q[1] - q[0])) < 1e-4:
            others, _ = after(state, stack, 1 - act)
            close, close_fatal, waiting = close + 1, close_fatal + (not others), waiting + others
    lost, gone = [], Fraction(0)
    while len(lost) < pipes and chances:
        if any(passes[key] for key in chances):
            early = sum(chance for key, chance in chances.items() if not (passes[key] or leads[key]))
            lost.append(float(gone + early))
        then: dict[tuple, Fraction] = {}
        for key, chance in chances.items():
            for follow in leads[key]:
                then[follow] = then.get(follow, Fraction(0)) + chance / len(leads[key])
            gone += 0 if leads[key] else chance
        chances = then
    lost += [float(gone)] * (pipes - len(lost))
    return {"count": len(found), "fatal": fatal, "close": close, "close_fatal": close_fatal, "lost": lost}


def told(found: Situations, pipes: int) -> dict[str, Any]:
    """The same of what was found."""
    counts = {name: getattr(found, name) for name in ("fatal", "close", "close_fatal")}
    return {"count": len(found.passes), **counts, "lost": found.lost(pipes).tolist()}


@pytest.mark.parametrize(("gap", "unsure", "skip"), [(200, False, 1), (100, True, 1), (110, True, 2)])
def test_a_naive_twin_finds_the_same(gap, unsure, skip, monkeypatch):
    monkeypatch.setattr(proof, "SIZE", 2**6)  # it has to grow
    monkeypatch.setattr(proof, "TOGETHER", 100)
    bird = policy(Low(unsure))
    rules = TWO_GAPS._replace(gap=gap)
    expected = naive(bird, rules, 4, skip)
    ours = told(situations(bird, rules, skip), 4)
    assert ours.pop("lost") == pytest.approx(expected.pop("lost"), abs=1e-12)
    assert ours == expected
    assert expected["count"] > 1_000
    assert (expected["close"] > expected["close_fatal"] > 0) == unsure


@pytest.mark.parametrize("skip", [1, 2])
def test_games_played_say_the_same(skip, monkeypatch):
    monkeypatch.setitem(RULES, "flap9", TWO_GAPS)
    bird, games = policy(Low()), 2_000
    lost = situations(bird, TWO_GAPS, skip).lost(3)
    assert 0 == lost[0] < lost[1] < lost[2] < 1
    played = evaluate(bird, Config(rules="flap9", skip=skip), games, 3).pipes
    for pipes in (1, 2, 3):
        expected = lost[pipes - 1]
        deviation = np.sqrt(expected * (1 - expected) / games)
        assert abs((played < pipes).mean() - expected) <= 4 * deviation


def test_a_bird_that_clings_to_the_ceiling_never_dies_where_gaps_reach_up_to_it():
    found = situations(policy(Fixed(0.0, 1.0)), CEILING)
    assert found.never_dies
    assert found.lost(1_000).tolist() == [0.0] * 1_000
    below = situations(policy(Fixed(0.0, 1.0)), CEILING._replace(top=(0, 10), top_step=10))
    assert not below.never_dies
    assert below.lost(2).tolist() == [0.5, 0.75]


def test_a_bird_that_would_die_if_rounding_decided_otherwise_is_not_said_never_to():
    found = situations(policy(Fixed(0.0, 1.0)), CEILING)
    assert found.never_dies
    assert not found._replace(close=1, close_fatal=1).never_dies
    assert not found._replace(fatal=1).never_dies


def test_close_values_are_followed_both_ways_but_count_by_the_greater_one():
    rules = TWO_GAPS._replace(gap=100)
    sure, unsure = situations(policy(Low()), rules), situations(policy(Low(unsure=True)), rules)
    assert sure.close == 0 < unsure.close
    assert len(unsure.passes) > len(sure.passes)
    assert unsure.lost(5).tolist() == sure.lost(5).tolist()
    narrow = situations(policy(Low(unsure=True)), rules, rounding=1e-7)
    assert (narrow.close, len(narrow.passes)) == (0, len(sure.passes))


def test_too_many_situations_and_games_without_end_are_refused():
    with pytest.raises(ValueError, match="more than 300 situations"):
        situations(policy(Low()), TWO_GAPS, most=300)
    with pytest.raises(ValueError, match="A score is drawn"):
        situations(policy(Low()), RULES["flap7"])
    with pytest.raises(ValueError, match="another game"):
        situations(policy(Low()), RULES["mixed"]._replace(score_drawn=False))
