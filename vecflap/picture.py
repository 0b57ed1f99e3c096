"""The screen for people: 288 x 512, upright, in colour, painted from the silhouettes. Training never sees
it."""

import numpy as np

from vecflap import shapes
from vecflap.physics import (
    AGE,
    APPEND_X,
    BIRD_VY,
    BIRD_X,
    BIRD_Y,
    GAP,
    GAP_Y,
    GROUND_Y,
    PIPE_SPEED,
    PIPE_X,
    SCORE,
    SCREEN_HEIGHT,
    SCREEN_WIDTH,
    Games,
)

INK = (59, 44, 58)  # of outlines
SKY_TOP, SKY_LOW = np.array((96, 176, 214)), np.array((225, 240, 226))
PIPE_DARK, PIPE_LIGHT = np.array((66, 112, 46)), np.array((190, 226, 112))
GRASS, EARTH = ((128, 190, 74), (100, 163, 60)), (226, 209, 150)
BODY, BELLY, FEATHER, BEAK, WHITE = (
    (248, 198, 58),
    (252, 226, 130),
    (255, 240, 196),
    (240, 110, 62),
    (255, 255, 255),
)
FONT = (  # 3 x 5 pixels, a bit string a row
    *((7, 5, 5, 5, 7), (2, 6, 2, 2, 7), (7, 1, 7, 4, 7), (7, 1, 7, 1, 7), (5, 5, 7, 1, 1)),
    *((7, 4, 7, 1, 7), (7, 4, 7, 5, 7), (7, 1, 1, 1, 1), (7, 5, 7, 5, 7), (7, 5, 7, 1, 7)),
)
DOT = 6  # px, a pixel of the font
SCORE_TOP = 48  # px


def backdrop() -> np.ndarray:
    """uint8 [512, 288, 3]: sky, clouds and two ranges of hills."""
    y, x = np.mgrid[:SCREEN_HEIGHT, :SCREEN_WIDTH]
    share = np.clip(y / GROUND_Y, 0, 1)[..., None]
    screen = SKY_TOP * (1 - share) + SKY_LOW * share
    for cx, base, r in (
        (40, 306, 26),
        (70, 306, 38),
        (104, 306, 24),
        (200, 268, 22),
        (226, 268, 34),
        (256, 268, 20),
    ):
        screen[((x - cx) ** 2 + ((y - base) * 1.4) ** 2 < r * r) & (y < base)] = (244, 250, 244)
    for base, height, width, colour in ((360, 26, 47, (176, 212, 170)), (382, 20, 31, (142, 196, 132))):
        screen[y > base - height * np.abs(np.sin(x / width))] = colour
    return screen.astype(np.uint8)


BACKDROP = backdrop()


def paint(g: np.ndarray) -> np.ndarray:
    """uint8 [512, 288, 3], RGB: the screen of a game, for its int32 [16] row (physics.Games)."""
    screen = BACKDROP.copy()
    for p in range(3 if g[PIPE_X] < APPEND_X else 2):
        _paint_pipe(screen, int(g[PIPE_X + p]), int(g[GAP_Y + p]), int(g[GAP]))
    _paint_ground(screen, int(g[AGE]))
    _paint_bird(screen, int(g[BIRD_Y]), int(g[BIRD_VY]), int(Games.of(g[:, None]).wing[0]))
    _paint_score(screen, int(g[SCORE]))
    return screen


def _fill(screen: np.ndarray, x: int, y: int, width: int, height: int, colour) -> None:
    """A rectangle, cut at the screen's edges. colour: [3], or [width, 3] from left to right."""
    x0, x1, y0, y1 = max(x, 0), min(x + width, SCREEN_WIDTH), max(y, 0), min(y + height, SCREEN_HEIGHT)
    if x0 < x1 and y0 < y1:
        colour = np.asarray(colour)
        screen[y0:y1, x0:x1] = colour[x0 - x : x1 - x] if colour.ndim == 2 else colour


