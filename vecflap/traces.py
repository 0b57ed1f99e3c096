"""Recordings of the game: `verify` replays one, of the original program or of our own; `record` makes one."""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from vecflap import draws, physics, players, render, tracefile
from vecflap.physics import TOPS
from vecflap.ranges import RANGES, check_range
from vecflap.rules import Rules, find_rules
from vecflap.sim import VecFlap
from vecflap.tracefile import OUTCOME, Arrays

DRAWS_PER_STEP = 3  # at most: a pipe appended on the frame of a crash, and two for the restart
CAREFUL, RANDOM_RATES = 1, {0: 0.08, 2: 0.3, 3: 1.0, 4: 0.0}
"""The players, as `kind` numbers them in a recording; the others flap in this share of frames."""
CAREFUL_PIPES = 32
"""The careful player gives up after fewer pipes than this, or a recording would be one long episode."""


class Report(NamedTuple):
    """What `verify` found."""

    steps: int
    differing_steps: int
    """Steps with another state, reward, terminal flag or score."""
    differing_frames: int
    first_difference: str | None
    """Its step, field, what the recording has there, and what the game came to."""


def verify(path: str | os.PathLike, rules: str | Rules = "flap7") -> Report:
    """Play a recording's actions and gaps, and compare state, outcome and picture after every step.

    path: an .npz file of arrays, see tracefile.py. Where it has init_..., the game starts from that state, or
    else anew. No array tells the wing's place in its cycle: it is the first that fits. Where it has
    forced_score_step and forced_score, the score is set before these steps.
    """
    ranges = find_rules(rules).row()
    trace = tracefile.read(path, ranges)
    steps, places = len(trace["action"]), trace["gap_draws"]
    stream = np.zeros(len(places) + DRAWS_PER_STEP * steps + 2, np.uint8)  # longer than any game can draw
    stream[: len(places)] = places
    sim = VecFlap(1, rules, stream=stream)
    if "init_score" in trace:
        tracefile.set_state(sim.rows, trace, ranges)
    sim.games.draws[0] = trace.get("init_draws", 2)
    forced = {}
    if "forced_score" in trace:
        forced = dict(zip(trace["forced_score_step"].tolist(), trace["forced_score"].tolist(), strict=True))

    def actions() -> Iterator[int]:
        for t, flap in enumerate(trace["action"]):
            if t in forced:
                sim.games.score[0] = forced[t]
            yield flap

    played, drawn = play(sim, actions(), steps)
    report, first = compare(played, trace)
    short = np.flatnonzero(drawn > len(places))
    if len(short) and short[0] <= first:  # past the first difference it is another game that lacks gaps
        raise ValueError(
            f"{path} can't be replayed: gap_draws has {len(places)}, step {short[0]} needs {drawn[short[0]]}."
        )
    return report


def record(path: str | os.PathLike, rules: str | Rules = "flap7", steps: int = 10_000, seed: int = 0) -> None:
    """Play one game, every episode with another scripted player, and write the recording to `path` (.npz)."""
    check_range("steps", steps, 1, 10**8)
    check_range("seed", seed, *RANGES["seed"])
    places = find_rules(rules).row()[TOPS + 1]
    stream = draws.below(draw(seed, 0, np.arange(DRAWS_PER_STEP * steps + 2)), places).astype(np.uint8)
    sim = VecFlap(1, rules, stream=stream)
    arrays = {f"init_{name}": array for name, array in tracefile.state(sim.rows).items()}
    arrays["init_draws"] = sim.games.draws[0].astype(np.int64)
    arrays["action"], arrays["kind"] = action, kind = np.zeros((2, steps), np.uint8)
    played, drawn = play(sim, mixed(sim, seed, action, kind), steps)
    terminal = played["terminal"]
    arrays["episode"] = np.cumsum(terminal, dtype=np.int32) - terminal
    arrays["gap_draws"] = stream[: drawn[-1]]
    tracefile.write(path, arrays | played)


def draw(seed: int, use: int, counts: np.ndarray) -> np.ndarray:
    """int64 random bits for a recording, by what they are used for."""
    return draws.draw(np.full(1, seed, np.int64), draws.RECORD, use, counts, 0)


def mixed(sim: VecFlap, seed: int, action: np.ndarray, kind: np.ndarray) -> Iterator[int]:
    """The flaps of several players, one an episode, decided when they are due, noted in action and kind."""
    chances = draw(seed, 1, np.arange(len(action)))
    wants, episode = np.zeros(1, np.uint8), np.zeros(1, np.int64)
    for t in range(len(action)):
        episode += sim.term.numpy()
        bits = draw(seed, 2, episode)[0]
        kind[t] = draws.below(bits, 1 + len(RANDOM_RATES))
        if kind[t] == CAREFUL:
            players.careful(sim.rows, wants)
            action[t] = wants[0] and sim.games.score[0] < (bits & (CAREFUL_PIPES - 1))
        else:
            action[t] = draws.chance(chances[t], int(RANDOM_RATES[int(kind[t])] * 2**32))
        yield action[t]


def play(sim: VecFlap, actions: Iterable[int], steps: int) -> tuple[Arrays, np.ndarray]:
    """Play one game. Returns the arrays of STATE, OUTCOME and frame, and the gaps drawn up to each step."""
    rows = np.zeros((steps, physics.NUMBERS), np.int32)
    frames = np.zeros((steps, render.SIZE), np.int64)
    outcome = np.zeros((3, steps), np.int32)
    act, frame = sim.act.numpy(), sim.frame.numpy()
    rew, term, score = sim.rew.numpy(), sim.term.numpy(), sim.score.numpy()
    for t, flap in enumerate(actions):
        act[0] = flap
        sim.step()
        rows[t], frames[t] = sim.rows[0], frame[0]
        outcome[:, t] = rew[0], term[0], score[0]
    reward = np.where(outcome[0] == 0, 0.1, outcome[0])
    named = zip(OUTCOME, (reward, outcome[1], outcome[2]), strict=True)
    played = tracefile.state(rows) | {name: array.astype(OUTCOME[name]) for name, array in named}
    return played | {"frame": tracefile.packed(frames)}, rows[:, physics.DRAWS]


def compare(played: Arrays, trace: Arrays) -> tuple[Report, int]:
    """Returns the report and the first differing step (or the number of steps)."""
    steps = len(trace["action"])
    names = [name for name in played if name in trace]
    differs = {name: (played[name] != trace[name]).reshape(steps, -1).any(axis=1) for name in names}
    first = min(int(where.argmax()) if where.any() else steps for where in differs.values())
    found = None
    if first < steps:
        name = next(name for name in names if differs[name][first])
        expected, got = trace[name][first], played[name][first]
        if name == "frame":
            expected, got = np.unpackbits(expected), np.unpackbits(got)
            pixel = int((expected != got).argmax())
            name = f"frame, column {pixel // render.SIZE}, row {pixel % render.SIZE}"
            expected, got = expected[pixel], got[pixel]
        found = f"step {first}: {name}: expected {expected}, got {got}"
    in_frames = differs.pop("frame")
    in_steps = np.any(list(differs.values()), axis=0)
    return Report(steps, int(in_steps.sum()), int(in_frames.sum()), found), first
