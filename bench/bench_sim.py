"""Playing and drawing games. Item: one frame of one game, drawn. Excluded: compiling, the player, copies.

The player is scripted, careful, and survives: birds that die often see fewer pipes, which is cheaper to draw.
"""

import numba
import numpy as np
import pytest

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


@kernel(parallel=True)
def careful_on_threads(games, act, threads):
    """`players.careful`, on the threads that will play the games: else each game's row has to travel from one
    core's cache to another's and back, and two threads play 1,024 games no faster than one."""
    n = len(games)
    for k in numba.prange(threads):
        first, end = n * k // threads, n * (k + 1) // threads
        players.careful(games[first:end], act[first:end])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("envs", [64, 1024, 65_536])
@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_step_and_draw(benchmark, items, rules, envs, threads):
    """`VecFlap.step`, flap7 with the score drawn."""
    if threads > numba.get_num_threads() or (threads > 1 and envs == 64):
        pytest.skip("needs that many cores, and more games than fit one thread")
    sim = VecFlap(envs, rules, threads=threads)

    def decide():
        if threads == 1:
            players.careful(sim.rows, sim.act.numpy())
        else:
            careful_on_threads(sim.rows, sim.act.numpy(), threads)

    for _ in range(WARM_UP if envs < 10_000 else 150):
        decide()
        sim.step()
    benchmark.group = f"step+draw {rules} {envs}"
    items(envs, "frame")
    benchmark.pedantic(sim.step, setup=decide, rounds=300 if envs < 10_000 else 30)
    frames = sim.frame.numpy()
    assert sim.games.score.mean() > 2, "the player dies?"
    assert frames.all(), "nothing drawn?"


@pytest.mark.parametrize("envs", [64, 1024, 65_536])
@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_floor_fill_512_bytes(benchmark, items, rules, envs):
    """The alternative to playing and drawing: only writing as many bytes."""
    frame = np.zeros((envs, 64), np.int64)
    benchmark.group = f"step+draw {rules} {envs}"
    items(envs, "frame", alternative=True)
    benchmark.pedantic(fill, args=(frame, -1), warmup_rounds=2, rounds=100)
    assert (frame == -1).all()
