"""The training loop: it stores what was played, updates and lines come when they are due, it stops."""

import pytest
import torch
from tiny import metrics, tensors, trained

import vecflap
from vecflap import draws, loop, run
from vecflap.config import Config
from vecflap.dqn import Learner
from vecflap.presets import PRESETS
from vecflap.replay import CUT, STRAYED
from vecflap.run import Run, View


class Witness(View):
    """Sees every row: counts, and compares what the replay has of it with the games."""

    def __init__(self) -> None:
        self.crashes, self.flaps, self.scores, self.lines, self.ended = [], [], [], [], []
        self.cuts, self.longest, self.strayed = [], 0, 0

    def begin(self, run: Run) -> None:
        self.run, self.frame, self.age = run, run.sim.frame.clone(), run.lessons.age

    def tick(self, run: Run) -> None:
        replay, sim = run.replay, run.sim
        slot = (replay.row - 1) % replay.rows
        shown = {"frame": self.frame, "age": self.age, "rew": sim.rew}
        for name, tensor in shown.items():
            assert torch.equal(getattr(replay, name)[slot], tensor), name
        assert torch.equal(replay.act[slot] % STRAYED, sim.act)
        cut = (sim.term == 0) & (run.lessons.age == 0)
        assert torch.equal(replay.term[slot], sim.term + CUT * cut)
        self.cuts += sim.score[: run.config.short_games][cut[: run.config.short_games]].tolist()
        self.longest = max(self.longest, int(sim.games.score[: run.config.short_games].max(initial=0)))
        self.strayed += int((replay.act[slot] >= STRAYED).sum())
        self.frame, self.age = sim.frame.clone(), run.lessons.age
        self.crashes.append(int(sim.term.sum()))
        self.flaps.append(int(sim.act.sum()))
        self.scores += sim.score[sim.term == 1].tolist()

    def line(self, values: dict) -> None:
        self.lines.append(values)

    def end(self, outcome: run.Outcome | None) -> None:
        self.ended.append(outcome)


RANDOM = {"steps": 6_000, "learn_start": 10**9, "eps_start": 1.0, "eps_steps": 10**9, "eval_every": 10**9}


def multiples(every: int, first: int, last: int) -> int:
    """How many of the steps first + 1 .. last are multiples, one by one."""
    return sum(step % every == 0 for step in range(first + 1, last + 1))


def test_the_replay_holds_what_was_played_and_the_metrics_count_it(tmp_path):
    witness = Witness()
    short = {"gap": 230, "flap_chance": 0.1, "short": 0.5, "short_pipes": 1}
    outcome = trained(tmp_path / "a", witness, **RANDOM, **short)
    witness.run.replay.check()
    assert len(witness.cuts) > 5
    assert set(witness.cuts) == {1}
    assert witness.longest == 0, "a short game begins anew at once"
    assert witness.strayed > 300
    assert outcome._replace(seconds=0) == witness.ended[0]._replace(seconds=0)
    assert len(witness.crashes) == 750 > 2_048 / 8, "the ring wraps"
    assert sum(witness.crashes) > 20
    lines = [line for line in metrics(tmp_path / "a") if "eps" in line]
    assert witness.lines == metrics(tmp_path / "a")
    rows = 0
    for line in lines:
        before, rows = rows, line["step"] // 8
        assert line["episodes"] == sum(witness.crashes[:rows])
        assert line["flap_share"] == sum(witness.flaps[before:rows]) / (8 * (rows - before))
        assert line["eps"] == pytest.approx(1 + (0.001 - 1) * line["step"] / 1e9)
    assert lines[-1]["score"] == sum(witness.scores[-100:]) / len(witness.scores[-100:])
    assert len(witness.scores) > 60
    assert outcome.updates == 0
    assert "loss" not in lines[-1]


@pytest.mark.parametrize(
    ("envs", "every", "start"), [(8, 3, 100), (8, 8, 100), (8, 20, 101), (3, 7, 50), (1, 1, 0)]
)
def test_updates_come_at_the_asked_ratio_from_the_asked_step_on(tmp_path, envs, every, start):
    rows = 300 // envs
    sizes = {"envs": envs, "capacity": 100 * envs, "batch": 2, "steps": rows * envs, "log_every": 1}
    outcome = trained(tmp_path / "a", steps_per_update=every, learn_start=start, **sizes)
    learning = [row for row in range(rows) if row * envs >= start and row >= 3]  # returns span 3 rows
    assert outcome.updates == sum(multiples(every, row * envs, row * envs + envs) for row in learning) > 0
    assert outcome.steps == rows * envs
    assert metrics(tmp_path / "a")[-1]["updates"] == outcome.updates


