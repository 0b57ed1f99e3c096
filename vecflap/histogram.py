"""Q values as distributions: the network says how likely each of some ranges of return is, and learns that by
cross-entropy (HL-Gauss: Farebrother et al., "Stop regressing", 2024). Letters: B batch.

A bird that may crash next and may not has two peaks: their mean says little of it, their deviation much.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BINS = 51
LOWEST, HIGHEST = -1.5, 4.0
"""Returns that can be told apart: those of the rewards 1, -1, 0.1 and a discount of 0.95 are from -1 to 3.
What is beyond is learned as the nearest one."""
WIDTH = (HIGHEST - LOWEST) / BINS
BLUR = 0.75 * WIDTH
"""Deviation of the normal distribution that stands for a return."""
FIRST, SPREAD = 0.5, 0.7
"""Mean and deviation of what a new network says, about."""


class Histogram(nn.Module):
    """A network of 2 x BINS outputs, and the Q values that they stand for: int64 [B, 4, 64] packed frames to
    float32 [B, 2]."""

    edges: Tensor  # float32 [BINS + 1]
    middles: Tensor  # float32 [BINS]

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        network.head = nn.Linear(network.get_parameter("head.weight").shape[1], 2 * BINS)
        edges = torch.linspace(LOWEST, HIGHEST, BINS + 1)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("middles", (edges[1:] + edges[:-1]) / 2, persistent=False)
        nn.init.zeros_(network.head.weight)

    @torch.no_grad()
    def begin(self, flap_bias: float) -> None:
        """Let a new network think less of flapping than of gliding, by so much."""
        means = torch.tensor([FIRST, FIRST - flap_bias])
        self.network.get_parameter("head.bias").copy_(
            ((self.middles - means[:, None]) / SPREAD).square().mul(-0.5).flatten()
        )

    def logits(self, obs: Tensor) -> Tensor:
        """float32 [B, 2, BINS]: of how likely the returns are."""
        return self.network(obs).view(-1, 2, BINS)

    def mean(self, logits: Tensor) -> Tensor:
        """float32 [B, 2]: the Q values."""
        return torch.softmax(logits, -1) @ self.middles

    def forward(self, obs: Tensor) -> Tensor:
        return self.mean(self.logits(obs))

    def cautious(self, obs: Tensor, caution: float) -> Tensor:
        """float32 [B, 2]: Q values less so many of their deviations."""
        chance = torch.softmax(self.logits(obs), -1)
        mean = chance @ self.middles
        return mean - caution * (chance @ self.middles.square() - mean.square()).clamp(min=0).sqrt()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """float32 [B]: cross-entropy of float32 [B, BINS], said of the actions taken, against float32 [B],
        what their Q values should have been."""
        within = target.clamp(LOWEST + WIDTH / 2, HIGHEST - WIDTH / 2)[:, None]
        below = torch.erf((self.edges - within) / (BLUR * math.sqrt(2)))
        chance = below[:, 1:] - below[:, :-1]
        return -(chance / chance.sum(1, keepdim=True) * F.log_softmax(logits, 1)).sum(1)


def values(network: nn.Module, obs: Tensor, caution: float) -> Tensor:
    """float32 [B, 2]: what a network plays by."""
    if caution and isinstance(network, Histogram):
        return network.cautious(obs, caution)
    return network(obs)
