"""How birds died in an exam: their last frames, what the network thought of them, and where it went wrong."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vecflap import planner
from vecflap.physics import AGE, BIRD_Y, GAP, GAP_Y, GROUND_Y, NUMBERS, SCORE
from vecflap.picture import paint
from vecflap.shapes import BIRD_HEIGHT

STEPS = 60
"""Steps kept of a death."""
SHOWN = 6
"""Of them, in a picture."""


class Death(NamedTuple):
    """The end of a game. F steps, at most STEPS, oldest first; row F of `games` is the crash itself."""

    game: int
    games: np.ndarray  # int32 [F + 1, 16] the game before each step, see physics.Games; last: as it crashed
    q: np.ndarray  # float32 [F, 2] values of gliding and flapping
    act: np.ndarray  # uint8 [F] what was done, 1 = flap
    skip: int  # frames of a step

    @property
    def pipes(self) -> int:
        """Pipes passed."""
        return int(self.games[-1, SCORE])

    @property
    def age(self) -> int:
        """Frames since the episode began."""
        return int(self.games[-1, AGE])

    @property
    def hit(self) -> str:
        """What the bird flew into."""
        y, top, gap = (int(self.games[-1, number]) for number in (BIRD_Y, GAP_Y, GAP))
        if y + BIRD_HEIGHT >= GROUND_Y:
            return "ground"
        return "upper pipe" if y + BIRD_HEIGHT // 2 < top + gap // 2 else "lower pipe"

    def verdict(self) -> int | None:
        """The step of 0..F-1 that the bird was lost by: the last one from which a planner still lives, who
        may flap in every frame. None where that was longer ago."""
        frames = np.zeros(len(self.act), np.int64)
        planner.lives(np.ascontiguousarray(self.games[:-1]), frames)
        could = np.flatnonzero(frames == planner.HORIZON)
        return int(could[-1]) if len(could) else None

    def summary(self) -> dict[str, Any]:
        """The numbers people ask for. last_chance: frames before the crash; what it did then."""
        lost = self.verdict()
        values = {"game": self.game, "pipes": self.pipes, "age": self.age, "flew_into": self.hit}
        if lost is None:
            return values | dict.fromkeys(("last_chance", "did", "q_glide", "q_flap"))
        glide, flap = self.q[lost].tolist()
        did = "flap" if self.act[lost] else "glide"
        return values | {
            "last_chance": self.skip * (len(self.act) - lost),
            "did": did,
            "q_glide": glide,
            "q_flap": flap,
        }


class Witness:
    """Remembers the last steps of N games while they are played."""

    def __init__(self, games: int) -> None:
        self._row = 0
        self._games = np.zeros((STEPS, games, NUMBERS), np.int32)
        self._q = np.zeros((STEPS, games, 2), np.float32)
        self._act = np.zeros((STEPS, games), np.uint8)
        self.deaths: list[Death] = []

    def see(self, playing: np.ndarray, rows: np.ndarray, q: np.ndarray, act: np.ndarray) -> None:
        """Before a step. playing: int64 [P], games; rows: int32 [N, 16]; q: float32 [P, 2]; act: uint8
        [P]."""
        slot = self._row % STEPS
        self._games[slot, playing], self._q[slot, playing], self._act[slot, playing] = rows[playing], q, act
        self._row += 1

    def bury(self, game: int, crash: np.ndarray, skip: int) -> None:
        """After a step, of `skip` frames, that killed a game's bird. crash: int32 [16], the game as it
        crashed."""
        steps = min(self._row, STEPS)
        slots = np.arange(self._row - steps, self._row) % STEPS
        games = np.vstack([self._games[slots, game], crash])
        self.deaths.append(Death(game, games, self._q[slots, game], self._act[slots, game], skip))


def draw_all(deaths: list[Death], folder: Path) -> list[Path]:
    """Write a picture of every death into a folder, in place of those of an earlier exam. ImportError where
    matplotlib is missing."""
    import matplotlib.figure  # noqa: F401  an extra: before anything is written

    folder.mkdir(exist_ok=True)
    for old in folder.glob("game-*.png"):
        old.unlink()
    files = [folder / f"game-{death.game:04}.png" for death in deaths]
    for death, file in zip(deaths, files, strict=True):
        draw(death, file)
    return files


def draw(death: Death, path: Path) -> None:
    """Write a picture of a death: six of its last frames, and the two values in all of them."""
    from matplotlib.figure import Figure

    steps, lost = len(death.act), death.verdict()
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=(3, 2))
    assert isinstance(parts, np.ndarray)
    screens, values = parts
    before = sorted({*np.linspace(0, steps, SHOWN, dtype=int).tolist()[1:], lost or 0})
    for axes, f in zip(screens.subplots(1, len(before)), before, strict=True):
        axes.imshow(paint(death.games[f])[:GROUND_Y])
        when = f"{death.skip * (f - steps)}" + (" last chance" if f == lost else "")
        axes.set_title("crash" if f == steps else when)
        axes.axis("off")
    axes, time = values.subplots(), death.skip * np.arange(-steps, 0)
    for column, name in enumerate(("glide", "flap")):
        axes.plot(time, death.q[:, column], label=f"Q of {name}", color=("tab:blue", "tab:orange")[column])
    flaps = np.flatnonzero(death.act)
    axes.plot(time[flaps], death.q[flaps].max(1), "k^", label="flapped")
    if lost is not None:
        axes.axvline(
            death.skip * (lost - steps), color="tab:red", linestyle="--", label="last chance, says a planner"
        )
    axes.set_xlabel("frames before the crash")
    axes.legend(loc="lower left", ncols=4)
    figure.suptitle(f"game {death.game}: {death.hit} after {death.pipes} pipes")
    figure.savefig(path, dpi=80)
