"""A run's folder, how it begins and ends, and which policy it keeps."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CPU, metrics, same, tensors, tiny, trained, unclocked

import vecflap
from vecflap import helper, judge
from vecflap.evaluate import Scores, load
from vecflap.folder import settle
from vecflap.judge import MORE
from vecflap.run import Run, View, training_games


def test_a_run_leaves_a_complete_folder(tmp_path):
    config = tiny(tmp_path / "deep" / "a", precision="auto")
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
    assert same(policy.network.state_dict(), tensors(outcome.folder, "average.", "best"))
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
        weights = tensors(first.folder, "average.", "best" if name == "b" else "last")
        trained(tmp_path / name, steps=8, seed=5, init=given)
        for network in ("online.", "target.", "average."):
            assert same(tensors(tmp_path / name, network), weights), network
        assert not tensors(tmp_path / name, "adam.")
        assert not tensors(tmp_path / name, "muon.")
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
    """Stands in for evaluate.match: tells how many birds of a selection die, in how many pipes and rows."""

    def __init__(self, *deaths: int, pipes: int = 60, rows: int = 1) -> None:
        self.deaths, self.pipes, self.rows, self.asked = list(deaths), pipes, rows, []

    def __call__(self, policy, rules, games, limit, *, seed, purpose, most_deaths, helper):
        self.asked.append((games, limit, seed, purpose, most_deaths))
        deaths = self.deaths.pop(0)
        for _ in range(self.rows):
            yield 0
        return Scores(np.full(games, self.pipes // games), limit, deaths, self.rows)


def selections(folder) -> list[dict]:
    """The lines of metrics that are about selections."""
    return [line for line in metrics(folder) if "deaths" in line]


@pytest.mark.parametrize(
    ("until", "pipes", "most"), [("good", 2, 9), ("solved", 2, MORE), ("mastered", 10, MORE)]
)
def test_a_run_ends_once_few_enough_birds_die(tmp_path, monkeypatch, until, pipes, most):
    allowed = 9 if until == "good" else 0
    match = Judge(20, allowed + 1, allowed, pipes=90)
    monkeypatch.setattr(judge, "match", match)
    seed = 2**63 - 500
    outcome = trained(tmp_path / "a", steps=10**9, until=until, eval_games=90, seed=seed)
    assert (outcome.reason, outcome.steps) == (until, 800)
    seeds = seed + 200, seed + 400, 100  # other games every time; seeds are below 2**63
    assert match.asked == [(90, pipes, seed, 2, most) for seed in seeds]
    assert (outcome.best, outcome.best_deaths, outcome.best_step) == (90 / max(allowed, 1), allowed, 600)
    lines = selections(tmp_path / "a")
    assert [line["deaths"] for line in lines] == [20, allowed + 1, allowed]
    assert lines[0]["pipes_per_death"] == 4.5


def test_a_goal_that_was_reached_is_not_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "match", Judge(6, 6, 0))
    good = {"steps": 1_000, "eval_games": 60}
    assert trained(tmp_path / "a", until="good", **good).steps == 400
    begun = replace(vecflap.load_config(tmp_path / "a"), resume=True)
    assert vecflap.train(begun).steps == 400
    outcome = vecflap.train(replace(begun, until="solved"))
    assert (outcome.reason, outcome.steps) == ("solved", 1_000)


def test_a_verdict_comes_after_as_many_rows_as_the_games_took(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "match", Judge(9, 9, 9, rows=160))
    trained(tmp_path / "a", steps=1_300, eval_games=50)  # 65 rows in the first 200 steps, then 325, ...
    lines = selections(tmp_path / "a")
    assert [(line["judged"], line["step"]) for line in lines] == [(200, 600), (600, 1_000), (1_000, 1_304)]


def test_a_selection_under_way_is_played_to_its_end_when_the_steps_are(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "match", Judge(9, 0, rows=160))
    outcome = trained(tmp_path / "a", steps=800, eval_games=50)
    lines = selections(tmp_path / "a")
    assert [(line["judged"], line["step"]) for line in lines] == [(200, 600), (600, 800)]
    assert (outcome.reason, outcome.steps, outcome.best_step) == ("solved", 800, 600)


def test_training_goes_on_beside_a_selection(tmp_path, monkeypatch):
    waited = threading.Event()

    def match(*args, **options):
        yield 0
        assert waited.wait(20), "training did not go on"
        return Scores(np.zeros(300), 2, 5, 2)

    class Waits(View):
        def tick(self, run: Run) -> None:
            if run.step == 208 and run.progress.judged_step:
                waited.set()

    monkeypatch.setattr(judge, "match", match)
    trained(tmp_path / "a", Waits(), steps=400, eval_games=300)
    assert selections(tmp_path / "a")[0]["deaths"] == 5


def test_a_run_that_is_over_does_not_wait_for_its_selection(tmp_path, monkeypatch):
    """Which is waited for where the run is resumed, before anything else."""

    def match(*args, **options):
        while True:
            time.sleep(0.1)
            yield 0

    monkeypatch.setattr(judge, "match", match)
    begun = {"steps": 10**9, "eval_games": 50, "until": "solved"}
    outcome = trained(tmp_path / "a", time_limit=1.5, **begun)  # 65 rows would take 6.5 seconds
    assert (outcome.reason, outcome.steps) == ("time_limit", 400)
    assert outcome.seconds < 4
    assert not selections(tmp_path / "a")
    monkeypatch.setattr(judge, "match", Judge(0, rows=60))
    outcome = vecflap.train(replace(vecflap.load_config(tmp_path / "a"), resume=True, time_limit=0.0))
    assert (outcome.reason, outcome.steps) == ("solved", 400)
    (line,) = selections(tmp_path / "a")
    assert (line["judged"], line["step"]) == (200, 400)
    monkeypatch.setattr(judge, "match", Judge(0, rows=60))
    other = trained(tmp_path / "b", **begun)
    assert all(
        same(tensors(outcome.folder, name=name), tensors(other.folder, name=name))
        for name in ("last", "best")
    )


def test_the_helper_helps_who_is_alone(tmp_path, monkeypatch):
    """The learner while no selection plays, the selection while training waits."""
    monkeypatch.setattr(helper, "CORES", 2)
    helped: dict[str, bool] = {}
    began, seen = threading.Event(), threading.Event()

    def match(*args, helper, **options):
        helped["selection"] = helper.idle()
        began.set()
        yield 0
        assert seen.wait(20)
        for _ in range(2_000):  # until training waits
            if helper.idle():
                break
            time.sleep(0.01)
        helped["selection waited for"] = helper.idle()
        return Scores(np.zeros(300), 2, 5, 2)

    class Looks(View):
        def tick(self, run: Run) -> None:
            if run.step == 200:
                helped["learner alone"] = run.learner.helper.idle()
            elif run.step == 208:
                assert began.wait(20)
                helped["learner beside it"] = run.learner.helper.idle()
                seen.set()

    monkeypatch.setattr(judge, "match", match)
    trained(tmp_path / "a", Looks(), steps=400, eval_games=300, precision="float32")
    assert helped == {
        "selection": False,
        "selection waited for": True,
        "learner alone": True,
        "learner beside it": False,
    }


def test_what_goes_wrong_in_a_selection_ends_the_run(tmp_path, monkeypatch):
    def match(*args, **options):
        raise ZeroDivisionError
        yield 0

    monkeypatch.setattr(judge, "match", match)
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path / "a", steps=1_000)


def test_until_steps_goes_on_with_a_good_bird(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "match", Judge(0, 0))
    outcome = trained(tmp_path / "a", until="steps")
    assert (outcome.reason, outcome.steps, outcome.best) == ("steps", 400, 60.0)


@pytest.mark.parametrize(("average", "kept"), [(4.0, "average"), (0.0, "online")])
def test_the_best_policy_is_kept(tmp_path, monkeypatch, average, kept):
    monkeypatch.setattr(judge, "match", Judge(4, 2, 2, 3, 4))
    seen = {}

    class Keeper(View):
        def tick(self, run: Run) -> None:
            seen[run.step] = {name: t.clone() for name, t in getattr(run.learner, kept).state_dict().items()}

    outcome = trained(tmp_path / "a", Keeper(), steps=1_000, average=average)
    assert (outcome.best, outcome.best_step) == (30.0, 600), "of two as good, the later"
    assert same(load(outcome.folder).network.state_dict(), seen[600])
    assert not same(seen[400], seen[600])


def test_another_seed_gives_another_run(tmp_path):
    one, other = (trained(tmp_path / str(seed), seed=seed).folder for seed in (0, 1))
    assert unclocked(one) != unclocked(other)
    ours, theirs = (tensors(folder) for folder in (one, other))
    learned = "online.network.conv1.weight", "target.network.head.weight"
    for name in ("sim.games", "replay.frame", "replay.act", *learned):
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
