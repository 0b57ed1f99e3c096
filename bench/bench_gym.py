"""The Gymnasium vector environment beside the bare simulator. Item: one frame of one game, packed.

The alternative is the bare simulator with the same actions. Excluded: compiling, the player.
"""

import numpy as np
import pytest

from vecflap import VecFlap, players

gym = pytest.importorskip("vecflap.gym", reason="pip install vecflap[gym]")
ROWS = 300  # rows played before
RATE = 0.1  # of random flaps; birds that play so end 2 to 3 % of the episodes in every step


def player(sim, careful):
    """A function that writes the next actions into sim.act."""
    rng = np.random.default_rng(0)

    def decide():
        if careful:
            players.careful(sim.rows, sim.act.numpy())
        else:
            sim.act.numpy()[:] = rng.random(sim.envs) < RATE

    return decide


@pytest.mark.parametrize("careful", [True, False], ids=["careful", "random"])
@pytest.mark.parametrize("envs", [64, 4096])
@pytest.mark.parametrize("who", ["simulator", "gymnasium"])
def test_packed_frames(benchmark, items, who, envs, careful):
    """Observations are not copied: they alternate between two memories."""
    if who == "simulator":
        sim = VecFlap(envs, threads=1)
        step = sim.step
    else:
        env = gym.FlappyBirdVector(envs, obs="packed", threads=1)
        env.reset(seed=0)
        sim = env.sim
        step = lambda: env.step(sim.act.numpy())  # noqa: E731
    decide = player(sim, careful)
    for _ in range(ROWS):
        decide()
        step()
    benchmark.group = f"{envs} games, {'careful' if careful else 'random'}"
    items(envs, "frame", alternative=who == "simulator", who=who, envs=envs, careful=careful)
    benchmark.pedantic(step, setup=decide, rounds=300)
    assert sim.frame.numpy().all(), "nothing drawn?"
