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
    ring = Replay(4096, 64, n_step=3, exponent=0.4, correction=0.4)
    rng = np.random.default_rng(0)
    for _ in range(4100):
        ring.open(sim.frame, sim.age)
        ring.rate(*torch.from_numpy(rng.normal(size=(2, 64)).astype("f4")))
        sim.step((rng.random(64) < 0.08).astype(np.uint8))
        ring.close(sim.act, sim.rew, sim.term)
    ring.open(sim.frame, sim.age)
    ring.rate(*torch.zeros(2, 64))
    ring.check()
    assert ring.nbytes / (4096 * 64) <= 520
    return ring


def test_sample(benchmark, items, replay):
    """`Replay.sample`: by priorities, gathered by a compiled kernel."""
    benchmark.group = "sample 256"
    items(BATCH, "transition")
    batch = benchmark.pedantic(replay.sample, args=(BATCH,), warmup_rounds=2, rounds=200)
    assert batch.obs.shape == (BATCH, 4, 64)
    assert batch.obs.all()


def test_sample_by_torch_indexing(benchmark, items, replay):
    """The alternative: transitions gathered by torch's indexing, the path of a GPU, the choice left out."""
    benchmark.group = "sample 256"
    items(BATCH, "transition", alternative=True)
    place = replay.sample(BATCH).place
    batch = benchmark.pedantic(replay.transitions, args=(place,), warmup_rounds=2, rounds=50)
    assert batch.obs.all()
