"""Games of a bird, each played on for as long as the network was asked the same before.

A bird comes to the same places again and again: in a selection of `flap9` most states were seen before, in
another game or some pipes ago, and some even where a score is drawn. So games do not wait for each other.
Each goes on, compiled, until it shows what is new; then the network is asked about all that is new, at once.
Letters: N games, B new states.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vecflap import draws, render
from vecflap.config import FRAMES
from vecflap.kernels import inlined, kernel
from vecflap.memo import hashed, look, mixed
from vecflap.physics import Gaps
from vecflap.play import play_frames
from vecflap.sim import VecFlap

PLAYING, DIED, DONE = 0, 1, 2
WAITED_FOR = 2
"""In place of an action: the network is being asked."""
BEFORE = 45
"""Frames before a death that are remembered."""
MOST_ENDS = 16
"""Deaths that are remembered, at most."""
MOST = 256
"""Steps that a game goes on at most before all others have had their turn."""
SIZE = 2**22
"""Places for answers, a power of 2; all are forgotten when half of them are taken. 36 MiB."""


@inlined
def show(pictures, hashes, steps, frame, i):
    """Note what game i shows after so many steps. A game's pictures are a ring."""
    slot = steps[i] % FRAMES
    for c in range(len(frame[i])):
        pictures[i, slot, c] = frame[i, c]
    hashes[i, slot] = hashed(frame[i])


@inlined
def key_of(hashes, step):
    """The hash of a state: of the hashes of its pictures, from the oldest one. Never 0."""
    h = np.uint64(1)
    for k in range(1, FRAMES + 1):
        h = mixed(h, hashes[(step + k) % FRAMES])
    return np.int64(h | np.uint64(1))


@kernel(_nrt=False)
def begin(pictures, hashes, steps, frame):
    """Show the first pictures, in place of all that would be older. The arguments are those of play_on."""
    for i in range(len(frame)):
        for step in range(FRAMES - 1, -1, -1):
            steps[i] = step
            show(pictures, hashes, steps, frame, i)


@kernel(_nrt=False)
def play_on(
    state, ranges, act, frame, rew, term, score, moved, plan, seed, purpose, stream,
    skip, past, pictures, hashes, steps, status, keys, known, pipes, at_random, randomly, new, places,
):  # fmt: skip
    """Play every game on, until its bird dies or has passed so many pipes, or sees what is new. Returns how
    many states are: those are given places.

    state to moved, seed to skip: see play.play_all. plan: int32 [12, 128], scratch.
    past: int32 [N, any, 16], in and out, a ring of where games stood before each step.
    pictures: int64 [N, 4, 64], hashes: uint64 [N, 4], in and out, rings. steps: int64 [N], in and out.
    status: uint8 [N], in and out, PLAYING, DIED or DONE.
    keys: int64 [a power of 2], in and out, see memo.find. known: uint8 [as many], in and out, the actions
    there, or WAITED_FOR.
    at_random, randomly: the share of random actions, a fair coin each, and the seed of these.
    new: int64 [N], out, whose states are new, the first of equal ones. places: int64 [N], out, of these.
    """
    gaps, count = Gaps(seed, purpose, stream), 0
    for i in range(len(status)):
        for _ in range(MOST):
            if status[i] != PLAYING:
                break
            key = key_of(hashes[i], steps[i])
            place = look(keys, key)
            if keys[place] == 0:
                keys[place], known[place] = key, WAITED_FOR
                new[count], places[count] = i, place
                count += 1
            if known[place] == WAITED_FOR:
                break
            act[i] = known[place]
            bits = draws.draw(randomly, draws.EXPLORE_EXAM, i, steps[i], 0)
            if draws.chance(bits, int(at_random * 2**32)):
                act[i] = draws.chance(bits >> 32, 2**31)
            for k in range(len(state)):
                past[i, steps[i] % past.shape[1], k] = state[k, i]
            play_frames(state, ranges, act, rew, term, score, moved, skip, 0, gaps, i)
            steps[i] += 1
            if score[i] >= pipes:
                status[i] = DONE
            elif term[i]:
                status[i] = DIED
            else:
                render.draw(frame, state, plan, i, i + 1)
                show(pictures, hashes, steps, frame, i)
    return count


def steps_of(frames: int, skip: int) -> int:
    """Steps of `skip` frames that so many frames are, rounded up."""
    return -(-frames // skip)


class Ahead:
    """N games on a CPU, until each bird has died or passed so many pipes."""

    def __init__(
        self, sim: VecFlap, choice: Callable[[Tensor], Tensor], pipes: int, epsilon: float, seed: int
    ) -> None:
        """
        sim:    where the games begin; it stays as it is. Nothing is disturbed.
        choice: of int64 [B, 4, 64] stacks, uint8 [B] actions.
        epsilon, seed: share of actions that are random, a fair coin each, and their seed.
        """
        games = sim.envs
        self.choice, self._limits = choice, (pipes, epsilon, seed)
        self.state, self.frame = sim.state.copy(), sim.frame.numpy().copy()
        self.score, self._plan = np.zeros(games, np.int32), np.zeros((render.PLAN, render.BLOCK), np.int32)
        self._act, self._term, self._moved, self.status = np.zeros((4, games), np.uint8)
        self._rules, self._rew = sim.ranges, np.zeros(games, np.int8)
        self._gaps = sim.seed, sim.purpose, sim.stream
        self._skip, self._before = sim.skip, steps_of(BEFORE, sim.skip)
        self._past = np.zeros((games, self._before, len(self.state)), np.int32)
        self.pictures = np.zeros((games, FRAMES, render.SIZE), np.int64)
        self.hashes, self.steps = np.zeros((games, FRAMES), np.uint64), np.zeros(games, np.int64)
        begin(self.pictures, self.hashes, self.steps, self.frame)
        self.keys, self.known, self.count = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.uint8), 0
        self._new, self._places = np.zeros((2, games), np.int64)

    @property
    def playing(self) -> bool:
        """Whether any game goes on."""
        return bool((self.status == PLAYING).any())

    @property
    def died(self) -> np.ndarray:
        """int64 [any]: the games whose birds died."""
        return np.flatnonzero(self.status == DIED)

    def ends(self) -> np.ndarray:
        """See evaluate.Scores."""
        before = self._before
        long = self.died[self.steps[self.died] >= before][:MOST_ENDS, None]
        return self._past[long, (self.steps[long] - np.arange(1, before + 1)) % before]

    def play(self) -> None:
        """Play all games on until each sees what is new, and ask the network about that."""
        if self.count + len(self.status) > SIZE // 2:
            self.keys[:] = self.count = 0
        count = play_on(
            *(self.state, self._rules, self._act, self.frame, self._rew, self._term, self.score, self._moved),
            *(self._plan, *self._gaps, self._skip, self._past),
            *(self.pictures, self.hashes, self.steps, self.status),
            *(self.keys, self.known, *self._limits, self._new, self._places),
        )
        if count:
            self.count += count
            new = self._new[:count]
            slots = (self.steps[new][:, None] + np.arange(1, FRAMES + 1)) % FRAMES
            states = torch.from_numpy(self.pictures[new[:, None], slots])
            self.known[self._places[:count]] = self.choice(states).numpy()
