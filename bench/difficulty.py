"""Train on some variants of the game and play all of them: a table in the manner of the 2015 report.

python bench/difficulty.py [--seconds 150] [--games 100]

Floor: a flap every n frames, with the best n for each variant. Ceiling: a scripted player, and, where that
one dies, a planner that is asked before every frame; both are shown the whole state of the game. Writes
results/difficulty.json, of which `bench/report.py` makes the table.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from seeds import RESULTS, vecflap

from vecflap import draws, planner
from vecflap.checkpoint import load_checkpoint
from vecflap.config import Config, RulesName
from vecflap.evaluate import rules_of
from vecflap.players import careful
from vecflap.rules import Rules
from vecflap.sim import VecFlap

PIPES = 200
TRAINED = ("easy", "medium", "hard", "mixed", "wide", "flap7")
PLAYED: dict[str, tuple[RulesName, int]] = {
    "easy, gaps of 150 px": ("easy", 0),
    "medium, 125 px": ("medium", 0),
    "hard, 100 px": ("hard", 0),
    "90 px": ("hard", 90),
    "80 px": ("hard", 80),
    "wide, 100 px": ("wide", 0),
    "flap7, 100 px": ("flap7", 0),
}
"""By their names, the rules and the gap of the games, 0: that of the rules."""
EVERY = range(6, 41)
"""Frames between two flaps that are tried."""
PLANNED_GAMES = 4
"""The planner takes long. Only where the scripted player dies it is asked."""

Player = Callable[[VecFlap, int], np.ndarray]
"""Gives the actions, uint8 [N], for the games as they stand at a row."""


def rhythm(every: int) -> Player:
    """Who flaps every so many frames."""
    return lambda sim, row: np.full(sim.envs, row % every == 0, np.uint8)


def scripted(sim, row):
    """The scripted player."""
    act = np.zeros(sim.envs, np.uint8)
    careful(np.ascontiguousarray(sim.rows), act)
    return act


def planned(sim, row):
    """Who does as the scripted player, unless a planner sees that by the other action it lives longer."""
    first = scripted(sim, row)
    frames = np.zeros((2, sim.envs), np.int64)
    for act, left in zip((first, 1 - first), frames, strict=True):
        twin = VecFlap(sim.envs, threads=1)
        twin.state[:] = sim.state
        twin.step(act)
        planner.lives(np.ascontiguousarray(twin.rows), left)
        left[twin.term.numpy() == 1] = -1
    return np.where(frames[0] >= frames[1], first, 1 - first)


def play(rules: Rules, player: Player, games: int) -> float:
    """Pipes of a game on average, PIPES at most, in the games of the exam."""
    sim = VecFlap(games, rules, purpose=draws.GAPS_EXAM, threads=1)
    passed, playing, row = np.zeros(games, np.int32), np.ones(games, bool), 0
    while playing.any():
        sim.step(player(sim, row))
        passed[playing] = sim.score.numpy()[playing]
        playing &= (sim.term.numpy() == 0) & (passed < PIPES)
        row += 1
    return round(float(passed.mean()), 3)


def main():
    """Train all, play all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=150, help="of training, at most")
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    rows = []

    def note(who: str, games: int, means: Sequence[float | None], **more: object) -> None:
        rows.append({"who": who, "games": games, "means": means, **more})
        print(f"{who:28}", *means, flush=True)

    games = arguments.games
    columns = [rules_of(Config(rules=rules, gap=gap)) for rules, gap in PLAYED.values()]
    note("a flap every n frames", games, [max(play(c, rhythm(n), games) for n in EVERY) for c in columns])
    folders = {rules: arguments.runs / f"difficulty-{rules}" for rules in TRAINED}
    for rules, folder in folders.items():
        vecflap("train", "--rules", rules, "--time-limit", arguments.seconds, "--out", folder)
        progress = load_checkpoint(folder / "last.safetensors", "updates")[1]["progress"]
        means = []
        for played, gap in PLAYED.values():
            words = "--rules", played, "--gap", gap, "--games", games
            exam = json.loads(vecflap("eval", folder, *words, "--pipes", PIPES, "--json").splitlines()[-1])
            means.append(exam["mean"])
        run = {"steps": progress["step"], "seconds": progress["seconds"], "reached": progress["reached"]}
        note(f"trained on {rules}", games, means, **run)
    alive = [play(column, scripted, games) for column in columns]
    note("the scripted player", games, alive)
    ceiling = [
        play(c, planned, PLANNED_GAMES) if a < PIPES else None for c, a in zip(columns, alive, strict=True)
    ]
    note("a planner", PLANNED_GAMES, ceiling)
    machine = json.loads((folders[TRAINED[0]] / "manifest.json").read_text())
    command = " ".join(["python bench/difficulty.py", *sys.argv[1:]])
    results = {"command": command, "machine": machine, "columns": list(PLAYED), "rows": rows}
    (RESULTS / "difficulty.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
