"""A naive twin of the replay, which keeps every row of every game; and streams of rows to feed both with."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from vecflap.replay import Batch, Replay
from vecflap.sim import VecFlap


class Row(NamedTuple):
    """One step of N games."""

    frame: torch.Tensor  # int64 [N, 64]
    age: torch.Tensor  # uint8 [N]
    act: torch.Tensor  # uint8 [N]
    rew: torch.Tensor  # int8 [N]
    term: torch.Tensor  # uint8 [N]


class Ledger:
    """What Replay is to give back, found by walking along episodes from crash to crash, not by their ages."""

    def __init__(self, envs: int, frames: int, n_step: int, gamma: float, rewards: tuple) -> None:
        self.frames, self.n_step, self.gamma = frames, n_step, gamma
        self.reward_of = dict(zip((-1, 0, 1), rewards, strict=True))
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
        self.crashes += int(row.term.sum())

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

    def outcome(self, row: int, game: int, steps: int) -> tuple[float, float]:
        """The discounted rewards of some steps, and the discount of what comes after them."""
        total, discount = 0.0, 1.0
        for at in range(row, row + steps):
            total += discount * self.reward_of[self.rew[at][game]]
            discount *= self.gamma
            if self.ended[at][game]:
                return total, 0.0
        return total, self.gamma**steps

    def returns(self, row: torch.Tensor, game: torch.Tensor, steps: int) -> torch.Tensor:
        pairs = zip(row.tolist(), game.tolist(), strict=True)
        return torch.tensor([self.outcome(r, g, steps)[0] for r, g in pairs])

    def transitions(self, row: torch.Tensor, game: torch.Tensor) -> Batch:
        pairs = list(zip(row.tolist(), game.tolist(), strict=True))
        return Batch(
            obs=self.stacks(row, game),
            act=torch.tensor([int(self.rows[r].act[g]) for r, g in pairs]),
            ret=self.returns(row, game, self.n_step),
            discount=torch.tensor([self.outcome(r, g, self.n_step)[1] for r, g in pairs]),
            next_obs=self.stacks(row + self.n_step, game),
        )


def stream(crashes: np.ndarray, seed: int) -> Iterator[Row]:
    """Rows of random frames with the given crashes, bool [T, N]. The first word of a frame is its number."""
    rng = np.random.default_rng(seed)
    age = np.zeros(crashes.shape[1], np.int64)
    for t, term in enumerate(crashes):
        frame = rng.integers(-(2**63), 2**63 - 1, (len(term), 64))
        frame[:, 0] = t * len(term) + np.arange(len(term))
        act, passed = rng.integers(0, 2, (2, len(term)))
        rew = np.where(term, -1, passed)
        row = (
            frame,
            np.minimum(age, 255).astype("u1"),
            act.astype("u1"),
            rew.astype("i1"),
            term.astype("u1"),
        )
        yield Row(*map(torch.from_numpy, row))
        age = np.where(term, 0, age + 1)


def crashing(rows: int) -> Iterator[Row]:
    """64 games that crash in all the patterns that 6 rows, repeated, can have."""
    bit = np.arange(rows)[:, None] % 6
    return stream((np.arange(64) >> bit & 1).astype(bool), seed=0)


def random_crashes(rows: int, envs: int, rate: float, seed: int) -> Iterator[Row]:
    """Games that crash at some rate a step."""
    return stream(np.random.default_rng(seed).random((rows, envs)) < rate, seed)


def played(envs: int, steps: int) -> Iterator[Row]:
    """Real games under random flaps."""
    sim, rng = VecFlap(envs, "flap9", seed=3), np.random.default_rng(0)
    for _ in range(steps):
        frame, age = sim.frame.clone(), sim.age.clone()
        sim.step((rng.random(envs) < 0.08).astype(np.uint8))
        yield Row(frame, age, sim.act.clone(), sim.rew.clone(), sim.term.clone())


REWARDS = (-1.0, 0.1, 1.0)


def both(rows: int, envs: int, **options) -> tuple[Replay, Ledger]:
    """A ring and its twin."""
    options = {"frames": 4, "n_step": 3, "gamma": 0.9} | options
    replay = Replay(rows, envs, rewards=REWARDS, seed=5, **options)
    return replay, Ledger(envs, options["frames"], options["n_step"], options["gamma"], REWARDS)


def fed(replay: Replay, ledger: Ledger, stream: Iterator[Row]) -> Iterator[int]:
    """Feed both; yields the number of the open row after opening it, before it is closed."""
    for row in stream:
        replay.open(row.frame, row.age)
        ledger.open(row)
        yield replay.row
        replay.close(row.act, row.rew, row.term)
        ledger.close(row)
