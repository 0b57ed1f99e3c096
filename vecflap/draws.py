"""Random numbers without state: a hash of (seed, purpose, a, b, c).

Nothing is remembered between two draws, so the order of work, the number of threads, or a pause of a week
cannot change one of them. The hash chains the finaliser of splitmix64 (Steele, Lea, Flood: "Fast splittable
pseudorandom number generators", 2014) over its arguments. It is written in wrapping int64 arithmetic with
masked shifts, so the same lines run compiled by Numba, on NumPy arrays and on torch tensors of any device.
"""

from typing import Any

import numpy as np
from numba.extending import overload, register_jitable

# Purposes keep the streams apart by construction. Never renumber one: recorded seeds would play other games.
GAPS_TRAIN = 1
"""Gaps of training games."""
GAPS_SELECT = 2
"""Gaps of the games that choose the best checkpoint during training."""
GAPS_EXAM = 3
"""Gaps of the games that `vecflap eval` plays: no training and no choice of a checkpoint ever sees them."""
EXPLORE = 4
"""Which actions are random while training."""
EXPLORE_EXAM = 5
"""Which actions are random while evaluating."""
SAMPLE = 6
"""Which transitions an update learns from."""
WEIGHTS = 7
"""Initial weights of the networks."""
RECORD = 8
"""Gaps, players and their flaps in the recordings that vecflap makes of itself."""
STICKY = 9
"""Which actions stick."""
FLIP = 10
"""Which pixels flip."""
PRACTICE = 11
"""Where games that practise begin."""

GAMMA = 0x9E3779B97F4A7C15 - 2**64  # int64 bit patterns of splitmix64's constants
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64


def plus(a: Any, b: Any) -> Any:
    """a + b, modulo 2**64."""
    return a + b


def times(a: Any, b: Any) -> Any:
    """a * b, modulo 2**64."""
    return a * b


@overload(plus)
def plus_compiled(a, b):
    """In Numba's code signed numbers are said not to overflow, and what is made of them may be wrong then."""
    return lambda a, b: np.int64(np.uint64(a) + np.uint64(b))


@overload(times)
def times_compiled(a, b):
    return lambda a, b: np.int64(np.uint64(a) * np.uint64(b))


@register_jitable
def mix(z):
    """splitmix64's finaliser: a bijection of 64 bits; each input bit flips each output bit half the time."""
    z = times(z ^ ((z >> 30) & (2**34 - 1)), MIX_1)
    z = times(z ^ ((z >> 27) & (2**37 - 1)), MIX_2)
    return z ^ ((z >> 31) & (2**33 - 1))


@register_jitable
def draw(seed, purpose, a, b, c):
    """The 64 random bits that belong to a key.

    seed, purpose, a, b, c: int64, inside a kernel. Elsewhere `seed` must be an int64 array or tensor
    (Python's own ints do not wrap), which the others broadcast with. What a, b and c mean is up to the
    purpose: say the game, its count of draws so far, and 0.

    Returns int64 (any value), of the broadcast shape.
    """
    z = mix(plus(seed, GAMMA))
    z = mix(plus(z ^ purpose, GAMMA))
    z = mix(plus(z ^ a, GAMMA))
    z = mix(plus(z ^ b, GAMMA))
    return mix(plus(z ^ c, GAMMA))


@register_jitable
def below(bits, n):
    """A whole number in 0..n-1 from the upper 32 bits of a draw, by multiply-high, biased by < n / 2**32.

    bits: int64 from `draw`. n: 1 <= n < 2**31.
    """
    return (((bits >> 32) & (2**32 - 1)) * n) >> 32


@register_jitable
def chance(bits, per_2_32):
    """True with probability per_2_32 / 2**32, from the lower 32 bits of a draw: `below` uses the others."""
    return (bits & (2**32 - 1)) < per_2_32
