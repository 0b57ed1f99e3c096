"""A naive twin of the replay, which keeps every row of every game; and streams of rows to feed both with."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from vecflap.replay import CUT, STRAYED, Batch, Replay
from vecflap.sim import VecFlap


class Row(NamedTuple):
    """One step of N games."""

    frame: torch.Tensor  # int64 [N, 64]
    age: torch.Tensor  # uint8 [N]
    act: torch.Tensor  # uint8 [N]
    rew: torch.Tensor  # int8 [N]
    term: torch.Tensor  # uint8 [N]
    value: torch.Tensor  # float32 [N]
    taken: torch.Tensor  # float32 [N]


class Ledger:
    """What Replay is to give back, found by walking along episodes from crash to crash, not by their ages."""

    def __init__(self, envs: int, frames: int, n_step: int, gamma: float, rewards: tuple) -> None:
        self.frames, self.n_step, self.gamma = frames, n_step, gamma
        self.reward_of = dict(zip((-1, 0, 1, 2, 3), rewards, strict=True))
        self.rows: list[Row] = []
        self.seen: list[np.ndarray] = []  # the frames of the rows
        self.rew: list[list[int]] = []
        self.ended: list[list[bool]] = []
        self.crashes = 0

    def open(self, row: Row) -> None:
        self.rows.append(Row(*(t.clone() for t in row)))
        self.seen.append(self.rows[-1].frame.numpy())

    def close(self, row: Row) -> None:
        self.rew.append(row.rew.tolist())
        self.ended.append(row.term.bool().tolist())
        self.crashes += int((row.term == 1).sum())

    def stack(self, row: int, game: int) -> list[np.ndarray]:
        """The K frames at a row of a game; an episode's first one is repeated."""
        frames = [self.seen[row][game]]
        while len(frames) < self.frames:
            if row > 0 and not self.ended[row - 1][game]:
                row -= 1
            frames.insert(0, self.seen[row][game])
        return frames

    def stacks(self, row: torch.Tensor, game: torch.Tensor) -> torch.Tensor:
        pairs = zip(row.tolist(), game.tolist(), strict=True)
        return torch.from_numpy(np.array([self.stack(r, g) for r, g in pairs]))

    def outcome(self, row: int, game: int) -> tuple[float, float, int]:
        """The discounted rewards of the next steps, the discount of what comes after them, and how many they
        are: fewer than n before an action that strayed, or that led to a cut."""
        total = 0.0
        for k in range(self.n_step):
            at = self.rows[row + k]
            if k > 0 and (at.act[game] >= STRAYED or at.term[game] == CUT):
                return total, self.gamma**k, k
            total += self.gamma**k * self.reward_of[self.rew[row + k][game]]
            if at.term[game] == 1:
                return total, 0.0, k + 1
        return total, self.gamma**self.n_step, self.n_step

    def returns(self, row: torch.Tensor, game: torch.Tensor, steps: int) -> torch.Tensor:
        """The rewards of so many steps, whatever was done in them, up to the crash."""
        totals = []
        for r, g in zip(row.tolist(), game.tolist(), strict=True):
            ends = [self.ended[at][g] for at in range(r, r + steps)]
            counted = ends.index(True) + 1 if True in ends else steps
            totals.append(sum(self.gamma**k * self.reward_of[self.rew[r + k][g]] for k in range(counted)))
        return torch.tensor(totals)

    def transitions(self, row: torch.Tensor, game: torch.Tensor) -> Batch:
        pairs = list(zip(row.tolist(), game.tolist(), strict=True))
        ret, discount, steps = zip(*(self.outcome(r, g) for r, g in pairs), strict=True)
        return Batch(
            obs=self.stacks(row, game),
            act=torch.tensor([int(self.rows[r].act[g]) % STRAYED for r, g in pairs]),
            ret=torch.tensor(ret),
            discount=torch.tensor(discount),
            next_obs=self.stacks(row + torch.tensor(steps), game),
            weight=torch.ones(len(pairs)),
            place=row,
        )

    def error(self, row: int, game: int) -> float:
        """What the value of an action was wrong by, when its return was first known; 0 where it never is."""
        total, discount, steps = self.outcome(row, game)
        return (
            total + discount * float(self.rows[row + steps].value[game]) - float(self.rows[row].taken[game])
        )


def stream(ends: np.ndarray, seed: int, strays: float = 0.0) -> Iterator[Row]:
    """Rows of random frames with the given ends, [T, N], 1 = crash, CUT. The first word of a frame is its
    number. strays: share of actions."""
    rng = np.random.default_rng(seed)
    age = np.zeros(ends.shape[1], np.int64)
    for t, term in enumerate(ends):
        frame = rng.integers(-(2**63), 2**63 - 1, (len(term), 64))
        frame[:, 0] = t * len(term) + np.arange(len(term))
        act, rew = rng.integers(0, [[2], [4]], (2, len(term)))
        rew = np.where(term == 1, -1, rew)
        act += STRAYED * (rng.random(len(term)) < strays)
        row = (
            frame,
            np.minimum(age, 255).astype("u1"),
            act.astype("u1"),
            rew.astype("i1"),
            term.astype("u1"),
            *rng.normal(0, 2, (2, len(term))).astype("f4"),
        )
        yield Row(*map(torch.from_numpy, row))
        age = np.where(term, 0, age + 1)


def crashing(rows: int) -> Iterator[Row]:
    """64 games that crash in all the patterns that 6 rows, repeated, can have."""
    bit = np.arange(rows)[:, None] % 6
    return stream(np.arange(64) >> bit & 1, seed=0)


def random_crashes(
    rows: int, envs: int, rate: float, seed: int, cuts: float = 0.0, strays: float = 0.0
) -> Iterator[Row]:
    """Games that crash, are cut and stray at some rates a step."""
    chance = np.random.default_rng(seed).random((rows, envs))
    return stream(np.where(chance < rate, 1, np.where(chance > 1 - cuts, CUT, 0)), seed, strays)


def played(envs: int, steps: int) -> Iterator[Row]:
    """Real games under random flaps."""
    sim, rng = VecFlap(envs, "flap9", seed=3), np.random.default_rng(0)
    for _ in range(steps):
        frame, age = sim.frame.clone(), sim.age.clone()
        sim.step((rng.random(envs) < 0.08).astype(np.uint8))
        value, taken = torch.from_numpy(rng.normal(0, 2, (2, envs)).astype("f4"))
        yield Row(frame, age, sim.act.clone(), sim.rew.clone(), sim.term.clone(), value, taken)


REWARDS = (-1.0, 0.1, 1.0, -0.7, 0.3)


def both(rows: int, envs: int, **options) -> tuple[Replay, Ledger]:
    """A ring and its twin."""
    options = {"frames": 4, "n_step": 3, "gamma": 0.9} | options
    replay = Replay(rows, envs, rewards=REWARDS, seed=5, **options)
    return replay, Ledger(envs, options["frames"], options["n_step"], options["gamma"], REWARDS)


def fed(replay: Replay, ledger: Ledger, stream: Iterator[Row]) -> Iterator[int]:
    """Feed both; yields the number of the open row after opening and rating it, before it is closed."""
    for row in stream:
        replay.open(row.frame, row.age)
        replay.rate(row.value, row.taken)
        ledger.open(row)
        yield replay.row
        replay.close(row.act, row.rew, row.term)
        ledger.close(row)
