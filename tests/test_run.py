"""A run's folder, how it begins and ends, and which policy it keeps."""

import json
import os
import subprocess
import sys

import pytest
import torch
from tiny import metrics, same, tensors, tiny, trained, unclocked

import vecflap
from vecflap import run
from vecflap.evaluate import Scores
from vecflap.run import Run, View


def test_a_run_leaves_a_complete_folder(tmp_path):
    config = tiny(tmp_path / "deep" / "a")
    outcome = vecflap.train(config)
    names = {"config.json", "manifest.json", "metrics.jsonl", "best.safetensors", "last.safetensors"}
    assert {path.name for path in outcome.folder.iterdir()} == names
    assert outcome.folder == config.out
    assert outcome.reason == "steps"
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    assert manifest["versions"]["torch"] == torch.__version__
    assert (manifest["device"], manifest["threads"], manifest["gpu"]) == ("cpu", 1, None)
    saved = vecflap.load_config(str(outcome.folder))
    assert saved.precision in ("float32", "bfloat16")
    assert saved.out == config.out
    policy = vecflap.load(outcome.folder)
    assert same(policy.network.state_dict(), tensors(outcome.folder, "online.", "best"))
    assert policy.act(torch.zeros(3, 4, 64, dtype=torch.int64)).tolist() in ([0, 0, 0], [1, 1, 1])


def test_an_existing_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"--out .*a is there already.*--resume"):
        trained(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())


def test_without_out_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [str(trained(None, steps=8).folder) for _ in range(2)]
    assert folders == ["runs/flap7-fast-1", "runs/flap7-fast-2"]


def test_init_begins_with_the_given_weights_and_nothing_else(tmp_path):
    first = trained(tmp_path / "a")
    for name, given in (("b", first.folder), ("c", first.folder / "last.safetensors")):
        weights = tensors(first.folder, "online.", "best" if name == "b" else "last")
        trained(tmp_path / name, steps=8, seed=5, init=given)
        for network in ("online.", "target."):
            assert same(tensors(tmp_path / name, network), weights), network
        assert not tensors(tmp_path / name, "adam.")
        assert int(tensors(tmp_path / name)["updates"]) == 0


def test_weights_of_another_network_are_refused_before_anything_is_written(tmp_path):
    trained(tmp_path / "a", steps=8)
    with pytest.raises(
        ValueError, match=r"last\.safetensors holds the weights of another network than Article"
    ):
        trained(tmp_path / "b", network="article", init=tmp_path / "a")
    assert not (tmp_path / "b").exists()


def test_a_run_stops_when_its_time_is_up(tmp_path):
    outcome = trained(tmp_path / "a", steps=10**9, time_limit=0.7, eval_every=10**9)
    assert outcome.reason == "time_limit"
    assert 0.7 <= outcome.seconds < 20
    assert 0 < outcome.steps == int(tensors(outcome.folder)["replay.counters"][0]) * 8


class Judge:
    """Stands in for evaluate: gives the games of each call as many pipes as it is told, up to the limit."""

    def __init__(self, *pipes: float) -> None:
        self.pipes, self.asked = list(pipes), []

    def __call__(self, policy, rules, games, limit, *, seed, purpose) -> Scores:
        self.asked.append((games, limit, seed, purpose))
        return Scores(torch.full((games,), min(self.pipes.pop(0), limit)).numpy(), limit)


def test_a_run_ends_once_no_bird_of_a_test_dies(tmp_path, monkeypatch):
    judge = Judge(1, 2, 3, 9, 9)  # selection; selection and test; selection and test
    monkeypatch.setattr(run, "evaluate", judge)
    outcome = trained(tmp_path / "a", steps=10**9, eval_games=3, test_games=5)
    assert (outcome.reason, outcome.steps, outcome.best, outcome.best_step) == ("good", 600, 4.0, 600)
    selection, test = (3, 2, 0, 2), (5, 4, 0, 2)
    assert judge.asked == [selection, selection, test, selection, test]
    lines = [line for line in metrics(tmp_path / "a") if "select" in line]
    assert [line["select"] for line in lines] == [1, 2, 2]
    assert [line.get("test_survived") for line in lines] == [None, 0.0, 1.0]


@pytest.mark.parametrize(
    ("until", "died", "reason"),
    [("good", 1, "good"), ("good", 2, "steps"), ("solved", 1, "steps"), ("solved", 0, "solved")],
)
def test_a_good_bird_may_lose_one_game_of_ten(tmp_path, monkeypatch, until, died, reason):
    def judge(policy, rules, games, limit, **_) -> Scores:
        pipes = torch.full((games,), limit).numpy()
        if limit == 4:
            pipes[:died] = 0
        return Scores(pipes, limit)

    monkeypatch.setattr(run, "evaluate", judge)
    outcome = trained(tmp_path / "a", until=until, test_games=10)
    assert (outcome.reason, outcome.steps) == (reason, 400 if reason == "steps" else 200)
    assert outcome.best == 4 * (10 - died) / 10


def test_until_steps_goes_on_with_a_good_bird(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "evaluate", Judge(*[9] * 4))
    outcome = trained(tmp_path / "a", until="steps")
    assert (outcome.reason, outcome.steps, outcome.best) == ("steps", 400, 4.0)


def test_the_best_policy_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "evaluate", Judge(0.25, 1.5, 1.5, 1, 0.75))
    seen = {}

    class Keeper(View):
        def tick(self, run: Run) -> None:
            seen[run.step] = {name: t.clone() for name, t in run.learner.online.state_dict().items()}

    outcome = trained(tmp_path / "a", Keeper(), steps=1_000)
    assert (outcome.best, outcome.best_step) == (1.5, 600), "of two as good, the later"
    assert same(tensors(outcome.folder, "online.", "best"), seen[600])
    assert not same(seen[400], seen[600])


def test_another_seed_gives_another_run(tmp_path):
    one, other = (trained(tmp_path / str(seed), seed=seed).folder for seed in (0, 1))
    assert unclocked(one) != unclocked(other)
    ours, theirs = (tensors(folder) for folder in (one, other))
    for name in ("sim.games", "replay.frame", "replay.act", "online.conv1.weight", "target.head.weight"):
        assert not torch.equal(ours[name], theirs[name]), name


THREADS = """
import torch
torch.set_num_threads(1)
from vecflap.sim import VecFlap
for envs in (8, 600):
    sim = VecFlap(envs)
    sim.step()
    print(sim.threads, torch.get_num_threads())
"""


def test_games_leave_the_number_of_the_learners_threads_alone():
    env = os.environ | {"NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["1 1", "2 1"], done.stderr
