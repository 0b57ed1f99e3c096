"""Recordings that vecflap makes of itself."""

import numpy as np
import pytest
from twins import differences

from vecflap.rules import RULES, Rules
from vecflap.traces import Report, record, verify


def test_unknown_rules_are_refused(golden, saved, tmp_path):
    with pytest.raises(ValueError, match="Choose from: flap7, flap9"):
        verify(saved(golden), "flap8")
    with pytest.raises(ValueError, match="Choose from: flap7, flap9"):
        record(tmp_path / "r.npz", "flap8")
    with pytest.raises(ValueError, match="--steps 0"):
        record(tmp_path / "r.npz", steps=0)
    assert not (tmp_path / "r.npz").exists()


PLAIN = [RULES[name] for name in ("flap7", "flap9", "easy", "medium")]


@pytest.mark.parametrize("rules", [*PLAIN, Rules(-8, 120, True)])
def test_what_is_recorded_is_verified_and_is_the_twins(tmp_path, rules):
    path = tmp_path / "ours.npz"
    record(path, rules, steps=1500, seed=8)
    assert verify(path, rules) == Report(1500, 0, 0, None)
    assert [file.name for file in tmp_path.iterdir()] == ["ours.npz"]
    trace = dict(np.load(path, allow_pickle=False))
    assert differences(trace, rules) == (0, 0)
    assert trace["terminal"].sum() > 5
    assert trace["score"].max() > 0
    assert (np.diff(trace["episode"]) == trace["terminal"][:-1]).all()
    kinds = [set(trace["kind"][trace["episode"] == e]) for e in range(trace["episode"].max() + 1)]
    assert {len(kind) for kind in kinds} == {1}, "one player an episode"
    shares = [trace["action"][trace["kind"] == kind].mean() for kind in range(5)]
    assert shares[3:] == [1, 0]
    assert 0.02 < shares[0] < 0.2 < shares[2] < 0.4
    assert (
        len(trace["gap_draws"])
        == 2 + 2 * trace["terminal"].sum() + (np.diff(trace["npipes"].astype(int)) == 1).sum()
    )


@pytest.mark.parametrize("rules", ["wide", "mixed"])
def test_rules_that_are_drawn_are_drawn_again(tmp_path, rules):
    record(tmp_path / "r.npz", rules, steps=500)
    assert verify(tmp_path / "r.npz", rules) == Report(500, 0, 0, None)


def test_a_recording_has_the_originals_arrays_and_types(tmp_path, golden):
    record(tmp_path / "ours.npz", steps=3)
    ours = np.load(tmp_path / "ours.npz")
    expected = {name: (array.dtype, array.shape[1:]) for name, array in golden.items() if name != "meta"}
    assert {name: (ours[name].dtype, ours[name].shape[1:]) for name in ours.files} == expected


def test_seeds_record_other_games_and_one_seed_the_same(tmp_path):
    def recorded(seed: int) -> dict:
        record(tmp_path / "r.npz", steps=200, seed=seed)
        return {name: array.tobytes() for name, array in np.load(tmp_path / "r.npz").items()}

    assert recorded(1) == recorded(1)
    assert recorded(1)["frame"] != recorded(2)["frame"]
