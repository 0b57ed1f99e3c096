"""Showing games otherwise than packed. Item: one game's observation. Excluded: compiling, playing.

The alternative is to fill the same memory with a constant.
"""

import numpy as np
import pytest
import torch

from vecflap import VecFlap, players, views


@pytest.fixture(params=[64, 1024])
def sim(request):
    """Games well under way."""
    sim = VecFlap(request.param, threads=1)
    for _ in range(200):
        players.careful(sim.rows, sim.act.numpy())
        sim.step()
    return sim


def test_step_and_unpacked_stacks(benchmark, items, sim):
    """A step, the packed stacks moved on, and all four frames spread to bytes: uint8 [N, 4, 64, 64]."""
    stack = torch.zeros(sim.envs, 4, 64, dtype=torch.int64)
    pixels = torch.zeros(sim.envs, 4, 64, 64, dtype=torch.uint8)

    def step():
        sim.step()
        views.push(sim.frame, sim.age, stack)
        views.unpack(stack, pixels)

    benchmark.group = f"unpacked stacks {sim.envs}"
    items(sim.envs, "stack")
    benchmark.pedantic(step, setup=lambda: players.careful(sim.rows, sim.act.numpy()), rounds=100)
    assert 0 < (pixels == 255).float().mean() < 1
    assert ((pixels == 255) | (pixels == 0)).all()


def test_floor_fill_unpacked_stacks(benchmark, items, sim):
    """Only writing as many bytes."""
    pixels = np.zeros((sim.envs, 4, 64, 64), np.uint8)
    benchmark.group = f"unpacked stacks {sim.envs}"
    items(sim.envs, "stack", alternative=True)
    benchmark.pedantic(pixels.fill, args=(255,), warmup_rounds=2, rounds=100)


def test_packed_stacks(benchmark, items, sim):
    """int64 [N, 4, 64], moved on by a frame."""
    stack = torch.zeros(sim.envs, 4, 64, dtype=torch.int64)
    benchmark.group = f"other views {sim.envs}"
    items(sim.envs, "stack")
    benchmark.pedantic(views.push, args=(sim.frame, sim.age, stack), warmup_rounds=2, rounds=100)
    assert (stack[:, -1] == sim.frame).all()


def test_features(benchmark, items, sim):
    """float32 [N, 12]."""
    numbers = np.zeros((sim.envs, views.FEATURES), np.float32)
    benchmark.group = f"other views {sim.envs}"
    items(sim.envs, "vector")
    benchmark.pedantic(views.features, args=(sim.rows, numbers), warmup_rounds=2, rounds=100)
    assert np.isfinite(numbers).all()
    assert numbers.any()
