"""The kernels that play and draw games on a CPU, on one thread or more: the rules are those of physics.py."""

import numba
import numpy as np

from vecflap import physics, render
from vecflap.kernels import inlined, kernel
from vecflap.physics import AGE, Gaps


@inlined
def play_frames(state, ranges, act, rew, term, score, moved, skip, clearance, gaps, i):
    """Play up to `skip` frames of game i, until its bird crashes. It flaps in the first one if at all."""
    passed, flap = 0, act[i]
    for _ in range(skip):
        physics.advance(state, act, rew, term, score, moved, ranges, clearance, gaps, i, i + 1)
        act[i] = 0
        if term[i]:
            break
        passed |= rew[i]
        rew[i] = passed
    act[i] = flap


@inlined
def show_ages(frames, age, skip):
    """Steps since the episodes began, cut to a byte."""
    for i in range(len(age)):
        age[i] = min((frames[i] + skip - 1) // skip, 255)


@inlined
def play(
    state, ranges, act, frame, final, crashes, age, rew, term, score, moved, plan, skip, clearance, gaps,
    first, end,
):  # fmt: skip
    """Play and draw one step of games first..end-1; the arguments are those of `play_all`."""
    for a in range(first, end, render.BLOCK):
        b = min(a + render.BLOCK, end)
        if skip == 1:
            physics.advance(state, act, rew, term, score, moved, ranges, clearance, gaps, a, b)
        else:
            for i in range(a, b):
                play_frames(state, ranges, act, rew, term, score, moved, skip, clearance, gaps, i)
        for i in range(a, b):
            if term[i]:
                if len(final):
                    render.draw(final, state, plan, i, i + 1)
                    for k in range(len(state)):
                        crashes[k, i] = state[k, i]
                physics.restart(state, i, ranges[i], gaps)
        show_ages(state[AGE, a:b], age[a:b], skip)
        render.draw(frame, state, plan, a, b)


@inlined
def are_actions(act):
    """Whether all of uint8 [N] act is 0 or 1."""
    highest = np.uint8(0)
    for i in range(len(act)):
        highest |= act[i]
    return highest <= 1


@kernel(_nrt=False)
def play_all(
    state, ranges, given, act, frame, final, crashes, age, rew, term, score, moved, plan, skip, clearance,
    seed, purpose, stream,
):  # fmt: skip
    """Play and draw one step of every game. Returns whether it did: not, if `given` is no action.

    state:  int32 [16, N or more], in and out, see physics.Games.
    ranges: int32 [N, 12], in, see rules.Rules.row.
    given:  uint8 [N], in, 1 = flap, 0 = glide; act: uint8 [N], out, the same.
    frame:  int64 [N, 64], age: uint8 [N], rew: int8 [N], term: uint8 [N], score: int32 [N], out, see VecFlap.
    final:  int64 [N, 64], crashes: int32 [16, N], out, see VecFlap; or of no games.
    moved:  uint8 [N], plan: int32 [threads, 12, 128], scratch.
    skip, clearance: see VecFlap.
    The rest are the fields of physics.Gaps, apart: passing the tuple would cost 1.1 us a call.
    """
    if not are_actions(given):
        return False
    for i in range(len(act)):
        act[i] = given[i]
    gaps, n = Gaps(seed, purpose, stream), len(act)
    play(
        *(state, ranges, act, frame, final, crashes, age, rew, term, score, moved, plan[0], skip, clearance),
        *(gaps, 0, n),
    )
    return True


@kernel(parallel=True)
def play_all_threaded(
    state, ranges, given, act, frame, final, crashes, age, rew, term, score, moved, plan, skip, clearance,
    seed, purpose, stream,
):  # fmt: skip
    """`play_all`, one run of neighbouring games a thread: its frames stay in its own core's cache."""
    if not are_actions(given):
        return False
    for i in range(len(act)):
        act[i] = given[i]
    n, threads = len(act), len(plan)
    for k in numba.prange(threads):
        gaps = Gaps(seed, purpose, stream)
        play(
            *(state, ranges, act, frame, final, crashes, age, rew, term, score, moved, plan[k]),
            *(skip, clearance, gaps, n * k // threads, n * (k + 1) // threads),
        )
    return True


@kernel()
def restart_all(state, ranges, which, frame, age, plan, skip, seed, purpose, stream):
    """Begin an episode of every game of which uint8 [N] is 1, and draw it. state: int32 [16, N], in and out.
    The others are those of `play_all`."""
    for i in range(len(which)):
        if which[i]:
            physics.restart(state, i, ranges[i], Gaps(seed, purpose, stream))
            show_ages(state[AGE, i : i + 1], age[i : i + 1], skip)
            render.draw(frame, state, plan[0], i, i + 1)


@kernel()
def draw_all(state, frame, age, plan, skip):
    """Draw every game as it stands. state: int32 [16, N], in. frame: int64 [N, 64], age: uint8 [N], out.
    plan: int32 [any, 12, 128], scratch."""
    show_ages(state[AGE, : len(age)], age, skip)
    for a in range(0, len(frame), render.BLOCK):
        render.draw(frame, state, plan[0], a, min(a + render.BLOCK, len(frame)))
