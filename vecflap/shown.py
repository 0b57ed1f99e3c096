"""N games and what their players are shown, in memory that two steps use by turns.

So what one step shows stays as it is during the next one, and the two can be looked at together without
copying either.
"""

from typing import Any

import numpy as np

from vecflap import views
from vecflap.render import SIZE
from vecflap.sim import VecFlap

KINDS = ("stack", "packed", "packed_stack", "features")
Ended = tuple[np.ndarray, np.ndarray]
"""Games that ended, int64 [K], and what their players saw last, [K, ...]."""


class Shown:
    """N games and what is shown of them, which is one of KINDS.

    obs: [N, ...], what players see; it stays as it is until the step after the next
    """

    def __init__(self, sim: VecFlap, kind: str, frames: int) -> None:
        """
        sim:    the games, with `final`, and two buffers if the kind is `packed`.
        frames: of a stack.
        """
        if kind not in KINDS:
            raise ValueError(f"obs={kind!r} is unknown. Choose from: {', '.join(KINDS)}.")
        if frames < 1:
            raise ValueError(f"frames={frames}: a stack has at least one.")
        self.sim, self.kind = sim, kind
        self.term, self.age, self.final = sim.term.numpy().view(bool), sim.age.numpy(), sim.final.numpy()
        if kind == "packed":
            before = sim.frame
            sim.turn()
            self.stacks = [frame.numpy()[:, None] for frame in (sim.frame, before)]  # the latest first
        else:
            depth = 0 if kind == "features" else frames
            self.stacks = [np.zeros((sim.envs, depth, SIZE), np.int64) for _ in range(2)]
        self.seen = [self._expanded(stack, sim.rows) for stack in self.stacks]
        self.obs = self.seen[0]

    def play(self, act: Any) -> Ended:
        """Step all games; `show` is to follow. Returns those that crashed.

        ValueError for what is no action, with the games as they were.
        """
        self._turn()
        try:
            self.sim.step(act)
        except ValueError:
            self._turn()
            raise
        crashed = self.term.nonzero()[0]
        finals = self._finals(crashed) if len(crashed) else self.obs[:0]
        if self.kind in ("stack", "packed_stack"):
            np.copyto(self.stacks[0], self.stacks[1])
            views.push_all(self.sim.frame.numpy(), self.age, self.stacks[0])
        return crashed, finals

    def cut(self, games: np.ndarray) -> Ended:
        """End the episodes of some games, int64 [K], that the latest step did not end. Returns them."""
        finals = self._expanded(self.stacks[0][games], self.sim.state.take(games, axis=1).T)
        which = np.zeros(self.sim.envs, bool)
        which[games] = True
        self.sim.restart(which)
        self._begin(which)
        return games, finals

    def restart(self, which: np.ndarray | None = None, seed: int | None = None) -> None:
        """Begin episodes of all games, or of those where bool [N] `which` is true; `show` is to follow.

        seed: go on with another seed.
        """
        self._turn()
        if self.kind == "packed":
            self.sim.turn()
        else:
            np.copyto(self.stacks[0], self.stacks[1])
        self.sim.restart(which, seed)
        self._begin(slice(None) if which is None else which)

    def show(self) -> np.ndarray:
        """obs, after what was played."""
        self.obs = self._expanded(self.stacks[0], self.sim.rows, self.seen[0])
        return self.obs

    def _turn(self) -> None:
        """Let the next step write where the step before the last one did."""
        self.stacks.reverse()
        self.seen.reverse()

    def _begin(self, which: Any) -> None:
        """Fill the stacks of some games with their first frames."""
        if self.kind != "packed":
            self.stacks[0][which] = self.sim.frame.numpy()[which, None]

    def _finals(self, crashed: np.ndarray) -> np.ndarray:
        """[K, ...]: what the players of int64 [K] games saw at the crash."""
        if self.kind == "features":
            return self._expanded(self.stacks[0], self.sim.crashes.take(crashed, axis=1).T)
        last = self.final.take(crashed, axis=0)[:, None]
        return self._expanded(np.concatenate([self.stacks[1][crashed, 1:], last], axis=1), self.sim.rows)

    def _expanded(self, stack: np.ndarray, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """[K, ...]: what is seen of K games, in `out` if given: for packed stacks, their bytes."""
        if self.kind in ("packed", "packed_stack"):
            seen = stack[:, 0] if self.kind == "packed" else stack
            return seen.view(np.uint8).reshape(*seen.shape, SIZE // 8) if out is None else out
        if self.kind == "stack":
            out = np.empty((*stack.shape, SIZE), np.uint8) if out is None else out
            views.spread_all(stack.reshape(-1), out.reshape(-1))
        else:
            out = np.empty((len(rows), views.FEATURES), np.float32) if out is None else out
            views.features_all(rows, out)
        return out
