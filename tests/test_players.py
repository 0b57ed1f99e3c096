"""The careful player lives."""

import numpy as np
import pytest

from vecflap import players
from vecflap.physics import RULES, Rules
from vecflap.sim import VecFlap


@pytest.mark.parametrize("rules", [*RULES.values(), Rules(-7, 80, True), Rules(-9, 150, False)])
def test_the_careful_player_survives(rules):
    sim = VecFlap(100, rules, seed=2, threads=1)
    act = np.full(100, 7, np.uint8)
    for _ in range(2000):
        players.careful(sim.rows, act, sim.rules)
        sim.step(act)
    assert sim.games.episode.sum() == 0
    assert sim.games.score.min() > 50
    assert set(act.tolist()) <= {0, 1}
