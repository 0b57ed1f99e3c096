"""The last steps of N games: a ring of single packed frames on the learner's device, 520 bytes a step.

Stacks of frames and n-step returns are rebuilt when sampled, so each frame is stored once. Letters: N games,
B batch, K frames a stack, T rows of the ring. Row t of the game's time is stored in slot t mod T.

A return stops before an action that exploration changed: what comes after it says little about the policy. It
also stops before a row in which a game was cut off to begin anew.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vecflap import draws, render
from vecflap.device import free_memory
from vecflap.drawn import drawn
from vecflap.graphs import Captured
from vecflap.kernels import inlined, kernel
from vecflap.priorities import Priorities, priority

OLDEST_AGE = 255  # ages are stored in a byte
RINGS = ("frame", "age", "act", "rew", "term")
STRAYED = 2
"""In `act`, added to an action that is not the policy's."""
CRASHED, CUT = 1, 2
"""In `term`: how an episode ended. None of its rows is a crash if it was cut."""


STEP_BYTES = 520
"""Bytes of a step of a game."""
ROOM = 0.9
"""Share of the free memory that a ring may take."""


class Batch(NamedTuple):
    """B transitions over m <= n steps each."""

    obs: Tensor  # int64 [B, K, 64] packed frames, oldest first
    act: Tensor  # int64 [B] 1 = flap
    ret: Tensor  # float32 [B] discounted sum of the next m rewards, up to the crash
    discount: Tensor  # float32 [B] gamma^m, or 0 where the episode ended: multiplies the value of next_obs
    next_obs: Tensor  # int64 [B, K, 64] m steps later; another episode's, meaningless, where discount is 0
    weight: Tensor  # float32 [B] of the loss, at most 1: less for what is sampled more often
    place: Tensor  # int64 [B] slot x N + game


