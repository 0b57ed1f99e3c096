"""The 64x64 picture of a game, 512 bytes: word c is column c of the picture, bit r of it is row r.

Nothing is drawn at the screen's 288 x 512. The original's picture, resized and thresholded, comes to this:
pixel (c, r) is lit if any of four screen pixels is, x in {floor(4.5 c + 1.75), +1} and y in {8 r + 3, 8 r +
4}. So a run of screen rows is a run of bits, and a run of screen columns a run of words.
"""

import numpy as np

from vecflap import vector
from vecflap.kernels import inlined
from vecflap.physics import (
    AGE,
    APPEND_X,
    BIRD_Y,
    GAP,
    GAP_Y,
    PIPE_X,
    SCORE,
    SCORE_FROM,
    WING_CYCLE,
    wing,
)
from vecflap.tables import (
    BIRD_BLOCK,
    BIRD_END,
    BIRD_FIRST,
    BIRDS,
    EDGE_WORDS,
    END_OFFSET,
    GROUND_BITS,
    KINDS,
    LONG_SCORE,
    OF_A_PIPE,
    PIPE_COLUMNS,
    PIPE_START,
    SCORE_BLOCK,
    SCORE_ROW,
    SCORES,
    SIZE,
    X_MAX,
    X_MIN,
    draw_score,
)


@inlined
def draw_pipe(frame, place, above, below):
    """Draw a pipe into int64 [64] frame; the arguments are those of compose_with_loops."""
    columns = PIPE_COLUMNS[place]
    if columns[0] < columns[1]:
        frame[columns[0]] = frame[columns[1] - 1] = EDGE_WORDS[above + 1] | EDGE_WORDS[below + 1]
        body = EDGE_WORDS[above] | EDGE_WORDS[below]
        for c in range(columns[2], columns[3]):
            frame[c] = body


