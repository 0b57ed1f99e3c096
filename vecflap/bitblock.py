"""The article network's first block on a CPU: convolution, batch norm, ReLU and pooling of packed pictures,
without unpacking them.

What an output sees of a picture is 3 x 3 bits, a pattern; what the pattern adds to the 32 channels is a row
of a table that has one for each of its 512 values. Grey, the zero around the pictures, is neither dark nor
light: so the pictures are `light - dark` times their bits, and behind them is a picture that is `dark`
everywhere, all of it lit. Around them, every bit is 0.

An output is linear in its 45 bits. So its mean and variance over a batch follow from how often two of the
bits are lit together, which is counted, and batch norm is folded into the table before the first look-up.
"""

from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor, nn
from torch.nn import functional as F

from vecflap.config import FRAMES
from vecflap.kernels import PARALLEL, inlined, kernel
from vecflap.render import SIZE
from vecflap.rows import I64, Rows, intrinsic

CHANNELS = 32
WIDE = 3  # columns and rows of the convolution
BITS = WIDE * WIDE  # that an output sees of a picture
PICTURES = FRAMES + 1  # the last one is lit all over
SEEN = PICTURES * BITS
ALWAYS = SEEN - BITS // 2 - 1  # the bit that every output sees lit: the last picture's middle
STRIDE = 2**BITS + 1  # rows from a picture's table to the next, see bitconv.py
OUT = SIZE // 2  # outputs, along and across
STRIP = PICTURES * SIZE  # patterns of a strip, two columns wide: by picture and row
BITS_OF = (torch.arange(STRIDE)[:, None] >> torch.arange(BITS) & 1).float()
"""float32 [513, 9]: the bits of every pattern, and of none."""
IS_ALWAYS = F.one_hot(torch.tensor(ALWAYS), SEEN).double()
ONE, THREE, SIX, SEVEN = np.uint64(1), np.uint64(3), np.uint64(6), np.uint64(7)


@intrinsic
def count_lit(typing, word):  # type: ignore[no-untyped-def]
    """How many bits of a word are 1."""
    return types.uint64(types.uint64), lambda context, builder, sig, args: builder.ctpop(args[0])


def sums(rows: Rows, patterns: int, table: int, first: Any) -> Any:
    """Of the four places that are pooled: where the rows of their patterns begin, and their sum."""
    builder = rows.builder
    for column in range(2):
        for row in range(2):
            indices = []
            for picture in range(PICTURES):
                place = builder.add(first, ir.Constant(I64, SIZE * picture + row))
                pattern = builder.zext(builder.load(rows.at(patterns, place)), I64)
                pattern = builder.lshr(pattern, ir.Constant(I64, WIDE * column))
                pattern = builder.and_(pattern, ir.Constant(I64, 2**BITS - 1))
                index = builder.add(pattern, ir.Constant(I64, STRIDE * picture))
                indices.append(builder.mul(index, ir.Constant(I64, CHANNELS)))
            total, *others = (rows.load(table, index) for index in indices)
            for other in others:
                total = builder.fadd(total, other)
            yield indices, total


@intrinsic
def pool_rows(typing, out, to, table, patterns, first):  # type: ignore[no-untyped-def]
    """Write to `out` the greatest of four sums of rows, or 0."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = Rows(CHANNELS, context, builder, sig, args)
        most = rows.zero
        for _, total in sums(rows, 3, 2, args[4]):
            most = builder.select(builder.fcmp_ordered(">", total, most), total, most)
        rows.store(most, 0, args[1])
        return context.get_dummy_value()

    return types.void(out, types.int64, table, patterns, types.int64), code


@intrinsic
def spread_pooled(typing, grads, outs, at, slopes, table, patterns, first):  # type: ignore[no-untyped-def]
    """Add the gradient of an output, where it is positive, to the rows of `slopes` that the first of the four
    sums that is that output was made of."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = Rows(CHANNELS, context, builder, sig, args)
        zero = rows.zero
        out, left = (rows.load(number, args[2]) for number in (1, 0))
        left = builder.select(builder.fcmp_ordered(">", out, zero), left, zero)
        for indices, total in sums(rows, 5, 4, args[6]):
            is_it = builder.fcmp_ordered("==", total, out)
            for index in indices:
                rows.add(3, index, builder.select(is_it, left, zero))
            left = builder.select(is_it, zero, left)
        return context.get_dummy_value()

    return types.void(grads, outs, types.int64, slopes, table, patterns, types.int64), code


