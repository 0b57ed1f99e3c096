"""The rules of one game, frame by frame, in whole numbers: pixels and frames, y growing downward.

The source of every rule is the original pygame program, replayed step by step in `tests/test_traces.py`. The
state of N games is an int32 [16, N] array with a row for each number of a game, named below; `Games` is the
same memory by name. A rule is a loop over neighbouring games, without a branch and over few arrays, so that
the compiler plays eight or sixteen games with one instruction. The functions are compiled into the kernels of
`sim.py` and know nothing of learning.
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
MAX_VY = 10  # px/frame
LOWEST_Y = 380  # px: the original's clamp of 380.48, cut; this low is a crash in any case
WING_FRAMES = 3  # the wing's picture changes every third frame of an episode
PIPE_SPEED = 4  # px/frame, to the left
PIPE_START_X = (288, 432)  # px, the two pipes of a new episode
PIPE_APPEND_X = 298  # px, where every later pipe appears
APPEND_X = PIPE_SPEED + 1  # px: a pipe left of here has another one appended behind the second
SCORE_X = 48  # px: a pipe scores in the one frame that begins with it at 45..48, its middle behind the bird's
MAX_PIPES = 3  # on the screen at any time

# Numbers of a game
BIRD_Y, BIRD_VY, WING_CYCLE = range(3)
PIPE_X, GAP_Y = 3, 6  # three numbers each
SCORE, AGE, DRAWS = range(9, 12)
FLAP_VY, GRAVITY, GAP, SCORE_FROM = range(12, 16)
NUMBERS = 16


class Games(NamedTuple):
    """The whole state of N games, as views of one int32 [16, N] array."""

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
    def of(cls, state: np.ndarray) -> "Games":
        """Names for the rows of an int32 [16, N] state. A view: nothing is copied."""
        one = {name: state[row] for name, row in zip(cls._fields, _FIRST_ROW, strict=True)}
        one["pipe_x"], one["gap_y"] = state[PIPE_X : PIPE_X + 3].T, state[GAP_Y : GAP_Y + 3].T
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


_FIRST_ROW = (
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
APPENDED, DROPPED = 1, 2  # what became of a game's pipes in a frame
CLOSE = 2  # added to a game's reward where its bird is closer to a pipe than asked


TOUCH_X = BIRD_X - shapes.PIPE_WIDTH + 1  # px: the leftmost pipe whose box shares a column with the bird's
TOUCHING = BIRD_X + shapes.BIRD_WIDTH - TOUCH_X  # places of a pipe whose box does
FAR = 9999  # px, further than anything


def bird_spans() -> np.ndarray:
    """int64 [3 * 86]: what of the bird is over a pipe, by (wing, pipe x - 6): first and past-last row with a
    solid pixel in the columns of the lip, and in those of the body, 16 bits each, from the lowest; FAR, -FAR
    where there is none, as in the last place of each wing."""
    spans = np.full((3, TOUCHING + 1, 4), (FAR, -FAR, FAR, -FAR), np.int16)
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
    return spans.astype("<i2").view("<i8").astype(np.int64).reshape(-1)


SPANS = bird_spans()


def are_possible(state: np.ndarray) -> bool:
    """Whether an int32 [16, N] state holds numbers that tables can be looked up by, as those of played
    games."""
    g = Games.of(state)
    tops = np.where(np.arange(MAX_PIPES) < g.pipes[:, None], g.gap_y, 0)
    return bool(
        ((g.bird_y >= 0) & (g.bird_y <= LOWEST_Y)).all()
        and ((g.wing_cycle >= 0) & (g.wing_cycle < 4) & (g.age >= 0) & (g.score >= 0)).all()
        and ((tops >= 0) & (g.gap[:, None] >= 0) & (tops + g.gap[:, None] <= GROUND_Y)).all()
    )


@inlined
def draw_gap(state, i, ranges, gaps):
    """The top of the next gap of game i."""
    count = state[DRAWS, i]
    state[DRAWS, i] = count + 1
    if gaps.stream.size > 0:
        place = np.int64(gaps.stream[count])
    else:
        place = draws.below(draws.draw(gaps.seed, gaps.purpose, i, count, 0), ranges[TOPS + 1])
    return ranges[TOPS] + ranges[TOP_STEP] * place


@inlined
def drawn(state, i, ranges, low, gaps):
    """A number of game i's next episode: one of ranges[low + 1] from ranges[low] on."""
    if ranges[low + 1] == 1:
        return np.int64(ranges[low])
    bits = draws.draw(gaps.seed, gaps.purpose, i, state[DRAWS, i], 1 + low)
    return ranges[low] + draws.below(bits, ranges[low + 1])


