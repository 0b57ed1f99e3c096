"""VecFlap: the same games whatever their number and the threads, checked inputs, steady outputs."""

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numba.core.runtime import _nrt_python, rtsys
from twins import pixels, twin_of

from vecflap import draws
from vecflap.disturb import Disturb
from vecflap.physics import CLOSE, DRAWS, Games
from vecflap.players import careful
from vecflap.rules import RULES
from vecflap.sim import VecFlap

STEPS = 250
OUTPUTS = ("frame", "age", "rew", "term", "score")


def flaps(envs: int, t: int) -> np.ndarray:
    """Random actions; those of game i at step t do not depend on the number of games."""
    bits = draws.draw(np.full(1, 77, np.int64), draws.EXPLORE, np.arange(envs), t, 0)
    return draws.chance(bits, int(0.1 * 2**32)).astype(np.uint8)


def played(sim: VecFlap, steps: int = STEPS, start: int = 0) -> Iterator[list[np.ndarray]]:
    """All that there is to see of a sim after each of some steps."""
    for t in range(start, start + steps):
        sim.step(flaps(sim.envs, t))
        yield [sim.rows.copy()] + [getattr(sim, name).numpy().copy() for name in OUTPUTS]


def assert_same(ours: Iterator[list[np.ndarray]], others: Iterator[list[np.ndarray]], games: int) -> None:
    crashes = 0
    for t, (one, other) in enumerate(zip(ours, others, strict=True)):
        for a, b, name in zip(one, other, ("games", *OUTPUTS), strict=True):
            assert np.array_equal(a[:games], b[:games]), f"{name} differs after step {t}"
        crashes += one[4][:games].sum()
    assert crashes > 0


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("envs", [1, 64])
def test_a_game_is_the_same_whatever_the_number_of_games(rules, envs):
    assert_same(played(VecFlap(envs, rules, 3)), played(VecFlap(1000, rules, 3, threads=1)), envs)


@pytest.mark.parametrize(("envs", "threads"), [(1000, 2), (1000, 7), (64, 2), (7, 3), (2, 8)])
def test_a_game_is_the_same_on_any_number_of_threads(envs, threads):
    one, many = VecFlap(envs, threads=1), VecFlap(envs)
    many.threads = threads  # also where the machine has fewer
    many._point()
    assert one.threads == 1
    assert_same(played(one, 80), played(many, 80), envs)


@pytest.mark.parametrize("rules", ["flap7", "flap9", "wide"])
@pytest.mark.parametrize(("clearance", "envs", "skip"), [(1, 3, 1), (4, 300, 1), (7, 20, 2)])
def test_within_the_clearance_is_where_birds_would_crash_in_narrower_gaps(rules, clearance, envs, skip):
    """All else is as without. A twin with narrower gaps is set to the same place before every frame."""
    told, plain = VecFlap(envs, rules, 5, clearance=clearance, skip=skip), VecFlap(envs, rules, 5, skip=skip)
    narrow, rewards = VecFlap(envs, rules, 6), set()
    for t in range(STEPS):
        act = np.zeros(envs, np.uint8)
        careful(told.rows, act)
        act[::2] ^= flaps(envs, t)[::2]
        narrow.state[:] = told.state
        narrow.games.gap_y[:] += clearance
        narrow.games.gap[:] -= 2 * clearance
        close, over = np.zeros(envs, bool), np.zeros(envs, bool)
        for frame in range(skip):
            narrow.step(act if frame == 0 else np.zeros_like(act))
            close |= (narrow.term == 1).numpy() & ~over
            over |= close
        for sim in (told, plain):
            sim.step(act)
        for name in ("frame", "age", "term", "score"):
            assert torch.equal(getattr(told, name), getattr(plain, name)), (name, t)
        expected = torch.where(plain.term == 1, -1, plain.rew + CLOSE * torch.from_numpy(close))
        assert torch.equal(told.rew.long(), expected.long()), t
        rewards |= set(told.rew.tolist())
    assert rewards >= {-1, 0, 1, CLOSE}


def test_threads_are_limited_by_the_machine_and_the_games():
    assert VecFlap(1, threads=64).threads == 1
    assert VecFlap(255).threads == 1
    assert VecFlap(5000).threads == VecFlap(5000, threads=9999).threads


