"""How much there is to learn from each step of a ring: the more a value was wrong, the more often it is
sampled (Schaul et al., "Prioritized experience replay", 2016).

Priorities are whole numbers, so their sums are exact, wherever and in whatever order they are added up.
Letters: T rows of N games, B batch.
"""

import torch
from torch import Tensor

UNIT = 2**16
"""The priority of an error of 1."""
LEAST_ERROR = 0.01
"""Added to every error: what is right is sampled too."""
HIGHEST = 2**30
"""Priorities are cut here, so that 2**33 of them can be added up."""


def priority(error: Tensor, exponent: float) -> Tensor:
    """int32 [...]: the priorities of float32 [...] errors of Q values. exponent: 0 makes all the same."""
    return ((error.abs() + LEAST_ERROR) ** exponent * UNIT).clamp(1, HIGHEST).int()


class Priorities:
    """Whole numbers, one for each place [T, N] of a ring; places of 0 are never picked."""

    def __init__(self, rows: int, envs: int, device: torch.device) -> None:
        self.each = torch.zeros(rows, envs, dtype=torch.int32, device=device)
        self.of_row = torch.zeros(rows, dtype=torch.int64, device=device)  # their sums

    def write(self, slot: Tensor, row: Tensor | int) -> None:
        """Replace a row. slot: int64 [1]; row: int32 [N], or a number for all."""
        envs = self.each.shape[1]
        values = torch.as_tensor(row, dtype=torch.int32, device=self.each.device).expand(1, envs)
        self.each.index_copy_(0, slot, values)
        self.of_row.index_copy_(0, slot, values.sum(1))

    def renew(self, place: Tensor, values: Tensor) -> None:
        """Replace some. place: int64 [B], slot x N + game; values: int32 [B]."""
        self.each.view(-1).index_copy_(0, place, values)
        slot = place // self.each.shape[1]
        self.of_row.index_copy_(0, slot, self.each[slot].sum(1))

    def pick(self, bits: Tensor) -> Tensor:
        """int64 [B]: places, each with a chance in proportion to its priority. bits: int64 [B] draws."""
        up_to = self.of_row.cumsum(0)
        at = (bits & (2**63 - 1)) % up_to[-1:]  # of all priorities laid end to end; biased by < 2**-16
        slot = torch.searchsorted(up_to, at, right=True)
        within = self.each[slot].cumsum(1, dtype=torch.int64)
        at = at - (up_to[slot] - self.of_row[slot])
        return slot * self.each.shape[1] + torch.searchsorted(within, at[:, None], right=True).squeeze(1)

    def fill(self, each: Tensor) -> None:
        """Replace the first rows. each: int32 [up to T, N]."""
        self.each[: len(each)] = each
        torch.sum(self.each, 1, out=self.of_row)
