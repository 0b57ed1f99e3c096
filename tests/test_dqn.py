"""The learner: targets, losses and gradients by hand, a target network that follows, saving and restoring."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CPU, frames, same

from vecflap.config import Config
from vecflap.dqn import Learner
from vecflap.explore import GREEDY, OTHERWISE
from vecflap.presets import PRESETS
from vecflap.replay import STRAYED, Batch

PLAIN = {"loss": "huber", "caution": 0.0, "missed": 0.0, "slipped": 0.0, "optimiser": "adam", "lr": 1e-3}
EXACT = Config(precision="float32", clip=0.0, double=True, **PLAIN)
ARTICLE = replace(EXACT, network="article")


def make_batch(size: int = 12, seed: int = 0) -> Batch:
    """Transitions of random frames; in every third one the episode ended."""
    rng = torch.Generator().manual_seed(seed)
    return Batch(
        obs=frames(size, 4, seed=seed),
        act=torch.arange(size) % 2,
        ret=torch.randn(size, generator=rng),
        discount=0.9**3 * (torch.arange(size) % 3 > 0).float(),
        next_obs=frames(size, 4, seed=seed + 1).flip(0),
        weight=0.2 + 0.8 * torch.rand(size, generator=rng),
        place=torch.arange(size),
    )


def make_learner(config: Config) -> tuple[Learner, Batch]:
    """A learner, and a batch in many of whose next states its two networks disagree on the best action."""
    learner, batch = Learner(config, CPU), make_batch()
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for network in (learner.online, learner.target):
            network.head.weight.normal_(generator=rng)
            q = network(batch.next_obs)
            network.head.bias[0] += (q[:, 1] - q[:, 0]).median()
            network.head.bias += 0.5
    return learner, batch


def gradient_norm(learner: Learner) -> float:
    return sum(float(p.grad.square().sum()) for p in learner.online.parameters()) ** 0.5


def q_values(network: torch.nn.Module, obs: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return network(obs).double().numpy()


def by_hand(learner: Learner, batch: Batch, q: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, its derivative by each taken action's Q value, and what these were wrong by."""
    config, each = learner.config, np.arange(len(q))
    value, online = q_values(learner.target, batch.next_obs), q_values(learner.online, batch.next_obs)
    best = (online if config.double else value).argmax(1)
    assert (online.argmax(1) != value.argmax(1)).sum() >= 2, "a batch that tells the two apart"
    other = np.where(best == 1, config.missed, config.slipped)  # how often the other action is played
    worth = (1 - other) * value[each, best] + other * value[each, 1 - best]
    target = batch.ret.numpy() + batch.discount.numpy() * worth
    error, weight = q[each, batch.act.numpy()] - target, batch.weight.double().numpy()
    if config.loss == "squared":
        return (weight * error**2).mean(), 2 * weight * error / len(q), -error
    huber = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
    assert 0 < (abs(error) < 1).sum() < len(q), "a batch with small and large errors"
    return (weight * huber).mean(), weight * np.clip(error, -1, 1) / len(q), -error


@pytest.mark.parametrize(("missed", "slipped"), [(0.0, 0.0), (0.3, 0.0), (0.2, 0.1)])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_loss_and_gradient_are_the_ones_computed_by_hand(loss, double, missed, slipped):
    learner, batch = make_learner(replace(EXACT, loss=loss, double=double, missed=missed, slipped=slipped))
    before = deepcopy(learner.state_dict())
    q = q_values(learner.online, batch.obs)
    expected, slope, error = by_hand(learner, batch, q)
    assert learner.update(batch, lr=0.0)[1].tolist() == pytest.approx(error, rel=1e-4, abs=1e-6)
    meter = learner.read_meter()
    assert meter.loss == pytest.approx(expected, rel=1e-5)
    act = batch.act.numpy()
    assert meter.q == pytest.approx(q[np.arange(12), act].mean(), rel=1e-5)
    gradient = [slope[act == a].sum() for a in (0, 1)]
    assert learner.online.head.bias.grad.tolist() == pytest.approx(gradient, rel=1e-4, abs=1e-6)
    assert meter.grad_norm == pytest.approx(gradient_norm(learner), rel=1e-5)
    assert all(p.grad is None for p in learner.target.parameters())
    assert same(learner.online.state_dict(), {k[7:]: v for k, v in before.items() if k.startswith("online.")})


def test_where_the_episode_ended_nothing_of_the_next_state_counts():
    learner, batch = make_learner(EXACT)
    value, other = (
        learner._target(b, learner._follower()) for b in (batch, batch._replace(next_obs=batch.obs))
    )
    assert torch.equal(value == batch.ret, batch.discount == 0)
    assert torch.equal(value == other, batch.discount == 0)


