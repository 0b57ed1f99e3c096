"""N games and what a player is shown of them, in memory that two steps use by turns.

So what one step shows stays as it is during the next one, and a step and the one after it can be looked at
together without copying either.
"""

from typing import Any

import numpy as np
import torch

from vecflap import physics, views
from vecflap.kernels import kernel
from vecflap.physics import COLUMNS
from vecflap.render import SIZE
from vecflap.sim import VecFlap

KINDS = ("stack", "packed", "packed_stack", "features")
Finals = tuple[np.ndarray, np.ndarray]
"""Which games ended: int64 [K]; and the last that their players are shown: [K, ...]."""


@kernel()
def play_to_crash(rows, games, act, ranges, seed, purpose, stream):
    """Play games up to the crash that is known to come, and do not restart them.

    rows: int32 [K, 16], in as before the step, out as at the crash check. games: int64 [K], their numbers.
    act: uint8 [N], what was played. ranges and the rest: see sim.play_all.
    """
    gaps = physics.Gaps(seed, purpose, stream)
    for k in range(len(rows)):
        i, crash = games[k], 0
        while not crash:
            _, crash = physics.advance(rows[k], i, act[i], ranges[i], gaps)


def as_bytes(frames: np.ndarray) -> np.ndarray:
    """The same memory as uint8 [..., 64, 8]: bit b of byte k of a column is its row 8 k + b."""
    return frames.view(np.uint8).reshape(*frames.shape, SIZE // 8)


class Shown:
    """N games and their players' observations, of one of the KINDS."""

    def __init__(self, sim: VecFlap, kind: str, frames: int) -> None:
        """
        sim: with `final`. Its frames move between two memories if the kind is `packed`.
        frames: the depth of the stacks.
        """
        if kind not in KINDS:
            raise ValueError(f"obs={kind!r} is unknown. Choose from: {', '.join(KINDS)}.")
        if frames < 1:
            raise ValueError(f"frames={frames}: a stack needs at least one.")
        self.sim, self.kind = sim, kind
        depth = {"packed": 1, "features": 0}.get(kind, frames)
        self.stacks = [np.zeros((sim.envs, depth, SIZE), np.int64) for _ in range(2)]  # the latest first
        self.shown = [self._expanded(stack, sim.rows) for stack in self.stacks]  # of these stacks
        self.final_rows = np.zeros((0, COLUMNS), np.int32)  # int32 [K, 16], of the games that ended last

    @property
    def obs(self) -> np.ndarray:
        """[N, ...]: what players see now."""
        return self.shown[0]

    def play(self, act: Any) -> Finals:
        """Step all games with `act`; `see` is to follow. Returns those that crashed, and what was seen then.

        ValueError for what is no action, with the games as they were.
        """
        before = self.sim.rows.copy()
        self._turn()
        try:
            self.sim.step(act)
        except ValueError:
            self._turn()
            raise
        crashed = self.sim.term.numpy().nonzero()[0]
        finals = self._finals(crashed, before) if len(crashed) else self.obs[:0]
        stack, older = self.stacks
        if stack.shape[1] > 1:
            np.copyto(stack, older)
            views.push(self.sim.frame, self.sim.age, stack)
        return crashed, finals

    def cut(self, games: np.ndarray) -> Finals:
        """End the episodes of int64 [K] games, after `play`. Returns them, and what is seen of them now."""
        self.final_rows = np.concatenate([self.final_rows, self.sim.rows[games]])
        seen = self._expanded(self.stacks[0][games], self.sim.rows[games])
        which = np.zeros(self.sim.envs, np.uint8)
        which[games] = 1
        self._restart(which)
        return games, seen

    def see(self) -> np.ndarray:
        """[N, ...]: what players see, after `play`."""
        self.shown[0] = self._expanded(self.stacks[0], self.sim.rows, self.shown[0])
        return self.shown[0]

    def restart(self, which: np.ndarray | None = None, seed: int | None = None) -> np.ndarray:
        """Begin episodes of all games, or of those where bool [N] is true. Returns what players see.

        seed: for all games to begin anew; what was seen before is then overwritten.
        """
        if seed is not None:
            self.sim.restart(seed=seed)
            self._bind()
        self._turn()
        np.copyto(*self.stacks)
        self._restart(np.ones(self.sim.envs, np.uint8) if which is None else which.view(np.uint8))
        return self.see()
