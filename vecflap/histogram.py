"""Q values as distributions: the network says how likely each of some ranges of return is, and learns that by
cross-entropy (HL-Gauss: Farebrother et al., "Stop regressing", 2024). Letters: B batch.

A bird that may crash next and may not has two peaks: their mean says little of it, their deviation much.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vecflap import physics
from vecflap.config import Config

BINS = 51
ROOM = 0.15
"""Of the span of what is possible: so much is beyond either end."""
BLUR = 0.75
"""Deviation of the normal distribution that stands for a return, in bins."""
FIRST, SPREAD = 0.4, 0.13
"""Mean and deviation of what a new network says, about, in shares of the bins."""
PIPE_FRAMES = (physics.PIPE_START_X[1] - physics.PIPE_START_X[0]) // physics.PIPE_SPEED


def span(config: Config) -> tuple[float, float]:
    """The returns that can be told apart: from a crash at once to a flight without end, and some room. What
    is beyond, as of birds that are long within the clearance, is learned as the nearest one."""
    steps = PIPE_FRAMES / config.skip
    alive, passing = config.reward_alive, config.reward_pipe - config.reward_alive
    flying = alive / (1 - config.gamma) + passing / (1 - config.gamma**steps)
    low, high = min(flying, config.reward_crash, 0.0), max(flying, config.reward_crash, 0.0)
    room = ROOM * (high - low) or 1.0
    return low - room, high + room


class Histogram(nn.Module):
    """A network of 2 x BINS outputs, and the Q values that they stand for: int64 [B, 4, 64] packed frames to
    float32 [B, 2]."""

    edges: Tensor  # float32 [BINS + 1]
    middles: Tensor  # float32 [BINS]

    def __init__(self, network: nn.Module, low: float, high: float) -> None:
        """low, high: the bins' ends."""
        super().__init__()
        self.network = network
        network.head = nn.Linear(network.get_parameter("head.weight").shape[1], 2 * BINS)
        self.width = (high - low) / BINS
        edges = torch.linspace(low, high, BINS + 1)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("middles", (edges[1:] + edges[:-1]) / 2, persistent=False)
        nn.init.zeros_(network.head.weight)

    @torch.no_grad()
    def begin(self, flap_bias: float) -> None:
        """Let a new network think less of flapping than of gliding, by so much."""
        bins = (self.middles - self.edges[0]) / self.width
        means = torch.tensor([FIRST * BINS, FIRST * BINS - flap_bias / self.width])
        self.network.get_parameter("head.bias").copy_(
            ((bins - means[:, None]) / (SPREAD * BINS)).square().mul(-0.5).flatten()
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
        return self.less_deviation(self.logits(obs), caution)

    def less_deviation(self, logits: Tensor, caution: float) -> Tensor:
        """The same of float32 [B, 2, BINS]."""
        chance = torch.softmax(logits, -1)
        mean = chance @ self.middles
        return mean - caution * (chance @ self.middles.square() - mean.square()).clamp(min=0).sqrt()

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """float32 [B]: cross-entropy of float32 [B, BINS], said of the actions taken, against float32 [B],
        what their Q values should have been."""
        within = target[:, None].clamp(self.middles[0], self.middles[-1])
        below = torch.erf((self.edges - within) / (BLUR * self.width * math.sqrt(2)))
        chance = below[:, 1:] - below[:, :-1]
        return -(chance / chance.sum(1, keepdim=True) * F.log_softmax(logits, 1)).sum(1)


def values(network: nn.Module, obs: Tensor, caution: float) -> Tensor:
    """float32 [B, 2]: what a network plays by."""
    if caution and isinstance(network, Histogram):
        return network.cautious(obs, caution)
    return network(obs)
