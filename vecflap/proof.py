"""Every situation that a bird can come to, whatever the gaps: the proof that it never dies, or exactly how
often it does.

A situation is a game and the frames that the network sees of it. A bird that plays without chance comes to
finitely many where no score is drawn, and here it is followed to all of them. Where its two
values are so close that rounding decides, which differs between machines, both actions are followed.
Letters: S situations, B some of them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vecflap import physics
from vecflap.checkpoint import best_of
from vecflap.config import FRAMES, RulesName
from vecflap.dqn import choose
from vecflap.evaluate import Policy, load, rules_of
from vecflap.helper import Helper, always
from vecflap.kernels import kernel
from vecflap.memo import find, move
from vecflap.physics import AGE, DRAWS, GAP_Y, SCORE, WING_CYCLE, WING_FRAMES
from vecflap.ranges import RANGES, check_range, flag
from vecflap.rules import Rules
from vecflap.sim import VecFlap

MOST = 2**26
"""Situations that may be found, at 24 to 48 bytes. Two of as many are taken for each other, by their hashes
of 63 bits, in one of four thousand proofs."""
ROUNDING = 1e-4
"""Values that differ by less are equal, for all that is known of another machine."""
SIZE = 2**20
"""Places for situations at first, a power of 2; there are twice as many whenever half are taken."""
TOGETHER = 4096
"""Situations asked about at a time."""
CRASH = -1
"""In `to`: the bird is dead."""
WINGS = 4
"""Places in the wings' cycle. A first episode begins at the first one, another one anywhere."""


class Situations(NamedTuple):
    """All situations of a bird, and how one leads to another."""

    first: np.ndarray  # int64 [S + 1] the ways from situation s are those from first[s] to first[s + 1] - 1
    to: np.ndarray  # int32 [any] where a way leads: a situation, or CRASH; all of a situation are as likely
    passes: np.ndarray  # bool [S] whether a pipe is passed in the step that follows
    begins: int  # so many, the first ones, are how a first episode begins, all as likely
    fatal: int  # from so many a crash follows
    close: int  # in so many both actions were followed
    close_fatal: int  # from so many of these the other action crashes

    @property
    def never_dies(self) -> bool:
        """Whether no crash follows from any."""
        return self.fatal == self.close_fatal == 0

    def lost(self, pipes: int) -> np.ndarray:
        """float64 [pipes]: the chance that a game is lost before its bird has passed 1, 2, ... pipes. Where
        both actions were followed, of the one with the greater value."""
        chances = np.zeros(pipes)
        follow(self.first, self.to, self.passes, self.begins, chances)
        return chances


