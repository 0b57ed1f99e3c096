"""A compact network whose weights stay as they are, on a CPU: what is made of weights is made once, and
memory is used again. It answers to the bit as the network does."""

import threading
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vecflap import bitconv
from vecflap.histogram import Histogram, values
from vecflap.networks import Compact, uses_tables

STEP = 32
"""In bfloat16 states are rounded up to a multiple of this, by what was asked before: oneDNN prepares itself
for every number of rows, and keeps that: a gigabyte where all numbers up to a thousand come."""

Answers = Callable[[Tensor], Tensor]
"""Of int64 [B, 4, 64] packed stacks, float32 [B, 2]."""


def frozen(network: nn.Module, caution: float = 0.0) -> Answers:
    """What a network plays by, see `histogram.values`, as long as its weights are not changed."""
    inner = network.network if isinstance(network, Histogram) else network
    if isinstance(inner, Compact) and uses_tables(next(inner.parameters()).device):
        return Frozen(network, inner, caution)
    return torch.inference_mode()(partial(values, network, caution=caution))


class Frozen:
    """Answers int64 [B, 4, 64] packed stacks with float32 [B, 2]; in any thread, and in several at once."""

    @torch.inference_mode()
    def __init__(self, network: nn.Module, inner: Compact, caution: float) -> None:
        """inner: the network itself, or what the distributions of `network` are made by."""
        self.histogram, self.caution = network if isinstance(network, Histogram) else None, caution
        self.dtype = inner.dtype
        self.step = STEP if self.dtype == torch.bfloat16 else 1
        self.head = inner.get_parameter("head.weight"), inner.get_parameter("head.bias")
        self.table = bitconv.table_of(inner.conv1.weight, inner.bytes.weight)
        self.bias = inner.get_parameter("conv1.bias")
        hidden = [(layer.get_parameter("weight"), layer.get_parameter("bias")) for layer in inner.hidden]
        layers = [inner.second_layer(), *hidden]
        self.layers = [(weight.to(self.dtype), bias.to(self.dtype)) for weight, bias in layers]
        self._own = threading.local()

    @torch.inference_mode()
    def __call__(self, obs: Tensor) -> Tensor:
        count = -(-len(obs) // self.step) * self.step
        patches = self._patches(count)
        bitconv.convolve_into(patches[: len(obs)], obs, self.table, self.bias)
        x = patches.view(-1, bitconv.PATCH)
        for weight, bias in self.layers:
            x = F.relu_(F.linear(x, weight, bias)).view(count, -1)
        x = F.linear(x[: len(obs)].float(), *self.head)
        return self.histogram.less_deviation(x.view(len(x), 2, -1), self.caution) if self.histogram else x

    def _patches(self, count: int) -> Tensor:
        """Room for what the second layer sees, the thread's own."""
        room = getattr(self._own, "patches", None)
        if room is None or len(room) < count:
            places = bitconv.PLACES * bitconv.PLACES
            room = self._own.patches = torch.zeros(count, places, bitconv.PATCH, dtype=self.dtype)
        return room[:count]
