"""Sampling transitions. Item: one transition, two stacks of four frames. Excluded: filling the ring,
unpacking."""

import numpy as np
import pytest
import torch

from vecflap import VecFlap
from vecflap.replay import Replay

BATCH = 256


@pytest.fixture(scope="module")
def replay():
    """A full ring of 2**18 steps of 64 games under random flaps."""
    sim = VecFlap(64)
    ring = Replay(4096, 64, n_step=3)
    rng = np.random.default_rng(0)
    for _ in range(4100):
        ring.open(sim.frame, sim.age)
        sim.step((rng.random(64) < 0.08).astype(np.uint8))
        ring.close(sim.act, sim.rew, sim.term)
    ring.open(sim.frame, sim.age)
    ring.check()
    assert ring.nbytes / (4096 * 64) <= 520
    return ring


def test_sample(benchmark, items, replay):
    """`Replay.sample`: the compiled kernel."""
    benchmark.group = "sample 256"
    items(BATCH, "transition")
    batch = benchmark.pedantic(replay.sample, args=(BATCH,), warmup_rounds=2, rounds=200)
    assert batch.obs.shape == (BATCH, 4, 64)
    assert batch.obs.all()


def test_sample_by_torch_indexing(benchmark, items, replay):
    """The alternative: the same transitions gathered by torch's indexing, the path of a GPU."""
    benchmark.group = "sample 256"
    items(BATCH, "transition", alternative=True)
    game = torch.arange(BATCH) % 64
    row = torch.randint(replay.first, replay.last, (BATCH,))
    batch = benchmark.pedantic(replay.transitions, args=(row, game), warmup_rounds=2, rounds=50)
    assert batch.obs.all()
