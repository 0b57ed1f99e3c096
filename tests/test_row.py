"""A row of which the host does nothing is a row of the loop, bit for bit."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import same, tensors, tiny, trained

from vecflap import draws
from vecflap.config import Config
from vecflap.explore import explore, explore_there
from vecflap.folder import load_config
from vecflap.replay import CUT
from vecflap.row import DeviceRow
from vecflap.run import Outcome, Run, View

NEVER = {"eval_every": 10**9, "log_every": 10**9, "save_every": 10**9}
RATES = {"lr_steps": 900, "eps_start": 0.5, "eps_steps": 700}


def played(config: Config) -> None:
    """Train in rows of DeviceRow's. On the CPU, VecFlap's memory will do."""
    run = Run(config, View())
    row = DeviceRow(run)
    while not run.reason:
        row.play()
        run.count()
        run.end_if(False)
    assert [int(run.replay.row_there), int(run.replay._drawn_there)] == [run.replay.row, run.replay.drawn]
    run.save()


KINDS = {
    "one update a row": {},
    "some rows without": {"steps_per_update": 12},
    "some with two, copies": {"steps_per_update": 6, "target_every": 24},
    "short games": {
        "eps_start": 1.0,
        "flap_chance": 0.2,
        "gap": 230,
        "short": 1.0,
        "short_pipes": 1,
        "steps": 1_600,
    },
    "article's network": {"network": "article", "steps": 320},
    "other returns, a ring that wraps": {"n_step": 1, "capacity": 160, "seed": 2**62},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_such_rows_ends_with_the_bits_of_the_loops(tmp_path, kind):
    changes = NEVER | RATES | {"steps": 800} | KINDS[kind]
    trained(tmp_path / "loop", **changes)
    played(tiny(tmp_path / "rows", **changes))
    ours, theirs = tensors(tmp_path / "rows"), tensors(tmp_path / "loop")
    assert int(theirs["updates"]) > 10
    assert kind != "short games" or bool((theirs["replay.term"] == CUT).any())
    assert same(ours, theirs)


def test_it_goes_on_from_a_checkpoint(tmp_path):
    changes = NEVER | RATES
    trained(tmp_path / "loop", **changes | {"steps": 640})
    trained(tmp_path / "rows", **changes | {"steps": 320})
    played(replace(load_config(tmp_path / "rows"), steps=640, resume=True))
    assert same(tensors(tmp_path / "rows"), tensors(tmp_path / "loop"))


@pytest.mark.parametrize("eps", [0.0, 0.001, 0.3, 1 / 3, 1.0])
@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_device_explores_as_the_host_does(eps, seed):
    game, forced = torch.arange(500), np.empty(500, np.uint8)
    config = Config(seed=seed, envs=500, capacity=10_000, flap_chance=0.1, clumsy=0.5, missed=0.3)
    for row in (0, 7, 2**33):
        explore(forced, seed, draws.EXPLORE, row, eps, 0.1, 250, 0.3)
        there = explore_there(config, torch.tensor(row), game, torch.tensor(int(eps * 2**32)))
        assert there.dtype == torch.uint8
        assert there.tolist() == forced.tolist()
        glides, flaps = (forced == 0).reshape(2, 250).mean(1), (forced == 1).reshape(2, 250).mean(1)
        kept = np.array([0.7, 1.0])  # the first half misses flaps besides
        assert glides == pytest.approx(1 - kept * (1 - eps * 0.9), abs=0.12)
        assert flaps == pytest.approx(kept * eps * 0.1, abs=0.08)


class Launches(View):
    """Counts what the host queues in some rows of a run, of which each learns once."""

    first, last = 40, 60

    def tick(self, run: Run) -> None:
        if run.replay.row == self.first:
            kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
            self.profiler = torch.profiler.profile(activities=kinds)
            self.profiler.__enter__()
        if run.replay.row == self.last:
            self.profiler.__exit__(None, None, None)

    def end(self, outcome: Outcome | None) -> None:
        self.calls = Counter(event.name for event in self.profiler.events())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
def test_a_row_is_one_graph(tmp_path):
    """Besides, the host tells two numbers."""
    pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    view = Launches()
    trained(tmp_path / "a", view, device="cuda", sim="cuda", steps=8 * 80, learn_start=40, **NEVER)
    rows = view.last - view.first
    assert view.calls["cudaGraphLaunch"] == rows
    assert sum(n for name, n in view.calls.items() if "LaunchKernel" in name) <= 2 * rows


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
def test_the_gpu_counts_as_the_host_does(tmp_path):
    pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    played(tiny(tmp_path / "a", **NEVER | RATES | {"device": "cuda", "sim": "cuda", "target_every": 80}))
    played(replace(load_config(tmp_path / "a"), steps=800, resume=True))
    assert tensors(tmp_path / "a")["replay.counters"][0] == 100
