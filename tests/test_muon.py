"""The optimiser, against singular value decompositions and torch's own Muon."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from vecflap.config import Config
from vecflap.dqn import Learner
from vecflap.muon import ADAMS_SHARE, MOMENTUM, Muon, optimisers, orthogonal, set_rate
from vecflap.networks import make_network

CPU = torch.device("cpu")
SHAPES = [(5, 40), (40, 5), (16, 16), (1, 3)]


def uneven(rows, columns):
    """A matrix whose longest direction is 30 times the shortest."""
    u, s, v = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    return u @ torch.diag(torch.linspace(1.0, 30.0, len(s))) @ v


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_become_about_1_and_their_vectors_stay(shape):
    torch.manual_seed(0)
    matrix = uneven(*shape)
    found = orthogonal(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    lengths = u.T @ found @ v.T
    torch.testing.assert_close(lengths, torch.diag(lengths.diagonal()), atol=1e-3, rtol=0)
    assert lengths.diagonal().min() > 0.5
    assert lengths.diagonal().max() < 1.3


def test_of_nothing_comes_nothing():
    assert torch.equal(orthogonal(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_those_of_torchs_muon(shape):
    """Which computes in bfloat16, so about."""
    torch.manual_seed(1)
    start = torch.randn(shape)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    own = Muon([ours], 0.1)
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0, momentum=MOMENTUM)
    for _ in range(4):
        ours.grad = uneven(*shape)
        theirs.grad = ours.grad.clone()
        own.step()
        other.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.05 * moved
    assert moved > 0.1


def test_directions_are_kept_for_some_steps_and_weights_take_turns():
    """Against an optimiser that finds them anew in every step."""
    torch.manual_seed(3)
    slopes = torch.randn(13, 6, 3, 5)
    moves = []
    for every in (4, 1):
        weights = [nn.Parameter(torch.zeros(3, 5)) for _ in range(6)]
        muon = Muon(weights, 0.1, every=every)
        places = [torch.zeros(6, 3, 5)]
        for of_step in slopes:
            for weight, slope in zip(weights, of_step, strict=True):
                weight.grad = slope.clone()
            muon.step()
            places.append(torch.stack([weight.detach().clone() for weight in weights]))
        moves.append(torch.stack(places).diff(dim=0))
    kept, always = moves

    def same(a, b):
        return torch.isclose(a, b, atol=1e-5).flatten(2).all(2)

    found = same(kept, always)
    assert found[0].all()
    assert torch.equal(same(kept[1:], kept[:-1]), ~found[1:])
    assert found[1:5].sum(0).tolist() == [1] * 6
    assert set(found[1:5].sum(1).tolist()) == {1, 2}
    assert torch.equal(found[5:], found[1:-4])


def test_a_convolution_is_a_matrix_of_outputs_and_inputs():
    torch.manual_seed(2)
    flat, kernel = nn.Parameter(torch.zeros(6, 32)), nn.Parameter(torch.zeros(6, 2, 4, 4))
    flat.grad = torch.randn(6, 32)
    kernel.grad = flat.grad.view(6, 2, 4, 4).clone()
    Muon([flat], 0.1).step()
    Muon([kernel], 0.1).step()
    assert torch.equal(flat.view(6, 2, 4, 4), kernel)
    assert flat.abs().sum() > 0


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_every_weight_is_moved_by_one_optimiser_and_the_last_layer_by_adam(name):
    config = Config(optimiser=name)
    network = make_network(config, CPU)
    found = optimisers(network, config.optimiser, config.lr, config.adam_eps, CPU)
    moved = [weight for optimiser in found for group in optimiser.param_groups for weight in group["params"]]
    assert sorted(map(id, moved)) == sorted(map(id, network.parameters()))
    if name == "adam":
        assert [type(optimiser) for optimiser in found] == [torch.optim.Adam]
        return
    muon, adam = found
    names = {id(weight): name for name, weight in network.named_parameters()}
    by_muon = [names[id(weight)] for weight in muon.param_groups[0]["params"]]
    layers = ["conv1", "conv2", *(f"hidden.{number}" for number in range(4))]
    assert by_muon == [f"network.{layer}.weight" for layer in layers]
    for optimiser in found:
        set_rate(optimiser, 0.5)
    assert (muon.param_groups[0]["lr"], adam.param_groups[0]["lr"]) == (0.5, 0.5 * ADAMS_SHARE)


def test_its_momentum_is_saved():
    config = Config(device="cpu", precision="float32", optimiser="muon")
    learner = Learner(config, CPU)
    again = Learner(config, CPU)
    for turn in range(3):
        if turn == 2:
            again.load_state_dict(deepcopy(learner.state_dict()))
        torch.manual_seed(turn)
        slopes = [torch.randn_like(weight) for weight in learner.online.parameters()]
        for one in (learner, again) if turn == 2 else (learner,):
            for weight, slope in zip(one.online.parameters(), slopes, strict=True):
                weight.grad = slope.clone()
            for optimiser in one.optimisers:
                optimiser.step()
    assert all(map(torch.equal, learner.online.parameters(), again.online.parameters()))
    kept = {"momentum", "step", "direction"}
    assert all({f"muon.{i}.{name}" for name in kept} <= set(learner.state_dict()) for i in range(6))


def test_nothing_of_a_weight_that_is_never_used_again_remains():
    """Of a product by 0.95 the smallest numbers stay as they are, and slow down all that they are part of."""
    torch.manual_seed(5)
    weight = nn.Parameter(torch.randn(3, 4))
    muon = Muon([weight], 0.001)
    for used in [True] + [False] * 600:
        weight.grad = torch.randn(3, 4)
        weight.grad[1] *= used
        muon.step()
    momentum = muon.state[weight]["momentum"]
    assert momentum[1].eq(0).all()
    assert momentum[[0, 2]].ne(0).all()