class Replay:
    """A ring of T rows of N games.

    A row is opened with its frame, acted on, and closed with what came of it. `row` counts the rows closed so
    far: it is also the number of the open one. The device counts too, `row_there`: work that is queued there
    once and replayed, see row.py, finds its place in the ring by the methods that end in `there`, while the
    host counts along.
    """

    def __init__(
        self,
        rows: int,
        envs: int,
        *,
        frames: int = 4,
        n_step: int = 1,
        gamma: float = 0.99,
        rewards: tuple[float, ...] = (-1.0, 0.1, 1.0),
        exponent: float = 0.0,
        correction: float = 0.0,
        recent: int = 0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        graphs: bool = True,
    ) -> None:
        """
        rows, envs: T and N. frames: K. n_step: n; T >= K + n.
        rewards:    of `rew` -1, 0, 1, ...: a crash, staying alive, a pipe passed; 2, 3 within a clearance.
        exponent:   of a value's error, in how often a step is sampled; 0: all alike.
        correction: of a step's chance to be sampled, in its weight, with a minus; 1 undoes the bias.
        recent:     least steps that are sampled, the latest; more once they are less than half of all. 0: all
                    that are held.
        seed:       of the draws that choose what is sampled.
        graphs:     whether what is sampled on CUDA is queued as a graph: the next sample then overwrites it.

        The first row opened must be the games' first one, or begin their episodes: ages 0.
        """
        if rows < frames + n_step:
            least = (frames + n_step) * envs
            raise ValueError(
                f"capacity={rows * envs} holds {rows} rows of {envs} games; stacks of {frames} frames and "
                f"{n_step}-step returns need {frames + n_step}. Needed: --capacity {least} or more."
            )
        self.rows, self.envs, self.frames, self.n_step = rows, envs, frames, n_step
        self.gamma, self.rewards, self.seed = gamma, rewards, seed
        self.exponent, self.correction = exponent, correction
        self.device = torch.device(device)
        most = rows - frames + 1  # the stack of the row before has been overwritten
        self._sampled = min(max(recent // envs, n_step + 1), most) if recent else most, most
        self.row = 0
        self.drawn = 0  # transitions sampled so far: what the next sample's draws are keyed with

        fitting = int(ROOM * free_memory(self.device) / STEP_BYTES) // envs * envs
        if rows * envs > fitting:
            raise ValueError(
                f"--capacity {rows * envs} does not fit into {self.device}'s free memory, at {STEP_BYTES}"
                f" bytes a step. The largest that does: --capacity {fitting}."
            )

        def ring(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.full((rows, envs, *shape), 0, dtype=dtype, device=self.device)  # touched now

        self.frame = ring(torch.int64, render.SIZE)
        self.age = ring(torch.uint8)
        self.act = ring(torch.uint8)
        self.rew = ring(torch.int8)
        self.term = ring(torch.uint8)
        self.priorities = Priorities(rows, envs, self.device)
        # What the network thought of the latest rows: the value of the better action, and of the taken one.
        self.value, self.taken = torch.zeros(2, n_step + 1, envs, device=self.device)
        self._games = torch.arange(envs, device=self.device)
        self._back = torch.arange(frames - 1, -1, -1, device=self.device)
        self._ahead = torch.arange(n_step, device=self.device)
        self.row_there, self._drawn_there = torch.zeros(2, dtype=torch.int64, device=self.device)
        self._latest = Captured(self.latest_there, self.device, graphs)
        self._rate = Captured(self.rate_there, self.device, graphs)
        self._samplers: dict[int, Captured] = {}  # by batch
        self._graphs = graphs
        self._reward = torch.tensor(rewards, dtype=torch.float32, device=self.device)
        powers = [gamma**k for k in range(n_step + 1)]
        self._power = torch.tensor(powers, dtype=torch.float32, device=self.device)

    @property
    def nbytes(self) -> int:
        """Bytes of the ring: 520 a step."""
        return sum(getattr(self, name).nbytes for name in RINGS) + self.priorities.each.nbytes

    @property
    def first(self) -> int:
        """The first row a sample may start from: its stack is still there, above the slot of the open row."""
        return max(0, self.row - self.rows + self.frames)

    @property
    def last(self) -> int:
        """The last row a sample may start from: the open one, n steps later, has its frame."""
        return self.row - self.n_step

    def open(self, frame: Tensor, age: Tensor) -> None:
        """Begin a row. frame: int64 [N, 64]; age: uint8 [N], frames since the episode began."""
        slot = self.row % self.rows
        self.frame[slot].copy_(frame, non_blocking=True)
        self.age[slot].copy_(age, non_blocking=True)

    def rate(self, value: Tensor, taken: Tensor) -> None:
        """Tell what the network thinks of the open row, float32 [N]: what its states are worth, and the
        values of the taken actions. The row n steps back, whose return is now known, may be sampled from here
        on, the oldest one no more: part of its stack was just overwritten."""
        if self.device.type == "cpu":
            self._rate_compiled(value, taken)
        else:
            self._rate(value, taken)

    def close(self, act: Tensor, rew: Tensor, term: Tensor) -> None:
        """End the open row. act, term: uint8 [N], with STRAYED and CUT; rew: int8 [N]."""
        slot = self.row % self.rows
        self.act[slot].copy_(act, non_blocking=True)
        self.rew[slot].copy_(rew, non_blocking=True)
        self.term[slot].copy_(term, non_blocking=True)
        self.row += 1
        self.row_there += 1

    def latest(self) -> Tensor:
        """int64 [N, K, 64]: the stacks of the open row, to act on."""
        if self.device.type == "cpu":
            obs = torch.empty(self.envs, self.frames, render.SIZE, dtype=torch.int64)
            stack_all(self.frame.numpy(), self.age.numpy(), self.row, obs.numpy())
            return obs
        return self._latest()

    def stacks(self, row: Tensor, game: Tensor) -> Tensor:
        """int64 [B, K, 64]: the last K frames at rows int64 [B] of games int64 [B].

        Frame k back is the one of row t - min(k, age): an episode's first frame is repeated, nothing older
        leaks in.
        """
        age = self.age[row % self.rows, game].long()
        rows = row[:, None] - torch.minimum(self._back, age[:, None])
        return self.frame[rows % self.rows, game[:, None]]

    def sample(self, batch: int) -> Batch:
        """B transitions, by their priorities. Draws are keyed by how many came before."""
        assert self.first <= self.last, "nothing to sample yet"
        self.drawn += batch
        if self.device.type == "cpu":
            return self._sample_compiled(self.drawn - batch, batch)
        if batch not in self._samplers:
            self._samplers[batch] = Captured(partial(self.sample_there, batch), self.device, self._graphs)
        return self._samplers[batch]()

    def renew(self, place: Tensor, error: Tensor) -> None:
        """Learned from: float32 [B], what the values at int64 [B] places were wrong by."""
        self.priorities.renew(place, priority(error, self.exponent))

    def count(self, drawn: int) -> None:
        """Count a row that the device has closed, and the transitions that it drew in it."""
        self.row += 1
        self.drawn += drawn

    def open_there(self, frame: Tensor, age: Tensor) -> None:
        """The same as `open`, for what is on the device."""
        self._write_there(frame=frame, age=age)

    def close_there(self, act: Tensor, rew: Tensor, term: Tensor) -> None:
        """The same as `close`, for what is on the device."""
        self._write_there(act=act, rew=rew, term=term)
        self.row_there += 1

    def _write_there(self, **given: Tensor) -> None:
        slot = self.row_there[None] % self.rows
        for name, values in given.items():
            getattr(self, name).index_copy_(0, slot, values[None])

    def latest_there(self) -> Tensor:
        """The same as `latest`, anywhere."""
        return self.stacks(self.row_there.expand(self.envs), self._games)

    def rate_there(self, value: Tensor, taken: Tensor) -> None:
        """The same as `rate`, anywhere."""
        kept, row = self.n_step + 1, self.row_there
        self.value.index_copy_(0, row[None] % kept, value[None])
        self.taken.index_copy_(0, row[None] % kept, taken[None])
        start = (row - self.n_step).expand(self.envs)
        ret, discount, steps = self.outcomes(start, self._games)
        error = ret + discount * self.value[(start + steps) % kept, self._games]
        self._rank(error - self.taken[start % kept, self._games])

    def _rank(self, error: Tensor) -> None:
        """Give the row n steps back its priorities, and one that is now too old none. error: float32 [N]."""
        row = self.row_there[None]
        start = (row - self.n_step) % self.rows
        there = (row >= self.n_step) & (self.term[start[0]] != CUT)
        self.priorities.write(start, priority(error, self.exponent) * there)
        self.priorities.write((row - (row // 2).clamp(*self._sampled)) % self.rows, 0)

    def sample_there(self, batch: int) -> Batch:
        """The same as `sample`, anywhere."""
        place = self.priorities.pick(self._bits(self._drawn_there, batch))
        self._drawn_there += batch
        return self.transitions(place)

    def _bits(self, start: Tensor | int, batch: int) -> Tensor:
        """int64 [B]: the draws from number `start` on."""
        return drawn(self.seed, draws.SAMPLE, start, batch, 0, 0, self.device)

    def _weights(self, place: Tensor) -> Tensor:
        """float32 [B]: what the loss at int64 [B] places counts."""
        rank = self.priorities.each.view(-1)[place].float()
        return (rank.amin() / rank) ** self.correction

    def transitions(self, place: Tensor) -> Batch:
        """The transitions that start at int64 [B] places."""
        game, row = place % self.envs, self.row_there
        row = row - (row - place // self.envs) % self.rows
        ret, discount, steps = self.outcomes(row, game)
        return Batch(
            obs=self.stacks(row, game),
            act=self.act[row % self.rows, game].long() & 1,
            ret=ret,
            discount=discount,
            next_obs=self.stacks(row + steps, game),
            weight=self._weights(place),
            place=place,
        )

    def outcomes(self, row: Tensor, game: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What came of rows int64 [B] of games int64 [B]: (float32 [B] returns, float32 [B] discounts, int64
        [B] steps they are over)."""
        slots, games = (row[:, None] + self._ahead) % self.rows, game[:, None]
        term = self.term[slots, games]
        stops = (self.act[slots, games] & STRAYED | term & CUT) > 0
        stops[:, 0] = False  # its own action is what is learned about
        crashed = (term & CRASHED).long()
        counts = (stops.cumsum(1) == 0) & (crashed.cumsum(1) == crashed)
        reward = self._reward[self.rew[slots, games].long() + 1]
        steps = counts.sum(1)
        ends = (crashed * counts).amax(1)
        return (reward * counts * self._power[:-1]).sum(1), self._power[steps] * (1 - ends), steps

    def realised(self, horizon: int) -> tuple[Tensor, Tensor]:
        """What came of the states of one row: (int64 [N, K, 64] stacks, float32 [N] discounted returns).

        The row lies `horizon` rows back; rewards after that are left out, so let gamma^horizon be small.
        """
        row = torch.full_like(self._games, self.row - horizon)
        slots = (row[0] + torch.arange(horizon, device=self.device)) % self.rows
        term = self.term[slots].long()
        alive = 1 - (term.cumsum(0) - term).clamp(max=1)
        power = self.gamma ** torch.arange(horizon, device=self.device, dtype=torch.float32)
        reward = self._reward[self.rew[slots].long() + 1]
        return self.stacks(row, self._games), (reward * alive * power[:, None]).sum(0)

    def check(self) -> None:
        """Raise AssertionError where the ring contradicts itself: its ages and rewards against its
        crashes."""
        oldest = max(0, self.row - self.rows + 1)  # the slot before may be open already
        held = torch.arange(oldest, self.row, device=self.device) % self.rows
        act, rew, term, age = self.act[held], self.rew[held], self.term[held], self.age[held].long()
        expected = torch.where(term > 0, 0, (age + 1).clamp(max=OLDEST_AGE))
        known = (rew >= -1) & (rew < len(self.rewards) - 1)
        assert bool(((act <= 1 + STRAYED) & (term <= CUT) & known).all()), "out of range"
        assert bool(((rew == -1) == (term == CRASHED)).all()), "a crash, and only a crash, costs -1"
        assert bool((age[1:] == expected[:-1]).all()), "an age follows from the row before"

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, between two rows: the closed rows still held, and the counters."""
        held = min(self.row, self.rows)
        rings = {name: getattr(self, name)[:held] for name in RINGS}
        rings |= {"priority": self.priorities.each[:held], "value": self.value, "taken": self.taken}
        return rings | {"counters": torch.tensor([self.row, self.drawn])}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of a ring of the same shape."""
        self.row, self.drawn = state["counters"].tolist()
        self.row_there.fill_(self.row)
        self._drawn_there.fill_(self.drawn)
        for name in RINGS:
            getattr(self, name)[: len(state[name])].copy_(state[name])
        self.priorities.fill(state["priority"])
        self.value.copy_(state["value"])
        self.taken.copy_(state["taken"])

    def _rate_compiled(self, value: Tensor, taken: Tensor) -> None:
        slot, error = self.row % (self.n_step + 1), torch.zeros(self.envs)
        self.value[slot], self.taken[slot] = value, taken
        if self.row >= self.n_step:
            errors(
                *(self.act.numpy(), self.rew.numpy(), self.term.numpy()),
                *(self.value.numpy(), self.taken.numpy(), self._reward.numpy(), self._power.numpy()),
                *(self.row - self.n_step, error.numpy()),
            )
        self._rank(error)

    def _sample_compiled(self, start: int, batch: int) -> Batch:
        place = self.priorities.pick(self._bits(start, batch))
        obs = torch.empty(batch, self.frames, render.SIZE, dtype=torch.int64)
        acts, ret, discount = torch.empty(batch, dtype=torch.int64), torch.empty(batch), torch.empty(batch)
        out = Batch(obs, acts, ret, discount, torch.empty_like(obs), self._weights(place), place)
        gather(
            *(getattr(self, name).numpy() for name in RINGS),
            *(self.row, self._reward.numpy(), self._power.numpy(), place.numpy()),
            *(t.numpy() for t in out[:5]),
        )
        return out


@inlined
def stack(frame, age, row, game, out):
    """The last K frames at a row of a game, see Replay.stacks. out: int64 [K, 64], out."""
    rows, frames = len(frame), len(out)
    oldest = row - np.int64(age[row % rows, game])
    for k in range(frames):
        slot = max(row - (frames - 1 - k), oldest) % rows
        for c in range(out.shape[1]):
            out[k, c] = frame[slot, game, c]


@kernel(_nrt=False)
def stack_all(frame, age, row, obs):
    """The stacks of all games at a row. frame: int64 [T, N, 64], age: uint8 [T, N]. obs: int64 [N, K, 64],
    out."""
    for game in range(len(obs)):
        stack(frame, age, row, game, obs[game])


@inlined
def outcome(act, rew, term, row, game, reward, power):
    """What came of a row of a game, see Replay.outcomes: (return, discount, steps)."""
    rows, n_step, total = len(act), len(power) - 1, np.float32(0.0)
    for k in range(n_step):
        slot = (row + k) % rows
        if k > 0 and (act[slot, game] & STRAYED or term[slot, game] & CUT):
            return total, power[k], k
        total += power[k] * reward[rew[slot, game] + 1]
        if term[slot, game] & CRASHED:
            return total, np.float32(0.0), k + 1
    return total, power[n_step], n_step


@kernel(_nrt=False)
def errors(act, rew, term, value, taken, reward, power, row, error):
    """What the values of taken actions at a row were wrong by.

    act, term: uint8 [T, N], rew: int8 [T, N], in: the rings. value, taken: float32 [n + 1, N], in, see
    Replay.rate. reward: float32 [any], of rew -1, 0, 1, ...; power: float32 [n + 1], gamma^k.
    error: float32 [N], out.
    """
    kept = len(value)
    for game in range(len(error)):
        total, discount, steps = outcome(act, rew, term, row, game, reward, power)
        error[game] = total + discount * value[(row + steps) % kept, game] - taken[row % kept, game]


@kernel(_nrt=False)
def gather(
    frame, age, act, rew, term, row, reward, power, place, obs, acts, ret, disc, next_obs,
):  # fmt: skip
    """Replay.transitions for the CPU.

    frame: int64 [T, N, 64], age, act, term: uint8 [T, N], rew: int8 [T, N], in: the rings.
    row: the open one. reward, power: see `errors`. place: int64 [B], in.
    obs, acts, ret, disc, next_obs: out, see Batch.
    """
    rows, envs = age.shape
    for b in range(len(place)):
        game, start = place[b] % envs, row - (row - place[b] // envs) % rows
        ret[b], disc[b], steps = outcome(act, rew, term, start, game, reward, power)
        stack(frame, age, start, game, obs[b])
        stack(frame, age, start + steps, game, next_obs[b])
        acts[b] = act[start % rows, game] & 1
