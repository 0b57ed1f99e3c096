"""The file of a recorded game: its arrays, writing them, and reading them with every check.

A recording is an .npz file of arrays with one row per step, T in all; most names are the original program's.
"""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from vecflap import physics, render, shapes
from vecflap.physics import MAX_PIPES, PIPE_START_X, TOP_STEP, TOPS, WING_FRAMES, Games

Arrays = dict[str, np.ndarray]

STATE = {  # after the step; after the restart, where there was a crash
    "playery": np.float64,  # [T] px: whole, but for a fraction that the original has on the ground
    "playerVelY": np.int16,  # [T] px/frame
    "playerIndex": np.uint8,  # [T] the wing
    "loopIter": np.uint8,  # [T] frames of the episode, modulo LOOP_FRAMES
    "score": np.int32,  # [T] pipes
    "npipes": np.uint8,  # [T]
    "pipe_x": np.int16,  # [T, 3] px; NO_PIPE from npipes on
    "pipe_gap": np.int16,  # [T, 3] px, top of the gap; NO_PIPE from npipes on
}
OUTCOME = {  # of the step
    "reward": np.float32,  # [T] -1 crash, +1 pipe passed, 0.1 otherwise
    "terminal": np.uint8,  # [T] 1 = the episode ended
    "c_score": np.int32,  # [T] pipes, before the restart
}
LOOP_FRAMES = 30
NO_PIPE = -32768
FRAME_BYTES = 8 * render.SIZE
WIDTHS = {"pipe_x": MAX_PIPES, "pipe_gap": MAX_PIPES, "frame": FRAME_BYTES}
"""What a row of an array has, where that is not one number."""
FRACTIONS = {"playery", "init_playery", "reward"}
NEEDED = {"action", "gap_draws", "frame", *STATE, *OUTCOME} - {"c_score"}
TOGETHER = ({f"init_{name}" for name in STATE}, {"forced_score_step", "forced_score"})
"""Arrays that are there together or not at all."""
NAMES = NEEDED.union(*TOGETHER, {"c_score", "init_draws"})

REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8), bitorder="little"))
"""Bytes, their bits reversed: a recording has the topmost of eight rows in the most significant bit."""


def packed(frames: np.ndarray) -> np.ndarray:
    """uint8 [T, 512], pictures as a recording has them, of int64 [T, 64] frames."""
    return REVERSED[frames.view(np.uint8)]


def state(rows: np.ndarray) -> Arrays:
    """The arrays of STATE, of a game's int32 [T, 16] rows."""
    g = Games.of(rows.T)
    exists = np.arange(MAX_PIPES) < g.pipes[:, None]
    pipe_x, pipe_gap = (np.where(exists, array, NO_PIPE) for array in (g.pipe_x, g.gap_y))
    arrays = (g.bird_y, g.bird_vy, g.wing, g.age % LOOP_FRAMES, g.score, g.pipes, pipe_x, pipe_gap)
    return {name: array.astype(STATE[name]) for name, array in zip(STATE, arrays, strict=True)}


WING_CYCLE_AFTER = {shapes.UP: 1, shapes.MID: 0, shapes.DOWN: 3}
"""Where in its cycle a wing is that has beaten; after mid it could also be at 2."""


def set_state(rows: np.ndarray, trace: Arrays, ranges: np.ndarray) -> None:
    """The reverse of `state`: a recording's init_... into one game's int32 [1, 16].

    ranges: int32 [12], the game's rules, see rules.Rules.row.
    """
    g = Games.of(rows.T)
    fields = {
        "playery": g.bird_y,
        "playerVelY": g.bird_vy,
        "loopIter": g.age,
        "score": g.score,
        "pipe_x": g.pipe_x,
        "pipe_gap": g.gap_y,
    }
    with np.errstate(invalid="ignore"):
        for name, field in fields.items():
            field[:] = trace[f"init_{name}"]
    wing = int(trace["init_playerIndex"][0])
    if wing != shapes.UP and g.age[0] < WING_FRAMES:
        g.age[:] += LOOP_FRAMES
    g.wing_cycle[:] = WING_CYCLE_AFTER.get(wing, 0) if g.age[0] >= WING_FRAMES else 0
    back = state(rows)
    if not (is_possible(g, ranges) and all((back[name] == trace[f"init_{name}"]).all() for name in STATE)):
        raise ValueError("init_... is not a state that the game can be in.")


