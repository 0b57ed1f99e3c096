"""A network whose weights stay as they are answers to the bit as it does otherwise."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vecflap.config import Config
from vecflap.evaluate import load
from vecflap.frozen import Frozen, frozen
from vecflap.histogram import values
from vecflap.networks import make_network

KINDS = {
    "compact": {},
    "without distributions": {"loss": "huber", "caution": 0.0},
    "bfloat16": {"precision": "bfloat16"},
    "article": {"network": "article", "loss": "huber", "caution": 0.0},
}


def pictures(count, seed=0):
    """int64 [count, 4, 64] of pixels by chance, bytes of all values among them."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**62), 2**62, (count, 4, 64), generator=random)


def network_of(**options):
    """A network of which every weight matters."""
    network = make_network(Config(**{"precision": "float32"} | options), torch.device("cpu"))
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=random)
    return network


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_it_answers_as_the_network_does(kind):
    network, caution = network_of(**KINDS[kind]), KINDS[kind].get("caution", 0.1)
    ask = frozen(network, caution)
    assert isinstance(ask, Frozen) == (kind != "article")
    for count in (5, 300, 1, 17):  # memory used for many is used for few again
        states = pictures(count, seed=count)
        assert torch.equal(ask(states), values(network, states, caution))


def test_threads_do_not_mix_up_their_pictures():
    policy = load("flap9")
    ask, states = frozen(policy.network, 0.1), pictures(400).split(20)
    alone = [ask(some) for some in states]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            together = list(pool.map(ask, states))
            assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
