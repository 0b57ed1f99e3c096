"""What a player may be shown instead of the packed frame: stacks of frames, pixels as bytes, a few numbers.

Each function writes into memory of the caller's: a NumPy array, a torch tensor (pinned or not), or what has
DLPack. ValueError for memory that does not fit.
"""

from typing import Any

import numpy as np

from vecflap import physics, shapes, vector
from vecflap.buffers import array_over
from vecflap.kernels import config, inlined, kernel
from vecflap.physics import (
    AGE,
    APPEND_X,
    BIRD_VY,
    BIRD_Y,
    GAP,
    GAP_Y,
    GROUND_Y,
    MAX_PIPES,
    MAX_VY,
    PIPE_X,
    SCREEN_WIDTH,
    WING_CYCLE,
)
from vecflap.render import SIZE

FEATURES = 3 * MAX_PIPES + 3
"""Numbers of `features`: for each of the three pipes from the left its left edge, its gap's top and its end
(1, 0, 1 for a third one that does not exist); the bird's top, its speed, and its wing. Across in shares of
the screen's width, down in shares of the ground's depth, the speed in shares of the fastest fall, the wing
0, 1/2 or 1."""


def push(frame: Any, age: Any, stack: Any) -> None:
    """Move every game's stack on by the latest frame; that of an episode's beginning fills all of it.

    frame: int64 [N, 64], age: uint8 [N], of VecFlap, in. stack: int64 [N, K, 64], in and out, oldest first.
    """
    frames = array_over("frame", frame, np.int64, (-1, SIZE))
    games = len(frames)
    stacks = array_over("stack", stack, np.int64, (games, -1, SIZE))
    push_all(frames, array_over("age", age, np.uint8, (games,)), stacks)


def unpack(frames: Any, pixels: Any) -> None:
    """Spread packed frames to a byte of 0 or 255 a pixel.

    frames: int64 [..., 64], in. pixels: uint8 [..., 64, 64], out, indexed [column][row] as the original's.
    """
    shape = tuple(np.shape(frames))
    packed = array_over("frames", frames, np.int64, (*shape[:-1], SIZE))
    spread_all(packed.reshape(-1), array_over("pixels", pixels, np.uint8, (*shape, SIZE)).reshape(-1))


def features(rows: np.ndarray, numbers: Any) -> None:
    """Tell the games in numbers, without pictures.

    rows: int32 [N, 16], VecFlap.rows, in. numbers: float32 [N, 12], out, see FEATURES.
    """
    features_all(rows, array_over("numbers", numbers, np.float32, (len(rows), FEATURES)))


@kernel(_nrt=False)
def push_all(frame, age, stack):
    """See push."""
    for i in range(len(stack)):
        for k in range(stack.shape[1]):
            older = stack[i, min(k + 1, stack.shape[1] - 1)] if age[i] else frame[i]
            source = older if k < stack.shape[1] - 1 else frame[i]
            for c in range(len(source)):
                stack[i, k, c] = source[c]


@inlined
def spread_with_loops(out, index, word):
    """The same as vector.spread."""
    for bit in range(SIZE):
        out[index + bit] = 255 * (word >> bit & 1)


spread: Any = spread_with_loops if config.DISABLE_JIT else vector.spread


@kernel(_nrt=False)
def spread_all(words, pixels):
    """See unpack. words: int64 [any], in. pixels: uint8 [64 * any], out."""
    for i in range(len(words)):
        spread(pixels, i * SIZE, words[i])


@kernel(_nrt=False)
def features_all(rows, numbers):
    """See features."""
    across, down = np.float32(1 / SCREEN_WIDTH), np.float32(1 / GROUND_Y)
    for i in range(len(rows)):
        g, out = rows[i], numbers[i]
        for p in range(MAX_PIPES):
            if p < MAX_PIPES - 1 or g[PIPE_X] < APPEND_X:
                out[3 * p], out[3 * p + 1] = g[PIPE_X + p] * across, g[GAP_Y + p] * down
                out[3 * p + 2] = (g[GAP_Y + p] + g[GAP]) * down
            else:
                out[3 * p], out[3 * p + 1], out[3 * p + 2] = 1, 0, 1
        last = 3 * MAX_PIPES
        out[last], out[last + 1] = g[BIRD_Y] * down, g[BIRD_VY] / np.float32(MAX_VY)
        out[last + 2] = physics.wing(g[WING_CYCLE], g[AGE]) / np.float32(shapes.DOWN)