def prove(
    path: Path,
    pipes: int = 200,
    *,
    rules: RulesName | None = None,
    gap: int = 0,
    rounding: float = ROUNDING,
    device: str = "auto",
    tell: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:
    """Follow a run's best policy to all situations. Returns what was found, and what it is of.

    pipes: of the games whose chance to be lost is told. The others are those of `exam` and `situations`.
    """
    check_range("pipes", pipes, *RANGES["eval_pipes"])
    check_range("rounding", rounding, 0.0, 1e9)
    policy = load(path, device)
    config = replace(policy.config, rules=rules or policy.config.rules, gap=gap or policy.config.gap)
    changed = [flag(name) for name in ("sticky", "latency", "flip") if config[name]]
    if changed:
        raise ValueError(f"{path} was trained with {changed[0]}: only the plain game can be gone through.")
    torch.set_num_threads(config.threads or 1)
    helper = Helper(always, config.threads)
    found = situations(policy, rules_of(config), config.skip, rounding=rounding, helper=helper, tell=tell)
    return {
        "situations": len(found.passes),
        "never_dies": found.never_dies,
        "fatal": found.fatal,
        "close": found.close,
        "close_fatal": found.close_fatal,
        "pipes": pipes,
        "lost": float(found.lost(pipes)[-1]),
        "rounding": rounding,
        "rules": config.rules,
        "gap": rules_of(config).gap,
        "checkpoint": str(best_of(path)),
    }


@torch.inference_mode()
def situations(
    policy: Policy,
    rules: Rules,
    skip: int = 1,
    *,
    rounding: float = ROUNDING,
    most: int = MOST,
    helper: Helper | None = None,
    tell: Callable[[int], None] = lambda count: None,
) -> Situations:
    """Follow a bird to all the situations that it can come to.

    skip:     frames of a step.
    rounding: see ROUNDING; also what another precision may make of the values.
    most:     see MOST.
    helper:   on a CPU, who asks the network about half of the situations.
    tell:     is told now and then how many were found.
    Raises ValueError for rules by which there is no end of situations, or more than that.
    """
    tops = tops_of(rules)
    sim, known = VecFlap(TOGETHER, rules, threads=1, skip=skip), Known(most)
    device = next(policy.network.parameters()).device
    ask = policy.asked(helper or Helper())
    latest = [known.new(beginnings(rules, tops))[0]]  # found in the latest frame, and not followed yet
    begins, fatal, close, close_fatal = known.count // WINGS, 0, 0, 0
    ways, to, passes = [], [], []
    while latest:
        found = []
        for those in together(latest):
            q = ask(those.stacks.to(device)).cpu()
            act = choose(q)
            then = play(sim, those, act, tops)
            new, numbers = known.new(then.those)
            found.append(new)
            dead = np.setdiff1d(np.arange(len(act)), then.of)
            fatal += len(dead)
            of = np.concatenate([then.of, dead])
            ways.append(np.bincount(of))
            to.append(np.concatenate([numbers, np.full(len(dead), CRASH)])[of.argsort(kind="stable")])
            passes.append(then.passes)
            unsure = ((q[:, 1] - q[:, 0]).abs() < rounding).numpy()
            if unsure.any():
                then = play(sim, those.where(unsure), 1 - act[unsure], tops)
                found.append(known.new(then.those)[0])
                close += len(act[unsure])
                close_fatal += len(np.setdiff1d(np.arange(len(act[unsure])), then.of))
            tell(known.count)
        latest = [those for those in found if len(those.stacks)]
    first = np.concatenate([[0], np.cumsum(np.concatenate(ways))])
    return Situations(first, np.concatenate(to), np.concatenate(passes), begins, fatal, close, close_fatal)


class Those(NamedTuple):
    """Some situations."""

    states: np.ndarray  # int32 [16, B] the games, see physics.Games, what is all the same left out
    stacks: Tensor  # int64 [B, K, 64] the packed frames that the network sees, oldest first

    def where(self, which: np.ndarray) -> "Those":
        """Some of them: bool or int64 [any]."""
        return Those(self.states[:, which], self.stacks[torch.from_numpy(which)])


class Then(NamedTuple):
    """What followed from some situations."""

    those: Those  # a bird that lives has one that follows, and one for each possible gap where a pipe appears
    of: np.ndarray  # int64 [any] which each of them followed from; not here: who died
    passes: np.ndarray  # bool [B] who passed a pipe, dead or alive


class Known:
    """Numbers for situations, in the order in which they are found."""

    def __init__(self, most: int) -> None:
        """most: that may be found."""
        self.count, self.most = 0, most
        self._keys, self._numbers = np.zeros(SIZE, np.int64), np.zeros(SIZE, np.int32)

    def new(self, those: Those) -> tuple[Those, np.ndarray]:
        """Those that were not known yet, each once, and int32 [B], the numbers of all."""
        words = np.concatenate([those.stacks.flatten(1).numpy(), those.states.T], 1, dtype=np.int64)
        while 2 * (self.count + len(words)) > len(self._keys):
            keys, numbers = (np.zeros(2 * len(a), a.dtype) for a in (self._keys, self._numbers))
            move(self._keys, self._numbers, keys, numbers)
            self._keys, self._numbers = keys, numbers
        places, new = np.empty((2, len(words)), np.int64)
        new = new[: find(words, self._keys, places, new)]
        self._numbers[places[new]] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        if self.count > self.most:
            raise ValueError(
                f"There are more than {self.most:,} situations, too many to go through: `vecflap eval`"
                " plays some games."
            )
        return those.where(new), self._numbers[places]


def tops_of(rules: Rules) -> np.ndarray:
    """int32 [any]: px, where the tops of gaps can be. ValueError where situations would not repeat."""
    row = rules.row()
    if (row[[physics.FLAPS + 1, physics.GRAVITIES + 1, physics.GAPS + 1]] > 1).any():
        raise ValueError("By these rules every episode is another game: they cannot all be gone through.")
    if rules.score_drawn:
        raise ValueError(
            "A score is drawn into the picture, so no situation ever repeats: only birds of rules without,"
            " such as flap9, can be followed to all of them. Others: `vecflap eval`."
        )
    return row[physics.TOPS] + row[physics.TOP_STEP] * np.arange(row[physics.TOPS + 1], dtype=np.int32)


def beginnings(rules: Rules, tops: np.ndarray) -> Those:
    """How episodes can begin: with any two gaps, and any place in the wings' cycle, the first one first."""
    wings, first, second = (a.ravel() for a in np.meshgrid(np.arange(WINGS), tops, tops, indexing="ij"))
    sim = VecFlap(len(wings), rules, threads=1)
    sim.state[WING_CYCLE], sim.state[GAP_Y], sim.state[GAP_Y + 1] = wings, first, second
    sim.draw()
    return Those(plain(sim.state), sim.frame[:, None].repeat(1, FRAMES, 1))


def plain(states: np.ndarray) -> np.ndarray:
    """int32 [16, B]: a copy without what makes no difference to what follows."""
    states = states.copy()
    states[SCORE] = states[DRAWS] = 0
    states[AGE] = np.minimum(states[AGE], WING_FRAMES + states[AGE] % WING_FRAMES)
    return states


def play(sim: VecFlap, those: Those, act: Tensor, tops: np.ndarray) -> Then:
    """Play a step of B games, at most as many as `sim` has. act: uint8 [B]."""
    count = len(act)
    sim.state[:, :count] = those.states
    sim.act[:count] = act
    sim.step()
    alive = np.flatnonzero(sim.term[:count].numpy() == 0)
    appeared = sim.state[DRAWS, alive] > 0
    of = np.repeat(alive, np.where(appeared, len(tops), 1))
    states = plain(sim.state[:, of])
    states[GAP_Y + 2, np.repeat(appeared, np.where(appeared, len(tops), 1))] = np.tile(tops, appeared.sum())
    passes = sim.score[:count].numpy() > 0
    stacks = torch.cat([those.stacks[torch.from_numpy(of), 1:], drawn(sim, states)[:, None]], 1)
    return Then(Those(states, stacks), of, passes)


def drawn(sim: VecFlap, states: np.ndarray) -> Tensor:
    """int64 [B, 64]: what games show. states: int32 [16, B]."""
    frames = []
    for some in np.array_split(states, range(TOGETHER, states.shape[1], TOGETHER), 1):
        sim.state[:, : some.shape[1]] = some
        sim.draw()
        frames.append(sim.frame[: some.shape[1]].clone())
    return torch.cat(frames)


def together(parts: list[Those]) -> list[Those]:
    """The same situations, TOGETHER at a time."""
    states = np.concatenate([part.states for part in parts], 1)
    stacks = torch.cat([part.stacks for part in parts])
    starts = range(0, len(stacks), TOGETHER)
    return [Those(states[:, i : i + TOGETHER], stacks[i : i + TOGETHER]) for i in starts]


@kernel()
def follow(first, to, passes, begins, chances):
    """The chances that games are lost, step by step, see Situations.

    first: int64 [S + 1], to: int32 [any], passes: bool [S], in. chances: float64 [any], out.
    """
    now, then = np.zeros(len(passes)), np.zeros(len(passes))  # chances to be there
    here, there = np.empty(len(passes), np.int32), np.empty(len(passes), np.int32)
    count, passed, lost = begins, 0, 0.0
    for s in range(begins):
        here[s], now[s] = s, 1.0 / begins
    while count > 0 and passed < len(chances):
        passing, before = False, 0.0
        for k in range(count):
            s = here[k]
            passing |= passes[s]
            if not passes[s] and to[first[s]] == CRASH:
                before += now[s]
        if passing:  # pipes come and go at the same frames in all games
            chances[passed] = lost + before  # who dies in the step of its last pipe may have passed it
            passed += 1
        arrived = 0
        for k in range(count):
            s = here[k]
            share = now[s] / (first[s + 1] - first[s])
            now[s] = 0.0
            for way in range(first[s], first[s + 1]):
                t = to[way]
                if t == CRASH:
                    lost += share
                elif share > 0.0:
                    if then[t] == 0.0:
                        there[arrived] = t
                        arrived += 1
                    then[t] += share
        now, then, here, there, count = then, now, there, here, arrived
    chances[passed:] = lost
