"""What makes a game harder to act in, or to see: actions that stick or come late, pixels that flip.

For finding out how robust a policy is, or for training one that is. All of it is drawn by counters, so the
same seed gives the same disturbances; game i's do not depend on the other games.
"""

from typing import NamedTuple

import numpy as np

from vecflap import draws
from vecflap.kernels import inlined, kernel

HIGHEST_FLIP = 0.5
FLIP_BITS = 16  # a pixel's chance to flip is a multiple of 1 / 2**16


class Disturb(NamedTuple):
    """How games are disturbed; by default not at all."""

    sticky: float = 0.0
    """Chance that a game repeats the action of the frame before instead of the one it is given."""
    latency: bool = False
    """Whether an action is played one step late. In an episode's first step the bird glides."""
    flip: float = 0.0
    """Chance of every pixel, in every frame, to be shown inverted."""

    def check(self) -> "Disturb":
        """Itself. ValueError for chances that are none."""
        if not 0.0 <= self.sticky <= 1.0:
            raise ValueError(f"sticky={self.sticky} is not a chance from 0 to 1.")
        if not 0.0 <= self.flip <= HIGHEST_FLIP:
            raise ValueError(f"flip={self.flip} is not a chance from 0 to {HIGHEST_FLIP}.")
        return self


class Disturbance:
    """The disturbances of N games, and what they have to remember."""

    def __init__(self, how: Disturb, envs: int) -> None:
        self.how = how.check()
        self.waiting = np.zeros(envs, np.uint8)  # the action to play next, if actions come late
        self.played = np.zeros(envs, np.uint8)  # the action played last
        self.count = np.zeros(1, np.int64)  # steps so far

    def act(self, given: np.ndarray, age: np.ndarray, seed: int) -> np.ndarray:
        """uint8 [N]: what is played instead of the actions given. age: uint8 [N], 0 in a first step."""
        self.count += 1
        chance = int(self.how.sticky * 2**32)
        disturb_actions(given, age, seed, self.count[0], chance, self.how.latency, self.waiting, self.played)
        return self.played

    def show(self, frame: np.ndarray, seed: int) -> None:
        """Flip pixels of int64 [N, 64] frames."""
        if self.how.flip:
            flip_pixels(frame, seed, self.count[0], round(self.how.flip * 2**FLIP_BITS))

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that is needed to go on."""
        return {"waiting": self.waiting.copy(), "played": self.played.copy(), "count": self.count.copy()}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a `state_dict`."""
        for name, value in state.items():
            getattr(self, name)[:] = value


@kernel(_nrt=False)
def disturb_actions(given, age, seed, count, chance, late, waiting, played):
    """Choose what is played. given, age: uint8 [N], in. waiting: uint8 [N], in and out. played: uint8 [N], in
    as played last, out. chance: of sticking, in 1 / 2**32."""
    for i in range(len(given)):
        action = given[i]
        if late:
            action, waiting[i] = np.uint8(0) if age[i] == 0 else waiting[i], action
        if age[i] and draws.chance(draws.draw(seed, draws.STICKY, i, count, 0), chance):
            action = played[i]
        played[i] = action


@inlined
def sparse_bits(bits, chance):
    """64 bits, each set by a chance of chance / 2**16. bits: int64, the random bits that they come from.

    Each round halves the chance, and adds a half where its digit in `chance` is 1.
    """
    lit = np.int64(0)
    for digit in range(FLIP_BITS):
        bits = draws.mix(draws.plus(bits, draws.GAMMA))
        lit = lit | bits if chance >> digit & 1 else lit & bits
    return lit


@kernel(_nrt=False)
def flip_pixels(frame, seed, count, chance):
    """Flip pixels. frame: int64 [N, 64], in and out. chance: in 1 / 2**16."""
    for i in range(len(frame)):
        for c in range(frame.shape[1]):
            frame[i, c] ^= sparse_bits(draws.draw(seed, draws.FLIP, i, count, c), chance)
