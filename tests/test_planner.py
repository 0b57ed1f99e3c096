"""The planner lives exactly as long as anybody can: compared with trying everything in the simulator."""

import numpy as np
import pytest

from vecflap import planner
from vecflap.sim import VecFlap


def tried(game: np.ndarray, rules: str) -> int:
    """Frames that a game can go on, at most HORIZON: both actions are played from all that was reached."""
    alive = game[:, None].copy()  # int32 [16, M]
    for frame in range(planner.HORIZON):
        sim = VecFlap(2 * alive.shape[1], rules, threads=1, final=True)
        sim.state[:] = np.repeat(alive, 2, axis=1)
        sim.step(np.arange(sim.envs) % 2)
        left = sim.state[:, sim.term.numpy() == 0]
        if not left.shape[1]:
            return frame
        _, first = np.unique(left[:2], axis=1, return_index=True)  # one of each height and speed
        alive = left[:, first]
    return planner.HORIZON


@pytest.mark.parametrize("rules", ["flap7", "flap9", "hard", "easy"])
def test_the_planner_lives_as_long_as_anybody_can(rules):
    sim, random = VecFlap(40, rules, seed=5, threads=1), np.random.default_rng(5)
    frames, found = np.zeros(40, np.int64), set()
    for row in range(110):
        if row % 10 == 0:
            planner.lives(np.ascontiguousarray(sim.rows), frames)
            games = [i for i in range(40) if frames[i] < planner.HORIZON or i < 2]
            assert [tried(sim.state[:, i], rules) for i in games] == [frames[i] for i in games]
            found |= set(frames[games].tolist())
        sim.step(random.random(40) < 0.06)
    assert len(found) > 6
    assert planner.HORIZON in found


def test_who_follows_the_planner_does_not_die():
    sim, random = VecFlap(30, "flap7", seed=6, threads=1), np.random.default_rng(6)
    frames, other = np.zeros(30, np.int64), np.zeros(30, np.int64)
    for _ in range(300):
        act = (random.random(30) < 0.08).astype(np.uint8)
        for chosen, found in ((act, frames), (1 - act, other)):
            twin = VecFlap(30, "flap7", threads=1)
            twin.state[:] = sim.state
            twin.step(chosen)
            planner.lives(np.ascontiguousarray(twin.rows), found)
            found[twin.term.numpy() == 1] = -1
        sim.step(np.where(frames >= other, act, 1 - act))
        assert not sim.term.any()
    assert sim.games.score.min() >= 6
