"""On a GPU, acting and updating as CUDA graphs: the same work, nothing waits, and no crash where it fails."""

import subprocess
import sys

import pytest
import torch
from tiny import metrics, tensors, trained

from vecflap.graphs import WARM_UP, Captured
from vecflap.replay import STRAYED, Replay
from vecflap.run import Outcome, Run, View

CUDA = torch.device("cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device"),
]


def test_a_graph_does_what_its_function_does():
    total, calls = torch.zeros(3, device=CUDA), []

    def function(a, b):
        calls.append(1)
        total.add_(a)
        return total * b

    captured, expected = Captured(function, CUDA), torch.zeros(3)
    for number in range(10):
        a, b = torch.full((3,), float(number)), torch.arange(3.0) + number
        expected += a
        assert torch.equal(captured(a.to(CUDA), b.to(CUDA)).cpu(), expected * b), number
    assert len(calls) == WARM_UP + 1, "then only the graph"


FAILING = """
import warnings
import torch
from vecflap.graphs import WARM_UP, Captured

waits = Captured(lambda x: x * float(x.sum().item()), torch.device("cuda"))
fine = Captured(lambda x: x + 1, torch.device("cuda"))
x = torch.ones(2, device="cuda")
for _ in range(WARM_UP):
    assert waits(x).tolist() == [2, 2]
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    assert waits(x).tolist() == [2, 2]
assert waits(x + 1).tolist() == [8, 8]
for number in range(10):
    assert fine(x * number).tolist() == [number + 1] * 2
print([str(warning.message) for warning in said])
"""


def test_where_capturing_fails_a_warning_says_so_and_the_work_is_done():
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No CUDA graphs, so training is slower") == 1


@pytest.mark.parametrize("sim", ["cpu", "cuda"])
@pytest.mark.parametrize("network", ["compact", "article"])
def test_training_with_graphs_is_training_without(tmp_path, monkeypatch, network, sim):
    """All actions are random, so both learn from the same games."""
    if sim == "cuda":
        pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    flags = {"device": "cuda", "sim": sim, "network": network, "precision": "float32", "eps_start": 1.0}
    for name, graphs, updates in (("ours", True, 64), ("theirs", False, 64), ("begin", False, 10**6)):
        steps = {"steps": 600, "learn_start": 80, "eps_steps": 10**9, "steps_per_update": updates // 8}
        trained(tmp_path / name, graphs=graphs, **flags, **steps)
    ours, theirs, begin = (tensors(tmp_path / name) for name in ("ours", "theirs", "begin"))
    assert torch.equal(ours["updates"], theirs["updates"])
    for name, weights in theirs.items():
        if name in ("replay.frame", "replay.age", "replay.rew", "replay.term", "sim.games"):
            assert torch.equal(weights, ours[name]), name
        if name == "replay.act":  # which of them are the network's own choice too hangs on its weights
            assert torch.equal(weights % STRAYED, ours[name] % STRAYED)
        if name.startswith(("online.", "target.", "average.")) and weights.is_floating_point():
            if network == "article" and "bias" in name and "head" not in name:
                continue  # the true gradient of a bias before batch norm is 0: rounding moves it
            apart, moved = (weights - ours[name]).norm(), (weights - begin[name]).norm()
            assert moved > 0, name
            assert apart < 0.05 * moved, name


class NothingWaits(View):
    """From a row on, torch raises an error for every call that waits for the device."""

    rows = 0

    def begin(self, run: Run) -> None:
        """Copies of other memory would wait, unseen by torch."""
        outputs = (run.sim.frame, run.sim.age, run.sim.rew, run.sim.term, run.sim.act)
        assert all(output.is_cuda or output.is_pinned() for output in outputs)

    def tick(self, run: Run) -> None:
        self.rows += 1
        if self.rows in (30, 190):
            torch.cuda.set_sync_debug_mode("error" if self.rows == 30 else "default")

    def end(self, outcome: Outcome | None) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("sim", ["cpu", "cuda"])
def test_nothing_in_the_loop_waits(tmp_path, sim):
    if sim == "cuda":
        pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    never = {"eval_every": 10**9, "log_every": 10**9, "save_every": 10**9}
    view = NothingWaits()
    trained(tmp_path / "a", view, device="cuda", sim=sim, steps=1_600, learn_start=40, **never)
    assert view.rows == 200


@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_training_with_the_games_on_the_gpu_is_that_with_them_on_the_cpu(tmp_path, rules):
    pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    never_learning = {"learn_start": 10**9, "eps_start": 1.0, "eps_steps": 10**9, "eval_every": 10**9}
    for sim in ("cpu", "cuda"):
        trained(tmp_path / sim, device="cuda", sim=sim, rules=rules, steps=4_000, **never_learning)
    assert metrics(tmp_path / "cpu")[-1]["episodes"] == metrics(tmp_path / "cuda")[-1]["episodes"] > 0
    ours, theirs = (tensors(tmp_path / sim) for sim in ("cuda", "cpu"))
    for name in ours:
        if name.startswith(("replay.", "sim.")):
            assert torch.equal(ours[name], theirs[name]), name


def test_a_ring_of_16_million_steps_is_resident():
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("needs 12 GiB")
    replay = Replay(2048, 8192, device="cuda")
    assert replay.nbytes == 520 * 2**24
    with pytest.raises(ValueError, match="does not fit into cuda's free memory"):
        Replay(2**20, 8192, device="cuda")
