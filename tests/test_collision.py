"""Bird against pipe: at every place of both, the package's few comparisons against solid pixels."""

import numpy as np
import pytest
import reference
from numba import njit

from vecflap import physics
from vecflap.sim import VecFlap


@njit
def crashes(x, gap_y, gap, out):
    """bool [3, 381], out: what the package says of each wing at each height, with a pipe at x."""
    for wing in range(out.shape[0]):
        for y in range(out.shape[1]):
            out[wing, y] = physics.crashed(y, wing, x, gap_y, gap)


def pixel_crashes(x, gap_y, gap):
    """bool [3, 380]: whether a solid pixel of the bird is on one of the pipe, by the twin's pictures."""
    game = reference.Game(-7, (0, 0), gap)
    game.pipes = [[x, gap_y]]
    strip = game.pipe_picture()[: 379 + 24, 57 : 57 + 34]
    boxes = np.lib.stride_tricks.sliding_window_view(strip, 24, axis=0)  # [380, 34, 24]
    return np.array([(boxes & bird.T).any(axis=(1, 2)) for bird in reference.BIRDS])


@pytest.mark.parametrize(("gap", "gap_y"), [(100, 100 + 10 * k) for k in range(8)] + [(60, 110), (150, 160)])
def test_a_crash_is_two_solid_pixels_in_one_place_wherever_bird_and_pipe_are(gap, gap_y):
    ours = np.zeros((3, 381), bool)
    total = 0
    for x in range(-52, 150):
        crashes(x, gap_y, gap, ours)
        differs = np.argwhere(ours[:, :380] != pixel_crashes(x, gap_y, gap))
        assert not len(differs), f"pipe at x={x}, wing and y = {differs[:5].tolist()}"
        assert ours[:, 380].all(), "on the ground"
        total += ours.sum()
    assert total > 50_000


def test_a_crash_is_judged_by_the_wing_that_the_frame_shows():
    cycle, y = (array.reshape(-1) for array in np.indices((4, 380)))
    sim = VecFlap(len(y), threads=1)
    g = sim.games
    g.wing_cycle[:], g.bird_y[:], g.bird_vy[:], g.age[:] = cycle, y, -1, 5
    rows = sim.rows.copy()
    old, new = np.array([1, 0, 1, 2])[cycle], np.array([0, 1, 2, 1])[cycle]
    matters = 0
    for x in range(6, 92):
        sim.rows[:] = rows
        g.pipe_x[:], g.gap_y[:] = (x + 4, x + 154, 0), 130
        sim.step(np.zeros(len(y), np.uint8))
        crash = pixel_crashes(x, 130, 100)
        assert (sim.term.numpy() == crash[new, y]).all(), f"pipe at x={x}"
        matters += (crash[old, y] != crash[new, y]).sum()
    assert matters > 100, "the old wing would have told the same"
