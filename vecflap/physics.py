"""The rules of one game, frame by frame, in whole numbers: pixels and frames, y growing downward.

The source of every rule is the original pygame program, replayed step by step in `tests/test_traces.py`. A
game is one row of an int32 [N, 16] array, a cache line, whose columns are named below; `Games` is the same
memory by name. The functions are compiled into the kernels of `sim.py` and know nothing of learning.
"""

from typing import NamedTuple

import numpy as np

from vecflap import draws, shapes
from vecflap.kernels import inlined

RULES_VERSION = 1
"""Changes when, and only when, a game would play out or look different. Checkpoints carry it."""

SCREEN_WIDTH, SCREEN_HEIGHT = 288, 512  # px
GROUND_Y = 404  # px: the ground is drawn from here down, and touching it is a crash
BIRD_X = 57  # px, left edge of the bird's box
START_Y = 244  # px
GRAVITY = 1  # px/frame^2
MAX_VY = 10  # px/frame
LOWEST_Y = 380  # px: the original's clamp of 380.48, cut; this low is a crash in any case
WING_FRAMES = 3  # the wing's picture changes every third frame of an episode
PIPE_SPEED = 4  # px/frame, to the left
PIPE_START_X = (288, 432)  # px, the two pipes of a new episode
PIPE_APPEND_X = 298  # px, where every later pipe appears
GAP_PLACES = 8  # the gap's top is at one of
GAP_TOP, GAP_PLACE_STEP = 100, 10  # px: 100, 110, ... 170
SCORE_X = 48  # px: a pipe scores in the one frame that begins with it at 45..48, its middle behind the bird's
MAX_PIPES = 3  # on the screen at any time

# Columns of a game's row
BIRD_Y, BIRD_VY, WING, WING_CYCLE, PIPES = range(5)
PIPE_X, GAP_Y = 5, 8  # three columns each
SCORE, AGE, EPISODE, DRAWS = range(11, 15)
COLUMNS = 16


class Games(NamedTuple):
    """The whole state of N games, as views of one int32 [N, 16] array."""

    bird_y: np.ndarray  # int32 [N] px, top of the bird's box
    bird_vy: np.ndarray  # int32 [N] px/frame
    wing: np.ndarray  # int32 [N] the wing's picture: 0 up, 1 mid, 2 down
    wing_cycle: np.ndarray  # int32 [N] 0..3, what comes next of up, mid, down, mid; a crash does not reset it
    pipes: np.ndarray  # int32 [N] pipes that exist: 2 or 3
    pipe_x: np.ndarray  # int32 [N, 3] px, left edge of a pipe's box, from the left; past `pipes`: leftovers
    gap_y: np.ndarray  # int32 [N, 3] px, top of a pipe's gap
    score: np.ndarray  # int32 [N] pipes passed in this episode
    age: np.ndarray  # int32 [N] frames since the episode began
    episode: np.ndarray  # int32 [N] crashes so far
    draws: np.ndarray  # int32 [N] gaps drawn so far

    @classmethod
    def of(cls, rows: np.ndarray) -> "Games":
        """Names for the columns of int32 [N, 16] rows. A view: nothing is copied."""
        one = {name: rows[:, column] for name, column in zip(cls._fields, _FIRST_COLUMN, strict=True)}
        one["pipe_x"], one["gap_y"] = rows[:, PIPE_X : PIPE_X + 3], rows[:, GAP_Y : GAP_Y + 3]
        return cls(**one)


_FIRST_COLUMN = (BIRD_Y, BIRD_VY, WING, WING_CYCLE, PIPES, PIPE_X, GAP_Y, SCORE, AGE, EPISODE, DRAWS)


class Rules(NamedTuple):
    """What may differ between two variants of the game."""

    flap_vy: int = -7
    """px/frame, upward speed a flap gives."""
    gap: int = 100
    """px, height of a gap."""
    score_drawn: bool = True
    """Whether the score is part of the picture."""


RULES = {"flap7": Rules(-7, 100, True), "flap9": Rules(-9, 100, False)}
"""`flap7` is the game that the OneFlow article trains on, `flap9` the widely copied variant."""


class Gaps(NamedTuple):
    """Where a game's gaps come from."""

    seed: int
    purpose: int
    """Which games these are: draws.GAPS_TRAIN, GAPS_SELECT or GAPS_EXAM."""
    stream: np.ndarray  # uint8 [any] places 0..7 instead of draws, in order: a recording's; empty: draw


NO_STREAM = np.zeros(0, np.uint8)


TOUCH_X = BIRD_X - shapes.PIPE_WIDTH + 1  # px: the leftmost pipe whose box shares a column with the bird's
FAR = 9999  # px, further than anything


def bird_spans() -> np.ndarray:
    """int32 [3, 85, 4]: what of the bird is over a pipe, by (wing, pipe x - 6): first and past-last row with
    a solid pixel in the columns of the lip, and in those of the body; FAR, -FAR where there is none."""
    spans = np.full((3, BIRD_X + shapes.BIRD_WIDTH - TOUCH_X, 4), (FAR, -FAR, FAR, -FAR), np.int32)
    for wing, shape in enumerate(shapes.BIRDS):
        bird = shapes.solid(shape, shapes.BIRD_WIDTH)
        for touch in range(spans.shape[1]):
            dx = touch + TOUCH_X - BIRD_X
            parts = ((dx, dx + shapes.PIPE_WIDTH), (dx + shapes.BODY_FIRST, dx + shapes.BODY_END))
            for part, (first, end) in enumerate(parts):
                rows = np.flatnonzero(bird[:, max(first, 0) : max(end, 0)].any(axis=1))
                if len(rows):
                    assert len(rows) == rows[-1] - rows[0] + 1, "a span must have no hole"
                    spans[wing, touch, 2 * part : 2 * part + 2] = rows[0], rows[-1] + 1
    return spans


