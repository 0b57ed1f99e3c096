"""Playing and drawing games. Item: one frame of one game, drawn. Excluded: compiling, the player, copies.

The player is scripted, careful, and survives: birds that die often see fewer pipes, which is cheaper to draw.
It plays first, and its actions are played again: deciding takes it so long that frames leave the caches.
"""

import numba
import numpy as np
import pytest
import torch

from vecflap import VecFlap, players
from vecflap.kernels import kernel

WARM_UP = 500  # rows, until every screen shows the pipes of a game well under way


@kernel(_nrt=False)
def fill(frame, word):
    """Write what a frame takes, 512 bytes, and nothing else. frame: int64 [N, 64], out."""
    for i in range(len(frame)):
        row = frame[i]
        for c in range(len(row)):
            row[c] = word


OUT_OF_STEP = 400  # rows in which one flap in twenty is wrong: birds die, and begin anew at other times


CASES = [(envs, 1, True) for envs in (1, 64, 1024, 4096, 65_536)]
CASES += [(envs, 2, True) for envs in (1024, 4096, 65_536)]
CASES += [(1024, 1, False), (1024, 2, False)]


@pytest.mark.parametrize(("envs", "threads", "in_step"), CASES)
@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_step_and_draw(benchmark, items, rules, envs, threads, in_step):
    """`VecFlap.step`, flap7 with the score drawn. In step, all birds of a careful player are at the same
    place of their way, which a processor can learn; out of step, each is at another."""
    if threads > numba.get_num_threads():
        pytest.skip("needs that many cores")
    sim = VecFlap(envs, rules, threads=threads)

    def decide():
        players.careful(sim.rows, sim.act.numpy())

    rng = np.random.default_rng(0)
    for t in range(WARM_UP + OUT_OF_STEP * (not in_step)):
        decide()
        if t < OUT_OF_STEP and not in_step:
            sim.act ^= torch.from_numpy((rng.random(envs) < 0.05).astype(np.uint8))
        sim.step()
    rounds = 300 if envs < 10_000 else 60
    begin, actions = sim.state_dict(), np.zeros((rounds, envs), np.uint8)
    for row in actions:
        decide()
        row[:] = sim.act.numpy()
        sim.step()
    end = sim.frame.clone()
    sim.load_state_dict(begin)
    player = iter(actions)
    benchmark.group = f"step+draw {rules} {envs}"
    items(envs, "frame", threads=threads, in_step=in_step)
    benchmark.pedantic(sim.step, setup=lambda: np.copyto(sim.act.numpy(), next(player)), rounds=rounds)
    assert sim.games.score.mean() > 2, "the player dies?"
    assert sim.frame.equal(end), "not the same games?"


@pytest.mark.parametrize("envs", [1, 64, 1024, 4096, 65_536])
@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_floor_fill_512_bytes(benchmark, items, rules, envs):
    """The alternative to playing and drawing: only writing as many bytes."""
    frame = np.zeros((envs, 64), np.int64)
    benchmark.group = f"step+draw {rules} {envs}"
    items(envs, "frame", alternative=True, threads=0, in_step=True)
    benchmark.pedantic(fill, args=(frame, -1), warmup_rounds=2, rounds=100)
    assert (frame == -1).all()
