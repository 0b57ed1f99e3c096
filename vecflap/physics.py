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
APPEND_X = PIPE_SPEED + 1  # px: a pipe left of here has another one appended behind the second
SCORE_X = 48  # px: a pipe scores in the one frame that begins with it at 45..48, its middle behind the bird's
MAX_PIPES = 3  # on the screen at any time

# Columns of a game's row
BIRD_Y, BIRD_VY, WING_CYCLE = range(3)
PIPE_X, GAP_Y = 3, 6  # three columns each
SCORE, AGE, DRAWS = range(9, 12)
FLAP_VY, GRAVITY, GAP, SCORE_FROM = range(12, 16)
COLUMNS = 16


class Games(NamedTuple):
    """The whole state of N games, as views of one int32 [N, 16] array."""

    bird_y: np.ndarray  # int32 [N] px, top of the bird's box
    bird_vy: np.ndarray  # int32 [N] px/frame
    wing_cycle: np.ndarray  # int32 [N] 0..3, what comes next of up, mid, down, mid; a crash does not reset it
    pipe_x: np.ndarray  # int32 [N, 3] px, left edge of a pipe's box, from the left; past `pipes`: leftovers
    gap_y: np.ndarray  # int32 [N, 3] px, top of a pipe's gap
    score: np.ndarray  # int32 [N] pipes passed in this episode
    age: np.ndarray  # int32 [N] frames since the episode began
    draws: np.ndarray  # int32 [N] gaps drawn so far
    flap_vy: np.ndarray  # int32 [N] px/frame: this and the next, see Rules, are of this episode
    gravity: np.ndarray  # int32 [N] px/frame^2
    gap: np.ndarray  # int32 [N] px
    score_from: np.ndarray  # int32 [N] what the drawn score began at; -1: none is drawn

    @classmethod
    def of(cls, rows: np.ndarray) -> "Games":
        """Names for the columns of int32 [N, 16] rows. A view: nothing is copied."""
        one = {name: rows[:, column] for name, column in zip(cls._fields, _FIRST_COLUMN, strict=True)}
        one["pipe_x"], one["gap_y"] = rows[:, PIPE_X : PIPE_X + 3], rows[:, GAP_Y : GAP_Y + 3]
        return cls(**one)

    @property
    def pipes(self) -> np.ndarray:
        """int64 [N]: pipes that exist, 2 or 3."""
        return np.where(self.pipe_x[:, 0] < APPEND_X, 3, 2)

    @property
    def wing(self) -> np.ndarray:
        """int64 [N]: the wing's picture, 0 up, 1 mid, 2 down."""
        last = (self.wing_cycle - 1) & 3
        return np.where(self.age < WING_FRAMES, shapes.UP, np.where(last & 1, shapes.MID, last))


_FIRST_COLUMN = (
    *(BIRD_Y, BIRD_VY, WING_CYCLE, PIPE_X, GAP_Y, SCORE, AGE, DRAWS),
    *(FLAP_VY, GRAVITY, GAP, SCORE_FROM),
)


# Columns of the rules of a game, see rules.Rules.row: of the first five, the least and how many there are
FLAPS, GRAVITIES, GAPS, FIRST_SCORES, TOPS = range(0, 10, 2)
TOP_STEP, DRAWN = 10, 11
RANGES = 12


class Gaps(NamedTuple):
    """Where a game's gaps come from."""

    seed: int
    purpose: int
    """Which games these are: draws.GAPS_TRAIN, GAPS_SELECT or GAPS_EXAM."""
    stream: np.ndarray  # uint8 [any] places of gaps instead of draws, in order: a recording's; empty: draw


NO_STREAM = np.zeros(0, np.uint8)


TOUCH_X = BIRD_X - shapes.PIPE_WIDTH + 1  # px: the leftmost pipe whose box shares a column with the bird's
TOUCHING = BIRD_X + shapes.BIRD_WIDTH - TOUCH_X  # places of a pipe whose box does
FAR = 9999  # px, further than anything


def bird_spans() -> np.ndarray:
    """int32 [3, 86, 4]: what of the bird is over a pipe, by (wing, pipe x - 6): first and past-last row with
    a solid pixel in the columns of the lip, and in those of the body; FAR, -FAR where there is none, as in
    the last."""
    spans = np.full((3, TOUCHING + 1, 4), (FAR, -FAR, FAR, -FAR), np.int32)
    for wing, shape in enumerate(shapes.BIRDS):
        bird = shapes.solid(shape, shapes.BIRD_WIDTH)
        for touch in range(TOUCHING):
            dx = touch + TOUCH_X - BIRD_X
            parts = ((dx, dx + shapes.PIPE_WIDTH), (dx + shapes.BODY_FIRST, dx + shapes.BODY_END))
            for part, (first, end) in enumerate(parts):
                rows = np.flatnonzero(bird[:, max(first, 0) : max(end, 0)].any(axis=1))
                if len(rows):
                    assert len(rows) == rows[-1] - rows[0] + 1, "a span must have no hole"
                    spans[wing, touch, 2 * part : 2 * part + 2] = rows[0], rows[-1] + 1
    return spans


SPANS = bird_spans()


def are_possible(rows: np.ndarray) -> bool:
    """Whether int32 [N, 16] rows hold numbers that tables can be looked up by, as those of played games."""
    g = Games.of(rows)
    tops = np.where(np.arange(MAX_PIPES) < g.pipes[:, None], g.gap_y, 0)
    return bool(
        ((g.bird_y >= 0) & (g.bird_y <= LOWEST_Y)).all()
        and ((g.wing_cycle >= 0) & (g.wing_cycle < 4) & (g.age >= 0) & (g.score >= 0)).all()
        and ((tops >= 0) & (g.gap[:, None] >= 0) & (tops + g.gap[:, None] <= GROUND_Y)).all()
    )


