"""A run's folder, how it begins and ends, and which policy it keeps."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CPU, metrics, same, tensors, tiny, trained, unclocked

import vecflap
from vecflap import run
from vecflap.evaluate import Scores, load
from vecflap.folder import settle
from vecflap.run import Run, View, training_games


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
    assert same(policy.network.state_dict(), tensors(outcome.folder, "target.", "best"))
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
        weights = tensors(first.folder, "target.", "best" if name == "b" else "last")
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
    """Stands in for evaluate: tells how many birds of each selection die, in how many pipes and rows."""

    def __init__(self, *deaths: int, pipes: int = 60, rows: int = 1) -> None:
        self.deaths, self.pipes, self.rows, self.asked = list(deaths), pipes, rows, []

    def __call__(self, policy, rules, games, limit, *, seed, purpose, most_deaths) -> Scores:
        self.asked.append((games, limit, seed, purpose, most_deaths))
        deaths = self.deaths.pop(0)
        return Scores(np.full(games, self.pipes // games), limit, deaths, self.rows)


@pytest.mark.parametrize(
    ("until", "asked"),
    [("good", (60, 2, 0, 2, 6)), ("mastered", (60, 10, 0, 2, 2))],
)
def test_a_run_ends_once_few_enough_birds_die(tmp_path, monkeypatch, until, asked):
    allowed = 6 if until == "good" else 0
    judge = Judge(20, allowed + 1, allowed)
    monkeypatch.setattr(run, "evaluate", judge)
    outcome = trained(tmp_path / "a", steps=10**9, until=until, eval_games=60)
    assert (outcome.reason, outcome.steps) == (until, 600)
    assert judge.asked == [asked] * 3
    assert (outcome.best, outcome.best_deaths, outcome.best_step) == (60 / max(allowed, 1), allowed, 600)
    lines = [line for line in metrics(tmp_path / "a") if "deaths" in line]
    assert [line["deaths"] for line in lines] == [20, allowed + 1, allowed]
    assert lines[0]["pipes_per_death"] == 3.0


def test_a_run_that_says_solved_has_passed_other_games_too(tmp_path, monkeypatch):
    judge = Judge(3, 0, 1, 0, 0)  # twice none dies, and once none of the others either
    monkeypatch.setattr(run, "evaluate", judge)
    seed = 2**63 - 500
    outcome = trained(tmp_path / "a", steps=10**9, until="solved", eval_games=60, seed=seed)
    assert (outcome.reason, outcome.steps) == ("solved", 600)
    first, again = (60, 2, seed, 2, 2), (180, 2, seed + 400, 2, 2)
    assert judge.asked == [first, first, again, first, (180, 2, 100, 2, 2)], "seeds are below 2**63"
    lines = [line for line in metrics(tmp_path / "a") if "deaths" in line]
    assert [line["deaths"] for line in lines] == [3, 1, 0]
    assert [line["pipes_per_death"] for line in lines] == [20.0, 60.0, 60.0]


def test_a_goal_that_was_reached_is_not_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "evaluate", Judge(6, 6, 0, 0))
    good = {"steps": 1_000, "eval_games": 60}
    assert trained(tmp_path / "a", until="good", **good).steps == 200
    begun = replace(vecflap.load_config(tmp_path / "a"), resume=True)
    assert vecflap.train(begun).steps == 200
    outcome = vecflap.train(replace(begun, until="solved"))
    assert (outcome.reason, outcome.steps) == ("solved", 600)


def test_a_long_selection_is_followed_by_a_long_rest(tmp_path, monkeypatch):
    judge = Judge(9, 9, 9, rows=100)
    monkeypatch.setattr(run, "evaluate", judge)
    trained(tmp_path / "a", steps=1_500, eval_games=50)
    selections = [line["step"] for line in metrics(tmp_path / "a") if "deaths" in line]
    assert selections == [200, 800, 1_400], "5,000 steps of play: no other one for 500"


def test_until_steps_goes_on_with_a_good_bird(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "evaluate", Judge(0, 0))
    outcome = trained(tmp_path / "a", until="steps")
    assert (outcome.reason, outcome.steps, outcome.best) == ("steps", 400, 60.0)


@pytest.mark.parametrize(("every", "kept"), [(0, "target"), (16, "online")])
def test_the_best_policy_is_kept(tmp_path, monkeypatch, every, kept):
    monkeypatch.setattr(run, "evaluate", Judge(4, 2, 2, 3, 4))
    seen = {}

    class Keeper(View):
        def tick(self, run: Run) -> None:
            seen[run.step] = {name: t.clone() for name, t in getattr(run.learner, kept).state_dict().items()}

    outcome = trained(tmp_path / "a", Keeper(), steps=1_000, target_every=every)
    assert (outcome.best, outcome.best_step) == (30.0, 600), "of two as good, the later"
    assert same(load(outcome.folder).network.state_dict(), seen[600])
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


def test_games_of_training_draw_scores_of_one_to_three_digits(tmp_path):
    config = settle(tiny(tmp_path / "a", envs=9, capacity=9_000))
    shown = training_games(config, CPU).games.score_from
    assert [len(str(score)) for score in shown] == [1, 2, 3] * 3
    assert training_games(replace(config, any_score=False), CPU).games.score_from.tolist() == [0] * 9
    assert training_games(replace(config, rules="flap9"), CPU).games.score_from.tolist() == [-1] * 9
    mixed = training_games(replace(config, rules="mixed"), CPU).games.score_from
    assert len(set(mixed.tolist())) > 6, "rules that say so themselves"
