"""Selections in a process of their own: the same as in a thread, and gone when training is."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import pytest
from tiny import same, tensors, trained, unclocked

from vecflap import helper, judge, selection
from vecflap.evaluate import Scores, load
from vecflap.selection import Apart, Beside, Selection

BIRD = load("flap7")
CONFIG = replace(BIRD.config, rules="hard", gap=90, threads=1)  # which it has not learned
WEIGHTS = BIRD.network.state_dict()
LIMITS = 20, 5, 20  # games, pipes, most deaths


@pytest.fixture(autouse=True)
def always_worth_a_process(monkeypatch):
    monkeypatch.setattr(selection, "MANY", 1)
    monkeypatch.setattr(helper, "CORES", 2)


def wait_until(done) -> bool:
    """Whether it is so within 20 seconds."""
    for _ in range(2_000):
        if done():
            return True
        time.sleep(0.01)
    return False


def test_a_process_finds_what_a_thread_finds(monkeypatch):
    apart, beside, found = Selection(CONFIG, *LIMITS), Selection(CONFIG, *LIMITS), []
    with contextlib.closing(apart), contextlib.closing(beside):
        for seed in (0, 1):
            for it, many in ((apart, 1), (beside, 1_000)):
                monkeypatch.setattr(selection, "MANY", many)
                it.begin(WEIGHTS, seed)
                it.grant(5)
                assert it.scores() is None
                found.append(it.finish())
                assert (it.scores(), it.plays, it.rows) == (None, False, 1_005)
        assert isinstance(apart._judge, Apart)
        assert isinstance(beside._judge, Beside)
    for one, other in (found[:2], found[2:]):
        assert one.rows == other.rows > 5
        np.testing.assert_array_equal(one.pipes, other.pipes)
    assert (found[0].pipes != found[2].pipes).any(), "other games"


def test_a_run_has_the_same_bits(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(selection, "Apart", lambda *about: begun.append(Apart(*about)) or begun[-1])
    options = {"steps": 800, "precision": "float32"}
    one = trained(tmp_path / "a", **options).folder
    assert len(begun) == 1
    assert begun[0]._process.returncode == -signal.SIGKILL, "it is gone when the run is over"
    monkeypatch.setattr(selection, "MANY", 1_000)
    other = trained(tmp_path / "b", **options).folder
    assert len(begun) == 1
    assert unclocked(one) == unclocked(other)
    assert sum("deaths" in line for line in unclocked(one)) > 1
    assert all(same(tensors(one, name=name), tensors(other, name=name)) for name in ("last", "best"))


def judged(apart: Apart, weights: dict) -> None:
    """Have a row played, twice: what is sent to a process that has ended may still find room."""
    for _ in range(2):
        apart.begin(weights, 0)
        apart.play(1)
        apart.wait()


def test_what_goes_wrong_in_the_process_ends_the_run():
    with (
        contextlib.closing(Apart(CONFIG, *LIMITS)) as apart,
        pytest.raises(RuntimeError, match="Missing key"),
    ):
        judged(apart, {})


def test_a_process_that_was_stopped_is_told_of_in_one_line():
    with contextlib.closing(Apart(CONFIG, *LIMITS)) as apart:
        apart._process.kill()
        with pytest.raises(OSError, match="status -9") as told:
            judged(apart, {})
    assert "\n" not in str(told.value)


def test_a_lost_selection_ends_once_training_looks():
    """Until then it goes on, for its deaths are learned from."""
    one, other = judge.Judge(CONFIG, 20, 5, 0), judge.Judge(CONFIG, 20, 5, 19)
    found = []
    for it in (one, other):
        it.begin({name: tensor.numpy() for name, tensor in WEIGHTS.items()}, 0)
        scores, grants = None, 0
        while scores is None:
            scores, grants = it.play(10), grants + 1
        found.append((scores, grants))
    (lost, looked), (whole, longer) = found
    assert looked < longer
    assert 0 < lost.deaths <= judge.MORE < whole.deaths, "with more it would have ended anyway"
    assert (lost.pipes <= whole.pipes).all()
    assert 0 < len(lost.ends) <= lost.deaths


def test_the_process_ends_with_training_however_that_ends():
    source = f"""
        import os, time
        from vecflap.config import Config
        from vecflap.selection import Apart
        apart = Apart(Config(**{CONFIG.to_json()!r}), 20, 200, 20)
        print(apart._process.pid, flush=True)
        time.sleep(60)
    """
    code = [sys.executable, "-c", textwrap.dedent(source)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as training:
        pid = int(training.stdout.readline())
        os.kill(pid, 0)  # it is there
        training.kill()

    def gone() -> bool:
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().split()[2] == "Z"  # nobody waits for it any more
        except FileNotFoundError:
            return True

    assert wait_until(gone)


def test_the_helper_helps_once_training_waits(monkeypatch):
    began, helped = threading.Event(), []

    def match(*args, helper, **options):
        helped.append(helper.idle())
        began.set()
        for _ in range(2_000):
            if helper.idle():
                return Scores(np.zeros(3), 2, 1, 2)
            time.sleep(0.01)
            yield 0

    def serve() -> None:
        with contextlib.suppress(EOFError):
            judge.serve(theirs)

    monkeypatch.setattr(judge, "match", match)
    ours, theirs = Pipe()
    serving = threading.Thread(target=serve)
    serving.start()
    ours.send((CONFIG, *LIMITS))
    for _ in range(2):
        ours.send(({name: tensor.numpy() for name, tensor in WEIGHTS.items()}, 0))
        ours.send(10_000)
        assert began.wait(20)
        assert not ours.poll(0.1), "it goes on while training does"
        ours.send("wait")
        assert ours.recv() is not None
        ours.send("wait")  # too late: nobody waits when the next one begins
        began.clear()
    assert helped == [False, False]
    ours.close()
    serving.join(20)
    assert not serving.is_alive()
