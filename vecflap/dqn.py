"""The learner: two networks for packed one-bit frames, and a DQN over them. Letters: B batch, K stacked
frames."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vecflap import bitblock, bitconv, draws
from vecflap.config import FRAMES, Config
from vecflap.graphs import Captured
from vecflap.histogram import Histogram, values
from vecflap.kernels import config as numba_config
from vecflap.kernels import kernel
from vecflap.muon import optimisers, set_rate
from vecflap.render import SIZE
from vecflap.replay import STRAYED, Batch

GREEDY = 2
"""In an array of forced actions: choose by the Q values."""
CUT_STD = 0.8796256610342398
"""Deviation of a normal distribution of deviation 1 that is cut at 2: OneFlow's initialiser divides by it."""


@kernel(_nrt=False)
def explore(forced, seed, purpose, row, eps, flap_chance, clumsy, missed):
    """Decide which games act at random, and how. It depends on the counters alone, never on what is learned.

    forced: uint8 [N], out: 1 flap, 0 glide, GREEDY. purpose: a stream of draws.py. row: rows played so far.
    eps: share of random actions. flap_chance: share of flaps among those.
    clumsy: how many games, the first ones, glide at random besides. missed: in what share of their steps.
    """
    for game in range(len(forced)):
        bits = draws.draw(seed, purpose, game, row, 0)
        flap = draws.chance(bits >> 32, int(flap_chance * 2**32))
        forced[game] = flap if draws.chance(bits, int(eps * 2**32)) else GREEDY
        if game < clumsy and draws.chance(draws.draw(seed, purpose, game, row, 1), int(missed * 2**32)):
            forced[game] = 0


def explore_there(config: Config, row: Tensor, game: Tensor, per_2_32: Tensor) -> Tensor:
    """uint8 [N]: what `explore` decides in training, by a device that counts rows itself.

    row: int64, played so far. game: int64 [N]. per_2_32: int64, the share of random actions, of 2**32.
    """
    seed = torch.full_like(game, config.seed)
    bits = draws.draw(seed, draws.EXPLORE, game, row, 0)
    flap = draws.chance(bits >> 32, int(config.flap_chance * 2**32))
    forced = torch.where(draws.chance(bits, per_2_32), flap.to(torch.uint8), GREEDY)
    misses = draws.chance(draws.draw(seed, draws.EXPLORE, game, row, 1), int(config.missed * 2**32))
    return torch.where(misses & (game < config.clumsy_games), 0, forced)


@kernel(_nrt=False)
def unpack_bytes(packed, table, out):
    """packed: uint8 [M]. table: [256, 8], what the bits of a byte become, low bit first. out: [8 M]."""
    for i in range(len(packed)):
        byte = packed[i]
        for bit in range(8):
            out[8 * i + bit] = table[byte, bit]


class Unpack(nn.Module):
    """Packed frames to numbers: int64 [B, K, 64] to dtype [B, K, 64, 64], `high` where lit, else `low`."""

    table: Tensor  # float32 [256, 8] what the bits of a byte become, low bit first

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
        self.register_buffer("table", low + (high - low) * bits, persistent=False)

    def forward(self, packed: Tensor, dtype: torch.dtype) -> Tensor:
        shape, octets = (*packed.shape, SIZE), packed.contiguous().view(torch.uint8)
        if packed.device.type == "cpu":
            out = torch.empty(shape, dtype=dtype)
            word = torch.int16 if dtype.itemsize == 2 else torch.int32  # NumPy has no bfloat16: bit patterns
            table = self.table.to(dtype).view(word).numpy()
            unpack_bytes(octets.view(-1).numpy(), table, out.view(word).view(-1).numpy())
            return out
        return self.table.to(dtype)[octets.int()].view(shape)


