"""Runs repeat bit for bit, and one that was interrupted or killed ends as if it had not been."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import metrics, same, tensors, tiny, trained, unclocked

import vecflap
from vecflap.checkpoint import load_checkpoint
from vecflap.run import Outcome, Run, View

LONG = {
    "steps": 4_240,
    "gap": 230,
    "sticky": 0.1,
    "latency": True,
    "flip": 0.001,
    "steps_per_update": 4,
    "eps_start": 1.0,
    "eps_end": 0.1,
    "eps_steps": 4_000,
    "flap_chance": 0.1,
}
LONG |= {"log_every": 500, "eval_every": 1_000, "save_every": 1_000, "until": "steps"}


class Stop(View):
    """Ends a run at a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number, self.notes, self.ended = step, number, [], []

    def tick(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), self.number)  # the handler of the run gets it, as it gets Ctrl-C

    def note(self, text: str) -> None:
        self.notes.append(text)

    def end(self, outcome: Outcome | None) -> None:
        self.ended.append(outcome)


class PowerCutError(Exception):
    """Nothing is saved, nothing is closed."""


class PowerCut(Stop):
    """Ends a run at a step without any warning."""

    def __init__(self, step: int) -> None:
        super().__init__(step, 0)

    def tick(self, run: Run) -> None:
        if run.step == self.step:
            raise PowerCutError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that was not interrupted."""
    outcome = trained(tmp_path_factory.mktemp("runs") / "whole", **LONG)
    assert outcome.updates >= 1_000
    return outcome.folder


def resumed(folder: Path, view: View | None = None, **changes) -> Outcome:
    """Go on with a run."""
    return vecflap.train(replace(vecflap.load_config(folder), resume=True, **changes), view)


def assert_alike(folder: Path, whole: Path) -> None:
    """Asserts that two runs came to the same: weights, games, replay, optimiser, best policy and metrics."""
    assert unclocked(folder) == unclocked(whole)
    for name in ("best", "last"):
        assert same(tensors(folder, name=name), tensors(whole, name=name)), name


def test_the_same_seed_gives_the_same_run_bit_for_bit(whole, tmp_path):
    outcome = trained(tmp_path / "again", **LONG)
    assert_alike(outcome.folder, whole)
    values = metrics(whole)
    assert len(values) == 8 + 4
    assert [line["loss"] > 0 for line in values if "loss" in line][-1]
    assert any(line["score"] for line in values if "score" in line), "a bird passed a pipe"
    begun = vecflap.networks.make_network(vecflap.load_config(whole), torch.device("cpu")).state_dict()
    assert not any(torch.equal(begun[name], t) for name, t in tensors(whole, "online.").items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_after_the_row_and_is_saved(tmp_path, number):
    before, view = signal.getsignal(number), Stop(208, number)
    outcome = trained(tmp_path / "a", view)
    assert (outcome.reason, outcome.steps) == ("interrupted", 208)
    assert view.ended[0].reason == "interrupted"
    assert signal.getsignal(number) == before
    assert int(tensors(outcome.folder)["replay.counters"][0]) * 8 == 208


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(whole, tmp_path):
    outcome = trained(tmp_path / "a", Stop(2_008, signal.SIGINT), **LONG)
    assert outcome.steps == 2_008
    view = Stop(0, 0)
    outcome = resumed(outcome.folder, view)
    assert (outcome.reason, outcome.steps, view.notes) == ("steps", LONG["steps"], [])
    assert_alike(outcome.folder, whole)
    seconds = [line["seconds"] for line in metrics(outcome.folder)]
    assert seconds == sorted(seconds)
    assert outcome.seconds >= seconds[-1] - 0.01


def test_a_second_interrupt_does_not_wait():
    with vecflap.loop.interrupts() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_killed_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    folder, view = tmp_path / "a", PowerCut(2_704)
    with pytest.raises(PowerCutError):
        trained(folder, view, **LONG)
    assert view.ended == [None]
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 2704, "upda')  # the line that was being written
    assert int(tensors(folder)["replay.counters"][0]) * 8 == 2_000
    assert '"step": 2504' in (folder / "metrics.jsonl").read_text()
    resumed(folder)
    assert_alike(folder, whole)


def test_a_run_is_resumed_where_it_was_moved_and_with_more_to_play(whole, tmp_path):
    first = trained(tmp_path / "a", **LONG | {"steps": 2_000}).folder
    moved = Path(shutil.move(first, tmp_path / "b"))
    outcome = resumed(moved, steps=LONG["steps"], until="steps")
    assert outcome.folder == moved
    assert not first.exists()
    assert_alike(moved, whole)


def test_a_run_that_began_with_given_weights_can_be_resumed(tmp_path):
    first = trained(tmp_path / "a").folder
    trained(tmp_path / "whole", init=first)
    begun = trained(tmp_path / "b", Stop(208, signal.SIGINT), init=first).folder
    shutil.rmtree(first)
    resumed(begun)
    assert_alike(begun, tmp_path / "whole")


def test_the_clock_and_the_time_limit_go_on(tmp_path):
    first = trained(tmp_path / "a", steps=10**9, time_limit=0.3, eval_every=10**9)
    saved = load_checkpoint(first.folder / "last.safetensors")[1]["progress"]["seconds"]
    assert 0.3 <= saved <= first.seconds
    again = resumed(first.folder)
    assert again.reason == "time_limit"
    assert again.steps > first.steps
    assert again.seconds >= saved + 0.3


@pytest.mark.parametrize(
    "change", [{"lr": 0.1}, {"envs": 4}, {"seed": 9}, {"rules": "flap9"}, {"init": Path("x")}]
)
def test_what_a_run_began_with_cannot_be_changed(tmp_path, change):
    folder = trained(tmp_path / "a", steps=208).folder
    files = {path: path.read_bytes() for path in folder.iterdir()}
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"^--{name} .* differs from the run's .* --init {folder}"):
        resumed(folder, **change)
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


def test_a_user_is_told_when_the_machine_is_another(tmp_path):
    folder = trained(tmp_path / "a", steps=208).folder
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"cpu": "', '"cpu": "another '))
    view = Stop(0, 0)
    resumed(folder, view, steps=400)
    assert len(view.notes) == 1
    assert view.notes[0].startswith("cpu was another ")


@pytest.mark.parametrize("missing", ["last.safetensors", "config.json"])
def test_a_folder_without_a_run_cannot_be_resumed(tmp_path, missing):
    config = tiny(trained(tmp_path / "a", steps=208).folder, resume=True)
    (tmp_path / "a" / missing).unlink()
    with pytest.raises(ValueError, match=rf"{tmp_path}.* has no {missing}"):
        vecflap.train(
            config if missing == "config.json" else replace(vecflap.load_config(config.out), resume=True)
        )


def test_a_checkpoint_of_weights_alone_cannot_be_resumed(tmp_path):
    folder = trained(tmp_path / "a").folder
    shutil.copy(folder / "best.safetensors", folder / "last.safetensors")
    with pytest.raises(ValueError, match=r"last\.safetensors holds weights only.*--init"):
        resumed(folder)
