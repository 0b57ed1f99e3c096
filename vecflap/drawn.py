"""Many draws at once: on a CPU by one kernel, where tensors would take forty operations."""

import torch
from torch import Tensor

from vecflap import draws
from vecflap.kernels import config as numba_config
from vecflap.kernels import kernel


@kernel(_nrt=False)
def fill(seed, purpose, first, b, c, out):
    """out: int64 [any], out: draws of the keys (seed, purpose, first + i, b, c)."""
    for i in range(len(out)):
        out[i] = draws.draw(seed, purpose, first + i, b, c)


def drawn(
    seed: int, purpose: int, first: Tensor | int, count: int, b: Tensor | int, c: int, device: torch.device
) -> Tensor:
    """int64 [count]: draws of the keys (seed, purpose, first + i, b, c), see draws.py.

    first, b: on the device, where they are tensors: nothing waits for a GPU.
    """
    if device.type == "cpu" and not numba_config.DISABLE_JIT:
        out = torch.empty(count, dtype=torch.int64)
        fill(seed, purpose, int(first), int(b), c, out.numpy())
        return out
    a = first + torch.arange(count, device=device)
    return draws.draw(torch.full_like(a, seed), purpose, a, b, c)
