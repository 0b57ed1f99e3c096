"""Ways from packed pictures to the compact network's first layer: int64 [B, 4, 64] to [B, 32, 8, 8].

python bench/unpacking.py [--cpu] [--out FILE]

Item: one batch. Every way is checked against the first, which is the network's own, before it is timed, on
CUDA as a graph: forwards, and forwards and backwards with the gradients of the weights. Excluded: what
follows in the network. On CUDA in bfloat16, from float32 weights; with --cpu in float32, tiny.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from throughput import check_captured
from torch.nn import functional as F

from vecflap.bitconv import BITS, CHANNELS, KERNEL, OUT, SEEN, bytes_seen, rows_seen
from vecflap.graphs import WARM_UP, Captured
from vecflap.networks import Unpack
from vecflap.render import SIZE

BATCHES = (64, 128, 1024)
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 0.02}
"""How far a way may be from the first, relative to its norm."""
UNPACK = Unpack(0.0, 1.0)


def by_table(obs, weight, bias):
    """A table of bytes gives numbers, then a convolution: as networks.Compact does, but for its embedding."""
    return F.conv2d(UNPACK(obs, weight.dtype), weight, bias, KERNEL)


def by_shifts(obs, weight, bias):
    """Shifts and masks give numbers, then a convolution."""
    octets, places = obs.view(torch.uint8), torch.arange(KERNEL, dtype=torch.uint8, device=obs.device)
    bits = (octets[..., None] >> places) & 1
    return F.conv2d(bits.view(*obs.shape, SIZE).to(weight.dtype), weight, bias, KERNEL)


def by_place(out):
    """[B, 32, 8, 8] of [B * 64, 32], in channels-last memory."""
    return out.view(-1, OUT, OUT, CHANNELS).permute(0, 3, 1, 2)


def as_product(obs, weight, bias):
    """The bits that every output sees, [B * 64, 256], times [256, 32]."""
    bits = UNPACK.table.to(weight.dtype)[bytes_seen(obs).int()].view(-1, SEEN * KERNEL)
    return by_place(torch.addmm(bias, bits, weight.permute(1, 2, 3, 0).reshape(-1, CHANNELS)))


def fused(obs, weight, bias):
    """The same product in one Triton kernel."""
    from fused import Fused

    return by_place(Fused.apply(obs, weight, bias))


def as_rows(obs, weight, bias):
    """Sums of 32 rows of a table of all bytes in all places, as on a CPU (bitconv.py)."""
    rows = weight.permute(1, 2, 3, 0).reshape(SEEN, KERNEL, CHANNELS)
    table = (BITS.to(rows).T @ rows).view(-1, CHANNELS)
    return by_place(F.embedding_bag(rows_seen(obs), table, mode="sum") + bias)


WAYS = (by_table, by_shifts, as_product, fused, as_rows)


class Layer:
    """One way, with weights, states and gradients of its outputs."""

    def __init__(self, way, batch, device, dtype):
        chance = torch.Generator().manual_seed(batch)
        obs = torch.randint(-(2**63), 2**63 - 1, (batch, 4, SIZE), generator=chance)
        weight = torch.randn(CHANNELS, 4, KERNEL, KERNEL, generator=chance) / 16
        bias, grads = (torch.randn(*n, generator=chance) for n in ((CHANNELS,), (batch, CHANNELS, OUT, OUT)))
        self.way, self.dtype, self.obs = way, dtype, obs.to(device)
        self.weights = [tensor.to(device).requires_grad_() for tensor in (weight, bias)]
        self.grads = grads.to(device, dtype)

    def forward(self):
        """[B, 32, 8, 8]: the layer's outputs."""
        return self.way(self.obs, *(tensor.to(self.dtype) for tensor in self.weights))

    @torch.no_grad()
    def acted(self):
        """The same, to act: without gradients to come."""
        return self.forward()

    def learned(self):
        """Gradients of weights and biases, float32."""
        return torch.autograd.grad(self.forward(), self.weights, self.grads)


def check(layer, first):
    """AssertionError where a way's outputs or gradients are not those of the first."""
    for ours, theirs in zip(
        (layer.acted(), *layer.learned()), (first.acted(), *first.learned()), strict=True
    ):
        assert ours.shape == theirs.shape
        apart = float((ours.float() - theirs.float()).norm() / theirs.float().norm())
        assert apart < CLOSE[layer.dtype], f"{layer.way.__name__} is wrong, by {apart:.1%}"


def seconds(work, device):
    """Seconds of a call, the median of 20 rounds."""
    captured, times = Captured(work, device), []
    for _ in range(WARM_UP + 2):
        captured()
    check_captured()
    calls, rounds = (50, 20) if device.type == "cuda" else (2, 3)
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            captured()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / calls)
    return statistics.median(times)


def measured(device):
    """Of every way and batch: seconds forwards and with gradients, and ratios to the first; or why not."""
    UNPACK.to(device)
    dtype, batches = (torch.bfloat16, BATCHES) if device.type == "cuda" else (torch.float32, (8,))
    results = {}
    for batch in batches:
        first = Layer(by_table, batch, device, dtype)
        for way in WAYS if device.type == "cuda" else [way for way in WAYS if way is not fused]:
            name, layer = f"{way.__name__} {batch}", Layer(way, batch, device, dtype)
            try:
                check(layer, first)
                times = {"act": seconds(layer.acted, device), "learn": seconds(layer.learned, device)}
            except Exception as error:
                results[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
                continue
            base = results.get(f"by_table {batch}", times)
            results[name] = times | {f"{of}_ratio": times[of] / base[of] for of in times}
    return results


def lines_of(results):
    """A line for each way and batch."""
    for name, x in results.items():
        if "failed" in x:
            yield f"first layer {name:>16}: FAILED {x['failed']}"
            continue
        both = (f"{of} {x[of] * 1e6:8.1f} us, {x[f'{of}_ratio']:5.2f} of by_table" for of in ("act", "learn"))
        yield f"first layer {name:>16}: {'; '.join(both)}"


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cpu", action="store_true", help="on the CPU, tiny")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = measured(torch.device("cpu" if args.cpu else "cuda"))
    print("\n".join(lines_of(results)))
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
