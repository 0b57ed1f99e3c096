"""From packed frames to actions: what the networks see, how they begin, who explores, what is greedy."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import CPU, frames
from torch import nn

from vecflap import bitblock, device, draws, networks
from vecflap.bitconv import BitConvolution
from vecflap.config import Config
from vecflap.dqn import Learner, choose
from vecflap.explore import GREEDY, explore
from vecflap.networks import Article, Compact, Unpack, make_network
from vecflap.presets import PRESETS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-128.0, 127.0)])
def test_unpacked_frames_are_numpys(low, high, dtype):
    packed = frames(3, 4)
    bits = np.unpackbits(packed.numpy().view(np.uint8), bitorder="little").reshape(3, 4, 64, 64)
    unpack = Unpack(low, high)
    out = unpack(packed, dtype)
    assert out.dtype == dtype
    assert np.array_equal(out.float().numpy(), np.where(bits, high, low))
    part = packed.transpose(0, 1)[1:]  # not contiguous
    assert torch.equal(unpack(part, dtype), out.transpose(0, 1)[1:])
    on_gpu = unpack.table.to(dtype)[packed.view(torch.uint8).int()].view(out.shape)
    assert torch.equal(on_gpu, out)


def layers(network: nn.Module, obs: torch.Tensor) -> dict[str, tuple]:
    """Shape and type of what each layer makes of a batch."""
    seen = {}
    leaves = {name: layer for name, layer in network.named_modules() if not list(layer.children())}
    for name, layer in leaves.items():
        layer.register_forward_hook(
            lambda _, inputs, out, name=name: seen.update({name: (tuple(out.shape[1:]), out.dtype)})
        )
    network(obs)
    return seen


def test_the_article_networks_layers_are_the_articles(monkeypatch):
    """As they are computed without tables."""
    monkeypatch.setattr(networks, "numba_config", SimpleNamespace(DISABLE_JIT=1))
    network = make_network(replace(PRESETS["article"], precision="float32"), CPU)
    shapes = {name: shape for name, (shape, _) in layers(network.train(), frames(3, 4)).items()}
    assert shapes == {
        "unpack": (4, 64, 64),
        "conv1": (32, 64, 64),
        "norm1": (32, 64, 64),
        "conv2": (32, 32, 32),
        "norm2": (32, 32, 32),
        "hidden": (512,),
        "norm3": (512,),
        "head": (2,),
    }
    assert (network.conv1.kernel_size, network.conv2.kernel_size) == ((3, 3), (3, 3))
    assert sum(p.numel() for p in network.parameters()) == 4_207_426
    assert network.unpack(frames(2), torch.float32).unique().tolist() == [-128, 127]


def test_the_article_networks_weights_are_truncated_normal_of_variance_1_over_fan_in():
    network = make_network(replace(PRESETS["article"], precision="float32"), CPU)
    for name, fan_in in {"conv1": 36, "conv2": 288, "hidden": 8192, "head": 512}.items():
        layer = getattr(network, name)
        w = layer.weight.detach().double().flatten()
        sigmas = w * fan_in**0.5
        within = 5 / len(w) ** 0.5
        assert abs(sigmas.square().mean() - 1) < within
        assert abs(sigmas.mean()) < within
        assert sigmas.abs().max() < 2.28  # cut at 2 deviations, before the cut made them smaller
        assert not layer.bias.any()


def test_the_compact_network_has_few_weights_and_an_embedding_of_bytes():
    network = Compact()
    assert sum(p.numel() for p in network.parameters()) == 49_586 + 3 * 128 * 129 + 4 * 8 * 256 * 16
    assert not network.bytes.weight.any()
    assert Compact().by_convolutions(frames(3, 4)).shape == (3, 3 * 3, 32)


@pytest.mark.parametrize("threads", [1, 2])
def test_on_a_cpu_the_compact_networks_tables_are_its_convolutions(threads, monkeypatch):
    """Outputs and gradients; then again with other weights."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    network, obs = Compact(), frames(7, 4)
    learned = [p for name, p in network.named_parameters() if name.startswith(("conv", "bytes"))]
    for _ in range(2):
        outs = network.by_tables(obs), network.by_convolutions(obs)
        slope = torch.randn(outs[0].shape)
        assert outs[0].shape == (7, 9, 32)
        assert (outs[0] > 0).float().mean() > 0.1
        torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
        grads = (torch.autograd.grad(out, learned, slope) for out in outs)
        for ours, theirs in zip(*grads, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        with torch.no_grad():
            for p in learned:
                p.add_(0.1 * torch.randn(p.shape))


@pytest.mark.parametrize("threads", [1, 2])
def test_tables_write_and_read_bfloat16_as_torch_rounds(threads, monkeypatch):
    """The same bits as rounding what they write in float32; gradients as of those in float32."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    network, obs = Compact(), frames(7, 4)
    learned = [network.conv1.weight, network.conv1.bias, network.bytes.weight]
    with torch.no_grad():
        for p in learned:
            p.copy_((256 * p).round() / 256)  # then many sums lie half-way between two numbers of bfloat16
    exact, rounded = (BitConvolution.apply(obs, *learned, d) for d in (torch.float32, torch.bfloat16))
    assert torch.equal(rounded, exact.bfloat16())
    slope = torch.randn(exact.shape).bfloat16()
    ours, theirs = (torch.autograd.grad(out, learned, slope.to(out.dtype)) for out in (rounded, exact))
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))


def shaken(network: Article) -> Article:
    """The network with other biases, scales of both signs, and statistics far from those it begins with."""
    with torch.no_grad():
        for norm in (network.norm1, network.norm2, network.norm3):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                tensor.copy_(torch.randn(tensor.shape))
            norm.running_var.copy_(torch.rand(norm.running_var.shape) + 0.1)
        network.conv1.bias.normal_()
    return network


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_on_a_cpu_the_article_networks_table_is_its_first_block(threads, training, monkeypatch):
    """Outputs, gradients and statistics, beside torch's own layers in float64; again with other weights."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    torch.manual_seed(5)  # with some weights two of four places are equal but for float32's rounding
    network, obs = shaken(Article()).train(training), frames(7, 4)
    obs[2], obs[3] = obs[2] & 0xFF00, -1  # like a game's pictures, where most places are as their neighbours
    for _ in range(2):
        plain = deepcopy(network).double()
        conv, norm = plain.conv1, plain.norm1
        out = bitblock.block(obs, network.conv1, network.norm1, -128, 127)
        x = network.unpack(obs, torch.float32).double()
        expected = nn.functional.max_pool2d(norm(conv(x)).relu(), 2)
        assert 0.2 < (out > 0).float().mean() < 0.9
        torch.testing.assert_close(
            out.double(), expected, rtol=1e-5, atol=1e-6 * float(expected.detach().max())
        )
        slope = torch.randn(out.shape)
        learned = [*network.conv1.parameters(), *network.norm1.parameters()]
        grads = torch.autograd.grad(out, learned, slope)
        expected_grads = torch.autograd.grad(
            expected, [*conv.parameters(), *norm.parameters()], slope.double()
        )
        for ours, theirs in zip(grads, expected_grads, strict=True):
            within = 1e-5 * float(theirs.abs().max()) + 1e-9  # batch norm leaves nothing of a bias's gradient
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=within)
        for name, statistic in network.norm1.state_dict().items():
            torch.testing.assert_close(statistic, norm.state_dict()[name].to(statistic.dtype), msg=name)
        shaken(network)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_article_networks_table_repeats_bit_for_bit(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    network, obs = shaken(Article()).train(), frames(7, 4)
    learned, slope = [*network.conv1.parameters(), *network.norm1.parameters()], torch.randn(7, 32, 32, 32)
    made = []
    for _ in range(2):
        out = bitblock.block(obs, network.conv1, network.norm1, -128, 127)
        made.append((out, *torch.autograd.grad(out, learned, slope)))
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


def test_the_article_networks_folded_batch_norm_is_batch_norm(monkeypatch):
    """In evaluation, with and without tables."""
    network, obs = shaken(Article()).eval(), frames(6, 4)
    x = network.unpack(obs, torch.float32)
    for conv, norm in ((network.conv1, network.norm1), (network.conv2, network.norm2)):
        x = nn.functional.max_pool2d(norm(conv(x)).relu(), 2)
    plain = network.head(network.norm3(network.hidden(x.flatten(1))).relu())
    torch.testing.assert_close(network(obs), plain, rtol=1e-4, atol=1e-3)
    monkeypatch.setattr(networks, "numba_config", SimpleNamespace(DISABLE_JIT=1))
    torch.testing.assert_close(network(obs), plain, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["compact", "article"])
def test_initial_weights_follow_from_the_seed_alone(name):
    config = Config(network=name, seed=2**63 - 1)
    before = torch.random.get_rng_state()
    one = make_network(config, CPU)
    assert torch.equal(before, torch.random.get_rng_state()), "the user's own random numbers are left alone"
    torch.rand(7)
    learner = Learner(config, CPU)
    other = make_network(Config(network=name, seed=1), CPU)
    for key, weights in one.state_dict().items():
        assert torch.equal(weights, learner.online.state_dict()[key])
        assert torch.equal(weights, learner.target.state_dict()[key])
        always = weights.unique().numel() < 3 or key.endswith("head.bias")
        assert always or not torch.equal(weights, other.state_dict()[key]), key


@pytest.mark.parametrize("name", ["compact", "article"])
def test_bfloat16_comes_close_and_the_last_layer_is_float32(name):
    exact = make_network(Config(network=name, precision="float32", loss="huber", caution=0.0), CPU)
    rounded = make_network(Config(network=name, precision="bfloat16", loss="huber", caution=0.0), CPU)
    obs = frames(16, 4)
    ours, theirs = exact(obs).detach(), rounded(obs).detach()
    assert theirs.dtype == torch.float32
    assert 0 < (ours - theirs).abs().max() < 0.03 * max(1, float(ours.abs().max()))
    types = {n: dtype for n, (_, dtype) in layers(rounded, obs).items()}
    assert types.pop("head") == torch.float32
    assert set(types.values()) == {torch.bfloat16}
    assert any(name.startswith("hidden") for name in types)
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}
    assert theirs[:, 0].unique().numel() == 16, "the last layer does not round to bfloat16"
    assert not torch.equal(theirs, theirs.bfloat16().float())