def test_seeds_and_purposes_play_other_games():
    one = VecFlap(64, seed=1).games.gap_y
    assert (one == VecFlap(64, seed=1).games.gap_y).all()
    assert (one != VecFlap(64, seed=2).games.gap_y).any()
    assert (one != VecFlap(64, seed=1, purpose=draws.GAPS_EXAM).games.gap_y).any()


def test_games_of_one_sim_have_gaps_of_their_own():
    assert len(np.unique(VecFlap(64).games.gap_y[:, :2], axis=0)) > 20


def test_outputs_are_what_their_numpy_views_show_and_stay_where_they_are():
    sim = VecFlap(64)
    views = {name: getattr(sim, name).numpy() for name in ("act", *OUTPUTS)}
    places = {name: getattr(sim, name).data_ptr() for name in views}
    before = {name: view.copy() for name, view in views.items()}
    sim.games.score[:] = 5
    sim.games.bird_y[0] = 379  # crashes
    sim.step(np.arange(64) % 2)
    for name, view in views.items():
        assert getattr(sim, name).data_ptr() == places[name] == view.ctypes.data
        assert (view != before[name]).any(), name
    views["act"][:] = 1
    sim.step()
    assert (sim.games.bird_vy[sim.term.numpy() == 0] == -7).all(), "step() did not play sim.act"


def test_outputs_have_the_promised_types():
    sim = VecFlap(3)
    expected = {
        "act": (torch.uint8, (3,)),
        "frame": (torch.int64, (3, 64)),
        "age": (torch.uint8, (3,)),
        "rew": (torch.int8, (3,)),
        "term": (torch.uint8, (3,)),
        "score": (torch.int32, (3,)),
    }
    assert {
        name: (getattr(sim, name).dtype, tuple(getattr(sim, name).shape)) for name in expected
    } == expected
    assert (sim.state.shape, sim.rows.shape, sim.ranges.shape) == ((16, 3), (3, 16), (3, 12))
    assert {sim.state.dtype, sim.rows.dtype, sim.ranges.dtype} == {np.dtype(np.int32)}


def test_age_is_cut_at_255_and_0_after_a_crash():
    sim = VecFlap(3)
    sim.games.age[:] = 253
    sim.games.bird_y[2] = 379
    ages = []
    for _ in range(4):
        sim.step([0, 0, 0])
        ages.append(sim.age.tolist())
    assert ages == [[254, 254, 0], [255, 255, 1], [255, 255, 2], [255, 255, 3]]
    assert sim.games.age.tolist() == [257, 257, 3]
    sim.draw()
    assert sim.age.tolist() == [255, 255, 3]


def test_a_state_dict_goes_on_as_if_nothing_had_happened():
    sim = VecFlap(64, seed=4)
    assert sum(seen[4].sum() for seen in played(sim, 100)) > 0
    saved = sim.state_dict()
    frame, age = sim.frame.clone(), sim.age.clone()
    after = list(played(sim, 100, start=100))
    other = VecFlap(64, seed=4)
    other.load_state_dict(saved)
    assert torch.equal(other.frame, frame)
    assert torch.equal(other.age, age)
    assert_same(iter(after), played(other, 100, start=100), 64)
    assert_same(iter(after), after_loading(sim, saved), 64)  # `saved` is a copy that playing on left alone


def after_loading(sim: VecFlap, state: dict[str, torch.Tensor]) -> Iterator[list[np.ndarray]]:
    sim.load_state_dict(state)
    return played(sim, 100, start=100)


BAD_ACTS = {
    "too few": ([0, 1], r"shape \[2\], needed is \[3\]"),
    "too many": (np.zeros(4, np.uint8), r"shape \[4\], needed is \[3\]"),
    "a column": (torch.zeros(3, 1), r"shape \[3, 1\]"),
    "one number": (1, r"shape \[\]"),
    "a two": ([0, 2, 1], "values other than 0"),
    "minus one": (torch.tensor([0, -1, 1]), "values other than 0"),
    "a share": ([0.0, 0.5, 1.0], "values other than 0"),
    "not a number": (np.array([0, 1, np.nan]), "values other than 0"),
    "256": (np.array([0, 256, 1]), "values other than 0"),
    "text": (["0", "1", "0"], "not an array of 0 and 1"),
    "objects": (np.array([0, None, 1], object), "not an array of 0 and 1"),
    "ragged": ([0, [1], 0], "not an array of 0 and 1"),
}