def _paint_pipe(screen: np.ndarray, x: int, top: int, gap: int) -> None:
    body_width = shapes.BODY_END - shapes.BODY_FIRST
    lip = shapes.LIP_HEIGHT
    for y, height, lip_y in ((0, top, top - lip), (top + gap, GROUND_Y - top - gap, top + gap)):
        for left, width, first, rows in (
            (x + shapes.BODY_FIRST, body_width, y, height),
            (x, shapes.PIPE_WIDTH, lip_y, lip),
        ):
            light = np.exp(-(((np.arange(width - 4) / width - 0.28) / 0.3) ** 2))[:, None]
            _fill(screen, left, first, width, rows, INK)
            inner = (first + 2, rows - 4) if rows == lip else (first, rows)
            _fill(
                screen, left + 2, inner[0], width - 4, inner[1], PIPE_DARK * (1 - light) + PIPE_LIGHT * light
            )


def _paint_ground(screen: np.ndarray, age: int) -> None:
    _fill(screen, 0, GROUND_Y, SCREEN_WIDTH, SCREEN_HEIGHT - GROUND_Y, EARTH)
    _fill(screen, 0, GROUND_Y, SCREEN_WIDTH, 2, INK)
    y, x = np.mgrid[GROUND_Y + 2 : GROUND_Y + 14, :SCREEN_WIDTH]
    screen[GROUND_Y + 2 : GROUND_Y + 14] = np.array(GRASS)[((x + y + PIPE_SPEED * age) // 12) % 2]


def _paint_bird(screen: np.ndarray, y: int, vy: int, wing: int) -> None:
    """The silhouette, outlined; what is on it leans with the bird's speed."""
    solid = np.pad(shapes.solid(shapes.BIRDS[wing], shapes.BIRD_WIDTH), 2)
    inner = np.logical_and.reduce([np.roll(solid, d, a) for a in (0, 1) for d in (-2, 2)]) & solid
    v, u = np.mgrid[-2 : shapes.BIRD_HEIGHT + 2, -2 : shapes.BIRD_WIDTH + 2]
    colours = np.empty((*solid.shape, 3), np.uint8)
    colours[:] = BODY
    lean = vy // 4
    wing_y = (9, 13, 16)[wing]
    parts = (
        (((u - 15) / 11) ** 2 + ((v - 20) / 6) ** 2 < 1, BELLY),
        ((u > 22) & (v > 12 + lean) & (v < 19 + lean), BEAK),
        (((u - 22) / 5.5) ** 2 + ((v - 7) / 5.5) ** 2 < 1, WHITE),
        ((np.abs(u - 24) < 2) & (np.abs(v - 7 - lean / 2) < 2), INK),
        (((u - 7) / 7.5) ** 2 + ((v - wing_y) / 4.5) ** 2 < 1, INK),
        (((u - 7) / 5.5) ** 2 + ((v - wing_y) / 2.6) ** 2 < 1, FEATHER),
    )
    for where, colour in parts:
        colours[where] = colour
    colours[~inner] = INK
    y0 = max(y - 2, 0)
    part = screen[y0 : y + shapes.BIRD_HEIGHT + 2, BIRD_X - 2 : BIRD_X + shapes.BIRD_WIDTH + 2]
    cut = slice(y0 - y + 2, y0 - y + 2 + len(part))
    part[solid[cut]] = colours[cut][solid[cut]]


def _paint_score(screen: np.ndarray, score: int) -> None:
    digits = [int(d) for d in str(score)]
    x = (SCREEN_WIDTH - 4 * DOT * len(digits) + DOT) // 2
    for edge, colour in ((2, INK), (0, WHITE)):
        for n, digit in enumerate(digits):
            for r, bits in enumerate(FONT[digit]):
                for c in range(3):
                    if bits >> (2 - c) & 1:
                        left, top = x + DOT * (4 * n + c) - edge, SCORE_TOP + DOT * r - edge
                        _fill(screen, left, top, DOT + 2 * edge, DOT + 2 * edge, colour)