@pytest.mark.parametrize("network", [Compact, Article])
def test_a_state_has_its_q_values_whoever_else_is_in_the_batch(network):
    net, obs = network().eval(), frames(9, 4)
    torch.testing.assert_close(net(obs)[4:5], net(obs[4:5]), rtol=1e-4, atol=1e-5)


def test_a_tie_glides():
    acts = choose(torch.tensor([[1.0, 1.0], [1.0, 1.5], [1.5, 1.0], [0.0, 1e-30], [-2.0, -1.0]]))
    assert acts.tolist() == [0, 1, 0, 1, 1]
    assert acts.dtype == torch.uint8


def explored(row: int, eps: float, flap_chance: float, games: int = 1000, seed: int = 3) -> np.ndarray:
    forced = np.full(games, 77, np.uint8)
    explore(forced, seed, draws.EXPLORE, row, eps, flap_chance, 0, 0.0)
    return forced


def test_exploration_follows_from_the_counters_alone():
    first = explored(5, 0.5, 0.3)
    explored(6, 0.9, 0.1)
    assert np.array_equal(explored(5, 0.5, 0.3), first)
    assert np.array_equal(explored(5, 0.5, 0.3, games=40), first[:40])
    assert not np.array_equal(explored(6, 0.5, 0.3), first)
    assert not np.array_equal(explored(5, 0.5, 0.3, seed=4), first)