@inlined
def compose_with_loops(
    frame, place_0, place_1, place_2, above_0, above_1, above_2, below_0, below_1, below_2, bird, down, score
):  # fmt: skip
    """Draw a picture into int64 [64] frame: pipes at x = place - 53, the bird, and a short score.

    above, below: where the words of the pipes begin in EDGE_WORDS. bird: where the bird's begin in BIRDS;
    down: rows to shift them. score: where its bytes begin in SCORES.
    """
    for c in range(len(frame)):  # not range(SIZE): of unknown length, it becomes vector stores
        frame[c] = GROUND_BITS
    draw_pipe(frame, place_0, above_0, below_0)
    draw_pipe(frame, place_1, above_1, below_1)
    draw_pipe(frame, place_2, above_2, below_2)
    for c in range(BIRD_FIRST, BIRD_END):
        frame[8 * BIRD_BLOCK + c] |= BIRDS[bird + c] << down
    if score < 16 * LONG_SCORE:
        for c in range(len(frame) // 4):
            frame[8 * SCORE_BLOCK + c] |= np.int64(SCORES[score + c]) << SCORE_ROW


def composing_with_vectors(way):
    """The same as compose_with_loops in a third to a half of the time. way: one of vector.ways()."""
    words_from = vector.picture(way, GROUND_BITS, BIRD_BLOCK, SCORE_BLOCK, SCORE_ROW)

    @inlined
    def compose(
        frame, place_0, place_1, place_2, above_0, above_1, above_2, below_0, below_1, below_2, bird, down,
        score,
    ):  # fmt: skip
        words_from(
            *(frame, KINDS, PIPE_START[place_0], PIPE_START[place_1] + OF_A_PIPE),
            *(PIPE_START[place_2] + 2 * OF_A_PIPE, EDGE_WORDS, above_0, above_1, above_2),
            *(below_0, below_1, below_2, BIRDS, bird, down, SCORES, score),
        )

    return compose


@inlined
def place(x):
    """What tables have for a pipe at x: the last place, which is out of sight, for all that are."""
    return min(np.uint32(x - X_MIN), np.uint32(X_MAX - X_MIN))


BLOCK = 128  # games that are drawn together
PLACES, ABOVE_GAPS, BELOW_GAPS, BIRD_WORDS, DOWN, SCORE_SHOWN = 0, 3, 6, 9, 10, 11
PLAN = 12
"""Rows of a plan, int32 [12, games]: what `compose` needs, the three places, where the words above the three
gaps begin, those below, the bird's, the rows to shift it, and the score, -1 where none is drawn."""


@inlined
def plan_places(x, plan):
    for j in range(len(x)):
        plan[j] = place(x[j])


@inlined
def plan_third_places(x_0, x_2, plan):
    for j in range(len(x_0)):
        plan[j] = place(x_2[j] if x_0[j] < APPEND_X else X_MAX)


@inlined
def plan_third_tops(x_0, top_0, top_2, plan):
    """As of the first pipe where there is no third: tables are looked up by it all the same."""
    for j in range(len(x_0)):
        first, third = top_0[j], top_2[j]
        plan[j] = 2 * (third if x_0[j] < APPEND_X else first)


@inlined
def plan_tops(top, plan):
    for j in range(len(top)):
        plan[j] = 2 * top[j]


@inlined
def plan_ends(above, gap, plan):
    for j in range(len(gap)):
        plan[j] = above[j] + 2 * (gap[j] + END_OFFSET)


@inlined
def plan_birds(y, cycle, age, plan):
    for j in range(len(y)):
        plan[j] = 16 * (8 * wing(cycle[j], age[j]) + (y[j] & 7))


@inlined
def plan_downs(y, plan):
    for j in range(len(y)):
        plan[j] = y[j] >> 3


@inlined
def plan_scores(score, score_from, plan):
    for j in range(len(score)):
        shown = score[j] + score_from[j]
        plan[j] = shown if score_from[j] >= 0 else -1


@inlined
def make_plan(state, plan, a, b):
    """Plan the pictures of games a..b-1. state: int32 [16, N], in. plan: int32 [12, b - a or more], out.

    Small loops over few arrays, each of which becomes vector instructions: 1 ns a game instead of 4.
    """
    n = b - a
    x_0, top_0, top_2, gap = state[PIPE_X, a:b], state[GAP_Y, a:b], state[GAP_Y + 2, a:b], state[GAP, a:b]
    plan_places(x_0, plan[PLACES, :n])
    plan_places(state[PIPE_X + 1, a:b], plan[PLACES + 1, :n])
    plan_third_places(x_0, state[PIPE_X + 2, a:b], plan[PLACES + 2, :n])
    plan_tops(top_0, plan[ABOVE_GAPS, :n])
    plan_tops(state[GAP_Y + 1, a:b], plan[ABOVE_GAPS + 1, :n])
    plan_third_tops(x_0, top_0, top_2, plan[ABOVE_GAPS + 2, :n])
    for p in range(3):
        plan_ends(plan[ABOVE_GAPS + p, :n], gap, plan[BELOW_GAPS + p, :n])
    y = state[BIRD_Y, a:b]
    plan_birds(y, state[WING_CYCLE, a:b], state[AGE, a:b], plan[BIRD_WORDS, :n])
    plan_downs(y, plan[DOWN, :n])
    plan_scores(state[SCORE, a:b], state[SCORE_FROM, a:b], plan[SCORE_SHOWN, :n])


@inlined
def shown_score(score):
    """Where a score's bytes begin in SCORES: those of none for -1, and for long ones."""
    return 16 * min(np.uint32(score), np.uint32(LONG_SCORE))


def drawing(compose):
    """`draw`, by one of the ways to compose a picture."""

    @inlined
    def draw(frame, state, plan, a, b):
        """Draw games a..b-1, at most 128 of them.

        frame: int64 [N, 64], out: bit r of word c is pixel (c, r) of the picture.
        state: int32 [16, N], in, see physics.Games. plan: int32 [12, 128], scratch.
        """
        make_plan(state, plan, a, b)
        for j in range(b - a):
            score = plan[SCORE_SHOWN, j]
            compose(
                frame[a + j],
                *(plan[PLACES, j], plan[PLACES + 1, j], plan[PLACES + 2, j]),
                *(plan[ABOVE_GAPS, j], plan[ABOVE_GAPS + 1, j], plan[ABOVE_GAPS + 2, j]),
                *(plan[BELOW_GAPS, j], plan[BELOW_GAPS + 1, j], plan[BELOW_GAPS + 2, j]),
                *(plan[BIRD_WORDS, j], plan[DOWN, j], shown_score(score)),
            )
            if score >= LONG_SCORE:
                draw_score(frame[a + j], score)

    return draw


draw = drawing(composing_with_vectors(vector.ways()[0]) if vector.ways() else compose_with_loops)


@inlined
def column(plan, j, c):
    """int64: column c of the picture planned at j, as one of many threads draws it; without a long score.

    plan: int32 [12, any], in, see make_plan.
    """
    word = np.int64(GROUND_BITS)
    for p in range(3):
        kind = KINDS[p * OF_A_PIPE + PIPE_START[plan[PLACES + p, j]] + c]
        if kind:  # body, or lip
            lip = kind & 1
            word = EDGE_WORDS[plan[ABOVE_GAPS + p, j] + lip] | EDGE_WORDS[plan[BELOW_GAPS + p, j] + lip]
    of_bird, of_score = c - 8 * BIRD_BLOCK, c - 8 * SCORE_BLOCK
    if 0 <= of_bird < 16:
        word |= BIRDS[plan[BIRD_WORDS, j] + of_bird] << plan[DOWN, j]
    if 0 <= of_score < 16:
        word |= np.int64(SCORES[shown_score(plan[SCORE_SHOWN, j]) + of_score]) << SCORE_ROW
    return word


def upright(frames: np.ndarray) -> np.ndarray:
    """uint8 [..., 64, 64], 0 or 1, indexed [row, column] as people look, of packed int64 [..., 64] frames."""
    bits = np.ascontiguousarray(frames).view(np.uint8).reshape(*frames.shape, 8)
    return np.unpackbits(bits, axis=-1, bitorder="little").reshape(*frames.shape, SIZE).swapaxes(-1, -2)


def braille(frame: np.ndarray) -> str:
    """The packed int64 [64] frame as 16 lines of 32 braille characters, each 2 x 4 pixels."""
    cells = upright(frame).reshape(16, 4, 32, 2).swapaxes(1, 2).reshape(16, 32, 8)
    unicodes_order = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80]  # of the eight dots, row by row
    dots = cells @ np.array(unicodes_order)
    return "\n".join("".join(chr(0x2800 + dot) for dot in line) for line in dots)
