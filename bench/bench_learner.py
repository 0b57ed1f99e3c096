"""Acting and updating. Item: one state acted on, or one transition learned from. Excluded: playing,
sampling."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from vecflap import speed
from vecflap.dqn import Learner
from vecflap.evaluate import Policy
from vecflap.explore import GREEDY
from vecflap.frozen import frozen
from vecflap.networks import make_network
from vecflap.presets import PRESETS
from vecflap.replay import Batch

CPU = torch.device("cpu")


states = cache(speed.states)


@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("preset", ["fast", "article"])
def test_update(benchmark, items, preset, precision):
    """`Learner.update` at the preset's batch; auto is bfloat16 where that is faster."""
    config = replace(PRESETS[preset], precision=precision)
    learner, b = Learner(config, CPU), config.batch
    act, ones = torch.arange(b) % 2, torch.ones(b)
    batch = Batch(states(b), act, torch.zeros(b), ones, states(b), ones, act)
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
    choice = benchmark.pedantic(learner.act, args=(obs, forced), warmup_rounds=3, rounds=100)
    assert choice.act.shape == (64,)


@pytest.mark.parametrize("kind", ["frozen", "network"])
def test_judge(benchmark, items, kind):
    """500 states of a selection, answered by the network as it learns, or by a frozen one."""
    policy, obs = Policy(make_network(PRESETS["fast"], CPU), PRESETS["fast"]), states(500)
    ask = frozen(policy.network, policy.config.caution) if kind == "frozen" else policy.q
    benchmark.group = "judge 500"
    items(500, "state", alternative=kind == "network")
    answers = benchmark.pedantic(ask, args=(obs,), warmup_rounds=3, rounds=100)
    assert torch.equal(answers, policy.q(obs))