class Compact(nn.Module):
    """A small network made for one-bit pictures: int64 [B, 4, 64] packed frames to float32 [B, 2] Q values.

    4x64x64 -> 16x8x8 -> 32x3x3 -> 128 -> 2. Strided convolutions only, no normalisation: 0.7 MFLOP a state.
    On a CPU the first layer is a table, and the second a product of matrices.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.unpack = Unpack(0.0, 1.0)
        self.conv1 = nn.Conv2d(FRAMES, bitconv.CHANNELS, bitconv.KERNEL, bitconv.KERNEL)
        self.conv2 = nn.Conv2d(bitconv.CHANNELS, 32, bitconv.WINDOW, bitconv.STEP)
        self.hidden = nn.Linear(3 * 3 * 32, 128)
        self.head = nn.Linear(128, 2)

    def forward(self, obs: Tensor) -> Tensor:
        tables = obs.device.type == "cpu" and not numba_config.DISABLE_JIT
        with torch.autocast(obs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x = self.by_tables(obs) if tables else self.by_convolutions(obs)
            x = F.relu(self.hidden(x.flatten(1)))
        return self.head(x.float())

    def by_tables(self, obs: Tensor) -> Tensor:
        """[B, 9, 32]: what the convolutions find, by place, on a CPU."""
        patches = bitconv.BitConvolution.apply(obs, self.conv1.weight, self.conv1.bias)
        by_place = self.conv2.weight.permute(0, 2, 3, 1).flatten(1)
        return F.relu(F.linear(patches, by_place, self.conv2.bias))

    def by_convolutions(self, obs: Tensor) -> Tensor:
        """The same, anywhere."""
        x = F.relu(self.conv1(self.unpack(obs, self.dtype)))
        return F.relu(self.conv2(x)).flatten(2).transpose(1, 2)


DARK, LIGHT = -128.0, 127.0
"""The article's pixels."""


class Article(nn.Module):
    """The network of the OneFlow article: int64 [B, 4, 64] packed frames to float32 [B, 2] Q values.

    4x64x64 -> 32x32x32 -> 32x16x16 -> 512 -> 2, with batch norm after both convolutions and the wide layer;
    pixels are -128 and 127, weights truncated normal of variance 1 / fan-in, biases 0. On a CPU the first
    convolution and what follows it, up to the second one, is a table.

    It departs from the program in one thing: there, online and target network share scale, shift and running
    statistics of the batch norm; here each has its own. Acting, targets and Double DQN's choice use running
    statistics.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.unpack = Unpack(DARK, LIGHT)
        self.conv1, self.norm1 = nn.Conv2d(FRAMES, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.hidden, self.norm3 = nn.Linear(32 * 16 * 16, 512), nn.BatchNorm1d(512)
        self.head = nn.Linear(512, 2)
        for layer in (self.conv1, self.conv2, self.hidden, self.head):
            std = layer.weight[0].numel() ** -0.5 / CUT_STD
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, obs: Tensor) -> Tensor:
        if obs.device.type == "cpu" and not numba_config.DISABLE_JIT:
            x = bitblock.block(obs, self.conv1, self.norm1, DARK, LIGHT)
        else:
            x = self.by_convolution(obs)
        with torch.autocast(obs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x = self.block(x, self.conv2, self.norm2)
            x = F.relu(self.norm3(self.hidden(x.flatten(1))))
        return self.head(x.float())

    def by_convolution(self, obs: Tensor) -> Tensor:
        """[B, 32, 32, 32]: what `bitblock.block` makes of frames on a CPU, anywhere."""
        x = self.unpack(obs, self.dtype).contiguous(memory_format=torch.channels_last)
        with torch.autocast(obs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.block(x, self.conv1, self.norm1)

    def block(self, x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        """Convolution, batch norm, ReLU and pooling. The ReLU comes last, on a quarter of the numbers, which
        is the same; with running statistics, batch norm is folded into the convolution."""
        if self.training:
            x = norm(conv(x))
        else:
            assert norm.running_var is not None
            assert norm.running_mean is not None
            assert conv.bias is not None
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            bias = (conv.bias - norm.running_mean) * scale + norm.bias
            x = F.conv2d(x, conv.weight * scale[:, None, None, None], bias, padding=1)
        return F.relu(F.max_pool2d(x, 2))


NETWORKS = {"compact": Compact, "article": Article}


def find_device(name: str) -> torch.device:
    """The device of a name, or of `auto`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name} is none of: auto, cpu, cuda, cuda:0, cuda:1, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: vecflap trains on cpu and cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        why = "torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        raise ValueError(f"--device {name}: {why}. Train with --device cpu, or auto.")
    if device.index is not None and device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name}: there are {torch.cuda.device_count()} CUDA devices, from cuda:0 on."
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether networks are faster in bfloat16. Of CPUs only those with AMX: others that have instructions for
    it, and do not imitate it, took 1.4 times as long as in float32 (a Xeon with AVX-512)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported()