@inlined
def draw_gap(g, i, ranges, gaps):
    """The top of the next gap of game i."""
    count = g[DRAWS]
    g[DRAWS] = count + 1
    if gaps.stream.size > 0:
        place = np.int64(gaps.stream[count])
    else:
        place = draws.below(draws.draw(gaps.seed, gaps.purpose, i, count, 0), ranges[TOPS + 1])
    return ranges[TOPS] + ranges[TOP_STEP] * place


@inlined
def drawn(g, i, ranges, low, gaps):
    """A number of game i's next episode: one of ranges[low + 1] from ranges[low] on."""
    if ranges[low + 1] == 1:
        return np.int64(ranges[low])
    return ranges[low] + draws.below(
        draws.draw(gaps.seed, gaps.purpose, i, g[DRAWS], 1 + low), ranges[low + 1]
    )


@inlined
def restart(g, i, ranges, gaps):
    """Begin an episode of game i. The wing shows up again, but its cycle goes on where it was.

    ranges: int32 [12], the game's rules, see rules.Rules.row.
    """
    g[FLAP_VY] = drawn(g, i, ranges, FLAPS, gaps)
    g[GRAVITY] = drawn(g, i, ranges, GRAVITIES, gaps)
    g[GAP] = drawn(g, i, ranges, GAPS, gaps)
    g[SCORE_FROM] = drawn(g, i, ranges, FIRST_SCORES, gaps) if ranges[DRAWN] else -1
    g[SCORE] = 0
    g[BIRD_Y] = START_Y
    g[BIRD_VY] = 0
    for p in range(2):
        g[PIPE_X + p] = PIPE_START_X[p]
        g[GAP_Y + p] = draw_gap(g, i, ranges, gaps)
    g[AGE] = 0


@inlined
def wing(g):
    """The wing's picture: the latest of the endless cycle up, mid, down, mid, or up until its first beat."""
    last = (g[WING_CYCLE] - 1) & 3
    last = shapes.MID if last & 1 else last
    return shapes.UP if g[AGE] < WING_FRAMES else last


@inlined
def fall(y, vy, flap, flap_vy, gravity):
    """Move the bird by one frame. A flap sets its speed; the ceiling is not a crash. Returns (y, vy)."""
    vy = flap_vy if flap else min(vy + gravity, MAX_VY)
    return min(max(y + vy, 0), LOWEST_Y), vy


@inlined
def move_pipes(g, i, ranges, gaps):
    """Move the pipes by one frame; append one when the first is about to leave, drop it once it has left."""
    x0, x1, x2 = g[PIPE_X] - PIPE_SPEED, g[PIPE_X + 1] - PIPE_SPEED, g[PIPE_X + 2] - PIPE_SPEED
    if 0 < x0 < APPEND_X:
        x2 = PIPE_APPEND_X
        g[GAP_Y + 2] = draw_gap(g, i, ranges, gaps)
    elif x0 < -shapes.PIPE_WIDTH:
        x0, x1 = x1, x2
        g[GAP_Y], g[GAP_Y + 1] = g[GAP_Y + 1], g[GAP_Y + 2]
    g[PIPE_X], g[PIPE_X + 1], g[PIPE_X + 2] = x0, x1, x2


@inlined
def crashed(y, wing, pipe_x, gap_y, gap):
    """Whether the bird is on the ground, or a solid pixel of it on one of the first pipe's.

    Pipes are 144 px or more apart, so the first one is the only one that can reach the bird.
    """
    span = SPANS[wing, min(np.uint32(pipe_x - TOUCH_X), np.uint32(TOUCHING))]  # out of reach left or right
    lip_top, lip_end, body_top, body_end = y + span[0], y + span[1], y + span[2], y + span[3]
    bottom = gap_y + gap
    return (
        (y + shapes.BIRD_HEIGHT >= GROUND_Y)
        | (body_top < gap_y)
        | (body_end > bottom)
        | ((lip_top < gap_y) & (lip_end > gap_y - shapes.LIP_HEIGHT))
        | ((lip_end > bottom) & (lip_top < bottom + shapes.LIP_HEIGHT))
    )


@inlined
def advance(g, i, flap, ranges, gaps):
    """Play one frame of game i, in the original's order, up to the crash: `restart` it then.

    g:      int32 [16], the game's row, updated in place.
    i:      the game's number: the key of its gaps.
    flap:   uint8, 1 = flap, 0 = glide.
    ranges: int32 [12], the game's rules, see rules.Rules.row.

    Returns (rew, term): -1 crash, +1 pipe passed, 0 otherwise; 1 if the bird crashed. A pipe passed on the
    frame of the crash counts in the score, though the reward is -1.
    """
    scored = (SCORE_X - PIPE_SPEED < g[PIPE_X]) & (g[PIPE_X] <= SCORE_X)
    g[SCORE] += scored
    g[AGE] += 1
    g[WING_CYCLE] = (g[WING_CYCLE] + (g[AGE] % WING_FRAMES == 0)) & 3
    g[BIRD_Y], g[BIRD_VY] = fall(g[BIRD_Y], g[BIRD_VY], flap, g[FLAP_VY], g[GRAVITY])
    move_pipes(g, i, ranges, gaps)
    crash = crashed(g[BIRD_Y], wing(g), g[PIPE_X], g[GAP_Y], g[GAP])
    return (-1 if crash else int(scored)), int(crash)