@inlined
def restart(state, i, ranges, gaps):
    """Begin an episode of game i. The wing shows up again, but its cycle goes on where it was.

    state: int32 [16, N], in and out. ranges: int32 [12], in, the game's rules, see rules.Rules.row.
    """
    state[FLAP_VY, i] = drawn(state, i, ranges, FLAPS, gaps)
    state[GRAVITY, i] = drawn(state, i, ranges, GRAVITIES, gaps)
    state[GAP, i] = drawn(state, i, ranges, GAPS, gaps)
    state[SCORE_FROM, i] = drawn(state, i, ranges, FIRST_SCORES, gaps) if ranges[DRAWN] else -1
    state[SCORE, i] = 0
    state[BIRD_Y, i] = START_Y
    state[BIRD_VY, i] = 0
    for p in range(2):
        state[PIPE_X + p, i] = PIPE_START_X[p]
        state[GAP_Y + p, i] = draw_gap(state, i, ranges, gaps)
    state[AGE, i] = 0


@inlined
def wing(cycle, age):
    """The wing's picture: the latest of the endless cycle up, mid, down, mid, or up until its first beat."""
    last = (cycle - 1) & 3
    last = shapes.MID if last & 1 else last
    return shapes.UP if age < WING_FRAMES else last


@inlined
def fall(y, vy, flap, flap_vy, gravity):
    """Move a bird by one frame. A flap sets its speed; the ceiling is not a crash. Returns (y, vy)."""
    falling = min(vy + gravity, MAX_VY)
    vy = flap_vy if flap else falling
    return min(max(y + vy, 0), LOWEST_Y), vy


@inlined
def crashed(y, wing, pipe_x, gap_y, gap):
    """Whether a bird is on the ground, or a solid pixel of it on one of the first pipe's.

    Pipes are 144 px or more apart, so the first one is the only one that can reach the bird.
    """
    touch = min(np.uint32(pipe_x - TOUCH_X), np.uint32(TOUCHING))  # the last: out of reach, left or right
    span = SPANS[np.uint32(wing * (TOUCHING + 1)) + touch]
    lip_top, lip_end = y + np.int16(span), y + np.int16(span >> 16)
    body_top, body_end = y + np.int16(span >> 32), y + np.int16(span >> 48)
    bottom = gap_y + gap
    return (
        (y + shapes.BIRD_HEIGHT >= GROUND_Y)
        | (body_top < gap_y)
        | (body_end > bottom)
        | ((lip_top < gap_y) & (lip_end > gap_y - shapes.LIP_HEIGHT))
        | ((lip_end > bottom) & (lip_top < bottom + shapes.LIP_HEIGHT))
    )


@inlined
def count_pipes(pipe_x, score, rew, shown):
    """Count a pipe in the one frame that begins with its middle behind the bird's: rew 1, else 0."""
    for i in range(len(pipe_x)):
        passed = (SCORE_X - PIPE_SPEED < pipe_x[i]) & (pipe_x[i] <= SCORE_X)
        score[i] += passed
        rew[i] = passed
        shown[i] = score[i]


@inlined
def beat_wings(age, cycle):
    """Show the next picture of the wings every third frame of an episode."""
    for i in range(len(age)):
        age[i] += 1
        cycle[i] = (cycle[i] + (age[i] % WING_FRAMES == 0)) & 3


@inlined
def move_birds(y, vy, flap_vy, gravity, act):
    """Let the birds fall or flap."""
    for i in range(len(y)):
        y[i], vy[i] = fall(y[i], vy[i], act[i], flap_vy[i], gravity[i])


