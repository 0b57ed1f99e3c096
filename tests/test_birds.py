"""The birds that come with the package play, without a run."""

import json
from pathlib import Path

import pytest

from vecflap.checkpoint import BIRDS, best_of
from vecflap.cli import main
from vecflap.evaluate import evaluate, load

NAMES = sorted(file.stem for file in BIRDS.glob("*.safetensors"))


def test_there_is_one_for_the_games_of_the_article_and_it_is_small():
    assert NAMES == ["flap7", "flap9"]
    assert sum(file.stat().st_size for file in BIRDS.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_bird_plays_what_it_is_named_by_and_does_not_die_soon(name):
    policy = load(name)
    assert policy.config.rules == name
    scores = evaluate(policy, policy.config, 20, 40, seed=9)
    assert scores.deaths == 0
    assert scores.survived == 1.0


def test_commands_without_a_run_take_a_bird_of_the_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "--games", "3", "--pipes", "4", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["rules"], values["mean"], values["checkpoint"]) == (
        "flap7",
        4.0,
        str(BIRDS / "flap7.safetensors"),
    )
    assert main(["watch", "--save", "bird.gif", "--frames", "20"]) == 0
    assert (tmp_path / "bird.gif").stat().st_size > 1_000


def test_a_file_of_ones_own_comes_before_a_bird_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flap7").write_text("mine")
    assert best_of(Path("flap7")) == Path("flap7")
    (tmp_path / "flap7").unlink()
    assert best_of(Path("flap7")) == BIRDS / "flap7.safetensors"
    assert main(["eval", "flap8"]) == 2
