"""Where the time of a step goes. Item: one frame of one game. Excluded: compiling, the player, copies.

The alternative is the whole step. Each part runs on the same games, at the same moment of their way.
"""

import numpy as np
import pytest
import torch

from vecflap import VecFlap, physics, players, render
from vecflap.kernels import kernel

ROWS, WRONG = 500, 400  # rows played before; of these, rows with one flap in twenty wrong, out of step


@kernel(_nrt=False)
def rules(state, ranges, act, rew, term, score, moved, seed, purpose, stream):
    """Play all games a frame, without drawing or restarting them."""
    for a in range(0, len(act), render.BLOCK):
        b = min(a + render.BLOCK, len(act))
        gaps = physics.Gaps(seed, purpose, stream)
        physics.advance(state, act, rew, term, score, moved, ranges, 0, gaps, a, b)


@kernel(_nrt=False)
def planning(state, plan, envs):
    """Plan all pictures."""
    for a in range(0, envs, render.BLOCK):
        render.make_plan(state, plan, a, min(a + render.BLOCK, envs))


@kernel(_nrt=False)
def drawing(frame, state, plan):
    """Plan and draw all pictures."""
    for a in range(0, len(frame), render.BLOCK):
        render.draw(frame, state, plan, a, min(a + render.BLOCK, len(frame)))


@kernel(_nrt=False)
def writing(frame, word):
    """Write as many bytes, and nothing else."""
    for i in range(len(frame)):
        row = frame[i]
        for c in range(len(row)):
            row[c] = word


@pytest.fixture(scope="module", params=[True, False], ids=["in_step", "out_of_step"])
def sim(request):
    """1,024 games well under way."""
    sim, rng = VecFlap(1024, threads=1), np.random.default_rng(0)
    for t in range(ROWS + WRONG * (not request.param)):
        players.careful(sim.rows, sim.act.numpy())
        if t < WRONG and not request.param:
            sim.act ^= torch.from_numpy((rng.random(sim.envs) < 0.05).astype(np.uint8))
        sim.step()
    sim.in_step = request.param
    return sim


@pytest.mark.parametrize("part", ["step", "rules", "planning", "drawing", "writing"])
def test_part(benchmark, items, sim, part):
    """A part of a step, 300 times, along the games' way."""
    rew, term, score = sim.rew.numpy(), sim.term.numpy(), sim.score.numpy()
    frame, state, gaps = sim.frame.numpy(), sim._state.copy(), (sim.seed, sim.purpose, sim.stream)
    parts = {
        "step": sim.step,
        "rules": lambda: rules(state, sim.ranges, sim.act.numpy(), rew, term, score, sim._moved, *gaps),
        "planning": lambda: planning(sim._state, sim._plan[0], sim.envs),
        "drawing": lambda: drawing(frame, sim._state, sim._plan[0]),
        "writing": lambda: writing(frame, -1),
    }

    def move_on():
        players.careful(sim.rows, sim.act.numpy())
        if part != "step":
            sim.step()
            players.careful(sim.rows, sim.act.numpy())
            np.copyto(state, sim._state)

    benchmark.group = "in step" if sim.in_step else "out of step"
    items(sim.envs, "frame", alternative=part == "step", part=part, in_step=sim.in_step)
    benchmark.pedantic(parts[part], setup=move_on, rounds=300)
    assert sim.games.score.mean() > 2, "the player dies?"
    drawn = frame.copy()
    sim.draw()
    assert part not in ("step", "drawing") or (drawn == frame).all()
