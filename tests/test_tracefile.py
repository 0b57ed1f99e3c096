"""Files that are no recordings, or whose numbers no game could have, are refused with one clear line."""

import numpy as np
import pytest

from vecflap import tracefile
from vecflap.traces import verify


def with_(array: np.ndarray, place, value) -> np.ndarray:
    copy = array.astype(np.result_type(array, np.min_scalar_type(value)))
    copy[place] = value
    return copy


BAD_ARRAYS = {
    "action is 2": (lambda g: {"action": with_(g["action"], 7, 2)}, "action has the value 2, needed is 0..1"),
    "action is -1": (lambda g: {"action": with_(g["action"], 7, -1)}, "action has the value -1"),
    "action has text": (lambda g: {"action": g["action"].astype(str)}, "action has type <U"),
    "action is long": (lambda g: {"action": np.zeros(401, np.uint8)}, r"shape \[400.*needed is \[401\]"),
    "action is flat no more": (lambda g: {"action": g["action"][:, None]}, r"action has shape \[400, 1\]"),
    "no steps": (
        lambda g: {name: a[:0] if len(np.atleast_1d(a)) == 400 else a for name, a in g.items()},
        "no steps",
    ),
    "a gap of 8": (
        lambda g: {"gap_draws": with_(g["gap_draws"], 3, 8)},
        "gap_draws has the value 8, needed is 0..7",
    ),
    "no gaps": (lambda g: {"gap_draws": g["gap_draws"][:0], "init_draws": 0}, "gap_draws has 0"),
    "gaps in a table": (lambda g: {"gap_draws": g["gap_draws"][None]}, "gap_draws has shape"),
    "frames are short": (
        lambda g: {"frame": g["frame"][:, :511]},
        r"frame has shape \[400, 511\], needed is \[400, 512\]",
    ),
    "frames are wide": (
        lambda g: {"frame": g["frame"].astype(int)},
        "frame has type int64",
    ),
    "two pipes": (lambda g: {"pipe_x": g["pipe_x"][:, :2]}, r"pipe_x has shape \[400, 2\]"),
    "wings are fractions": (
        lambda g: {"playerIndex": g["playerIndex"] * 1.0},
        "playerIndex has type float64",
    ),
    "half of init": (lambda g: {"init_score": None}, "lacks init_score"),
    "two inits": (lambda g: {"init_score": np.zeros(2, int)}, r"init_score has shape \[2\], needed is \[1\]"),
    "scores, no steps": (lambda g: {"forced_score": np.array([3])}, "lacks forced_score_step"),
    "scores and steps": (
        lambda g: {"forced_score": np.array([3, 4]), "forced_score_step": np.array([3])},
        r"forced_score has shape \[2\], needed is \[1\]",
    ),
    "a forced score below 0": (
        lambda g: {"forced_score": np.array([-3]), "forced_score_step": np.array([3])},
        "forced_score has the value -3",
    ),
    "a forced score too late": (
        lambda g: {"forced_score": np.array([3]), "forced_score_step": np.array([400])},
        "forced_score_step has the value 400, needed is 0..399",
    ),
    "init draws": (lambda g: {"init_draws": np.int64(10**6)}, "init_draws has the value 1000000"),
}


@pytest.mark.parametrize(("change", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays_are_refused(golden, saved, change, message):
    trace = golden | change(golden)
    path = saved({name: array for name, array in trace.items() if array is not None})
    with pytest.raises(ValueError, match=message) as error:
        verify(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("name", sorted(tracefile.NEEDED))
def test_a_missing_array_is_named(golden, saved, name):
    with pytest.raises(ValueError, match=f"lacks {name}"):
        verify(saved({key: array for key, array in golden.items() if key != name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("playery", 244.5), ("playery", np.nan), ("playery", -1.0), ("playery", 380.0), ("playery", 1e300),
        ("playerVelY", 2**40), ("playerIndex", 3), ("playerIndex", -1), ("loopIter", 30), ("score", -1),
        ("score", 2**31), ("npipes", 3), ("npipes", 1), ("npipes", 0), ("pipe_x", [-60, 150, -32768]),
        ("pipe_x", [4, 148, -32768]), ("pipe_x", [288, 290, -32768]), ("pipe_x", [288, 999, -32768]),
        ("pipe_x", [288, 432, 0]), ("pipe_gap", [105, 110, -32768]), ("pipe_gap", [180, 110, -32768]),
        ("pipe_gap", [90, 110, -32768]),
    ],
)  # fmt: skip
def test_a_state_that_no_game_can_be_in_is_refused(golden, saved, name, value):
    array = np.array([value])
    with pytest.raises(ValueError, match=r"init_\.\.\. is not a state"):
        verify(saved(golden | {f"init_{name}": array}))


def test_files_that_are_no_recordings_are_refused(golden, saved, tmp_path):
    whole = saved(golden).read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    objects = np.array([None, {}], object)
    np.savez(tmp_path / "objects.npz", **golden | {"action": objects})
    files = {"empty": b"", "text": b"step,action\n", "array": (tmp_path / "array.npy").read_bytes()}
    files |= {f"cut at {size}": whole[:size] for size in (4, 1000, len(whole) // 2, len(whole) - 1)}
    middle = len(whole) // 2
    files |= {
        "damaged": whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 99]) + whole[middle + 99 :]
    }
    files |= {"objects": (tmp_path / "objects.npz").read_bytes()}
    for name, content in files.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"can't be replayed: it (is|lacks)") as error:
            verify(path)
        assert "\n" not in str(error.value)
    for path in (tmp_path / "nowhere.npz", tmp_path):
        with pytest.raises(ValueError, match="missing, or not a complete"):
            verify(path)
