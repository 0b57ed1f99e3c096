"""The learner: a DQN over packed one-bit frames. Letters: B batch, K stacked frames."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vecflap.config import Config
from vecflap.explore import GREEDY, OTHERWISE
from vecflap.frozen import Answers, frozen
from vecflap.graphs import Captured
from vecflap.helper import Helper
from vecflap.histogram import Histogram, values
from vecflap.muon import optimisers, set_rate
from vecflap.networks import dtype_of, fill, make_network
from vecflap.replay import STRAYED, Batch


class Choice(NamedTuple):
    """What the network does in N games, and what it thinks of it."""

    act: Tensor  # uint8 [N] 1 = flap
    noted: Tensor  # uint8 [N] the same for the replay: with STRAYED where it is not the greedy action
    value: Tensor  # float32 [N] what the state is worth, see `worth`
    taken: Tensor  # float32 [N] the Q value of the action


def worth(q: Tensor, chooser: Tensor, missed: float | Tensor, slipped: float) -> Tensor:
    """float32 [B]: what states are worth to a player who takes the better action, but misses a share of its
    flaps, and flaps in a share of its glides. Such a player keeps away from where a flap, or none, is the
    last chance.

    q: float32 [B, 2]. chooser: float32 [B, 2], the values that tell which action is better.
    """
    glide, flap = q.unbind(1)
    return torch.where(chooser[:, 1] > chooser[:, 0], flap.lerp(glide, missed), glide.lerp(flap, slipped))


def choose(q: Tensor) -> Tensor:
    """uint8 [B]: the greedy actions for float32 [B, 2] Q values. Flap only if that is better."""
    return (q[:, 1] > q[:, 0]).to(torch.uint8)


class Meter(NamedTuple):
    """What the updates since the last reading were like, on average."""

    loss: float
    q: float
    """Mean Q value of the taken actions."""
    tie: float
    """Share of states whose two Q values are equal: rounding decides there."""
    grad_norm: float
    """Before clipping."""


class Part(NamedTuple):
    """What an update learns from some of its transitions, B of them."""

    grads: list[Tensor]  # a gradient a weight
    sums: Tensor  # float32 [3] of the first numbers of Meter, shares of the whole
    wrong: Tensor  # float32 [B] what the Q values were wrong by


class Learner:
    """A DQN: an online network that acts and learns, a target network that follows it, and the average of
    both's kind that is judged and kept: steadier than any of those it averages."""

    def __init__(self, config: Config, device: torch.device, helper: Helper | None = None) -> None:
        """
        helper: on a CPU, in float32, who takes a half of the work. In bfloat16 products of matrices are so
        fast that what is left is asking for them, which two threads cannot do at once. On CUDA nobody helps:
        what another thread queues is not part of a graph.
        """
        self.config, self.device = config, device
        self.online = make_network(config, device)
        self._whole = device.type == "cuda" or dtype_of(self.online) == torch.bfloat16
        self.helper = Helper() if self._whole else helper or Helper()
        self.target = make_network(config, device).requires_grad_(False)
        self.average = make_network(config, device).requires_grad_(False)
        self.kept = "average" if config.average else "online"
        """The network to judge and to keep."""
        rates = config.lr, config.adam_eps
        self.optimisers = optimisers(self.online, config.optimiser, *rates, device, self.helper)
        self._halves = not self._whole and not any(
            isinstance(module, nn.modules.batchnorm._NormBase) for module in self.online.modules()
        )  # batch norm needs the whole
        self.missed = torch.tensor(config.missed, device=device)  # float32: it changes, see `set_missed`
        self.updates = 0
        self._updates_there = torch.zeros((), device=device)  # the same, for what is queued once and replayed
        self.meter = torch.zeros(len(Meter._fields) + 1, dtype=torch.float64, device=device)  # sums, count
        self._rehearses = slice(config.clumsy_games + 1, None, 2)  # which games, see Config.rehearse
        self._act = Captured(self.decide, device, config.graphs)
        self._learn = Captured(self.descend, device, config.graphs)

    def begin_with(self, weights: dict[str, Tensor], header: dict[str, Any], source: Path) -> None:
        """Take weights from a checkpoint, for both networks."""
        fill(self.online, weights, source)
        self.follow(1.0)
        self.average.load_state_dict(self.online.state_dict())

    @torch.inference_mode()
    def act(self, obs: Tensor, forced: Tensor) -> Choice:
        """The forced actions, the greedy ones where forced is GREEDY, the others where it is OTHERWISE.

        obs: int64 [N, K, 64]. forced: uint8 [N].
        """
        return self._act(obs, forced)

    def update(self, batch: Batch, lr: float) -> tuple[Tensor, Tensor]:
        """One step on a batch; then the target network follows, if softly. Returns the batch's places
        in the replay, and float32 [B], what the Q values there were wrong by."""
        self.set_rate(lr)
        self.updates += 1
        return batch.place, self._learn(*batch)

    def set_rate(self, lr: float) -> None:
        """Set the learning rate."""
        for optimiser in self.optimisers:
            set_rate(optimiser, lr)

    def set_missed(self, missed: float) -> None:
        """Set the share of missed flaps in what states are worth."""
        self.missed.fill_(missed)

    def decide(self, obs: Tensor, forced: Tensor) -> Choice:
        """What the device does to act."""
        q = self._ask(self.online, obs)
        greedy = choose(q)
        wanted = greedy.clone()
        if self.config.rehearse and len(obs) > self._rehearses.start:
            kept = getattr(self, self.kept)  # without caution: it shall see the edge
            wanted[self._rehearses] = choose(self._ask(kept, obs[self._rehearses]))
        act = torch.where(forced == GREEDY, wanted, torch.where(forced == OTHERWISE, 1 - wanted, forced))
        taken = q.gather(1, act.long()[:, None]).squeeze(1)
        return Choice(act, act + STRAYED * (act != greedy).byte(), self._worth(q, q), taken)

    def _ask(self, network: nn.Module, obs: Tensor) -> Tensor:
        answers = self._answers(network)
        return answers(obs) if self._whole else self.helper.rows(answers, obs)

    def descend(self, *tensors: Tensor) -> Tensor:
        """What the device does for an update."""
        learn = partial(self._learn_from, len(tensors[0]), self._follower())
        self.online.train()
        try:
            first, *others = self.helper.halves(learn, *tensors) if self._halves else [learn(*tensors)]
        finally:
            self.online.eval()
        for other in others:
            torch._foreach_add_(first.grads, other.grads)
        for weight, gradient in zip(self.online.parameters(), first.grads, strict=True):
            weight.grad = gradient
        norm = self._clip()
        for optimiser in self.optimisers:
            optimiser.step()
        if not self.config.target_every:
            self.follow(self.config.target_rate)
        if self.config.average:
            self._average()
        sums = sum((other.sums for other in others), first.sums)
        self.meter += torch.cat([sums, torch.stack([norm, torch.ones_like(norm)])])
        return torch.cat([first.wrong, *(other.wrong for other in others)])

    def _learn_from(self, whole: int, follower: Answers, *tensors: Tensor) -> Part:
        """What there is to learn from some transitions, of so many in the whole batch, and from what the
        target network plays by."""
        batch = Batch(*tensors)
        target = self._target(batch, follower)
        both, q, losses = self._losses(batch, target)
        loss = (batch.weight * losses).sum() / whole
        grads = torch.autograd.grad(loss, list(self.online.parameters()))
        with torch.no_grad():
            ties = (both[:, 0] == both[:, 1]).float().sum()
            sums = torch.stack([loss, q.sum() / whole, ties / whole])
            return Part(list(grads), sums, target - q)

    def _answers(self, network: nn.Module, caution: float = 0.0) -> Answers:
        """What a network plays by, until it is changed."""
        if self.device.type == "cuda":
            return partial(values, network, caution=caution)
        return frozen(network, caution)

    def _follower(self) -> Answers:
        """What the target network plays by, until it is changed."""
        return self._answers(self.target, self.config.caution)

    def _losses(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """float32 [B, 2], [B] and [B]: Q values, those of the actions taken, and their losses."""
        if isinstance(self.online, Histogram):
            logits = self.online.logits(batch.obs)
            both = self.online.mean(logits.detach())
            taken = batch.act[:, None, None].expand(-1, 1, logits.shape[2])
            losses = self.online.loss(logits.gather(1, taken).squeeze(1), target)
            return both, both.gather(1, batch.act[:, None]).squeeze(1), losses
        both = self.online(batch.obs)
        q = both.gather(1, batch.act[:, None]).squeeze(1)
        measure = F.smooth_l1_loss if self.config.loss == "huber" else F.mse_loss
        return both, q, measure(q, target, reduction="none")

    def _worth(self, q: Tensor, chooser: Tensor) -> Tensor:
        return worth(q, chooser, self.missed, self.config.slipped)

    def _clip(self) -> Tensor:
        """The gradient's norm, before clipping. Without it, `clip_grad_norm_` would still write all of it."""
        if self.config.clip:
            return nn.utils.clip_grad_norm_(self.online.parameters(), self.config.clip)
        return nn.utils.get_total_norm([p.grad for p in self.online.parameters() if p.grad is not None])

    @torch.no_grad()
    def _target(self, batch: Batch, follower: Answers) -> Tensor:
        """float32 [B]: what the taken action's Q value should have been."""
        q = follower(batch.next_obs)
        chooser = self.online(batch.next_obs) if self.config.double else q
        return batch.ret + batch.discount * self._worth(q, chooser)

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Move the target network to the online one by a share; 1 copies it. Batch norm's statistics too."""
        torch._foreach_lerp_(numbers(self.target), numbers(self.online), rate)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average to the online network by a share that falls as updates go on."""
        self._updates_there += 1
        mine, theirs = numbers(self.average), numbers(self.online)
        steps = torch._foreach_sub(theirs, mine)
        torch._foreach_mul_(steps, (self.config.average / self._updates_there).clamp(max=1.0))
        torch._foreach_add_(mine, steps)

    def read_meter(self) -> Meter | None:
        """Averages since the last reading, None if there was no update. Waits for the device."""
        *sums, count = self.meter.tolist()
        self.meter.zero_()
        return Meter(*(s / count for s in sums)) if count else None

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, flat."""
        state = {f"online.{k}": v for k, v in self.online.state_dict().items()}
        state |= {f"target.{k}": v for k, v in self.target.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for optimiser in self.optimisers:
            for i, moments in optimiser.state_dict()["state"].items():
                state |= {f"{name_of(optimiser)}.{i}.{k}": v for k, v in moments.items()}
        return state | {"meter": self.meter, "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of a learner of the same config."""
        self.online.load_state_dict(part(state, "online."))
        self.target.load_state_dict(part(state, "target."))
        self.average.load_state_dict(part(state, "average."))
        for optimiser in self.optimisers:
            moments: dict[int, dict[str, Any]] = {}
            for key, value in part(state, f"{name_of(optimiser)}.").items():
                index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        self.meter.copy_(state["meter"])
        self.updates = int(state["updates"])
        self._updates_there.fill_(self.updates)


def numbers(network: nn.Module) -> list[Tensor]:
    """The weights and the running statistics of a network, to be changed by one kernel on CUDA instead of one
    a tensor. Norms' counts of batches, of which nothing depends, are left out."""
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]


def name_of(optimiser: Optimizer) -> str:
    """What its numbers are saved by."""
    return type(optimiser).__name__.lower()


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
