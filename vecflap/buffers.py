"""Memory that a caller hands in: NumPy arrays, torch tensors or anything with DLPack, checked before use."""

from typing import Any

import numpy as np
import torch


def array_over(name: str, memory: Any, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A NumPy array over a caller's memory, for a kernel to write into.

    shape: what is needed; -1 where any length will do. uint64 is taken for int64.
    Raises ValueError if the memory is on another device, or not a writable, contiguous array of that kind.
    """
    wanted = np.dtype(dtype)
    try:
        if isinstance(memory, torch.Tensor):
            array = memory.numpy()  # 0.3 us; by DLPack 7
        else:
            array = memory if isinstance(memory, np.ndarray) else np.from_dlpack(memory)
        if array.dtype == np.uint64 and wanted == np.int64:
            array = array.view(np.int64)
        problem = misfit(array, wanted, shape)
    except (AttributeError, TypeError, BufferError, RuntimeError) as error:
        problem = f"is no array ({error})"
    if problem:
        if isinstance(memory, torch.Tensor) and memory.device.type != "cpu":
            problem = f"is on {memory.device}"
        raise ValueError(
            f"{name} {problem}: needed is a contiguous, writable {wanted} array {list(shape)} on the CPU."
        )
    return array


def misfit(array: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """What is wrong with an array; nothing, if nothing is."""
    fits = array.ndim == len(shape) and all(map(is_length, shape, array.shape))
    if array.dtype != dtype or not fits:
        return f"is {array.dtype} {list(array.shape)}"
    if not array.flags.writeable:
        return "is read-only"
    return "" if array.flags.carray else f"has strides {list(array.strides)}"


def is_length(needed: int, length: int) -> bool:
    """Whether an axis is as long as needed; -1 where any length will do."""
    return needed in (-1, length)


def actions(act: Any, envs: int) -> np.ndarray:
    """uint8 [N], contiguous, of one action a game in any array or list; the values of a uint8 array are not
    checked. ValueError for what cannot be actions."""
    try:
        array = act.numpy(force=True) if isinstance(act, torch.Tensor) else np.asarray(act)
    except (TypeError, ValueError) as error:
        raise ValueError(f"act is not an array of 0 and 1: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"act is not an array of 0 and 1: it is of type {array.dtype}.")
    if array.shape != (envs,):
        raise ValueError(f"act has shape {list(array.shape)}, needed is [{envs}], one action a game.")
    if array.dtype == np.uint8 and array.flags.carray:
        return array
    if not ((array == 0) | (array == 1)).all():
        raise wrong_actions()
    return array.astype(np.uint8)


def wrong_actions() -> ValueError:
    """For values that are no action."""
    return ValueError("act has values other than 0 (glide) and 1 (flap).")
