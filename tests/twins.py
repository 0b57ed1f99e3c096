"""The same game in the package and in its naive twin (reference.py), for tests that compare the two."""

from collections.abc import Iterator
from itertools import chain, repeat

import numpy as np
import reference

from vecflap import draws
from vecflap.physics import DRAWN, FIRST_SCORES, FLAPS, GAPS, GRAVITIES, TOP_STEP, TOPS
from vecflap.rules import Rules
from vecflap.sim import VecFlap

MID_AIR = {
    "bird_y": 200,
    "bird_vy": 0,
    "pipe_x": (150, 300, 0),
    "gap_y": (150, 150, 0),
    "age": 30,
}


def placed(rules="flap7", **fields) -> VecFlap:
    """Games in states placed by hand: fields of Games, each one value for all games or one a game."""
    fields = MID_AIR | fields
    shapes = [
        np.shape(value)[: -1 if name in ("pipe_x", "gap_y") else None] for name, value in fields.items()
    ]
    sim = VecFlap(max(np.broadcast_shapes(*shapes), default=1), rules, seed=5)
    for name, value in fields.items():
        getattr(sim.games, name)[:] = value
    return sim


def first_pipe(x) -> np.ndarray:
    """pipe_x of games whose first pipe is at x, the others far behind it."""
    return np.asarray(x)[:, None] + np.array([0, 150, 300])


def pixels(frames: np.ndarray) -> np.ndarray:
    """bool [..., 64, 64], indexed [column][row] as the twin's frame is, of packed int64 [..., 64] frames."""
    return (frames[..., None] >> np.arange(64) & 1).astype(bool)


class ToCome:
    """What game i will draw from now on."""

    def __init__(self, sim: VecFlap, i: int) -> None:
        self.sim, self.i, self.ranges, self.count = sim, i, sim.ranges[i], int(sim.games.draws[i])

    def draw(self, column: int, what: int) -> int:
        """A place among those of a range."""
        key = np.full(1, self.sim.seed, np.int64)
        bits = draws.draw(key, self.sim.purpose, self.i, self.count, what)
        return int(draws.below(bits, int(self.ranges[column + 1]))[0])

    def places(self) -> Iterator[int]:
        """Of the gaps."""
        while True:
            place = int(self.sim.stream[self.count]) if len(self.sim.stream) else self.draw(TOPS, 0)
            self.count += 1
            yield place

    def episodes(self) -> Iterator[dict[str, int]]:
        """What an episode may draw."""
        columns = {"flap_vy": FLAPS, "gravity": GRAVITIES, "gap": GAPS}
        columns |= {"score_from": FIRST_SCORES} if self.ranges[DRAWN] else {}
        while True:
            yield {
                name: int(self.ranges[column]) + self.draw(column, column + 1)
                for name, column in columns.items()
            }


def twin_of(sim: VecFlap, i: int) -> reference.Game:
    """The naive twin in the state of game i, with the same gaps to come."""
    g, ranges, to_come = sim.games, sim.ranges[i], ToCome(sim, i)
    drawn = {"flap_vy": int(g.flap_vy[i]), "gap": int(g.gap[i]), "gravity": int(g.gravity[i])}
    if ranges[DRAWN]:
        drawn["score_from"] = int(g.score_from[i])
    game = reference.Game(
        *(0, chain((0, 0), to_come.places()), 0, bool(ranges[DRAWN])),
        tops=(int(ranges[TOPS]), int(ranges[TOP_STEP])),
        episodes=chain([drawn], to_come.episodes()),
    )
    game.bird_y, game.bird_vy = int(g.bird_y[i]), int(g.bird_vy[i])
    game.wing, game.wing_cycle = int(g.wing[i]), int(g.wing_cycle[i])
    game.age, game.score = int(g.age[i]), int(g.score[i])
    pipes = range(g.pipes[i])
    game.pipes = [[int(g.pipe_x[i, p]), int(g.gap_y[i, p])] for p in pipes]
    return game


def step_of(sim: VecFlap, i: int) -> tuple[int, bool, int]:
    """What the step of game i came to, as the twin's `step` returns it."""
    return int(sim.rew[i]), bool(sim.term[i]), int(sim.score[i])


def assert_plays_as_twin(sim: VecFlap, act: np.ndarray, pictures: bool = False) -> None:
    """Play one frame of all games and of their twins: every game must end up where its twin does."""
    twins = [twin_of(sim, i) for i in range(sim.envs)]
    before = sim.rows.copy()
    sim.step(act)
    frames = pixels(sim.frame.numpy())
    for i, (game, flap) in enumerate(zip(twins, act.tolist(), strict=True)):
        assert step_of(sim, i) == game.step(flap), (before[i], flap)
        assert twin_of(sim, i).state() == game.state(), (before[i], flap)
        assert not pictures or (frames[i] == game.frame()).all(), (before[i], flap)


def replayed(trace: dict, rules: Rules) -> dict:
    """A recording's arrays as the naive twin has them, with nothing of the package."""
    game = reference.Game(
        rules.flap_vy, chain(trace["gap_draws"].tolist(), repeat(0)), rules.gap, bool(rules.score_drawn)
    )
    steps = []
    for flap in trace["action"].tolist():
        rew, terminal, c_score = game.step(flap)
        pipes = game.pipes + [[-32768, -32768]] * (3 - len(game.pipes))
        step = {"playery": game.bird_y, "playerVelY": game.bird_vy, "playerIndex": game.wing}
        step |= {"loopIter": game.age % 30, "score": game.score, "npipes": len(game.pipes)}
        step |= {"pipe_x": [x for x, _ in pipes], "pipe_gap": [top for _, top in pipes]}
        step |= {"reward": rew or np.float32(0.1), "terminal": terminal, "c_score": c_score}
        steps.append(step | {"frame": np.packbits(game.frame())})
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def differences(trace: dict, rules: Rules) -> tuple[int, int]:
    """Differing steps and frames of a recording, counted by the naive twin."""
    twin = replayed(trace, rules)
    differs = {name: (twin[name] != trace[name]).reshape(len(trace["action"]), -1).any(1) for name in twin}
    frames = differs.pop("frame")
    return int(np.any(list(differs.values()), axis=0).sum()), int(frames.sum())
