"""The naive twin: the rules of the original game, one game at a time, pixel by pixel.

Slow and obvious on purpose, sharing no code with the package that is held against it: silhouettes are drawn
one by one at full size, a crash is two solid pixels in one place. y grows downward; quantities are whole.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]

WIDTH, HEIGHT = 288, 512  # px, the screen
GROUND_Y = 404  # px, first row of the ground
BIRD_X, START_Y = 57, 244  # px, left edge (never moves), top at the start
BIRD_HEIGHT = 24  # px, the box that meets the ground
MAX_VY = 10  # px/frame
PIPE_STEP = 4  # px/frame, leftwards
PIPE_WIDTH = 52  # px
START_XS, NEW_X = (288, 432), 298  # px, left edges of the first two pipes, of every later one
FIRST_GAP_TOP, GAP_TOP_STEP = 100, 10  # px: gap top = 100 + 10 k
SCORE_X, SCORE_Y = 144, 51  # px, centre and top of the drawn score
WING_CYCLE = (0, 1, 2, 1)  # up, mid, down, mid
WING_FRAMES = 3  # frames each wing picture is shown
SIDE = 64  # px, side of the small picture


def solid(shape: dict[str, Any]) -> Bits:
    """One silhouette, bool [height, width], from rows [count, [[first, past-last], ...]], top first."""
    rows = [spans for count, spans in shape["rows"] for _ in range(count)]
    return np.array([[any(a <= x < b for a, b in spans) for x in range(shape["width"])] for spans in rows])


SHAPES_FILE = Path(__file__).parent / "golden" / "shapes.json"
SHAPES = {name: solid(shape) for name, shape in json.loads(SHAPES_FILE.read_text()).items()}
BIRDS = [SHAPES["bird_up"], SHAPES["bird_mid"], SHAPES["bird_down"]]  # indexed by wing
DIGITS = [SHAPES[f"digit_{d}"] for d in range(10)]
# Pipes reach the screen's edge wherever the gap is: the row furthest from the lip goes on.
UPPER_PIPE = np.pad(SHAPES["pipe_upper"], ((HEIGHT, 0), (0, 0)), "edge")
LOWER_PIPE = np.pad(SHAPES["pipe_lower"], ((0, HEIGHT), (0, 0)), "edge")


def stamp(canvas: Bits, shape: Bits, x: int, y: int) -> None:
    """Draw shape with its top left corner at (x, y); what falls outside the canvas is lost."""
    height, width = canvas.shape
    shape = shape[max(-y, 0) : max(height - y, 0), max(-x, 0) : max(width - x, 0)]
    x, y = max(x, 0), max(y, 0)
    canvas[y : y + shape.shape[0], x : x + shape.shape[1]] |= shape


def pack(frame: Bits) -> NDArray[np.uint64]:
    """The 64x64 picture as uint64 [64] words: word c is column c of the picture, bit r is its row r."""
    bits = np.uint64(1) << np.arange(SIDE, dtype=np.uint64)
    return np.array([bits[column].sum(dtype=np.uint64) for column in frame])


class Game:
    """One game, pixel by pixel, by the rules of the original game.

    flap_vy:     px/frame, the velocity that a flap sets: -7 or -9 in the original's two variants.
    gaps:        every k drawn, in order, the two initial draws of each episode included.
    gap:         px, from the upper pipe's lip to the lower one's.
    score_drawn: whether the picture shows the score (the -7 variant does, the -9 variant does not).
    tops:        px, the gap's top for k = 0, and from one k to the next.
    episodes:    what every restart changes of the above, gravity (px/frame^2) and score_from (what the drawn
                 score begins at).
    """

    gravity, score_from = 1, 0

    def __init__(
        self,
        flap_vy: int,
        gaps: Iterable[int],
        gap: int = 100,
        score_drawn: bool = True,
        tops: tuple[int, int] = (FIRST_GAP_TOP, GAP_TOP_STEP),
        episodes: Iterable[dict[str, int]] = (),
    ) -> None:
        self.flap_vy, self.gaps, self.gap, self.score_drawn = flap_vy, iter(gaps), gap, score_drawn
        self.tops, self.episodes = tops, iter(episodes)
        self.wing_cycle = 0  # 0..3, place in WING_CYCLE of the next picture; a restart leaves it alone
        self.restart()
        self.crash = self.state()  # at the latest crash check; with its frame where it was a crash

    def restart(self) -> None:
        """Begin an episode: everything but the place in the wing cycle."""
        vars(self).update(next(self.episodes, {}))
        self.bird_y, self.bird_vy = START_Y, 0  # px, px/frame
        self.wing = 0  # 0 up, 1 mid, 2 down: the picture shown
        self.age = 0  # frames since the episode began
        self.score = 0  # pipes
        self.pipes = [self.new_pipe(x) for x in START_XS]  # [x, gap_top] px each, leftmost first

    def new_pipe(self, x: int) -> list[int]:
        """[x, gap_top] with the next gap drawn."""
        return [x, self.tops[0] + self.tops[1] * int(next(self.gaps))]

    def state(self) -> dict[str, Any]:
        """A copy of every public integer and of the pipes."""
        names = ("bird_y", "bird_vy", "wing", "wing_cycle", "age", "score")
        names += ("flap_vy", "gravity", "gap", "score_from")
        return {name: getattr(self, name) for name in names} | {"pipes": [list(pipe) for pipe in self.pipes]}

    def step(self, flap: int) -> tuple[int, bool, int]:
        """One frame, in the original's order.

        Returns the reward (-1, +1, or 0 for the original's +0.1), terminal, and the score of the episode:
        of the one that just ended where terminal, because the game restarts within the same frame.
        """
        if flap:
            self.bird_vy = self.flap_vy

        scored = sum(x + 26 <= 74 < x + 30 for x, _ in self.pipes)
        self.score += scored

        self.age += 1
        if self.age % WING_FRAMES == 0:
            self.wing = WING_CYCLE[self.wing_cycle]
            self.wing_cycle = (self.wing_cycle + 1) % len(WING_CYCLE)

        if not flap and self.bird_vy < MAX_VY:
            self.bird_vy = min(self.bird_vy + self.gravity, MAX_VY)
        self.bird_y = min(max(self.bird_y + self.bird_vy, 0), GROUND_Y - BIRD_HEIGHT)

        for pipe in self.pipes:
            pipe[0] -= PIPE_STEP
        if 0 < self.pipes[0][0] < 5:
            self.pipes.append(self.new_pipe(NEW_X))
        if self.pipes[0][0] < -PIPE_WIDTH:
            del self.pipes[0]

        self.crash = self.state()
        score = self.score
        terminal = self.crashed()
        if terminal:
            self.crash["frame"] = self.frame()
            self.restart()
        return -1 if terminal else 1 if scored else 0, terminal, score

    def crashed(self) -> bool:
        """On the ground, or a solid pixel of the bird on a solid pixel of a pipe."""
        on_ground = self.bird_y + BIRD_HEIGHT >= GROUND_Y
        return on_ground or bool((self.bird_picture() & self.pipe_picture()).any())

    def bird_picture(self) -> Bits:
        """The bird alone, bool [512, 288]."""
        canvas = np.zeros((HEIGHT, WIDTH), bool)
        stamp(canvas, BIRDS[self.wing], BIRD_X, self.bird_y)
        return canvas

    def pipe_picture(self) -> Bits:
        """The pipes alone, bool [512, 288]."""
        canvas = np.zeros((HEIGHT, WIDTH), bool)
        for x, gap_top in self.pipes:
            stamp(canvas, UPPER_PIPE, x, gap_top - len(UPPER_PIPE))
            stamp(canvas, LOWER_PIPE, x, gap_top + self.gap)
        return canvas

    def picture(self) -> Bits:
        """The screen, bool [512, 288] indexed [y][x]; solid is lit."""
        canvas = self.pipe_picture() | self.bird_picture()
        canvas[GROUND_Y:] = True
        if self.score_drawn:
            digits = [DIGITS[int(d)] for d in str(self.score_from + self.score)]
            x = int(SCORE_X - sum(digit.shape[1] for digit in digits) / 2)
            for digit in digits:
                stamp(canvas, digit, x, SCORE_Y)
                x += digit.shape[1]
        return canvas

    def frame(self) -> Bits:
        """The small picture, bool [64, 64] indexed [c][r], column first as in the original."""
        picture = self.picture()  # bilinear resize, threshold at 1: any of four taps lights a pixel
        x = np.array([int(4.5 * c + 1.75) for c in range(SIDE)])[:, None]
        y = np.array([8 * r + 3 for r in range(SIDE)])
        return np.array(picture[y, x] | picture[y, x + 1] | picture[y + 1, x] | picture[y + 1, x + 1])
