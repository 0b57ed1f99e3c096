"""CUDA graphs: the hundred kernels of an update, queued once by Python and then replayed by one call."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the one that is captured: torch's libraries set themselves up in them."""


@cache
def beside(device: torch.device) -> torch.cuda.Stream:
    """The stream that warms up and captures: torch asks for another than the current one."""
    return torch.cuda.Stream(device)


class Captured:
    """A function of tensors, captured as a CUDA graph at its fourth call and replayed from then on.

    The function must do the same work every time, on tensors that stay where they are, and wait for nothing.
    Its arguments may come from anywhere: they are copied to where those of the capture were. What it returns
    is overwritten by the next call. Where capturing fails, a warning says why, and from then on functions are
    called as they are.
    """

    possible = True  # until a capture fails, which may leave torch unfit for another

    def __init__(self, function: Callable[..., Any], device: torch.device, enabled: bool = True) -> None:
        self.function, self.device = function, device
        self.enabled = enabled and device.type == "cuda"
        self.calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given: Sequence[Tensor] = ()
        self._result: Any = None

    def __call__(self, *given: Tensor) -> Any:
        if not self.enabled:
            return self.function(*given)
        with torch.cuda.device(self.device):
            self.calls += 1
            if self._graph is None and self.calls <= WARM_UP:
                return self._warm_up(given)
            if self._graph is None and Captured.possible:
                self._capture(given)
            if self._graph is None:
                return self.function(*given)
            for ours, theirs in zip(self._given, given, strict=True):
                ours.copy_(theirs, non_blocking=True)
            self._graph.replay()
            return self._result

    def _warm_up(self, given: Sequence[Tensor]) -> Any:
        current, side = torch.cuda.current_stream(), beside(self.device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = self.function(*given)
        current.wait_stream(side)
        return result

    def _capture(self, given: Sequence[Tensor]) -> None:
        """Capture the function; nothing is computed."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        self._given = [tensor.clone() for tensor in given]
        try:
            with torch.cuda.graph(graph, stream=beside(self.device)):
                self._result = self.function(*self._given)
            self._graph = graph
        except Exception as error:  # torch's, or Numba's
            Captured.possible = False
            torch.cuda.set_stream(current)  # where torch failed to
            why: BaseException = error
            while why.__context__:  # the first of them says it
                why = why.__context__
            text = str(why).splitlines()[0]
            warnings.warn(f"No CUDA graphs, so training is slower: {text}", RuntimeWarning, stacklevel=4)