@inlined
def move_pipes(x_0, x_1, x_2, moved):
    """Move the pipes; append one when the first is about to leave, drop it once it has left."""
    for i in range(len(x_0)):
        first, second, third = x_0[i] - PIPE_SPEED, x_1[i] - PIPE_SPEED, x_2[i] - PIPE_SPEED
        appended, dropped = (first > 0) & (first < APPEND_X), first < -shapes.PIPE_WIDTH
        third = PIPE_APPEND_X if appended else third
        x_0[i] = second if dropped else first
        x_1[i] = third if dropped else second
        x_2[i] = third
        moved[i] = APPENDED * appended + DROPPED * dropped


@inlined
def drop_gaps(top_0, top_1, top_2, moved):
    """Let the gaps move up behind a pipe that was dropped."""
    for i in range(len(top_0)):
        dropped = moved[i] == DROPPED
        first, second, third = top_0[i], top_1[i], top_2[i]
        top_0[i] = second if dropped else first
        top_1[i] = third if dropped else second


@inlined
def find_crashes(y, cycle, age, pipe_x, gap_y, gap, clearance, hit):
    """Whether the birds would have crashed if gaps were narrower by `clearance` at both ends."""
    for i in range(len(y)):
        top, bottom = gap_y[i] + clearance, gap_y[i] + gap[i] - clearance
        hit[i] = crashed(y[i], wing(cycle[i], age[i]), pipe_x[i], top, bottom - top)


@inlined
def note_close(close, rew):
    """Add CLOSE where a bird is closer to a pipe than it should be."""
    for i in range(len(close)):
        rew[i] += CLOSE * close[i]


@inlined
def punish_crashes(term, rew):
    """A crash costs -1, whatever was passed in its frame."""
    for i in range(len(term)):
        rew[i] = -1 if term[i] else rew[i]


@inlined
def advance(state, act, rew, term, score, moved, ranges, clearance, gaps, a, b):
    """Play one frame of games a..b-1, in the original's order, up to the crash: `restart` those then.

    state:  int32 [16, N], in and out. act: uint8 [N], in, 1 = flap, 0 = glide.
    rew:    int8 [N], out, -1 crash; else 1 for a pipe passed, 0 for none; CLOSE more within the clearance.
    term:   uint8 [N], out, 1 = crash.
    score:  int32 [N], out, pipes passed. One passed in the frame of the crash counts, though rew is -1.
    moved:  uint8 [N], out, 0, APPENDED or DROPPED.
    ranges: int32 [N, 12], in, the games' rules, see rules.Rules.row.
    clearance: px, see VecFlap.
    """
    count_pipes(state[PIPE_X, a:b], state[SCORE, a:b], rew[a:b], score[a:b])
    beat_wings(state[AGE, a:b], state[WING_CYCLE, a:b])
    move_birds(state[BIRD_Y, a:b], state[BIRD_VY, a:b], state[FLAP_VY, a:b], state[GRAVITY, a:b], act[a:b])
    move_pipes(state[PIPE_X, a:b], state[PIPE_X + 1, a:b], state[PIPE_X + 2, a:b], moved[a:b])
    drop_gaps(state[GAP_Y, a:b], state[GAP_Y + 1, a:b], state[GAP_Y + 2, a:b], moved[a:b])
    for i in range(a, b):
        if moved[i] == APPENDED:
            state[GAP_Y + 2, i] = draw_gap(state, i, ranges[i], gaps)
    y, cycle, age, pipe_x = state[BIRD_Y, a:b], state[WING_CYCLE, a:b], state[AGE, a:b], state[PIPE_X, a:b]
    if clearance > 0:
        find_crashes(y, cycle, age, pipe_x, state[GAP_Y, a:b], state[GAP, a:b], clearance, term[a:b])
        note_close(term[a:b], rew[a:b])
    find_crashes(y, cycle, age, pipe_x, state[GAP_Y, a:b], state[GAP, a:b], 0, term[a:b])
    punish_crashes(term[a:b], rew[a:b])
