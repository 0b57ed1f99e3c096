"""The 64x64 picture of a game, 512 bytes: word c is column c of the picture, bit r of it is row r.

Nothing is drawn at the screen's 288 x 512. The original's picture, resized and thresholded, comes to this:
pixel (c, r) is lit if any of four screen pixels is, x in {floor(4.5 c + 1.75), +1} and y in {8 r + 3, 8 r +
4}. So a run of screen rows is a run of bits, and a run of screen columns a run of words.
"""

import numpy as np
from numba.extending import register_jitable

from vecflap import shapes
from vecflap.kernels import inlined
from vecflap.physics import (
    BIRD_X,
    BIRD_Y,
    GAP_Y,
    GROUND_Y,
    PIPE_X,
    PIPES,
    SCORE,
    SCREEN_HEIGHT,
    SCREEN_WIDTH,
    WING,
)

SIZE = 64  # columns and rows of the picture
SCORE_Y = 51  # px, top of the drawn score


@register_jitable
def first_column(x):
    """The first column of the picture with a tap at x or right of it: floor(4.5 c + 1.75) + 1 >= x.

    A run of screen columns x0..x1-1 lights columns first_column(x0) .. first_column(x1 + 1) - 1: the left tap
    of the last one is left of x1. Screen x from -54 on.
    """
    return min(max((2 * x + 3 + 108) // 9 - 12, 0), SIZE)


@register_jitable
def row_bits(y0, y1):
    """int64: the rows of the picture with a tap on screen rows y0..y1-1, for 0 <= y0 and y1 <= GROUND_Y."""
    one = np.int64(1)
    return ((one << ((y1 + 4) >> 3)) - 1) & ~((one << ((y0 + 3) >> 3)) - 1)


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


BIRD_COLUMN = first_column(BIRD_X)
BIRD_COLUMNS = first_column(BIRD_X + shapes.BIRD_WIDTH + 1) - BIRD_COLUMN
BIRD_WORDS = np.array(
    [
        [
            columns_of(bird, shapes.BIRD_WIDTH, BIRD_X, y, SIZE // 2)[BIRD_COLUMN:][:BIRD_COLUMNS]
            for y in range(8)
        ]
        for bird in shapes.BIRDS
    ]
)
"""int64 [3, 8, 7]: the bird's words over (wing, y mod 8); every 8 px further down they shift by one bit."""

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


PIPE_COLUMNS = np.array(
    [
        [
            first_column(x + edge)
            for edge in (0, shapes.PIPE_WIDTH + 1, shapes.BODY_FIRST, shapes.BODY_END + 1)
        ]
        for x in range(-shapes.PIPE_WIDTH, SCREEN_WIDTH)
    ],
    np.uint8,
)
"""uint8 [340, 4]: first and past-last column of the lip, and of the body, over the pipe's x + 52. The lip is
at most one column wider on each side."""


@inlined
def draw_pipe(frame, x, top, gap):
    """Draw a pipe with its left edge at screen x and its gap at top..top+gap-1 into int64 [64] frame."""
    columns = PIPE_COLUMNS[np.uint32(x + shapes.PIPE_WIDTH)]
    if columns[0] < columns[1]:
        bottom = top + gap
        upper_lip = row_bits(max(top - shapes.LIP_HEIGHT, 0), top)
        lower_lip = row_bits(bottom, min(bottom + shapes.LIP_HEIGHT, GROUND_Y))
        frame[columns[0]] = frame[columns[1] - 1] = upper_lip | lower_lip | GROUND_BITS
        body = row_bits(0, top) | row_bits(bottom, GROUND_Y) | GROUND_BITS
        for c in range(columns[2], columns[3]):
            frame[c] = body


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


@inlined
def draw(frame, g, rules):
    """Draw a game.

    frame: int64 [64], out: bit r of word c is pixel (c, r) of the picture.
    g:     int32 [16], the game's row (physics.Games).
    """
    for c in range(len(frame)):  # not range(SIZE): of unknown length, it becomes vector stores
        frame[c] = GROUND_BITS
    for p in range(g[PIPES]):
        if g[PIPE_X + p] < SCREEN_WIDTH:
            draw_pipe(frame, g[PIPE_X + p], g[GAP_Y + p], rules.gap)
    if rules.score_drawn:
        draw_score(frame, g[SCORE])
    y = g[BIRD_Y]
    for c in range(BIRD_COLUMNS):
        frame[BIRD_COLUMN + c] |= BIRD_WORDS[g[WING], y & 7, c] << (y >> 3)


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
