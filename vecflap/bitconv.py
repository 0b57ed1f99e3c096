"""The compact network's first layer on a CPU: a convolution over packed pictures, without unpacking them.

Kernel and stride are 8, so what an output sees of the pictures is whole bytes, one for each frame and column.
What such a byte adds to the 16 channels is a row of a table that has one for each of its 256 values: what
the kernel's weights make of its bits, and besides what is learned of that byte alone, which costs nothing
here. The sum of 32 rows is an eighth of the arithmetic of the products; its gradient adds to the same rows.

Outputs are written where the second layer needs them, once for each of its 3 x 3 places that sees them: that
makes it a product of two matrices.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor

from vecflap.config import FRAMES
from vecflap.kernels import PARALLEL, inlined, kernel
from vecflap.render import SIZE
from vecflap.rows import I64, Rows, intrinsic

CHANNELS = 16
KERNEL = 8  # columns, rows, and the stride
OUT = SIZE // KERNEL  # outputs, along and across
SEEN = FRAMES * KERNEL  # bytes that an output sees
VALUES = 256  # of a byte
STRIDE = (
    VALUES + 1
)  # rows from a byte's table to the next: 256 would crowd them all into one place of a cache
TABLE = SEEN * STRIDE * CHANNELS
OFFSETS = [KERNEL * (SIZE * frame + column) for frame in range(FRAMES) for column in range(KERNEL)]
"""Of the bytes that an output sees, from the first one."""
BITS = (torch.arange(VALUES) >> torch.arange(KERNEL)[:, None] & 1).float()
"""float32 [8, 256]: the bits of every byte."""

WINDOW, STEP = 4, 2  # of the second layer: outputs it sees along and across, and its stride
PLACES = (OUT - WINDOW) // STEP + 1
PATCH = WINDOW * WINDOW * CHANNELS
OF_A_PICTURE = PLACES * PLACES * PATCH


def seen(rows: Rows, octets: int, first: Any) -> Iterator[Any]:
    """Where in a table the rows of the bytes that an output sees begin."""
    for number, offset in enumerate(OFFSETS):
        place = rows.builder.add(first, ir.Constant(I64, offset))
        byte = rows.builder.zext(rows.builder.load(rows.at(octets, place)), I64)
        index = rows.builder.add(byte, ir.Constant(I64, number * STRIDE))
        yield rows.builder.mul(index, ir.Constant(I64, CHANNELS))


@intrinsic
def sum_rows(typing, out, places, bias, table, octets, first):  # type: ignore[no-untyped-def]
    """Write to four places of `out` the sum of the biases and the rows of the bytes seen from `first` on, or
    0 where it is negative."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = Rows(CHANNELS, context, builder, sig, args)
        zero = rows.zero
        sums = [rows.load(2, ir.Constant(I64, 0)), zero]  # two: one need not wait
        for number, index in enumerate(seen(rows, 4, args[5])):
            sums[number % 2] = builder.fadd(sums[number % 2], rows.load(3, index))
        total = builder.fadd(*sums)
        positive = builder.select(builder.fcmp_ordered(">", total, zero), total, zero)
        for place in range(4):
            rows.store(positive, 0, builder.extract_value(args[1], place))
        return context.get_dummy_value()

    return types.void(out, places, bias, table, octets, types.int64), code


@intrinsic
def spread_row(typing, grads, places, count, outs, table, octets, first):  # type: ignore[no-untyped-def]
    """Add the sum of the gradients at the first places, 1, 2 or 4 of them, where the outputs are positive, to
    the rows of the bytes seen."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = Rows(CHANNELS, context, builder, sig, args)
        zero = rows.zero
        indices = [builder.extract_value(args[1], place) for place in range(4)]
        total, *others = (rows.load(0, index) for index in indices)
        for number, other in enumerate(others, 1):
            taken = builder.icmp_signed(">", args[2], ir.Constant(I64, number))
            total = builder.fadd(total, builder.select(taken, other, zero))
        positive = builder.fcmp_ordered(">", rows.load(3, indices[0]), zero)
        added = builder.select(positive, total, zero)
        for index in seen(rows, 5, args[6]):
            rows.add(4, index, added)
        return context.get_dummy_value()

    return types.void(grads, places, types.int64, outs, table, octets, types.int64), code


@intrinsic
def add_row(typing, table, to, of, weight, added):  # type: ignore[no-untyped-def]
    """Write to a row of the table, from `to` on, those from `of` on and those of the weights."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows = Rows(CHANNELS, context, builder, sig, args)
        one, other = (rows.load(n, args[i]) for n, i in ((0, 2), (3, 4)))
        rows.store(builder.fadd(one, other), 0, args[1])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64, weight, types.int64), code