@pytest.mark.parametrize(
    ("eps", "flap_chance"), [(0.3, 0.1), (0.01, 0.5), (1.0, 0.1), (1.0, 0.0), (1.0, 1.0)]
)
def test_actions_are_random_as_often_as_asked(eps, flap_chance):
    actions = np.concatenate([explored(row, eps, flap_chance) for row in range(100)])
    random = actions != GREEDY
    assert abs(random.mean() - eps) <= 5 * (eps * (1 - eps) / len(actions)) ** 0.5
    flaps = actions[random] == 1
    assert set(actions[random].tolist()) <= {0, 1}
    assert abs(flaps.mean() - flap_chance) <= 5 * (flap_chance * (1 - flap_chance) / len(flaps)) ** 0.5


def test_without_exploration_every_action_is_greedy():
    assert (explored(0, 0.0, 0.5) == GREEDY).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_forced_actions_are_played_and_the_others_are_greedy(preset):
    learner = Learner(replace(PRESETS[preset], loss="squared", caution=0.0), CPU)
    obs = frames(40, 4)
    with torch.no_grad():  # half of these states are for flapping
        q = learner.online(obs)
        learner.online.head.bias[1] -= (q[:, 1] - q[:, 0]).median()
        greedy = choose(learner.online(obs))
    assert 10 < greedy.sum() < 30
    forced = torch.arange(40).remainder(3).to(torch.uint8)
    expected = [int(g) if f == GREEDY else int(f) for f, g in zip(forced, greedy, strict=True)]
    assert learner.act(obs, forced).act.tolist() == expected
    assert learner.act(obs, torch.full((40,), GREEDY)).act.tolist() == greedy.tolist()


@pytest.mark.parametrize(
    ("cpu", "tiles", "instructions", "gains"),
    [
        ("Intel(R) Xeon(R) Platinum", True, True, True),
        ("Intel(R) Xeon(R) Platinum", False, True, False),
        ("AMD EPYC 9654", False, True, True),
        ("AMD EPYC 7763", False, False, False),
    ],
)
def test_a_cpu_computes_in_bfloat16_where_that_was_seen_to_be_faster(
    monkeypatch, cpu, tiles, instructions, gains
):
    monkeypatch.setattr(device, "cpu_name", lambda: cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    assert device.gains_by_bfloat16(CPU) == gains