def test_the_first_step_of_adam_goes_by_the_given_rate_against_the_gradient():
    learner, batch = make_learner(EXACT)
    before = learner.online.head.weight.clone()
    learner.update(batch, lr=0.01)
    slope = learner.online.head.weight.grad
    moved = -0.01 * slope / (slope.abs() + learner.config.adam_eps)
    torch.testing.assert_close(learner.online.head.weight - before, moved, rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped_to_the_largest_norm_and_metered_before():
    learner, batch = make_learner(replace(EXACT, clip=0.25))
    learner.update(batch, lr=0.0)
    assert gradient_norm(learner) == pytest.approx(0.25, rel=1e-3)
    assert learner.read_meter().grad_norm > 1


@pytest.mark.parametrize("config", [EXACT, ARTICLE])
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_the_target_network_follows_with_all_it_has(config, rate):
    learner = Learner(config, CPU)
    for tensor in learner.online.state_dict().values():
        tensor.add_(1)
    online, target = deepcopy(learner.online.state_dict()), deepcopy(learner.target.state_dict())
    assert not any(torch.equal(online[name], target[name]) for name in online)
    learner.follow(rate)
    for name, followed in learner.target.state_dict().items():
        if not followed.is_floating_point():
            continue  # a norm's count of batches, of which nothing depends
        torch.testing.assert_close(followed, target[name] + rate * (online[name] - target[name]))
        assert rate < 1 or torch.equal(followed, online[name]), name
    assert same(learner.online.state_dict(), online)


@pytest.mark.parametrize("config", [EXACT, ARTICLE])
def test_the_average_is_over_the_last_part_of_all_updates(config):
    learner, expected = Learner(replace(config, average=2.5), CPU), {}
    for update in range(1, 9):
        learner.update(make_batch(8), lr=0.01)
        for name, online in learner.online.state_dict().items():
            old = expected.get(name, online.clone().zero_())
            expected[name] = old + min(1.0, 2.5 / update) * (online - old)
    for name, average in learner.average.state_dict().items():
        if average.is_floating_point():
            torch.testing.assert_close(average, expected[name])
    assert not torch.equal(learner.average.head.weight, learner.online.head.weight)
    again = Learner(replace(config, average=2.5), CPU)
    again.load_state_dict(deepcopy(learner.state_dict()))
    for either in (learner, again):
        either.update(make_batch(8), lr=0.01)
    assert same(learner.average.state_dict(), again.average.state_dict()), "it goes on where it was"


@pytest.mark.parametrize(("every", "rate", "moves"), [(0, 0.5, True), (0, 0.0, False), (100, 0.5, False)])
def test_an_update_moves_the_target_network_only_if_it_follows_softly(every, rate, moves):
    learner = Learner(replace(EXACT, target_every=every, target_rate=rate), CPU)
    before = deepcopy(learner.target.state_dict())
    learner.update(make_batch(), lr=0.1)
    after, online = learner.target.state_dict(), learner.online.state_dict()
    for name, old in before.items():
        torch.testing.assert_close(after[name], old + rate * (online[name] - old) if moves else old)
        assert not torch.equal(online[name], old)


def test_acting_tells_what_was_chosen_and_what_it_is_worth():
    learner, batch = make_learner(replace(EXACT, missed=0.25))
    forced = torch.tensor([GREEDY, 0, 1, OTHERWISE] * 3, dtype=torch.uint8)
    choice = learner.act(batch.obs, forced)
    q, strayed = q_values(learner.online, batch.obs), set()
    for i, (glide, flap) in enumerate(q):
        best = int(flap > glide)
        act = {GREEDY: best, OTHERWISE: 1 - best}.get(int(forced[i]), int(forced[i]))
        assert int(choice.act[i]) == act
        assert int(choice.noted[i]) == act + STRAYED * (act != best)
        worth = 0.75 * flap + 0.25 * glide if best else glide
        assert float(choice.value[i]) == pytest.approx(worth, rel=1e-5)
        assert float(choice.taken[i]) == pytest.approx(q[i, act], rel=1e-5)
        strayed.add((act, act != best))
    assert len(strayed) == 4


def test_some_games_are_played_as_by_the_bird_that_is_kept():
    config = replace(EXACT, envs=12, capacity=1_200, clumsy=0.25)
    learner, batch = make_learner(config)
    with torch.no_grad():
        learner.average.head.bias += torch.tensor([0.0, 0.02])
    forced = torch.full((12,), GREEDY, dtype=torch.uint8)
    forced[4], forced[6], forced[10] = 0, 1, OTHERWISE
    choice = learner.act(batch.obs, forced)
    online, kept = q_values(learner.online, batch.obs), q_values(learner.average, batch.obs)
    others = 0
    for game in range(12):
        greedy = int(online[game, 1] > online[game, 0])
        as_kept = int(kept[game, 1] > kept[game, 0])
        act = as_kept if game in (4, 6, 8, 10) else greedy
        act = {4: 0, 6: 1, 10: 1 - as_kept}.get(game, act)
        assert int(choice.act[game]) == act, game
        assert int(choice.noted[game]) == act + STRAYED * (act != greedy)
        others += game in (8, 10) and as_kept != greedy
    assert others, "they differ somewhere"
    alone = Learner(replace(config, rehearse=False), CPU)
    alone.load_state_dict(deepcopy(learner.state_dict()))
    assert (
        alone.act(batch.obs, torch.full_like(forced, GREEDY)).act.tolist()
        == (online[:, 1] > online[:, 0]).tolist()
    )


def test_a_new_network_is_biased_against_flapping():
    biased, fair = (Learner(replace(EXACT, flap_bias=bias), CPU).online.head.bias for bias in (0.5, 0.0))
    assert (biased - fair).tolist() == [0.0, -0.5]


def test_batch_norm_uses_the_batch_only_in_the_updates_forward():
    learner, batch = Learner(ARTICLE, CPU), make_batch(8)
    statistics = {name: t for name, t in learner.online.state_dict().items() if "running" in name}
    assert len(statistics) == 6
    before = deepcopy(statistics)
    learner.act(batch.obs, torch.full((8,), 2))
    assert same(statistics, before)
    training, acting = deepcopy(learner.online).train(), deepcopy(learner.online)
    with torch.no_grad():
        q = training(batch.obs).gather(1, batch.act[:, None])
        value = learner.target(batch.next_obs)
        best = acting(batch.next_obs).argmax(1, keepdim=True)
        target = batch.ret[:, None] + batch.discount[:, None] * value.gather(1, best)
        assert not torch.allclose(training(batch.obs), acting(batch.obs), atol=0.1)
    learner.update(batch, lr=0.0)
    meter = learner.read_meter()
    assert meter.q == pytest.approx(float(q.mean()), rel=1e-4)
    each = torch.nn.functional.smooth_l1_loss(q, target, reduction="none").squeeze(1)
    assert meter.loss == pytest.approx(float((batch.weight * each).mean()), rel=1e-4)
    assert not any(torch.equal(before[name], t) for name, t in statistics.items())
    assert not learner.online.training
    assert not learner.target.training


@pytest.mark.parametrize("preset", PRESETS)
def test_a_learner_can_fit_a_small_batch(preset):
    learner, batch = Learner(PRESETS[preset], CPU), make_batch(8)._replace(discount=torch.zeros(8))
    wrong_by, (updates, lr) = [], {"article": (30, 2e-3), "fast": (120, 1e-2)}[preset]
    for _ in range(updates):
        _, error = learner.update(batch, lr)
        wrong_by.append(float(error.abs().mean()))
    assert wrong_by[-1] < wrong_by[0] / 4


def test_the_meter_averages_the_updates_since_it_was_read():
    learner, alone = Learner(EXACT, CPU), []
    assert learner.read_meter() is None
    for seed in (1, 2, 3):
        one = deepcopy(learner)
        one.read_meter()
        for each in (one, learner):
            each.update(make_batch(seed=seed), lr=0.0)
        alone.append(one.read_meter())
    assert learner.read_meter() == pytest.approx(np.mean(alone, axis=0).tolist(), rel=1e-5)
    assert learner.read_meter() is None
    for tensor in learner.online.head.parameters():
        tensor.data.zero_()
    learner.update(make_batch(), lr=0.0)
    assert learner.read_meter().tie == 1.0


@pytest.mark.parametrize("config", [EXACT, ARTICLE, Config(precision="bfloat16", target_every=9)])
def test_a_restored_learner_updates_as_the_saved_one_would_have(config):
    learner = Learner(config, CPU)
    for seed in (1, 2):
        learner.update(make_batch(8, seed), lr=1e-3)
    other = Learner(replace(config, seed=5), CPU)
    other.load_state_dict(deepcopy(learner.state_dict()))
    for seed in (3, 4):
        for each in (learner, other):
            each.update(make_batch(8, seed), lr=1e-3)
        assert same(learner.state_dict(), other.state_dict())
    assert learner.updates == other.updates == 4
    assert learner.read_meter() == other.read_meter()
