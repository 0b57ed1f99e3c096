"""Acting and updating. Item: one state acted on, or one transition learned from. Excluded: playing,
sampling."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from vecflap import VecFlap, players, views
from vecflap.config import PRESETS
from vecflap.dqn import GREEDY, Learner
from vecflap.replay import Batch

CPU = torch.device("cpu")


@cache
def states(count):
    """Packed stacks of games under way, out of step: what a table is looked up by depends on the pixels."""
    sim, rng = VecFlap(count, threads=1), np.random.default_rng(0)
    stack = torch.zeros(count, 4, 64, dtype=torch.int64)
    for _ in range(300):
        players.careful(sim.rows, sim.act.numpy())
        sim.act ^= torch.from_numpy((rng.random(count) < 0.05).astype(np.uint8))
        sim.step()
        views.push(sim.frame, sim.age, stack)
    return stack


@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("preset", ["fast", "article"])
def test_update(benchmark, items, preset, precision):
    """`Learner.update` at the preset's batch; auto is bfloat16 where that is faster."""
    config = replace(PRESETS[preset], precision=precision)
    learner, b = Learner(config, CPU), config.batch
    batch = Batch(states(b), torch.arange(b) % 2, torch.zeros(b), torch.ones(b), states(b))
    benchmark.group = f"update {preset}"
    items(b, "transition", alternative=precision == "float32")
    benchmark.pedantic(
        learner.update, args=(batch, 1e-4), warmup_rounds=3, rounds=20 if preset == "fast" else 8
    )
    meter = learner.read_meter()
    assert meter
    assert meter.loss > 0


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_act(benchmark, items, precision):
    """`Learner.act` for 64 games, compact network."""
    learner = Learner(replace(PRESETS["fast"], precision=precision), CPU)
    obs, forced = states(64), torch.full((64,), GREEDY, dtype=torch.uint8)
    benchmark.group = "act 64"
    items(64, "state", alternative=precision == "float32")
    act = benchmark.pedantic(learner.act, args=(obs, forced), warmup_rounds=3, rounds=100)
    assert act.shape == (64,)
