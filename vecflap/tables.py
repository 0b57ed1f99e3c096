"""What pictures are put together from, as words and bytes: bird, pipes and scores, made from shapes.py.

See render.py for the picture: pixel (c, r) of it is lit if any of four screen pixels is, x in
{floor(4.5 c + 1.75), +1} and y in {8 r + 3, 8 r + 4}.
"""

import numpy as np

from vecflap import shapes
from vecflap.kernels import inlined
from vecflap.physics import BIRD_X, GROUND_Y, SCREEN_HEIGHT, SCREEN_WIDTH

SIZE = 64  # columns and rows of the picture
SCORE_Y = 51  # px, top of the drawn score


def first_column(x):
    """The first column of the picture with a tap at x or right of it: floor(4.5 c + 1.75) + 1 >= x.

    A run of screen columns x0..x1-1 lights columns first_column(x0) .. first_column(x1 + 1) - 1: the left tap
    of the last one is left of x1. Screen x from -54 on.
    """
    return min(max((2 * x + 3 + 108) // 9 - 12, 0), SIZE)


def row_bits(y0, y1):
    """int64: the rows of the picture with a tap on screen rows y0..y1-1, for 0 <= y0 and y1 <= GROUND_Y."""
    return ((1 << ((y1 + 4) >> 3)) - 1) & ~((1 << ((y0 + 3) >> 3)) - 1)


GROUND_BITS = -1 << ((GROUND_Y + 3) >> 3)  # from the first row with a tap on the ground down
assert (SCREEN_WIDTH, SCREEN_HEIGHT) == (4.5 * SIZE, 8 * SIZE)


def columns_of(shape, width, x, y, columns):
    """int64 [columns]: the picture's first words, of a shape drawn at screen (x, y) with 0 <= x, 0 <= y."""
    screen = np.zeros((SCREEN_HEIGHT, 9 * columns), bool)
    screen[y : y + sum(run[0] for run in shape), x : x + width] = shapes.solid(shape, width)
    taps_x = (18 * np.arange(columns) + 7) // 4
    taps_y = 8 * np.arange(SIZE) + 3
    either = screen[:, taps_x] | screen[:, taps_x + 1]
    lit = either[taps_y] | either[taps_y + 1]
    return (lit << np.arange(SIZE, dtype=np.uint64)[:, None]).sum(axis=0, dtype=np.uint64).view(np.int64)


BIRD_BLOCK, SCORE_BLOCK = 1, 3  # the bird is within columns 8..23, a score below 1,000 within 24..39
BIRDS = np.array(
    [
        columns_of(bird, shapes.BIRD_WIDTH, BIRD_X, y, SIZE // 2)[8 * BIRD_BLOCK :][:16]
        for bird in shapes.BIRDS
        for y in range(8)
    ]
).reshape(-1)
"""int64 [3 * 8 * 16]: the bird's words over (wing, y mod 8); every 8 px further down they shift by a bit."""
BIRD_FIRST = first_column(BIRD_X) - 8 * BIRD_BLOCK
BIRD_END = first_column(BIRD_X + shapes.BIRD_WIDTH + 1) - 8 * BIRD_BLOCK

X_MIN, X_MAX = -shapes.PIPE_WIDTH - 1, SCREEN_WIDTH  # px, the nearest places of a pipe that is out of sight
PIPE_COLUMNS = np.array(
    [
        [
            first_column(x + edge)
            for edge in (0, shapes.PIPE_WIDTH + 1, shapes.BODY_FIRST, shapes.BODY_END + 1)
        ]
        for x in range(X_MIN, X_MAX + 1)
    ],
    np.uint8,
)
"""uint8 [342, 4]: first and past-last column of the lip, and of the body, over the pipe's x + 53. The lip is
at most one column wider on each side."""

EDGES = range(GROUND_Y + 1)  # px, where a gap may begin and end
ABOVE = [(row_bits(0, y), row_bits(max(y - shapes.LIP_HEIGHT, 0), y)) for y in EDGES]
BELOW = [(row_bits(y, GROUND_Y), row_bits(y, min(y + shapes.LIP_HEIGHT, GROUND_Y))) for y in EDGES]
EDGE_WORDS = np.concatenate([np.array(ABOVE), np.array(BELOW) | GROUND_BITS]).reshape(-1)
"""int64 [2 * 405 * 2]: the words of body and lip above a gap, over its top; then those below, and the ground,
over its end."""
END_OFFSET = len(EDGES)


def pipe_kinds():
    """The columns of pipe p as words_from takes them: uint8 [3 * 9 * 144], and int16 [342], where in it the
    64 columns begin, over the pipe's x + 53.

    Every 9 px further right a pipe moves by two columns, so there are nine of them, with room on both sides.
    """
    row, first = SIZE + 16 + SIZE, SIZE
    kinds = np.zeros((3, 9, row), np.uint8)
    for x in range(9):
        lip, lip_end, body, body_end = PIPE_COLUMNS[x - X_MIN].astype(int)
        for p in range(3):
            kinds[p, x, first + lip : first + lip_end] = 2 * p + 3
            kinds[p, x, first + body : first + body_end] = 2 * p + 2
    xs = np.arange(X_MIN, X_MAX + 1)
    return kinds.reshape(-1), (xs % 9 * row + first - xs // 9 * 2).astype(np.int16)


KINDS, PIPE_START = pipe_kinds()
OF_A_PIPE = len(KINDS) // 3

DIGIT_COLUMNS = 8
DIGIT_WORDS = np.array(
    [
        [columns_of(digit, width, x, SCORE_Y, DIGIT_COLUMNS) for x in range(9)]
        for digit, width in zip(shapes.DIGITS, shapes.DIGIT_WIDTHS, strict=True)
    ]
)
"""int64 [10, 9, 8]: a digit's words over (digit, x mod 9); every 9 px further right they move two columns."""
DIGIT_WIDTHS = np.array(shapes.DIGIT_WIDTHS, np.uint32)
TEN, NINE = np.uint32(10), np.uint32(9)


@inlined
def draw_score(frame, score):
    """OR the score's digits, side by side and centred, into int64 [64] frame."""
    x, rest = SCREEN_WIDTH, np.uint32(score)  # unsigned: signed division by a constant takes twice as long
    while True:
        x += DIGIT_WIDTHS[rest % TEN]
        rest //= TEN
        if rest == 0:
            break
    left, rest = np.uint32(x // 2), np.uint32(score)  # from the last digit to the first
    while True:
        digit = rest % TEN
        left -= DIGIT_WIDTHS[digit]
        for c in range(DIGIT_COLUMNS):
            frame[left // NINE * 2 + c] |= DIGIT_WORDS[digit, left % NINE, c]
        rest //= TEN
        if rest == 0:
            break


SCORE_ROW = (SCORE_Y + 3) >> 3
LONG_SCORE = 1000  # from here on, a score is drawn digit by digit


def score_bytes():
    """uint8 [1001 * 16]: eight rows of the columns of each short score, and of none."""
    frames = np.zeros((LONG_SCORE + 1, SIZE), np.int64)
    draw_digits = getattr(draw_score, "py_func", draw_score)
    for score in range(LONG_SCORE):
        draw_digits(frames[score], score)
    scores = frames[:, 8 * SCORE_BLOCK :][:, :16] >> SCORE_ROW
    assert np.count_nonzero(frames) == np.count_nonzero(scores)
    assert scores.max() < 256
    return scores.astype(np.uint8).reshape(-1)


SCORES = score_bytes()
