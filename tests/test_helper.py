"""The helper: two halves at once where a core is idle, and the same bits where none is."""

import threading
from dataclasses import replace

import pytest
import torch
from test_dqn import make_batch
from tiny import CPU, same

from vecflap import draws, evaluate, helper
from vecflap.dqn import Learner
from vecflap.evaluate import load
from vecflap.explore import GREEDY
from vecflap.helper import Helper, always, never
from vecflap.presets import PRESETS
from vecflap.replay import Batch

FAST = replace(PRESETS["fast"], precision="float32")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(helper, "CORES", 2)


def test_both_halves_are_done_at_once_while_a_core_is_idle():
    meeting = threading.Barrier(2)

    def work(numbers: torch.Tensor) -> int:
        meeting.wait(20)
        return int(numbers.sum())

    assert Helper(always).halves(work, torch.arange(5)) == [0 + 1 + 2, 3 + 4]


@pytest.mark.parametrize(
    ("cores", "idle", "threads", "workers"),
    [(2, never, 1, 1), (1, always, 1, 1), (3, lambda: False, 1, 2), (3, never, 1, 1), (3, always, 2, 1)],
)
def test_a_single_core_is_never_idle_and_a_third_one_always(monkeypatch, cores, idle, threads, workers):
    monkeypatch.setattr(helper, "CORES", cores)
    seen = Helper(idle, threads).halves(lambda rows: threading.get_ident(), torch.arange(5))
    assert len(seen) == 2
    assert seen[0] == threading.get_ident()
    assert len(set(seen)) == workers


def test_a_single_row_has_no_halves():
    assert Helper(always).halves(lambda rows: rows.tolist(), torch.tensor([7])) == [[7]]


@pytest.mark.parametrize("failing", [0, 1])
def test_what_goes_wrong_in_either_half_is_told(failing):
    def work(rows: torch.Tensor) -> float:
        return 1 / int(rows[0] != failing)

    with pytest.raises(ZeroDivisionError):
        Helper(always).halves(work, torch.arange(2))


@pytest.mark.parametrize("preset", ["fast", "article"])
def test_a_learner_comes_to_the_same_bits_with_and_without(preset):
    config = replace(PRESETS[preset], precision="float32")
    learners = Learner(config, CPU, Helper(always)), Learner(config, CPU)
    batch, forced = make_batch(31), torch.full((31,), GREEDY, dtype=torch.uint8)
    wrong, choices = [], []
    for learner in learners:
        wrong.append(torch.stack([learner.update(batch, 1e-3)[1] for _ in range(3)]))
        choices.append(learner.act(batch.obs, forced))
    assert torch.equal(*wrong)
    assert all(map(torch.equal, *choices))
    assert same(*(learner.state_dict() for learner in learners))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
def test_on_cuda_nobody_helps():
    """Else half of the optimiser's step would be missing in the graph."""
    device = torch.device("cuda")
    learners = Learner(FAST, device, Helper(always)), Learner(FAST, device)
    batch = Batch(*(tensor.to(device) for tensor in make_batch(31)))
    for _ in range(6):
        wrong = [learner.update(batch, 1e-3)[1].clone() for learner in learners]
    torch.testing.assert_close(*wrong)
    assert not learners[0].helper.idle()


def test_gradients_of_halves_add_up_to_those_of_the_whole():
    learner, batch = Learner(replace(FAST, clip=0.0, lr=0.0), CPU, Helper(always)), make_batch(31)
    whole = learner._learn_from(31, learner._follower(), *batch)
    _, wrong = learner.update(batch, 0.0)
    torch.testing.assert_close(wrong, whole.wrong)
    for weight, gradient in zip(learner.online.parameters(), whole.grads, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-7)
    meter = learner.read_meter()
    torch.testing.assert_close(torch.tensor(meter[:3]), whole.sums.detach().float(), rtol=1e-4, atol=1e-6)


def test_birds_play_the_same_with_and_without():
    policy = load("flap7")
    options = {"seed": 3, "epsilon": 0.02, "purpose": draws.GAPS_SELECT}
    ours, theirs = (
        evaluate.evaluate(policy, policy.config, 30, 8, helper=hand, **options)
        for hand in (Helper(always), None)
    )
    assert 0 < ours.deaths == theirs.deaths
    assert ours.pipes.tolist() == theirs.pipes.tolist()