@pytest.mark.parametrize(("act", "message"), BAD_ACTS.values(), ids=BAD_ACTS)
def test_bad_actions_are_refused_and_nothing_is_played(act, message):
    sim = VecFlap(3)
    sim.step([1, 0, 1])
    before = [sim.rows.copy()] + [getattr(sim, name).clone() for name in ("act", *OUTPUTS)]
    with pytest.raises(ValueError, match=message):
        sim.step(act)
    after = [sim.rows] + [getattr(sim, name) for name in ("act", *OUTPUTS)]
    assert all(bool((a == b).all()) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "act", [[1, 0, 1], (True, False, True), np.array([1.0, 0, 1]), torch.tensor([1, 0, 1])]
)
def test_any_array_of_0_and_1_is_an_action(act):
    sim = VecFlap(3)
    sim.step(act)
    assert sim.act.tolist() == [1, 0, 1]
    assert sim.games.bird_vy.tolist() == [-7, 1, -7]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"envs": 0}, "envs=0: at least one game"),
        ({"envs": -4}, "envs=-4"),
        ({"envs": 1, "rules": "flap8"}, "'flap8' is unknown. Choose from: flap7, flap9, easy"),
        ({"envs": 4, "buffers": 0}, "buffers=0"),
        ({"envs": 4, "skip": 0}, "skip=0"),
        ({"envs": 4, "clearance": -1}, "clearance=-1"),
        ({"envs": 4, "threads": 0}, "threads=0"),
        ({"envs": 4, "threads": -1}, "threads=-1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        VecFlap(**arguments)


@pytest.mark.parametrize("envs", [1, 2, 4])
def test_a_state_of_another_number_of_games_is_refused(envs):
    with pytest.raises(ValueError, match=f"of {envs} games, these are 3"):
        VecFlap(3).load_state_dict(VecFlap(envs).state_dict())


def test_outputs_can_be_the_callers_memory():
    ours, theirs = VecFlap(20, seed=5, final=True), VecFlap(20, seed=5, final=True)
    memory = {
        "frame": np.full((20, 64), 7, np.uint64),
        "final": torch.full((20, 64), 7),
        "rew": np.full(20, 7, np.int8),
        "score": torch.full((20,), 7, dtype=torch.int32),
    }
    ours.bind(**memory)
    assert (memory["frame"].view(np.int64) == theirs.frame.numpy()).all(), "what is there comes along"
    assert ours.final is memory["final"]
    crashes = 0
    for t in range(100):
        for sim in (ours, theirs):
            sim.step(flaps(20, t))
        for name, array in memory.items():
            assert (np.asarray(array).astype(np.int64) == getattr(theirs, name).numpy()).all()
            assert getattr(ours, name).data_ptr() == torch.as_tensor(np.asarray(array)).data_ptr()
        crashes += int(ours.term.sum())
    assert crashes > 20


READ_ONLY = np.zeros((3, 64), np.int64)
READ_ONLY.flags.writeable = False
BAD_OUTPUTS = {
    "of another type": ({"frame": np.zeros((3, 64))}, r"frame is float64 \[3, 64\]: needed is a contiguous"),
    "too small": ({"frame": np.zeros((2, 64), np.int64)}, r"frame is int64 \[2, 64\]"),
    "read-only": ({"frame": READ_ONLY}, "frame is read-only"),
    "with strides": ({"frame": np.zeros((3, 128), np.int64)[:, ::2]}, r"frame has strides \[1024, 16\]"),
    "on another device": ({"rew": torch.zeros(3, dtype=torch.int8, device="meta")}, "rew is on meta"),
    "no array": ({"age": [0, 0, 0]}, "age is no array"),
    "no output": ({"act": np.zeros(3, np.uint8)}, "'act' is no output. Outputs are: frame, final, age, rew"),
    "one good, one bad": ({"frame": np.ones((3, 64), np.int64), "rew": 1}, "rew is no array"),
}


@pytest.mark.parametrize(("memory", "message"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_bad_outputs_are_refused_and_nothing_changes(memory, message):
    sim, other = VecFlap(3), VecFlap(3)
    places = {name: getattr(sim, name).data_ptr() for name in OUTPUTS}
    with pytest.raises(ValueError, match=message):
        sim.bind(**memory)
    assert places == {name: getattr(sim, name).data_ptr() for name in OUTPUTS}
    assert_equal_after_steps(sim, other)


def assert_equal_after_steps(sim: VecFlap, other: VecFlap) -> None:
    for t in range(30):
        for one in (sim, other):
            one.step(flaps(sim.envs, t))
        assert (sim.rows == other.rows).all()
        assert torch.equal(sim.frame, other.frame)


@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_the_final_picture_is_the_one_at_the_crash(rules):
    sim, crashes = VecFlap(30, rules, seed=7, final=True), 0
    for t in range(80):
        twins = [twin_of(sim, i) for i in range(30)]
        act = flaps(30, t)
        sim.step(act)
        frames = pixels(sim.final.numpy())
        for i in np.flatnonzero(sim.term.numpy()):
            twins[i].step(int(act[i]))
            assert (frames[i] == twins[i].crash["frame"]).all()
            crash = Games.of(sim.crashes)
            assert (crash.bird_y[i], crash.score[i]) == (twins[i].crash["bird_y"], twins[i].crash["score"])
            assert crash.pipe_x[i, : crash.pipes[i]].tolist() == [x for x, _ in twins[i].crash["pipes"]]
            crashes += 1
    assert crashes > 20
    assert VecFlap(30).final.shape == (0, 64)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_asynchronous_step_is_a_step(threads):
    ours, theirs = VecFlap(600, seed=9), VecFlap(600, seed=9, threads=1)
    ours.threads = threads
    ours._point()
    for t in range(40):
        act = flaps(600, t)
        ours.step_async(act)
        act[:] = 1 - act  # the caller may go on with its memory
        theirs.step(1 - act)
        ours.step_wait()
        assert (ours.rows == theirs.rows).all()
        assert torch.equal(ours.frame, theirs.frame)
        assert torch.equal(ours.act, theirs.act)
    ours.act.fill_(1)
    ours.step_async()
    ours.step_wait()
    assert (ours.games.bird_vy[ours.term.numpy() == 0] == -7).all()


def test_the_caller_goes_on_while_the_games_play():
    sim = VecFlap(100_000, threads=1)
    sim.step()
    began = threading.Event()
    sim._play, play = (lambda given: (began.set(), play(given))[1]), sim._play
    sim.step_async()
    assert began.wait(10)
    assert not sim._playing.done(), "the step was over before the caller went on"
    sim.step_wait()
    assert sim.games.age.max() == 2


def test_while_a_step_is_played_nothing_else_is_allowed():
    sim = VecFlap(4)
    with pytest.raises(ValueError, match="no step was begun by step_async"):
        sim.step_wait()
    sim.step_async()
    for call in (sim.step, sim.step_async, sim.draw, sim.restart, sim.state_dict, sim.bind):
        with pytest.raises(ValueError, match=r"call step_wait\(\) first"):
            call()
    sim.step_wait()
    sim.step()
    assert sim.games.age.tolist() == [2] * 4


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_two_sims_may_play_on_threads_at_once_in_every_threading_layer(layer):
    program = """
import threading, numpy as np
from vecflap import VecFlap
sims = [VecFlap(2000, seed=s) for s in (1, 1)]
for sim in sims:
    sim.threads = 2
    sim._point()

def play(sim):
    for t in range(150):
        sim.step_async(np.full(2000, t % 16 == 0))
        sim.step_wait()

threads = [threading.Thread(target=play, args=(sim,)) for sim in sims]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert (sims[0].rows == sims[1].rows).all() and sims[0].games.draws.max() > 2
print("played")
"""
    env = os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "played\n"), done.stderr


def test_games_can_be_restarted_and_reseeded():
    sim = VecFlap(30, seed=2)
    list(played(sim, 20))
    before, which = sim.rows.copy(), np.arange(30) % 3 == 0
    sim.restart(which)
    assert (sim.rows[~which] == before[~which]).all()
    assert (sim.games.age[which] == 0).all()
    assert (sim.games.draws[which] == before[which, DRAWS] + 2).all(), "with gaps of their own"
    assert (sim.age.numpy() == sim.games.age).all()
    drawn = sim.frame.clone()
    sim.draw()
    assert (sim.frame == drawn).all(), "and their pictures"
    sim.restart(seed=4)
    other = VecFlap(30, seed=4)
    assert (sim.rows == other.rows).all()
    assert_equal_after_steps(sim, other)
    with pytest.raises(ValueError, match="shape"):
        sim.restart([1, 0])


@pytest.mark.parametrize("buffers", [2, 3])
@pytest.mark.parametrize("disturb", [Disturb(), Disturb(flip=0.01)])
def test_frames_stay_in_other_buffers_while_steps_go_on(buffers, disturb):
    sim, twin = (VecFlap(50, buffers=b, disturb=disturb) for b in (buffers, 1))
    seen = [(sim.frame, twin.frame.clone())]
    for t in range(60):
        act = np.arange(50) % 20 == t % 20
        if t == 20:
            sim.turn()  # a copy, so that what was seen last stays when games restart
            seen.append((sim.frame, twin.frame.clone()))
            sim.restart(act)
            twin.restart(act)
            seen[-1] = (sim.frame, twin.frame.clone())
        with pytest.raises(ValueError, match="values other than 0"):
            sim.step(np.full(50, 2))
        sim.step_async(act)
        assert (sim.frame == seen[-1][1]).all(), "the latest, while the next ones are drawn"
        sim.step_wait()
        twin.step(act)
        seen.append((sim.frame, twin.frame.clone()))
        for frame, expected in seen[-buffers:]:
            assert (frame == expected).all()
    assert len({frame.data_ptr() for frame, _ in seen}) == buffers
    mine = np.zeros_like(sim.frame)
    sim.bind(frame=mine)
    assert (mine == seen[-1][1].numpy()).all()
    sim.step(act)
    twin.step(act)
    assert (mine == seen[-1][1].numpy()).all(), "one of the buffers"
    assert (sim.frame == twin.frame).all()


def test_nothing_is_allocated_by_a_step():
    sim, act = VecFlap(64, threads=1), np.zeros(64, np.uint8)
    for _ in range(100):
        sim.step(act)
    tracemalloc.start()
    _nrt_python.memsys_enable_stats()
    try:
        for _ in range(2):  # the first round lets lists and caches reach their size
            before, numba_before = tracemalloc.take_snapshot(), rtsys.get_allocation_stats()
            for _ in range(10_000):
                sim.step(act)
            after = tracemalloc.take_snapshot()
        grown = sum(stat.size_diff for stat in after.compare_to(before, "filename"))
        numba_after = rtsys.get_allocation_stats()
    finally:
        tracemalloc.stop()
        _nrt_python.memsys_disable_stats()
    assert (numba_after.alloc, numba_after.mi_alloc) == (numba_before.alloc, numba_before.mi_alloc)
    assert grown < 20_000, "2 bytes a step"


def test_a_damaged_state_is_refused():
    sim = VecFlap(4)
    good = sim.state_dict()["games"]
    for row, value in ((0, -1), (0, 381), (2, 4), (2, -1), (6, 400), (6, -1), (9, -1), (10, -1), (14, -1)):
        bad = good.clone()
        bad[row, 2] = value
        with pytest.raises(ValueError, match="damaged"):
            sim.load_state_dict({"games": bad})
    assert torch.equal(sim.state_dict()["games"], good)


def test_a_state_at_the_edge_of_what_can_be_is_taken():
    sim = VecFlap(4)
    g, nothing_behind = sim.games, (7, 7, -32768)
    g.bird_y[:], g.wing_cycle[:], g.age[:], g.score[:] = (0, 380, 0, 380), (0, 3, 0, 3), 0, 0
    g.pipe_x[:], g.gap_y[:], g.gap[:] = (200, 344, 0), nothing_behind, (0, 0, 404 - 7, 100)
    other = VecFlap(4)
    other.load_state_dict(sim.state_dict())
    assert (other.rows == sim.rows).all()
    g.gap[2] += 1
    with pytest.raises(ValueError, match="damaged"):
        other.load_state_dict(sim.state_dict())
    g.gap[2], g.pipe_x[:, 0], g.gap_y[:] = 100, (5, 5, 5, 5), (0, 304, -1)
    other.load_state_dict(sim.state_dict())
    g.pipe_x[0, 0] = 4  # now there is a third pipe
    with pytest.raises(ValueError, match="damaged"):
        other.load_state_dict(sim.state_dict())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
def test_outputs_are_pinned_for_a_gpu():
    sim = VecFlap(8, pin=True)
    assert all(getattr(sim, name).is_pinned() for name in ("act", *OUTPUTS))
    sim.step(torch.ones(8, dtype=torch.uint8, device="cuda"))
    assert (sim.games.bird_vy == -7).all()
