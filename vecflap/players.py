"""A scripted player that does not die: for recordings, benchmarks and tests."""

from vecflap import physics, shapes
from vecflap.kernels import inlined, kernel
from vecflap.physics import (
    APPEND_X,
    BIRD_VY,
    BIRD_X,
    BIRD_Y,
    FLAP_VY,
    GAP,
    GAP_Y,
    GRAVITY,
    PIPE_SPEED,
    PIPE_X,
)

HORIZON = 45  # frames looked ahead: enough for the way to the next pipe and through it
CLEARANCE = 5  # px kept between the bird and the lower pipe
PASSED_X = BIRD_X - shapes.PIPE_WIDTH  # px: a pipe this far left is behind the bird


@inlined
def lasts(g, flap):
    """How many frames, up to HORIZON, the bird of game g lives if it flaps or glides now, and from then on
    flaps only where gliding takes it too close to the bottom of the next gap. Bird and pipes are boxes here.
    """
    y, vy, gap = g[BIRD_Y], g[BIRD_VY], g[GAP]
    pipes = 3 if g[PIPE_X] < APPEND_X else 2
    for frame in range(1, HORIZON + 1):
        y, vy = physics.fall(y, vy, flap, g[FLAP_VY], g[GRAVITY])
        if y == physics.LOWEST_Y:
            return frame
        moved = PIPE_SPEED * frame
        for p in range(pipes):
            x, top = g[PIPE_X + p] - moved, g[GAP_Y + p]
            over = PASSED_X < x < BIRD_X + shapes.BIRD_WIDTH
            if over and (y < top or y + shapes.BIRD_HEIGHT > top + gap):
                return frame
        first = 0 if g[PIPE_X] - moved > PASSED_X else 1
        glide_y, _ = physics.fall(y, vy, 0, g[FLAP_VY], g[GRAVITY])
        flap = glide_y + shapes.BIRD_HEIGHT > g[GAP_Y + first] + gap - CLEARANCE
    return HORIZON


@kernel()
def careful(games, act):
    """Flap where gliding does not last: 0 crashes in 30 million steps of `flap7`, and in as many of `flap9`.

    games: int32 [N, 16], in, see physics.Games. act: uint8 [N], out, 1 = flap.
    """
    for i in range(len(games)):
        g = games[i]
        glides = lasts(g, 0)
        act[i] = glides < HORIZON and lasts(g, 1) > glides
