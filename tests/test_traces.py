"""Recordings: the original's are replayed without a difference, and planted differences are found."""

import os
from pathlib import Path

import numpy as np
import pytest
from twins import differences

from vecflap import tracefile
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap
from vecflap.traces import Report, verify

GOLDEN = {path.stem: path for path in sorted((Path(__file__).parent / "golden").glob("*.npz"))}
FOLDER = os.environ.get("VECFLAP_TRACES")
MORE = sorted(Path(FOLDER).glob("*.npz")) if FOLDER else []
COMPARED = (*tracefile.STATE, *tracefile.OUTCOME)


def rules_of(path: Path) -> str:
    return "flap9" if "flap9" in path.stem else "flap7"


@pytest.mark.parametrize("path", GOLDEN.values(), ids=GOLDEN)
def test_the_original_is_replayed_without_a_difference(path):
    with np.load(path) as trace:
        steps = len(trace["action"])
    assert verify(path, rules_of(path)) == Report(steps, 0, 0, None)


@pytest.mark.skipif(not FOLDER, reason="set VECFLAP_TRACES to a folder of recordings")
def test_the_recordings_of_a_folder_are_replayed_without_a_difference():
    assert MORE, f"VECFLAP_TRACES={FOLDER} has no .npz files"
    reports = {path.name: verify(path, rules_of(path)) for path in MORE}
    assert all(report[1:] == (0, 0, None) for report in reports.values()), reports


def test_the_golden_recordings_have_what_they_are_there_for():
    traces = {name: dict(np.load(path)) for name, path in GOLDEN.items()}
    assert set(traces) == {"flap7", "flap7_scores", "flap9"}
    for name in ("flap7", "flap9"):
        trace = traces[name]
        assert set(trace["kind"]) == {0, 1, 2, 3, 4}
        assert trace["terminal"].sum() > 20
        assert (trace["playery"] == 0).any(), "at the ceiling"
        assert {2, 3} == set(trace["npipes"])
        assert {10, int(RULES[name].flap_vy)} <= set(trace["playerVelY"].tolist())
        assert trace["score"].max() > 20
    assert (traces["flap9"]["c_score"][1:] - traces["flap9"]["score"][:-1])[
        traces["flap9"]["terminal"][1:] == 1
    ].any()
    assert traces["flap7_scores"]["score"].max() > 77_777
    size = sum(path.stat().st_size for path in (Path(__file__).parent / "golden").iterdir())
    assert size < 300_000, "bytes in the repository"


@pytest.mark.parametrize("name", COMPARED)
def test_one_changed_number_is_one_differing_step(golden, saved, name):
    changed = golden[name].copy()
    changed[222, ...] += 1
    report = verify(saved(golden | {name: changed}))
    assert report[:3] == (400, 1, 0)
    assert report.first_difference == f"step 222: {name}: expected {changed[222]}, got {golden[name][222]}"


def test_one_changed_pixel_is_one_differing_frame(golden, saved):
    frame = golden["frame"].copy()
    column, row = 17, 43
    byte, bit = divmod(64 * column + row, 8)
    frame[[5, 399], byte] ^= 128 >> bit
    report = verify(saved(golden | {"frame": frame}))
    lit = frame[5, byte] >> (7 - bit) & 1
    expected = f"step 5: frame, column 17, row 43: expected {lit}, got {1 - lit}"
    assert report == Report(400, 0, 2, expected)


@pytest.mark.parametrize("step", [0, 150, 350, 399])
def test_one_changed_action_differs_as_the_twin_says(golden, saved, step):
    action = golden["action"].copy()
    action[step] ^= 1
    trace = golden | {"action": action}
    report = verify(saved(trace))
    assert report[1:3] == differences(trace, RULES["flap7"])
    assert report.differing_steps > 0
    assert report.first_difference.startswith(f"step {step}: playery: ")


def test_a_step_and_its_frame_count_once_each(golden, saved):
    report = verify(saved(golden | {"playery": golden["playery"] + 1, "frame": ~golden["frame"]}))
    assert report == Report(400, 400, 400, "step 0: playery: expected 246.0, got 245.0")


def test_the_other_rules_differ():
    report = verify(GOLDEN["flap9"], "flap7")
    assert report.differing_steps > 5000
    assert report.differing_frames > 5000
    assert verify(GOLDEN["flap7"], Rules(-7, 99, True)).differing_frames > 1000


def test_forced_scores_are_set_before_their_steps(golden, saved):
    end = int(golden["terminal"].argmax())
    assert not golden["score"][:end].any()
    forced = {"forced_score_step": np.array([0, 40]), "forced_score": np.array([98, 7])}
    report = verify(saved(golden | forced))
    assert report.first_difference == "step 0: score: expected 0, got 98"
    assert report.differing_steps == end + 1, "on the crash c_score differs"
    assert report.differing_frames > 30
    scores = {name: golden[name].copy() for name in ("score", "c_score")}
    for name, last in (("score", end - 1), ("c_score", end)):
        scores[name][:40] = 98
        scores[name][40 : last + 1] = 7
    assert verify(saved(golden | forced | scores)).differing_steps == 0


def test_a_recording_can_begin_in_the_middle_of_an_episode(golden, saved):
    sim = VecFlap(1, stream=golden["gap_draws"])
    t = -1
    while t < 0 or sim.games.wing_cycle[0] != 0 or sim.games.pipes[0] != 3:
        t += 1
        sim.step(golden["action"][t : t + 1])
    assert sim.games.age[0] > 9
    tail = {
        name: array[t + 1 :] if len(array) == 400 else array for name, array in golden.items() if array.shape
    }
    tail |= {f"init_{name}": golden[name][t : t + 1] for name in tracefile.STATE}
    tail["init_draws"] = sim.games.draws[0]
    assert verify(saved(tail)) == Report(399 - t, 0, 0, None)


def test_without_an_init_state_the_game_begins_anew(golden, saved):
    assert verify(saved({name: a for name, a in golden.items() if not name.startswith("init_")}))[1:3] == (
        0,
        0,
    )


def test_gaps_that_are_not_played_are_not_needed(golden, saved):
    used = golden["gap_draws"][: 2 + 2 * int(golden["terminal"].sum()) + int((golden["npipes"] == 3).sum())]
    sim = VecFlap(1, stream=used)
    for flap in golden["action"]:
        sim.step([flap])
    enough = golden["gap_draws"][: sim.games.draws[0]]
    assert verify(saved(golden | {"gap_draws": enough}))[1:3] == (0, 0)
    with pytest.raises(ValueError, match=rf"gap_draws has {len(enough) - 1}, step \d+ needs {len(enough)}"):
        verify(saved(golden | {"gap_draws": enough[:-1]}))
