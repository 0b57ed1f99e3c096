"""The optimiser: momentum, whose step for a matrix of weights has all its directions made equally long.

Some directions of a gradient are a thousand times as long as others, and a step along it learns those alone.
Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) takes the nearest matrix
whose singular values are 1 instead, by a few products of matrices. A convolution is one of outputs x inputs.
Biases, embeddings and the last layer are left to Adam. In float32: torch's own Muon computes in bfloat16,
which CPUs imitate slowly.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import hardshrink
from torch.optim import Adam, Optimizer

from vecflap.helper import Helper

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of x, x^3 and x^5: applied a few times, brings what is between 0 and 1 to about 1."""
ROUNDS = 5
NOTHING = 1e-12
"""Momentum smaller than this is none. That of a unit which is never active any more would become so small
that products of it are denormal, and these are ten times as slow on a CPU."""
EVERY = 4
"""Steps that a direction is kept for on a CPU, where finding it takes a third of an update: momentum hardly
turns in fewer. The weights take turns."""
ADAMS_SHARE = 0.2
"""Beside Muon, Adam's learning rate is this share of its."""


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix of singular values 1, roughly: they come to lie between 0.7 and 1.2. Of float32
    [M, N], which may be of any size but 0."""
    a, b, c = QUINTIC
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(Optimizer):
    """For weights of two dimensions or more, the first being outputs."""

    def __init__(
        self, weights: list[nn.Parameter], lr: float | Tensor, helper: Helper | None = None, every: int = 1
    ) -> None:
        """
        every: steps that a direction is kept for. A CUDA graph, whose steps are alike, needs 1.
        """
        super().__init__(weights, {"lr": lr, "share": 1.0})
        self.helper, self.every, self._shares = helper or Helper(), every, dealt(weights)
        self._turn = {weight: turn % every for turn, weight in enumerate(weights)}

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the weights against their gradients, by the learning rate in every direction."""
        assert closure is None
        mine, others = self._shares
        self.helper.both(self._move, (mine,), (others,))

    @torch.no_grad()
    def _move(self, weights: list[nn.Parameter]) -> None:
        lr = self.param_groups[0]["lr"]
        for weight in weights:
            assert weight.grad is not None
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
                state["step"] = torch.zeros((), dtype=torch.int64)
            momentum = state["momentum"]
            momentum.copy_(hardshrink(momentum.lerp(weight.grad, 1 - MOMENTUM), NOTHING))
            if "direction" not in state or (int(state["step"]) + self._turn[weight]) % self.every == 0:
                ahead = weight.grad.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov's
                longer = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                state["direction"] = orthogonal(ahead).view_as(weight) * longer
            state["step"] += 1
            weight.sub_(state["direction"] * lr)


def dealt(weights: list[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The weights in two lists, whose products are about as much work."""

    def work(weight: nn.Parameter) -> int:
        short, long = sorted((weight.shape[0], weight[0].numel()))
        return short * short * (2 * long + short)

    hands: tuple[list[nn.Parameter], list[nn.Parameter]] = [], []
    for weight in sorted(weights, key=work, reverse=True):
        min(hands, key=lambda hand: sum(map(work, hand))).append(weight)
    return hands


def optimisers(
    network: nn.Module,
    name: str,
    lr: float,
    adam_eps: float,
    device: torch.device,
    helper: Helper | None = None,
) -> list[Optimizer]:
    """Those of a network. name: muon, with Adam for what it leaves, or adam for all. lr: of the first.
    helper: Muon's."""
    on_cuda = device.type == "cuda"

    def rate(share: float) -> float | Tensor:  # on CUDA a tensor, so that a graph can be told another one
        return torch.tensor(lr * share, device=device) if on_cuda else lr * share

    def adam(weights: list[nn.Parameter], share: float) -> Optimizer:
        group = {"params": weights, "share": share}
        return Adam([group], lr=rate(share), eps=adam_eps, fused=True, capturable=on_cuda)

    embeddings = {module.weight for module in network.modules() if isinstance(module, nn.Embedding)}
    *inner, last, bias = network.parameters()
    if name == "adam":
        return [adam([*inner, last, bias], 1.0)]
    matrices = [weight for weight in inner if weight.dim() > 1 and weight not in embeddings]
    others = [weight for weight in inner if weight.dim() == 1 or weight in embeddings]
    return [
        Muon(matrices, rate(1.0), helper, 1 if on_cuda else EVERY),
        adam([*others, last, bias], ADAMS_SHARE),
    ]


def set_rate(optimiser: Optimizer, lr: float) -> None:
    """Set the learning rate, where the device reads it."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr * group["share"])
        else:
            group["lr"] = lr * group["share"]
