"""The compact network's first layer as Triton kernels: bytes become bits in registers, never in memory.

An output sees 32 bytes: 8 columns of 4 pictures, 8 rows each. Kernel and stride are 8, so the convolution is
the product of bits [M, 256] and weights [256, 32], M = 64 outputs of a state, and its gradient the product of
the transposed bits and the outputs' gradients. Products are made by picture, of 64 bits an output.
"""

from typing import Any

import torch
import triton
from torch import Tensor
from triton import language as tl

BLOCK = 64  # outputs of a program
STEPS = 16  # blocks of a program of the gradient


@triton.jit
def bits_of(octets, m, frame, count, dtype: tl.constexpr):
    """[BLOCK, 64]: what outputs m see of a picture, by column and row. octets: uint8 [B * 4 * 64 * 8]."""
    first = m // 64 * 2048 + m // 8 % 8 * 64 + m % 8 + frame * 512  # by state, column, row and picture
    k = tl.arange(0, 64)
    byte = tl.load(octets + first[:, None] + (k // 8 * 8)[None, :], mask=m[:, None] < count, other=0)
    return (byte.to(tl.int32) >> (k % 8)[None, :] & 1).to(dtype)


@triton.jit
def forwards(octets, weight, bias, out, count, BLOCK: tl.constexpr):
    """weight: [256, 32], by picture, column and row; bias: [32]. out: [count, 32], out."""
    m, k, o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, 64), tl.arange(0, 32)
    total = tl.zeros((BLOCK, 32), tl.float32) + tl.load(bias + o).to(tl.float32)[None, :]
    for frame in range(4):
        part = tl.load(weight + (frame * 64 + k)[:, None] * 32 + o[None, :])
        total = tl.dot(bits_of(octets, m, frame, count, part.dtype), part, total)
    where = out + m[:, None] * 32 + o[None, :]
    tl.store(where, total.to(out.dtype.element_ty), mask=m[:, None] < count)


@triton.jit
def backwards(octets, grads, weight, count, BLOCK: tl.constexpr, STEPS: tl.constexpr):
    """grads: [count, 32], of the outputs. weight: float32 [256, 32], the gradient is added to it."""
    frame, k, o = tl.program_id(1), tl.arange(0, 64), tl.arange(0, 32)
    total = tl.zeros((64, 32), tl.float32)
    for step in range(STEPS):
        m = (tl.program_id(0) * STEPS + step) * BLOCK + tl.arange(0, BLOCK)
        given = tl.load(grads + m[:, None] * 32 + o[None, :], mask=m[:, None] < count, other=0.0)
        total = tl.dot(tl.trans(bits_of(octets, m, frame, count, given.dtype)), given, total)
    tl.atomic_add(weight + (frame * 64 + k)[:, None] * 32 + o[None, :], total)


class Fused(torch.autograd.Function):
    """[B * 64, 32]: the layer's outputs, by state, column and row, for int64 [B, 4, 64] packed states."""

    @staticmethod
    def forward(ctx: Any, obs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        octets, rows = obs.view(torch.uint8).view(-1), weight.permute(1, 2, 3, 0).contiguous()
        out = torch.empty(len(obs) * 64, 32, dtype=weight.dtype, device=obs.device)
        forwards[triton.cdiv(len(out), BLOCK),](octets, rows, bias, out, len(out), BLOCK)
        ctx.save_for_backward(octets)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (octets,), given = ctx.saved_tensors, grads[0].contiguous()
        weight = torch.zeros(256, 32, device=given.device)
        programs = triton.cdiv(len(given), BLOCK * STEPS)
        backwards[programs, 4](octets, given, weight, len(given), BLOCK, STEPS)
        of_weight = weight.view(4, 8, 8, 32).permute(3, 0, 1, 2).to(given.dtype)
        return None, of_weight, given.float().sum(0).to(given.dtype)