@kernel(_nrt=False)
def fill_table(weight, table):
    """weight: float32 [32 * 8 * 16], in: by frame and column, row, and channel. table: float32 [any], out."""
    for number in range(SEEN):
        first = CHANNELS * STRIDE * number
        for o in range(CHANNELS):
            table[first + o] = 0.0
        for bit in range(
            KERNEL
        ):  # values with this bit, and lower ones, are those without it, and its weight
            added = CHANNELS * (KERNEL * number + bit)
            for row in range(1 << bit):
                to = first + CHANNELS * (row + (1 << bit))
                add_row(table, to, first + CHANNELS * row, weight, added)


@inlined
def first_seen(i, column, row):
    """Where an output's bytes begin."""
    return KERNEL * (SIZE * FRAMES * i + KERNEL * column) + row


@inlined
def places_of(i, column, row):
    """Where in the patches an output of picture i is written: four indices, of which the first 1, 2 or 4
    differ, and how many."""
    p, q = min(column // STEP, PLACES - 1), min(row // STEP, PLACES - 1)  # the last ones that see it
    before_p, before_q = max((column - STEP) // STEP, 0), max((row - STEP) // STEP, 0)
    count = (1 + (p != before_p)) * (1 + (q != before_q))
    one, four = patch(i, column, row, p, q), patch(i, column, row, before_p, before_q)
    two, three = patch(i, column, row, p, before_q), patch(i, column, row, before_p, q)
    return (one, three if q == before_q else two, two if q == before_q else three, four), count


@inlined
def patch(i, column, row, p, q):
    """Where in the patches what place (p, q) sees of an output begins."""
    seen = WINDOW * (column - STEP * p) + row - STEP * q
    return PATCH * (PLACES * (PLACES * i + p) + q) + CHANNELS * seen


@inlined
def convolve_some(octets, table, bias, patches, a, b):
    """`convolve`, of pictures a..b-1."""
    for row in range(OUT):  # outside, for fewer values of bytes at a time: their rows stay in the cache
        for i in range(a, b):
            for column in range(OUT):
                places, _ = places_of(i, column, row)
                sum_rows(patches, places, bias, table, octets, first_seen(i, column, row))


@inlined
def spread_some(octets, patches, grads, table, a, b):
    """`spread_gradients`, of pictures a..b-1."""
    for row in range(OUT):
        for i in range(a, b):
            for column in range(OUT):
                places, count = places_of(i, column, row)
                spread_row(grads, places, count, patches, table, octets, first_seen(i, column, row))


@kernel(_nrt=False)
def convolve(octets, table, bias, patches):
    """The first layer and its ReLU, where the second one sees them.

    octets: uint8 [B * 4 * 64 * 8], in, packed pictures. table: float32 [any], in, see fill_table.
    bias: float32 [16], in. patches: float32 [B * 9 * 256], out: by place, then column, row and channel; or
    uint16, bfloat16 numbers.
    """
    convolve_some(octets, table, bias, patches, 0, len(patches) // OF_A_PICTURE)


@kernel(parallel=True)
def convolve_threaded(octets, table, bias, patches, threads):
    """`convolve`, some pictures a thread."""
    n = len(patches) // OF_A_PICTURE
    for k in numba.prange(threads):
        convolve_some(octets, table, bias, patches, n * k // threads, n * (k + 1) // threads)


@kernel(_nrt=False)
def spread_gradients(octets, patches, grads, tables):
    """The reverse of `convolve`: add the gradients of its outputs to the rows that were added to them.

    grads: as the patches, in. tables: float32 [threads, any], in and out.
    """
    spread_some(octets, patches, grads, tables[0], 0, len(patches) // OF_A_PICTURE)


@kernel(parallel=True)
def spread_gradients_threaded(octets, patches, grads, tables):
    """`spread_gradients`, some pictures a thread, each into a table of its own."""
    n, threads = len(patches) // OF_A_PICTURE, len(tables)
    for k in numba.prange(threads):
        spread_some(octets, patches, grads, tables[k], n * k // threads, n * (k + 1) // threads)


def bytes_seen(packed: Tensor) -> Tensor:
    """uint8 [B * 64, 32]: the bytes that every output sees, by picture, column and row; of
    int64 [B, 4, 64]."""
    octets = packed.contiguous().view(torch.uint8).view(len(packed), FRAMES, OUT, KERNEL, OUT)
    return octets.permute(0, 2, 4, 1, 3).reshape(-1, SEEN)


def rows_seen(packed: Tensor) -> Tensor:
    """int64 [B * 64, 32]: place and value of the same bytes, as one number."""
    return bytes_seen(packed) + VALUES * torch.arange(SEEN, device=packed.device)


def numbers(tensor: Tensor) -> np.ndarray:
    """A tensor's memory, flat; uint16 for bfloat16."""
    flat = tensor.detach().reshape(-1)
    return (flat.view(torch.uint16) if flat.dtype == torch.bfloat16 else flat).numpy()


def table_of(weight: Tensor, besides: Tensor) -> Tensor:
    """float32 [any]: what every byte adds, of weights float32 [16, 4, 8, 8] and what bytes add besides
    [8192, 16]."""
    table = torch.empty(TABLE)
    fill_table(numbers(weight.permute(1, 2, 3, 0)), table.numpy())
    rows_of(table).add_(besides.view(SEEN, VALUES, CHANNELS))
    return table


def convolve_into(patches: Tensor, packed: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """See `convolve`. patches: [B, 9, 256], out. packed: int64 [B, 4, 64]. Returns its bytes."""
    octets = packed.contiguous().view(torch.uint8)
    arrays = [numbers(tensor) for tensor in (octets, table, bias, patches)]
    threads = torch.get_num_threads()
    if threads == 1:
        convolve(*arrays)
    else:
        with PARALLEL:
            convolve_threaded(*arrays, threads)
    return octets


def rows_of(table: Tensor) -> Tensor:
    """[32, 256, 16]: a table's rows, by place of the byte and its value."""
    return table.view(SEEN, STRIDE, CHANNELS)[:, :VALUES]


class BitConvolution(torch.autograd.Function):
    """dtype [B, 9, 256], what the second layer sees: of packed pictures int64 [B, 4, 64], by weights
    float32 [16, 4, 8, 8], biases [16] and what bytes add besides [8192, 16], by place and value; after ReLU.
    dtype: torch.float32 or torch.bfloat16. Without gradients for the pictures."""

    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, weight: Tensor, bias: Tensor, besides: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """The table is filled each time: torch does not tell when weights have changed."""
        patches = torch.empty(len(packed), PLACES * PLACES, PATCH, dtype=dtype)
        octets = convolve_into(patches, packed, table_of(weight, besides), bias)
        ctx.save_for_backward(octets, patches)
        return patches

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of weights, each the sum over the bytes that have its bit, of biases and of bytes."""
        tables = torch.zeros(torch.get_num_threads(), TABLE)
        arrays = [numbers(tensor) for tensor in (*ctx.saved_tensors, grads[0])]
        if len(tables) == 1:
            spread_gradients(*arrays, tables.numpy())
        else:
            with PARALLEL:
                spread_gradients_threaded(*arrays, tables.numpy())
        rows = rows_of(tables.sum(0)).contiguous()
        weight = (BITS @ rows).view(FRAMES, KERNEL, KERNEL, CHANNELS).permute(3, 0, 1, 2).contiguous()
        return None, weight, rows[0].sum(0), rows.view(-1, CHANNELS), None
