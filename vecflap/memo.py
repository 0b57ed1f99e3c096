"""What a network has answered, so that it is not asked the same again.

A bird that plays without chance comes to the same places again and again: in a selection of `flap9` most
states were seen before, in another game or some pipes ago. A state is known by a hash of its 2 KiB, of 63
bits: of a million states, two are taken for each other once in some ten million selections.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vecflap.kernels import inlined, kernel

SIZE = 2**22
"""Places for answers, a power of 2; all are forgotten when half of them are taken. 64 MiB."""


@inlined
def look(keys, key):
    """The place of a key, or where there is room for it."""
    last = np.uint64(len(keys) - 1)
    place = (np.uint64(key) >> np.uint64(20)) & last
    while keys[place] != key and keys[place] != 0:
        place = (place + np.uint64(1)) & last
    return place


@kernel(_nrt=False)
def find(words, keys, places, new):
    """Find where states are kept, and give places to new ones. Returns how many those are.

    words: int64 [B, W], in, states. keys: int64 [a power of 2], in and out, hashes, 0 where a place is free.
    places: int64 [B], out. new: int64 [B], out, which states are new, the first of equal ones.
    """
    count = 0
    for b in range(len(words)):
        h = np.uint64(1)
        for word in words[b]:
            h = (h ^ np.uint64(word)) * np.uint64(0x9E3779B97F4A7C15)
            h ^= h >> np.uint64(29)
        key = np.int64(h | np.uint64(1))
        place = look(keys, key)
        if keys[place] == 0:
            keys[place] = key
            new[count] = b
            count += 1
        places[b] = place
    return count


@kernel(_nrt=False)
def move(keys, numbers, new_keys, new_numbers):
    """Copy what is in a table, see `find`, into another one, of another size, that is empty.

    keys: int64, numbers: int32 [a power of 2], in. new_keys: int64, new_numbers: int32 [another one], out.
    """
    for i in range(len(keys)):
        if keys[i] != 0:
            place = look(new_keys, keys[i])
            new_keys[place], new_numbers[place] = keys[i], numbers[i]


class Memo:
    """Answers of a network whose weights stay as they are, in host memory."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        """answer: of int64 [B, K, 64], float32 [B, 2]."""
        self.answer = answer
        self.keys, self.answers = np.zeros(SIZE, np.int64), np.zeros((SIZE, 2), np.float32)
        self.count = 0

    def __call__(self, states: Tensor) -> Tensor:
        """float32 [B, 2] of int64 [B, K, 64], B at most SIZE / 2."""
        if self.count + len(states) > SIZE // 2:
            self.keys[:] = self.count = 0
        places, new = np.empty((2, len(states)), np.int64)
        count = find(states.flatten(1).numpy(), self.keys, places, new)
        if count:
            self.count += count
            self.answers[places[new[:count]]] = self.answer(states[torch.from_numpy(new[:count])]).numpy()
        return torch.from_numpy(self.answers[places])
