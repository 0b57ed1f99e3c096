"""Views of the games, held against frames kept by hand and pixels looked at one by one."""

from collections import deque

import numpy as np
import pytest
import torch
from test_sim import flaps
from twins import first_pipe, pixels, placed

from vecflap import views
from vecflap.sim import VecFlap


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_stacks_are_the_last_frames_of_the_episode(frames):
    sim, crashes = VecFlap(40, seed=6), 0
    stack = torch.full((40, frames, 64), 77)
    kept = [deque(maxlen=frames) for _ in range(40)]
    for t in range(120):
        views.push(sim.frame, sim.age, stack)
        for game, seen, picture in zip(range(40), kept, sim.frame.numpy().copy(), strict=True):
            if t == 0 or sim.term[game]:
                seen.extend([picture] * frames)
            seen.append(picture)
            assert (stack[game].numpy() == np.array(seen)).all()
        sim.step(flaps(40, t))
        crashes += int(sim.term.sum())
    assert crashes > 40


@pytest.mark.parametrize("shape", [(3,), (2, 4), ()])
def test_pixels_are_the_frames_bits(shape):
    frames = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, (*shape, 64))
    frames[..., 5], frames[..., 6] = 0, -1
    spread = torch.full((*shape, 64, 64), 9, dtype=torch.uint8)
    views.unpack(torch.from_numpy(frames), spread)
    assert (spread.numpy() == 255 * pixels(frames)).all()


def test_unpacking_with_loops_gives_the_same_bytes():
    word, out = np.random.default_rng(1).integers(-(2**63), 2**63 - 1), np.zeros((2, 192), np.uint8)
    views.spread_all(np.array([0, word, -1]), out[0])
    for n, bits in enumerate((0, word, -1)):
        getattr(views.spread_with_loops, "py_func", views.spread_with_loops)(out[1], 64 * n, int(bits))
    assert (out[0] == out[1]).all()
    assert out[0].any()


def test_features_are_the_documented_numbers():
    xs = np.array([5, 4, -52, 100])
    sim = placed("easy", pipe_x=first_pipe(xs), gap_y=(110, 140, 170), wing_cycle=(1, 2, 3, 0), bird_vy=-9)
    numbers = np.zeros((4, 12), np.float32)
    views.features(sim.rows, numbers)
    for game, x in enumerate(xs):
        pipes = [(x, 110), (x + 150, 140)] + [(x + 300, 170)] * int(x < 5)
        expected = [n for px, top in pipes for n in (px / 288, top / 404, (top + 150) / 404)]
        expected += [1, 0, 1] * (3 - len(pipes)) + [200 / 404, -0.9, (0, 0.5, 1, 0.5)[game]]
        assert numbers[game] == pytest.approx(expected)


READ_ONLY = np.zeros((3, 4, 64), np.int64)
READ_ONLY.flags.writeable = False
BAD_STACKS = {
    "of floats": (torch.zeros(3, 4, 64), r"stack is float32 \[3, 4, 64\]: needed is a cont"),
    "of another number of games": (torch.zeros(4, 4, 64, dtype=torch.int64), r"stack is int64 \[4, 4, 64\]"),
    "without frames": (torch.zeros(3, 64, dtype=torch.int64), r"stack is int64 \[3, 64\]"),
    "read-only": (READ_ONLY, "stack is read-only"),
    "with strides": (np.zeros((3, 4, 128), int)[..., ::2], r"stack has strides \[4096, 1024, 16\]"),
    "no array": ([[0]], "stack is no array"),
    "on another device": (torch.zeros(3, 4, 64, dtype=torch.int64, device="meta"), "stack is on meta"),
}  # fmt: skip


@pytest.mark.parametrize(("stack", "message"), BAD_STACKS.values(), ids=BAD_STACKS)
def test_memory_that_does_not_fit_is_refused(stack, message):
    sim = VecFlap(3)
    with pytest.raises(ValueError, match=message):
        views.push(sim.frame, sim.age, stack)


def test_uint64_and_dlpack_are_taken():
    class Box:
        """Something that is an array by DLPack only."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    sim, stack = VecFlap(3), np.zeros((3, 2, 64), np.uint64)
    views.push(sim.frame, sim.age, stack)
    assert (stack.view(np.int64) == sim.frame.numpy()[:, None]).all()
    spread = np.zeros((3, 64, 64), np.uint8)
    views.unpack(sim.frame, Box(spread))
    assert (spread == 255 * pixels(sim.frame.numpy())).all()
