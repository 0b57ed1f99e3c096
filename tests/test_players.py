"""The careful player lives."""

import numpy as np
import pytest

from vecflap import players
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap

NARROW = [RULES[name] for name in ("flap7", "flap9", "easy", "medium")]  # the places of the originals


@pytest.mark.parametrize("rules", [*NARROW, Rules(-7, 80, True), Rules(-9, 150, False)])
def test_the_careful_player_survives(rules):
    sim = VecFlap(100, rules, seed=2, threads=1)
    act = np.full(100, 7, np.uint8)
    crashes = 0
    for _ in range(2000):
        players.careful(sim.rows, act)
        sim.step(act)
        crashes += int(sim.term.sum())
    assert crashes == 0
    assert sim.games.score.min() > 50
    assert set(act.tolist()) <= {0, 1}
