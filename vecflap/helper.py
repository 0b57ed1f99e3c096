"""A second thread for what can be done in two halves, so that a core which would be idle is not.

A run does two things at once: one plays and learns, one judges. While one of them waits for the other, the
helper stands in for it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def always() -> bool:
    """For who has nothing else to do."""
    return True


def never() -> bool:
    """For who knows of no idle core."""
    return False


class Helper:
    """Does the second half of what is asked for at once with the first one, while a core is idle, else after
    it. Work is always done in halves, so that its bits are the same: those of a product of matrices may
    depend on how many rows they have."""

    def __init__(self, idle: Callable[[], bool] = never, threads: int = 1) -> None:
        """
        idle:    whether a core is, of two. A single one never is, a third one always.
        threads: of torch, in each of who works; with more than one, they need the cores themselves.
        """
        if idle is never or threads > 1 or CORES == 1:
            self.idle = never
        else:
            self.idle = idle if CORES == 2 else always

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "vecflap-helper", initializer=torch.set_num_threads, initargs=(1,))

    def both(self, work: Callable[..., Any], first: tuple, second: tuple) -> list[Any]:
        """What the work returns for the first arguments and for the second ones. torch's modes, such as
        no_grad, are those of a thread: it must set its own."""
        if not self.idle():
            return [work(*first), work(*second)]
        other = self._pool.submit(work, *second)
        return [work(*first), other.result()]

    def halves(self, work: Callable[..., Any], *tensors: Tensor) -> list[Any]:
        """What the work returns for the first halves of the tensors and for the second ones; a single row has
        no halves."""
        middle = (len(tensors[0]) + 1) // 2
        if middle == len(tensors[0]):
            return [work(*tensors)]
        return self.both(work, tuple(t[:middle] for t in tensors), tuple(t[middle:] for t in tensors))

    def rows(self, work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """What the work returns for the rows, one each."""
        return torch.cat(self.halves(work, rows))