@kernel(_nrt=False)
def find_patterns(words, patterns):
    """What outputs see: for each strip, picture and row the pattern of its first column in the lower 9 of 12
    bits, and that of its second column in the upper 9.

    words: uint64 [B, 5, 66], in, see `framed`. patterns: uint16 [B, 32, 5, 64], out.
    """
    for i in range(len(words)):
        for strip in range(OUT):
            for picture in range(PICTURES):
                seen, to = words[i, picture, 2 * strip : 2 * strip + 4], patterns[i, strip, picture]
                a, b, c, d = seen[0], seen[1], seen[2], seen[3]
                for row in range(1, SIZE):
                    down = np.uint64(row - 1)
                    low = (a >> down & SEVEN) | (b >> down & SEVEN) << THREE
                    high = (c >> down & SEVEN) | (d >> down & SEVEN) << THREE
                    to[row] = low | high << SIX
                low = (a << ONE & SEVEN) | (b << ONE & SEVEN) << THREE
                high = (c << ONE & SEVEN) | (d << ONE & SEVEN) << THREE
                to[0] = low | high << SIX


@kernel(_nrt=False)
def count_pairs(words, shifted, pairs):
    """Count how often two of the bits that an output sees are lit together.

    words: uint64 [B, 5, 66], in. shifted: uint64 [45, 64], out, of use inside only: the words as each bit of
    an output sees them. pairs: int64 [45, 45], out.
    """
    pairs[:] = 0
    for i in range(len(words)):
        for column in range(SIZE):
            for k in range(PICTURES * WIDE):
                word = words[i, k // WIDE, column + k % WIDE]
                shifted[WIDE * k, column] = word << ONE
                shifted[WIDE * k + 1, column] = word
                shifted[WIDE * k + 2, column] = word >> ONE
        for one in range(SEEN):
            for other in range(one + 1):
                count = np.uint64(0)
                for column in range(SIZE):
                    count += count_lit(shifted[one, column] & shifted[other, column])
                pairs[one, other] += count
    for one in range(SEEN):
        for other in range(one):
            pairs[other, one] = pairs[one, other]


@inlined
def pool_some(patterns, table, outs, a, b):
    """`pool`, of strips a..b-1."""
    for strip in range(a, b):
        for row in range(OUT):
            pool_rows(outs, CHANNELS * (OUT * strip + row), table, patterns, STRIP * strip + 2 * row)


@inlined
def spread_some(patterns, table, outs, grads, slopes, a, b):
    """`spread`, of strips a..b-1."""
    for strip in range(a, b):
        for row in range(OUT):
            at, first = CHANNELS * (OUT * strip + row), STRIP * strip + 2 * row
            spread_pooled(grads, outs, at, slopes, table, patterns, first)


@kernel(_nrt=False)
def pool(patterns, table, outs):
    """What the block makes of patterns: the greatest sum of each four places, or 0.

    patterns: uint16 [B * 32 * 5 * 64], in. table: float32 [5 * 513 * 32], in.
    outs: float32 [B * 32 * 32 * 32], out: by picture, column, row and channel.
    """
    pool_some(patterns, table, outs, 0, len(patterns) // STRIP)


@kernel(parallel=True)
def pool_threaded(patterns, table, outs, threads):
    """`pool`, some pictures a thread."""
    n = len(patterns) // STRIP
    for k in numba.prange(threads):
        pool_some(patterns, table, outs, n * k // threads, n * (k + 1) // threads)


@kernel(_nrt=False)
def spread(patterns, table, outs, grads, slopes):
    """The reverse of `pool`: add the gradients of its outputs to the rows that made them.

    grads: float32 [B * 32 * 32 * 32], in. slopes: float32 [threads, 5 * 513 * 32], in and out.
    """
    spread_some(patterns, table, outs, grads, slopes[0], 0, len(patterns) // STRIP)


@kernel(parallel=True)
def spread_threaded(patterns, table, outs, grads, slopes):
    """`spread`, some pictures a thread, each into a table of its own."""
    n, threads = len(patterns) // STRIP, len(slopes)
    for k in numba.prange(threads):
        spread_some(patterns, table, outs, grads, slopes[k], n * k // threads, n * (k + 1) // threads)


class Pool(torch.autograd.Function):
    """float32 [B, 32, 32, 32], by column, row and channel: of patterns uint16 [B, 32, 5, 64] and a table
    float32 [5, 513, 32]."""

    @staticmethod
    def forward(ctx: Any, patterns: Tensor, table: Tensor) -> Tensor:
        outs = torch.empty(len(patterns), OUT, OUT, CHANNELS)
        arrays = [tensor.detach().view(-1).numpy() for tensor in (patterns, table, outs)]
        threads = torch.get_num_threads()
        if threads == 1:
            pool(*arrays)
        else:
            with PARALLEL:
                pool_threaded(*arrays, threads)
        ctx.save_for_backward(patterns, table, outs)
        return outs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the table: patterns have none."""
        saved = (*ctx.saved_tensors, grads[0].contiguous())
        slopes = torch.zeros(torch.get_num_threads(), PICTURES * STRIDE * CHANNELS)
        arrays = [tensor.view(-1).numpy() for tensor in saved]
        if len(slopes) == 1:
            spread(*arrays, slopes.numpy())
        else:
            with PARALLEL:
                spread_threaded(*arrays, slopes.numpy())
        return None, slopes.sum(0).view(PICTURES, STRIDE, CHANNELS)


def framed(packed: Tensor) -> Tensor:
    """int64 [B, 5, 66]: packed pictures [B, 4, 64] and one lit all over, with a dark column on both sides."""
    lit = packed.new_full((len(packed), 1, SIZE), -1)
    return F.pad(torch.cat([packed, lit], 1), (1, 1))


def statistics(norm: nn.BatchNorm2d, words: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """[32] each, mean and variance that a batch norm goes by: its running ones, or those of sums of bits,
    weighted by float64 [32, 45]. The running ones then follow. words: see `framed`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    if not norm.training:
        return norm.running_mean, norm.running_var
    shifted, pairs = np.empty((SEEN, SIZE), np.uint64), np.empty((SEEN, SEEN), np.int64)
    count_pairs(words.numpy().view(np.uint64), shifted, pairs)
    count = pairs[ALWAYS, ALWAYS]
    together = torch.from_numpy(pairs).double() / count
    lit = together[ALWAYS]
    mean, var = weight @ lit, (weight @ (together - torch.outer(lit, lit)) * weight).sum(1)
    norm.running_mean.lerp_(mean.detach().float(), norm.momentum)
    norm.running_var.lerp_((var.detach() * (count / (count - 1))).float(), norm.momentum)
    norm.num_batches_tracked.add_(1)
    return mean, var


def block(packed: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d, dark: float, light: float) -> Tensor:
    """float32 [B, 32, 32, 32], the channels last in memory: a convolution, 3 x 3 and padded, batch norm, ReLU
    and pooling of packed pictures int64 [B, 4, 64]. Without gradients for the pictures."""
    assert conv.bias is not None
    words, kernels = framed(packed), conv.weight.flatten(2).double()
    weight = torch.cat([(light - dark) * kernels, dark * kernels.sum(1, keepdim=True)], 1).flatten(1)
    weight = weight + torch.outer(conv.bias, IS_ALWAYS)
    mean, var = statistics(norm, words, weight)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    weight = weight * scale[:, None] + torch.outer(norm.bias - mean * scale, IS_ALWAYS)
    table = BITS_OF @ weight.float().T.view(PICTURES, BITS, CHANNELS)
    patterns = torch.empty(len(words), OUT, PICTURES, SIZE, dtype=torch.uint16)
    find_patterns(words.numpy().view(np.uint64), patterns.numpy())
    return Pool.apply(patterns, table).permute(0, 3, 1, 2)
