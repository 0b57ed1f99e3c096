"""How birds die, from exams of players whose mistakes are known."""

import json
import sys

import imageio.v3 as imageio
import numpy as np
import torch
from tiny import trained
from torch import nn

from vecflap import planner
from vecflap.cli import main
from vecflap.config import Config
from vecflap.deaths import STEPS, Witness, draw_all
from vecflap.evaluate import Policy, evaluate
from vecflap.physics import AGE, BIRD_VY, BIRD_Y
from vecflap.sim import VecFlap


class Never(nn.Module):
    """Never flaps, and thinks the more of gliding the lower it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        lit = sum((obs[:, -1] >> bit & 1).sum(1) for bit in range(64))
        return torch.stack([1 + lit / 1000, torch.zeros(len(obs))], 1).float()


def deaths_of(network: nn.Module, games: int = 3, skip: int = 1):
    witness, config = Witness(games), Config(skip=skip)
    scores = evaluate(Policy(network.eval(), config), config, games, 5, witness=witness)
    return scores, witness.deaths


def test_a_bird_that_never_flaps_dies_on_the_ground():
    scores, deaths = deaths_of(Never())
    assert scores.deaths == len(deaths) == 3
    for game, death in enumerate(deaths):
        assert (death.game, death.pipes, death.hit) == (game, 0, "ground")
        assert death.age == scores.rows == len(death.act)  # 22 frames: less than are kept
        assert not death.act.any()
        assert death.games[0, BIRD_Y] == 244
        assert (np.diff(death.games[:-1, BIRD_Y]) == death.games[1:-1, BIRD_VY]).all()
        assert (death.q[:, 0] > 1).all()
        assert (death.q[:, 1] == 0).all()


def test_the_last_chance_of_one_who_acts_in_every_third_frame_is_one_of_those_frames():
    for every, third in zip(deaths_of(Never())[1], deaths_of(Never(), skip=3)[1], strict=True):
        assert len(third.act) == -(-len(every.act) // 3)
        assert third.verdict() == every.verdict() // 3
        assert third.summary()["last_chance"] == 3 * (len(third.act) - third.verdict())


def test_the_verdict_is_the_last_frame_from_which_another_action_saves():
    for death in deaths_of(Never())[1]:
        lost = death.verdict()
        frames = np.zeros(1, np.int64)
        for act, saved in ((death.act[lost], False), (1 - death.act[lost], True)):
            sim = VecFlap(1, "flap7", threads=1)
            sim.state[:, 0] = death.games[lost]
            sim.step([act])
            planner.lives(np.ascontiguousarray(sim.rows), frames)
            assert bool(frames[0] >= planner.HORIZON - 1 and not sim.term[0]) == saved
        assert death.summary() | {"did": "glide", "last_chance": len(death.act) - lost} == death.summary()


def test_a_long_game_keeps_its_last_frames():
    class Careless(nn.Module):
        """Flaps below the middle of the screen, whatever comes."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            low = (obs[:, -1, 15] >> 32 & 0x1FF) != 0
            return torch.stack([torch.zeros(len(obs)), low.float()], 1)

    scores, deaths = deaths_of(Careless(), 20)
    long = [death for death in deaths if death.age > STEPS]
    assert len(long) > 5
    for death in long:
        assert len(death.act) == len(death.q) == STEPS
        assert (np.diff(death.games[:, AGE]) == 1).all()
        assert death.hit in ("upper pipe", "lower pipe")
        assert death.pipes == scores.pipes[death.game]
        for before, act, after in zip(death.games[:-2], death.act, death.games[1:], strict=False):
            sim = VecFlap(1, "flap7", threads=1)
            sim.state[:, 0] = before
            sim.step([act])
            assert sim.rows[0, :2].tolist() == after[:2].tolist()  # height and speed


def test_the_command_tells_and_draws_deaths(tmp_path, capsys):
    run = tmp_path / "run"
    trained(run)
    assert main(["eval", str(run), "--games", "5", "--deaths"]) == 0
    said = capsys.readouterr().out
    assert said.count("frames before") == 5
    pictures = sorted((run / "deaths").iterdir())
    assert [file.name for file in pictures] == [f"game-{i:04}.png" for i in range(5)]
    assert f"{pictures[0]} and 4 more" in said.replace("\n", "")
    assert imageio.imread(pictures[0]).std() > 20, "blank"

    assert main(["eval", str(run), "--games", "3", "--deaths", "--json"]) == 0
    deaths = json.loads(capsys.readouterr().out)["deaths"]
    assert sorted(death["game"] for death in deaths) == [0, 1, 2]
    assert len(draw_all([], run / "deaths")) == len(list((run / "deaths").iterdir())) == 0


def test_without_matplotlib_the_table_says_what_is_missing(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    trained(run)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["eval", str(run), "--games", "2", "--deaths"]) == 0
    assert "pip install matplotlib" in capsys.readouterr().out
    assert not (run / "deaths").exists()