def make_network(config: Config, device: torch.device) -> nn.Module:
    """A network of the config, with initial weights that depend on its seed alone."""
    wants = config.precision == "bfloat16" or (config.precision == "auto" and gains_by_bfloat16(device))
    seed = int(draws.draw(torch.tensor(config.seed), draws.WEIGHTS, 0, 0, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = NETWORKS[config.network](torch.bfloat16 if wants else torch.float32)
    if config.loss == "categorical":
        network = Histogram(network)
        network.begin(config.flap_bias)
    else:
        with torch.no_grad():
            network.get_parameter("head.bias")[1] -= config.flap_bias
    return network.to(device).eval()


class Choice(NamedTuple):
    """What the network does in N games, and what it thinks of it."""

    act: Tensor  # uint8 [N] 1 = flap
    noted: Tensor  # uint8 [N] the same for the replay: with STRAYED where it is not the greedy action
    value: Tensor  # float32 [N] what the state is worth, see `worth`
    taken: Tensor  # float32 [N] the Q value of the action


def worth(q: Tensor, chooser: Tensor, missed: float, slipped: float) -> Tensor:
    """float32 [B]: what states are worth to a player who takes the better action, but misses a share of its
    flaps, and flaps in a share of its glides. Such a player keeps away from where a flap, or none, is the
    last chance.

    q: float32 [B, 2]. chooser: float32 [B, 2], the values that tell which action is better.
    """
    glide, flap = q.unbind(1)
    return torch.where(chooser[:, 1] > chooser[:, 0], flap.lerp(glide, missed), glide.lerp(flap, slipped))


def choose(q: Tensor, flap_margin: float = 0.0) -> Tensor:
    """uint8 [B]: the greedy actions for float32 [B, 2] Q values. Flap only if better by more than the
    margin."""
    return (q[:, 1] - q[:, 0] > flap_margin).to(torch.uint8)


class Meter(NamedTuple):
    """What the updates since the last reading were like, on average."""

    loss: float
    q: float
    """Mean Q value of the taken actions."""
    tie: float
    """Share of states whose two Q values are equal: rounding decides there."""
    grad_norm: float
    """Before clipping."""


class Learner:
    """A DQN: an online network that acts and learns, a target network that follows it, and the average of
    both's kind that is judged and kept: steadier than any of those it averages."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config, self.device = config, device
        self.online = make_network(config, device)
        self.target = make_network(config, device).requires_grad_(False)
        self.average = make_network(config, device).requires_grad_(False)
        self.kept = "average" if config.average else "online"
        """The network to judge and to keep."""
        self.optimisers = optimisers(self.online, config.optimiser, config.lr, config.adam_eps, device)
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
        """The forced actions, the greedy ones where forced is GREEDY.

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

    def decide(self, obs: Tensor, forced: Tensor) -> Choice:
        """What the device does to act."""
        q = self.online(obs)
        greedy = choose(q)
        wanted = greedy.clone()
        if self.config.rehearse and len(obs) > self._rehearses.start:
            kept = values(getattr(self, self.kept), obs[self._rehearses], self.config.caution)
            wanted[self._rehearses] = choose(kept, self.config.flap_margin)
        act = torch.where(forced == GREEDY, wanted, forced)
        taken = q.gather(1, act.long()[:, None]).squeeze(1)
        return Choice(act, act + STRAYED * (act != greedy).byte(), self._worth(q, q), taken)

    def descend(self, *tensors: Tensor) -> Tensor:
        """What the device does for an update."""
        batch = Batch(*tensors)
        target = self._target(batch)
        self.online.train()
        try:
            both, q, losses = self._losses(batch, target)
        finally:
            self.online.eval()
        loss = (batch.weight * losses).mean()
        self.online.zero_grad()
        loss.backward()
        norm = self._clip()
        for optimiser in self.optimisers:
            optimiser.step()
        if not self.config.target_every:
            self.follow(self.config.target_rate)
        if self.config.average:
            self._average()
        with torch.no_grad():
            tie = (both[:, 0] == both[:, 1]).float().mean()
            self.meter += torch.stack([loss, q.mean(), tie, norm, torch.ones_like(loss)])
            return target - q

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
        return worth(q, chooser, self.config.missed, self.config.slipped)

    def _clip(self) -> Tensor:
        """The gradient's norm, before clipping. Without it, `clip_grad_norm_` would still write all of it."""
        if self.config.clip:
            return nn.utils.clip_grad_norm_(self.online.parameters(), self.config.clip)
        return nn.utils.get_total_norm([p.grad for p in self.online.parameters() if p.grad is not None])

    @torch.no_grad()
    def _target(self, batch: Batch) -> Tensor:
        """float32 [B]: what the taken action's Q value should have been."""
        q = self.target(batch.next_obs)
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


def fill(network: nn.Module, weights: dict[str, Tensor], source: Path) -> None:
    """Load weights into a network. ValueError if they are of another one."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"{source} holds the weights of another network than {type(network).__name__}."
        ) from None


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
