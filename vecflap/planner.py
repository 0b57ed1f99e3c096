"""How long the best of all players could still live: an exact search over what the bird may do.

A bird is a height and a speed; where pipes and wings are follows from the frame alone. So all that can be
reached within some frames is a small set, and a state is lost when that set runs empty.
"""

import numpy as np

from vecflap import physics, shapes
from vecflap.kernels import inlined, kernel
from vecflap.physics import (
    AGE,
    BIRD_VY,
    BIRD_Y,
    FLAP_VY,
    GAP,
    GAP_Y,
    GRAVITY,
    LOWEST_Y,
    MAX_VY,
    PIPE_SPEED,
    PIPE_X,
    WING_CYCLE,
    WING_FRAMES,
)

HORIZON = 50
"""Frames looked ahead. A pipe that is not there yet needs 52 to reach the bird."""
FASTEST = 64
"""px/frame: a flap's speed is less."""
SPEEDS = FASTEST + MAX_VY + 1


@inlined
def crashes(g, y, frame):
    """Whether the bird of game g is in a pipe or on the ground, at height y, `frame` frames from now."""
    cycle, age = g[WING_CYCLE], g[AGE]
    beats = (age + frame) // WING_FRAMES - age // WING_FRAMES
    wing = physics.wing((cycle + beats) & 3, age + frame)
    first = 0 if g[PIPE_X] - PIPE_SPEED * frame >= -shapes.PIPE_WIDTH else 1
    x = g[PIPE_X + first] - PIPE_SPEED * frame
    return physics.crashed(y, wing, x, g[GAP_Y + first], g[GAP])


@kernel()
def lives(games, frames):
    """How many frames birds can live, at most HORIZON, if nothing is done wrong from now on.

    games: int32 [N, 16], in, see physics.Games. frames: int64 [N], out.
    """
    here = np.zeros((LOWEST_Y + 1, SPEEDS), np.bool_)
    for i in range(len(games)):
        g = games[i]
        here[:] = False
        here[g[BIRD_Y], g[BIRD_VY] + FASTEST] = True
        frames[i] = HORIZON
        for frame in range(1, HORIZON + 1):
            there, alive = np.zeros_like(here), False
            for y in range(LOWEST_Y + 1):
                for speed in range(SPEEDS):
                    if here[y, speed]:
                        for flap in range(2):
                            new_y, vy = physics.fall(y, speed - FASTEST, flap, g[FLAP_VY], g[GRAVITY])
                            if not crashes(g, new_y, frame):
                                there[new_y, vy + FASTEST] = alive = True
            if not alive:
                frames[i] = frame - 1
                break
            here = there