SPANS = bird_spans()


@inlined
def draw_gap(g, i, gaps):
    """The top of the next gap of game i. The only randomness of the game."""
    count = g[DRAWS]
    g[DRAWS] = count + 1
    if gaps.stream.size > 0:
        place = np.int64(gaps.stream[count])
    else:
        place = draws.below(draws.draw(gaps.seed, gaps.purpose, i, count, 0), GAP_PLACES)
    return GAP_TOP + GAP_PLACE_STEP * place


@inlined
def restart(g, i, gaps):
    """Begin an episode of game i. The wing shows up again, but its cycle goes on where it was."""
    g[BIRD_Y] = START_Y
    g[BIRD_VY] = 0
    g[WING] = shapes.UP
    g[PIPES] = 2
    for p in range(2):
        g[PIPE_X + p] = PIPE_START_X[p]
        g[GAP_Y + p] = draw_gap(g, i, gaps)
    g[SCORE] = 0
    g[AGE] = 0


@inlined
def beat_wing(wing, cycle, age):
    """Every third frame of an episode, show the next picture of the endless cycle. Returns (wing, cycle)."""
    if age % WING_FRAMES == 0:
        wing = shapes.MID if cycle & 1 else cycle  # up, mid, down, mid
        cycle = (cycle + 1) & 3
    return wing, cycle


@inlined
def fall(y, vy, flap, rules):
    """Move the bird by one frame. A flap sets its speed; the ceiling is not a crash. Returns (y, vy)."""
    vy = rules.flap_vy if flap else min(vy + GRAVITY, MAX_VY)
    return min(max(y + vy, 0), LOWEST_Y), vy


@inlined
def move_pipes(g, i, gaps):
    """Move the pipes by one frame; append one when the first is about to leave, drop it once it has left."""
    x0, x1, x2 = g[PIPE_X] - PIPE_SPEED, g[PIPE_X + 1] - PIPE_SPEED, g[PIPE_X + 2] - PIPE_SPEED
    if 0 < x0 < 5:
        x2 = PIPE_APPEND_X
        g[GAP_Y + 2] = draw_gap(g, i, gaps)
        g[PIPES] = 3
    elif x0 < -shapes.PIPE_WIDTH:
        x0, x1 = x1, x2
        g[GAP_Y], g[GAP_Y + 1] = g[GAP_Y + 1], g[GAP_Y + 2]
        g[PIPES] = 2
    g[PIPE_X], g[PIPE_X + 1], g[PIPE_X + 2] = x0, x1, x2


@inlined
def crashed(y, wing, pipe_x, gap_y, rules):
    """Whether the bird is on the ground, or a solid pixel of it on one of the first pipe's.

    Pipes are 144 px or more apart, so the first one is the only one that can reach the bird.
    """
    if y + shapes.BIRD_HEIGHT >= GROUND_Y:
        return True
    touch = pipe_x - TOUCH_X
    if touch < 0 or touch >= len(SPANS[0]):
        return False
    span = SPANS[wing, touch]
    lip_top, lip_end, body_top, body_end = y + span[0], y + span[1], y + span[2], y + span[3]
    bottom = gap_y + rules.gap
    return (
        body_top < gap_y
        or body_end > bottom
        or (lip_top < gap_y and lip_end > gap_y - shapes.LIP_HEIGHT)
        or (lip_end > bottom and lip_top < bottom + shapes.LIP_HEIGHT)
    )


@inlined
def advance(g, i, flap, rules, gaps):
    """Play one frame of game i, in the original's order, and restart it within the frame if the bird crashes.

    g:     int32 [16], the game's row, updated in place.
    i:     the game's number: the key of its gaps.
    flap:  uint8, 1 = flap, 0 = glide.

    Returns (rew, term, score): -1 crash, +1 pipe passed, 0 otherwise; 1 if the episode ended; the episode's
    pipes so far, of the one that ended if it did (a pipe passed on the frame of the crash counts, though the
    reward is -1).
    """
    scored = SCORE_X - PIPE_SPEED < g[PIPE_X] <= SCORE_X
    score = g[SCORE] + scored
    age = g[AGE] + 1
    wing, cycle = beat_wing(g[WING], g[WING_CYCLE], age)
    y, vy = fall(g[BIRD_Y], g[BIRD_VY], flap, rules)
    move_pipes(g, i, gaps)
    g[WING_CYCLE] = cycle
    if crashed(y, wing, g[PIPE_X], g[GAP_Y], rules):
        g[EPISODE] += 1
        restart(g, i, gaps)
        return -1, 1, score
    g[BIRD_Y], g[BIRD_VY], g[WING], g[SCORE], g[AGE] = y, vy, wing, score, age
    return int(scored), 0, score
