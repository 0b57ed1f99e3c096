"""Two networks for packed one-bit frames. Letters: B batch, K stacked frames."""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vecflap import bitblock, bitconv, draws
from vecflap.config import FRAMES, Config
from vecflap.device import gains_by_bfloat16
from vecflap.histogram import Histogram, span
from vecflap.kernels import config as numba_config
from vecflap.kernels import kernel
from vecflap.render import SIZE

CUT_STD = 0.8796256610342398
"""Deviation of a normal distribution of deviation 1 that is cut at 2: OneFlow's initialiser divides by it."""


def uses_tables(device: torch.device) -> bool:
    """Whether the first layers are tables, which are kernels for CPUs."""
    return device.type == "cpu" and not numba_config.DISABLE_JIT


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

    4x64x64 -> 16x8x8 -> 32x3x3 -> 128 -> 128 -> 128 -> 128 -> 2. Strided convolutions only, no normalisation:
    0.8 MFLOP a state. The first one's kernels see columns of 8 pixels, which are bytes. To what their weights
    make of a byte's bits an embedding adds what is learned of that byte alone: where an edge lies in it
    matters to the pixel. On a CPU the first layer is a table, and the second a product of matrices.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.unpack = Unpack(0.0, 1.0)
        self.conv1 = nn.Conv2d(FRAMES, bitconv.CHANNELS, bitconv.KERNEL, bitconv.KERNEL)
        self.bytes = nn.Embedding.from_pretrained(
            torch.zeros(bitconv.SEEN * bitconv.VALUES, bitconv.CHANNELS), freeze=False
        )
        self.conv2 = nn.Conv2d(bitconv.CHANNELS, 32, bitconv.WINDOW, bitconv.STEP)
        widths = (3 * 3 * 32, 128, 128, 128, 128)
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.head = nn.Linear(128, 2)

    def forward(self, obs: Tensor) -> Tensor:
        with torch.autocast(obs.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x = self.by_tables(obs) if uses_tables(obs.device) else self.by_convolutions(obs)
            x = x.flatten(1)
            for layer in self.hidden:
                x = F.relu(layer(x))
        return self.head(x.float())

    def by_tables(self, obs: Tensor) -> Tensor:
        """[B, 9, 32]: what the convolutions find, by place, on a CPU."""
        first = self.conv1.weight, self.conv1.bias, self.bytes.weight
        patches = bitconv.BitConvolution.apply(obs, *first, self.dtype)
        return F.relu(F.linear(patches, *self.second_layer()))

    def second_layer(self) -> tuple[Tensor, Tensor]:
        """float32 [32, 256] and [32]: weights of what is seen by place, and biases."""
        return self.conv2.weight.permute(0, 2, 3, 1).flatten(1), self.get_parameter("conv2.bias")

    def by_convolutions(self, obs: Tensor) -> Tensor:
        """The same, anywhere."""
        besides = F.embedding_bag(bitconv.rows_seen(obs), self.bytes.weight, mode="sum")
        x = self.conv1(self.unpack(obs, self.dtype))
        x = F.relu(x + besides.view(len(obs), bitconv.OUT, bitconv.OUT, -1).permute(0, 3, 1, 2))
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
        if uses_tables(obs.device):
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


def make_network(config: Config, device: torch.device) -> nn.Module:
    """A network of the config, with initial weights that depend on its seed alone."""
    wants = config.precision == "bfloat16" or (config.precision == "auto" and gains_by_bfloat16(device))
    seed = int(draws.draw(torch.tensor(config.seed), draws.WEIGHTS, 0, 0, 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = NETWORKS[config.network](torch.bfloat16 if wants else torch.float32)
        if config.loss == "categorical":
            network = Histogram(network, *span(config))
            network.begin(config.flap_bias)
        else:
            with torch.no_grad():
                network.get_parameter("head.bias")[1] -= config.flap_bias
    return network.to(device).eval()


def dtype_of(network: nn.Module) -> torch.dtype:
    """The type of numbers that a network multiplies."""
    inner = network.network if isinstance(network, Histogram) else network
    assert isinstance(inner, (Compact, Article))
    return inner.dtype


def fill(network: nn.Module, weights: dict[str, Tensor], source: Path) -> None:
    """Load weights into a network. ValueError if they are of another one."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        name = type(network.network if isinstance(network, Histogram) else network).__name__
        raise ValueError(
            f"{source} holds the weights of another network than {name}, or those of another --loss."
        ) from None