def is_possible(g: Games, ranges: np.ndarray) -> bool:
    """Whether one game's state is of those that the game can be in: kernels look up tables by it."""
    pipes = int(g.pipes[0])
    x, tops = g.pipe_x[0, :pipes], ranges[TOPS] + ranges[TOP_STEP] * np.arange(ranges[TOPS + 1])
    return bool(
        0 <= g.bird_y[0] < physics.LOWEST_Y
        and g.score[0] >= 0
        and (-shapes.PIPE_WIDTH <= x).all()
        and (x <= PIPE_START_X[1]).all()
        and (np.diff(x) >= PIPE_START_X[1] - PIPE_START_X[0]).all()
        and np.isin(g.gap_y[0, :pipes], tops).all()
    )


def write(path: str | os.PathLike, arrays: Arrays) -> None:
    """Write a recording, whole or not at all."""
    part = Path(f"{os.fspath(path)}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(path)


def read(path: str | os.PathLike, ranges: np.ndarray) -> Arrays:
    """The arrays in NAMES that a recording has, checked: none can make a kernel read out of bounds.

    ranges: int32 [12], the rules it is played by, see rules.Rules.row.
    """
    try:
        trace = load(path)
        check_shapes(trace)
        check_values(trace, ranges)
    except ValueError as error:
        raise ValueError(f"{path} can't be replayed: {error}") from None
    return trace


def load(path: str | os.PathLike) -> Arrays:
    """The arrays, unchecked."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is missing, or not a complete .npz file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            trace = {name: np.asarray(file[name]) for name in file.files if name in NAMES}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"it is damaged ({error}).") from None
    needed = NEEDED.union(*(group for group in TOGETHER if group & trace.keys()))
    if missing := sorted(needed - trace.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}.")
    return trace


def check_shapes(trace: Arrays) -> None:
    """Every array must have the type it needs, and the length of action."""
    steps = trace["action"].size
    if not steps:
        raise ValueError("it has no steps.")
    for name, array in trace.items():
        kinds = "biuf" if name in FRACTIONS else "biu"  # NumPy's letters: bool, int, unsigned, float
        if array.dtype.kind not in kinds or (name == "frame" and array.dtype != np.uint8):
            raise ValueError(f"{name} has type {array.dtype}.")
        base = name.removeprefix("init_")
        if name == "init_draws":
            needed = []
        elif name in ("gap_draws", "forced_score_step"):  # as long as it likes
            needed = [array.size]
        elif name == "forced_score":
            needed = [trace["forced_score_step"].size]
        else:
            needed = [1 if base != name else steps] + ([WIDTHS[base]] if base in WIDTHS else [])
        if list(array.shape) != needed:
            raise ValueError(f"{name} has shape {list(array.shape)}, needed is {needed}.")


def check_values(trace: Arrays, ranges: np.ndarray) -> None:
    """No number may be one that the game has no use for."""
    limits = {
        "action": 2,
        "gap_draws": ranges[TOPS + 1],
        "init_draws": len(trace["gap_draws"]) + 1,
        "forced_score_step": len(trace["action"]),
        "forced_score": 2**31,
    }
    for name, end in limits.items():
        array = np.atleast_1d(trace.get(name, 0))
        wrong = array[(array < 0) | (array >= end)]
        if wrong.size:
            raise ValueError(f"{name} has the value {wrong[0]}, needed is 0..{end - 1}.")
    if "init_score" in trace:
        set_state(np.zeros((1, physics.NUMBERS), np.int32), trace, ranges)
