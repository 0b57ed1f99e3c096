"""CUDA graphs: the hundred kernels of an update, queued once by Python and then replayed by one call."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the one that is captured: torch's libraries set themselves up in them."""


class Captured:
    """A function of tensors, captured as a CUDA graph at its fourth call and replayed from then on.

    The function must do the same work every time, on tensors that stay where they are, and wait for nothing.
    Its arguments may come from anywhere: they are copied to where those of the capture were. What it returns
    is overwritten by the next call. Where capturing fails, a warning says so, and the function is called.
    """

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
        if self._graph is None and self.calls < WARM_UP:
            return self._warm_up(given)
        if self._graph is None and not self._capture(given):
            return self.function(*given)
        for ours, theirs in zip(self._given, given, strict=True):
            if ours.data_ptr() != theirs.data_ptr():
                ours.copy_(theirs, non_blocking=True)
        assert self._graph is not None
        self._graph.replay()
        return self._result

    def _warm_up(self, given: Sequence[Tensor]) -> Any:
        """Call the function on a stream beside the current one, as torch asks for before a capture."""
        self.calls += 1
        current, beside = torch.cuda.current_stream(self.device), torch.cuda.Stream(self.device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            result = self.function(*given)
        current.wait_stream(beside)
        return result

    def _capture(self, given: Sequence[Tensor]) -> bool:
        """Capture the function; nothing is computed. Returns whether it could be."""
        graph = torch.cuda.CUDAGraph()
        self._given = [tensor.clone() for tensor in given]
        try:
            with torch.cuda.graph(graph):
                self._result = self.function(*self._given)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            warnings.warn(f"No CUDA graph, so training is slower: {why}", RuntimeWarning, stacklevel=3)
            self.enabled = False
            torch.cuda.synchronize(self.device)
            return False
        self._graph = graph
        return True
