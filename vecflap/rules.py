"""Variants of the game: what may differ between two games, as numbers or as ranges, and the named ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vecflap import physics, shapes
from vecflap.physics import GROUND_Y

Range = int | tuple[int, int]
"""A number, or the least and the greatest of those that every episode draws one of."""
LONGEST_FLAP, STRONGEST = 30, 10  # px/frame and px/frame^2: beyond, a bird leaves the screen in a few frames
HIGHEST_SCORE = 10**9


class Rules(NamedTuple):
    """What may differ between two variants of the game. Pipes have the original's speed and distances in all.

    The defaults are `flap7`. Ranges are drawn from anew for every episode, the gap's top for every pipe.
    """

    flap_vy: Range = -7
    """px/frame, the speed that a flap gives; up is negative."""
    gap: Range = 100
    """px, height of the gaps."""
    score_drawn: bool = True
    """Whether the score is part of the picture."""
    gravity: Range = 1
    """px/frame^2. A bird falls at 10 px/frame at most."""
    top: Range = (100, 170)
    """px, top of a gap."""
    top_step: int = 10
    """px between two places of a gap's top."""
    first_score: Range = 0
    """What the drawn score begins at: where that differs, a policy learns to look past it."""

    def row(self) -> np.ndarray:
        """int32 [12]: what the kernels read, see physics.py. ValueError for rules that cannot be played."""
        bounds = {
            "flap_vy": (-LONGEST_FLAP, -1),
            "gap": (shapes.BIRD_HEIGHT + 1, GROUND_Y),
            "gravity": (1, STRONGEST),
            "top": (0, GROUND_Y),
            "first_score": (0, HIGHEST_SCORE),
        }
        ends = {name: _ends(name, getattr(self, name), *limits) for name, limits in bounds.items()}
        step = _whole("top_step", self.top_step, 1, GROUND_Y)
        lowest = ends["top"][1] + ends["gap"][1]
        if lowest > GROUND_Y:
            raise ValueError(
                f"rules: a gap of {ends['gap'][1]} px with its top at {ends['top'][1]} ends at {lowest}, "
                f"below the ground at {GROUND_Y}. Lower `gap` or `top`."
            )
        row = np.zeros(physics.RANGES, np.int32)
        columns = (physics.FLAPS, physics.GAPS, physics.GRAVITIES, physics.TOPS, physics.FIRST_SCORES)
        for column, (low, high) in zip(columns, ends.values(), strict=True):
            row[column : column + 2] = low, high - low + 1
        row[physics.TOPS + 1] = (ends["top"][1] - ends["top"][0]) // step + 1
        row[physics.TOP_STEP], row[physics.DRAWN] = step, bool(self.score_drawn)
        return row


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"rules: {name} {value!r} is not a whole number from {low} to {high}.")
    return int(value)


def _ends(name: str, value: Range, low: int, high: int) -> tuple[int, int]:
    first, last = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    ends = _whole(name, first, low, high), _whole(name, last, low, high)
    if ends[0] > ends[1]:
        raise ValueError(f"rules: {name} {value} is a range whose end is before its beginning.")
    return ends


RULES = {
    "flap7": Rules(),
    "flap9": Rules(flap_vy=-9, score_drawn=False),
    "easy": Rules(flap_vy=-9, score_drawn=False, gap=150),
    "medium": Rules(flap_vy=-9, score_drawn=False, gap=125),
    "hard": Rules(flap_vy=-9, score_drawn=False, gap=100),
    "wide": Rules(flap_vy=-9, score_drawn=False, top=(40, 264), top_step=1),
    "mixed": Rules(flap_vy=(-9, -7), gap=(100, 150), top=(60, 220), top_step=1, first_score=(0, 999)),
}
"""`flap7` is the game that the OneFlow article trains on, `flap9` the widely copied variant; `hard` plays as
`flap9`, `easy` and `medium` have larger gaps. `wide` has gaps anywhere, `mixed` is never the same."""


def find_rules(rules: str | Rules) -> Rules:
    """The rules of a name, or those given."""
    if isinstance(rules, str) and rules not in RULES:
        raise ValueError(f"rules={rules!r} is unknown. Choose from: {', '.join(RULES)}.")
    return RULES[rules] if isinstance(rules, str) else rules


def rows_of(rules: str | Rules | Sequence[str | Rules], envs: int) -> np.ndarray:
    """int32 [N, 12]: the rules of N games, all the same or one each."""
    if isinstance(rules, str | Rules):
        return np.tile(find_rules(rules).row(), (envs, 1))
    if len(rules) != envs:
        raise ValueError(f"rules: {len(rules)} are given for envs={envs} games: give one, or one a game.")
    return np.stack([find_rules(one).row() for one in rules])
