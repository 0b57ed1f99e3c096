"""Q values as distributions, against torch's own distributions and NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from vecflap.config import Config
from vecflap.dqn import Learner
from vecflap.evaluate import Policy
from vecflap.explore import GREEDY
from vecflap.histogram import BINS, BLUR, Histogram, span
from vecflap.networks import make_network
from vecflap.players import careful
from vecflap.replay import Batch
from vecflap.sim import VecFlap

CONFIG = Config(precision="float32")
CPU = torch.device("cpu")
LOWEST, HIGHEST = span(CONFIG)
WIDTH = (HIGHEST - LOWEST) / BINS


def network() -> Histogram:
    torch.manual_seed(0)
    made = make_network(CONFIG, CPU)
    assert isinstance(made, Histogram)
    torch.nn.init.normal_(made.network.get_parameter("head.weight"))
    return made


def stacks(count: int) -> torch.Tensor:
    return torch.randint(-(2**63), 2**63 - 1, (count, 4, 64), generator=torch.Generator().manual_seed(1))


def chances(target: float) -> torch.Tensor:
    """The shares of a normal distribution about a target that fall into the bins, by torch."""
    below = Normal(torch.tensor(target).double(), BLUR * WIDTH).cdf(
        torch.linspace(LOWEST, HIGHEST, BINS + 1, dtype=torch.float64)
    )
    shares = below[1:] - below[:-1]
    return shares / shares.sum()


@pytest.mark.parametrize("target", [-1.0, 0.03, 2.5])
def test_the_loss_is_least_for_the_normal_distribution_about_the_target(target):
    best = chances(target).clamp(min=1e-30).log().float()[None]
    there = torch.tensor([target])
    loss = network().loss(best, there)
    assert loss.item() == pytest.approx(-(chances(target) * best[0].double()).sum().item(), rel=1e-4)
    assert network().mean(best[:, None].expand(1, 2, BINS))[0, 0].item() == pytest.approx(target, abs=5e-3)
    for moved in (torch.roll(best, 1), torch.roll(best, -1), best * 0.5, best * 2):
        assert network().loss(moved, there) > loss + 1e-3


def test_returns_out_of_range_are_learned_as_the_nearest():
    logits = torch.randn(1, BINS)
    for far, near in ((-9.0, LOWEST + WIDTH / 2), (9.0, HIGHEST - WIDTH / 2)):
        assert torch.equal(
            network().loss(logits, torch.tensor([far])), network().loss(logits, torch.tensor([near]))
        )


@pytest.mark.parametrize("gamma", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("skip", [1, 2])
@pytest.mark.parametrize("rewards", [(-1.0, 0.1, 1.0), (-100.0, 0.0, 3.0), (0.0, -1.0, -2.0)])
def test_no_return_is_out_of_range(gamma, skip, rewards):
    """Of a scripted player's games, and of birds that crash."""
    crash, alive, pipe = rewards
    config = Config(gamma=gamma, skip=skip, reward_crash=crash, reward_alive=alive, reward_pipe=pipe)
    sim, ret, rows = VecFlap(20, "flap7", skip=skip), np.zeros(20), []
    for t in range(1500):
        act = np.zeros(20, np.uint8)
        careful(sim.rows, act)
        act[:10] = t % 37 == 0
        sim.step(act)
        reward = np.array([crash, alive, pipe])[sim.rew.numpy() + 1]
        rows.append((reward, sim.term.numpy().astype(bool)))
    returns = []
    for reward, term in reversed(rows):
        ret = reward + gamma * np.where(term, 0, ret)
        returns.append(ret)
    low, high = span(config)
    assert low < np.min(returns)
    assert np.max(returns) < high
    assert np.ptp(returns) > (high - low) / 2 or skip > 1  # the scripted player then dies early


def test_a_new_network_prefers_gliding_by_the_bias():
    q = make_network(replace(CONFIG, flap_bias=0.3), CPU)(stacks(5))
    assert torch.allclose(q[:, 0] - q[:, 1], torch.full((5,), 0.3), atol=0.02)


def test_making_a_network_leaves_the_callers_draws_alone():
    before = torch.get_rng_state()
    make_network(CONFIG, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_caution_takes_deviations_off_and_the_bird_plays_by_it():
    made, obs = network(), stacks(200)
    with torch.inference_mode():
        logits = made.logits(obs).double().numpy()
        played = Policy(made, CONFIG).q(obs).numpy()
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    middles = LOWEST + WIDTH * (np.arange(BINS) + 0.5)
    mean = (chance * middles).sum(-1)
    std = np.sqrt((chance * (middles - mean[..., None]) ** 2).sum(-1))
    assert std.mean() > 0.05
    np.testing.assert_allclose(played, mean - 0.1 * std, atol=1e-4)


def test_updates_teach_the_taken_action_its_return():
    learner = Learner(replace(CONFIG, optimiser="adam"), CPU)
    obs, act = stacks(64), torch.arange(64) % 2
    ret = torch.where(torch.arange(64) % 4 < 2, 2.0, -1.0)
    batch = Batch(obs, act, ret, torch.zeros(64), obs, torch.ones(64), torch.arange(64))
    for _ in range(150):
        learner.update(batch, 3e-3)
    with torch.inference_mode():
        q = learner.online(obs).gather(1, act[:, None]).squeeze(1)
    assert (q - ret).abs().max() < 0.15


def spread(made):
    """Let a new network think something else of every state."""
    with torch.no_grad():
        for layer in made.network.hidden:
            layer.weight.mul_(3.0)
    torch.nn.init.normal_(made.network.head.weight, std=5.0)


def test_a_target_is_of_the_next_states_value_less_deviations():
    config = replace(CONFIG, gamma=0.5, missed=0.2, slipped=0.1, flap_bias=0.0)
    learner = Learner(config, CPU)
    spread(learner.target)
    obs, ones = stacks(100), torch.ones(100)
    batch = Batch(obs, ones.long(), ones, 0.5 * ones, obs.flip(0), ones, ones.long())
    with torch.inference_mode():
        glide, flap = Policy(learner.target, CONFIG).q(batch.next_obs).double().numpy().T
        target = learner._target(batch, learner._follower()).numpy()
    value = np.where(flap > glide, 0.8 * flap + 0.2 * glide, 0.9 * glide + 0.1 * flap)
    np.testing.assert_allclose(target, 1 + 0.5 * value, atol=1e-4)
    assert 0 < (flap > glide).sum() < 100


def test_games_that_rehearse_are_played_by_the_mean():
    config = replace(CONFIG, envs=1000, clumsy=0.0, capacity=100_000, caution=1.0, flap_bias=0.0)
    learner = Learner(config, CPU)
    spread(learner.average)
    obs = stacks(1000)
    with torch.inference_mode():
        mean, cautious = learner.average(obs), Policy(learner.average, config).q(obs)
        act = learner.act(obs, torch.full((1000,), GREEDY, dtype=torch.uint8)).act
    mine, other = (q[:, 1] > q[:, 0] for q in (mean, cautious))
    assert (mine != other)[1::2].any()
    assert torch.equal(act[1::2].bool(), mine[1::2])


def test_returns_without_end_cannot_be_told():
    with pytest.raises(ValueError, match=r"--gamma 1 .*--gamma 0\.99"):
        Config(gamma=1.0)


def test_caution_needs_distributions():
    with pytest.raises(ValueError, match=r"--caution 0\.1 needs .*: --loss categorical; or --caution 0\."):
        Config(loss="huber", caution=0.1)