def test_the_target_network_is_copied_every_so_many_steps(tmp_path, monkeypatch):
    copies, follow = [], Learner.follow
    monkeypatch.setattr(Learner, "follow", lambda self, rate: (copies.append(rate), follow(self, rate)))
    trained(tmp_path / "a", steps=1_000, target_every=100, learn_start=0, steps_per_update=100)
    assert copies == [1.0] * 9 or copies == [1.0] * 10
    copies.clear()
    trained(tmp_path / "b", steps=200, target_rate=0.5, learn_start=0, steps_per_update=10)
    assert set(copies) == {0.5}


def test_learning_rate_misses_and_exploration_go_straight_to_their_ends(tmp_path, monkeypatch):
    rates, explored, missed = [], [], []
    update, explore, decide = Learner.update, loop.explore, Learner.decide
    monkeypatch.setattr(Learner, "decide", lambda s, *a: (missed.append(float(s.missed)), decide(s, *a))[1])
    monkeypatch.setattr(Learner, "update", lambda s, batch, lr: (rates.append(lr), update(s, batch, lr))[1])
    monkeypatch.setattr(loop, "explore", lambda *args: (explored.append(args[1:]), explore(*args)))
    ends = {"lr": 1e-2, "lr_end": 2e-3, "lr_steps": 200, "eps_start": 0.5, "eps_end": 0.1, "eps_steps": 160}
    ends |= {"missed": 0.1, "missed_end": 0.02}
    trained(tmp_path / "a", learn_start=24, seed=3, flap_chance=0.25, clumsy=0.75, **ends)
    seeds, purposes, rows, shares, *others = zip(*explored, strict=True)
    assert (set(seeds), set(purposes)) == ({3}, {draws.EXPLORE})
    assert [set(other) for other in others] == [{0.25}, {6}, {0.1}]
    assert rows == tuple(range(50))
    assert shares == pytest.approx([0.5 - 0.4 * min(row * 8 / 160, 1) for row in range(50)])
    assert missed == pytest.approx([0.1 - 0.08 * min(row * 8 / 200, 1) for row in range(50)])
    assert rates == pytest.approx([1e-2 - 8e-3 * min(row * 8 / 200, 1) for row in range(3, 50)])


def test_lines_and_selections_come_at_the_first_row_that_reaches_their_step(tmp_path):
    trained(tmp_path / "a", log_every=100, eval_every=75, learn_start=10**9)
    lines = metrics(tmp_path / "a")
    due = {every: [s for s in range(8, 401, 8) if s % every < 8] for every in (75, 100)}
    assert [line["judged"] for line in lines if "deaths" in line] == due[75] == [80, 152, 232, 304, 376]
    assert [line["step"] for line in lines if "deaths" in line] == [152, 232, 304, 376, 400]
    assert [line["step"] for line in lines if "eps" in line] == due[100] == [104, 200, 304, 400]
    at_304 = [("deaths" in line) for line in lines if line["step"] == 304]
    assert at_304 == [True, False]


@pytest.mark.parametrize("changes", [{"envs": 1, "steps": 110}, {"envs": 4, "steps": 116, "capacity": 2_000}])
def test_the_article_preset_trains(tmp_path, changes):
    article = {"batch": 8, "threads": 1, "device": "cpu", "log_every": 10, "out": tmp_path / "a"} | changes
    outcome = vecflap.train(Config(**(vars(PRESETS["article"]) | article)))
    assert outcome.updates == (3 if changes["envs"] == 1 else 5)
    assert metrics(tmp_path / "a")[-1]["loss"] > 0
    assert all(t.isfinite().all() for t in tensors(tmp_path / "a", "online.").values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
@pytest.mark.parametrize("sim", ["cpu", "cuda"])
def test_a_gpu_trains_with_the_same_counts(tmp_path, sim):
    if sim == "cuda":
        pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")
    on_gpu_too = {"precision": "float32", "sim": sim}  # a resumed run must not be told `auto`
    on_cpu, on_gpu = trained(tmp_path / "cpu"), trained(tmp_path / "gpu", device="cuda", **on_gpu_too)
    assert (on_cpu.steps, on_cpu.updates) == (on_gpu.steps, on_gpu.updates)
    resumed = trained(on_gpu.folder, steps=800, resume=True, device="cuda:0", **on_gpu_too)
    assert resumed.steps == 800
