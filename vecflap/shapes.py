"""The silhouettes of the original game: the solid pixels of each picture. All else is computed from them.

Every row of every silhouette is one run of solid pixels, so a shape is a tuple of (rows, first, past_last)
from the top.
"""

import numpy as np

BIRD_WIDTH, BIRD_HEIGHT = 34, 24  # px
UP, MID, DOWN = 0, 1, 2  # the wing, as the original numbers its pictures
BIRDS = (  # indexed by the wing
    (
        (2, 12, 24), (2, 8, 26), (2, 6, 28), (2, 2, 30), (4, 0, 30),
        (2, 0, 32), (2, 2, 34), (4, 4, 32), (2, 6, 30), (2, 10, 20),
    ),
    (
        (2, 12, 24), (2, 8, 26), (2, 6, 28), (2, 4, 30), (4, 2, 30), (2, 0, 32),
        (2, 0, 34), (2, 2, 32), (2, 4, 32), (2, 6, 30), (2, 10, 20),
    ),
    (
        (2, 12, 24), (2, 8, 26), (2, 6, 28), (2, 4, 30), (4, 2, 30),
        (2, 2, 32), (2, 0, 34), (4, 0, 32), (2, 2, 30), (2, 10, 20),
    ),
)  # fmt: skip

PIPE_WIDTH, LIP_HEIGHT = 52, 24  # px: the lip at the gap is as wide as the pipe's box,
BODY_FIRST, BODY_END = 2, 50  # px: the body behind it is two pixels narrower on each side

DIGIT_HEIGHT = 36  # px
DIGIT_WIDTHS = (24, 16, 24, 24, 24, 24, 24, 24, 24, 24)  # px
_BLOCK = ((2, 0, 22), (32, 0, 24), (2, 2, 24))
DIGITS = (
    _BLOCK,
    ((2, 0, 14), (10, 0, 16), (22, 2, 16), (2, 4, 16)),
    _BLOCK,
    _BLOCK,
    ((2, 0, 22), (26, 0, 24), (2, 2, 24), (4, 10, 24), (2, 12, 24)),
    _BLOCK,
    _BLOCK,
    ((2, 0, 22), (18, 0, 24), (2, 2, 24), (12, 10, 24), (2, 12, 24)),
    _BLOCK,
    _BLOCK,
)


def solid(shape: tuple[tuple[int, int, int], ...], width: int) -> np.ndarray:
    """bool [height, width]: the solid pixels of a shape."""
    first_and_end = np.array([run[1:] for run in shape for _ in range(run[0])])
    x = np.arange(width)
    return (first_and_end[:, :1] <= x) & (x < first_and_end[:, 1:])
