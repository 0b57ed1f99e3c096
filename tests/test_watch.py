"""Watching: what is shown is the game, and what cannot be shown is said in one line."""

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import trained

from vecflap import display, shapes, watch
from vecflap.evaluate import load
from vecflap.physics import BIRD_X, BIRD_Y, GAP_Y, GROUND_Y, PIPE_X
from vecflap.picture import BACKDROP, paint
from vecflap.sim import VecFlap


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that is over."""
    return trained(tmp_path_factory.mktemp("watch") / "run").folder


def test_every_solid_pixel_of_the_bird_and_no_other_is_painted():
    sim = VecFlap(1)
    for wing in range(3):
        for y in (0, 1, 200, 380):
            sim.rows[0, BIRD_Y], sim.games.age[0], sim.games.wing_cycle[0] = y, 9, wing + 1
            sim.games.score[0] = 11  # its digits are far from the bird
            screen = paint(sim.rows[0])
            box = slice(y, y + shapes.BIRD_HEIGHT), slice(BIRD_X, BIRD_X + shapes.BIRD_WIDTH)
            painted = (screen[box] != BACKDROP[box]).any(axis=-1)
            above_ground = slice(0, GROUND_Y - y)
            assert (painted == shapes.solid(shapes.BIRDS[wing], shapes.BIRD_WIDTH))[above_ground].all()


def test_pipes_are_painted_where_they_collide():
    sim = VecFlap(1)
    sim.rows[0, PIPE_X], sim.rows[0, GAP_Y] = 150, 130
    column = (paint(sim.rows[0])[:GROUND_Y, 176] != BACKDROP[:GROUND_Y, 176]).any(axis=-1)
    assert (column == (np.arange(GROUND_Y) < 130) | (np.arange(GROUND_Y) >= 230)).all()


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_scenes_are_successive_frames_of_the_policys_game(run, skip):
    policy = load(run)
    policy = policy._replace(config=replace(policy.config, skip=skip))
    first, *scenes = (
        (int(scene.sim.games.age[0]), scene.sim.frame[0].clone(), scene.q, scene.flap)
        for scene in islice(watch.play(policy, 0), 16)
    )
    assert [age for age, *_ in (first, *scenes)] == list(range(16))
    stack = [first[1]] * 4
    for number, (_, frame, (glide, flap), flapped) in enumerate(scenes):
        if number % skip == 0:
            values = policy.q(torch.stack(stack)[None])[0].tolist()
        assert [glide, flap] == values
        assert flapped == (number % skip == 0 and flap > glide)
        if number % skip == skip - 1:
            stack = [*stack[1:], frame]


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_saved_pictures_are_the_screen(run, tmp_path, suffix):
    imageio = pytest.importorskip("imageio.v3")
    path = tmp_path / f"bird{suffix}"
    watch.watch(run, save=path, frames=10)
    saved = imageio.imread(path)
    assert saved.shape == ((5, 512, 288, 3) if suffix == ".gif" else (512, 288, 3))
    last = list(islice(watch.play(load(run), 0), 10))[-1]
    if suffix == ".png":
        assert (saved == watch.painted(last)).all()


def test_a_window_shows_frames_and_closes(run, monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = []
    monkeypatch.setattr(
        pygame.display, "flip", lambda: shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))
    )
    watch.watch(run, window=True, frames=5, fps=1000)
    assert len(shown) == 5
    assert (shown[0] != shown[-1]).any()
    assert not pygame.display.get_init()


def test_without_pygame_the_terminal_is_offered(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ValueError, match=r"pip install pygame-ce.*terminal"):
        watch.watch(run, window=True)


def test_without_a_terminal_the_window_is_offered(run):
    with pytest.raises(ValueError, match=r"needs a terminal.*--window.*--save"):
        watch.watch(run)


def test_without_a_run_the_bird_of_the_package_plays(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    assert watch.newest_run() == Path("flap7")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    assert watch.newest_run() == Path("runs/mine")


def test_the_terminal_shows_what_the_network_sees(run, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    watch.watch(run, frames=3, fps=1000)
    text = capsys.readouterr().out
    braille = [line for line in text.splitlines() if any("⠀" <= c <= "⣿" for c in line)]
    assert len(braille) >= 16
    assert "score 0" in text


WRONG = [{"frames": -1}, {"seed": 2**63}, {"fps": -5.0}, {"save": Path("no/folder/b.gif")}]


@pytest.mark.parametrize("wrong", WRONG)
def test_numbers_and_files_that_cannot_be_are_refused(run, wrong):
    with pytest.raises(ValueError, match="--" + next(iter(wrong))):
        watch.watch(run, **wrong)


def test_what_to_type_next_can_be_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", [".venv/bin/vecflap", "train"])
    monkeypatch.setenv("PATH", "")
    assert display.command() == ".venv/bin/vecflap"
    monkeypatch.setattr(sys, "argv", ["x/cli.py"])
    assert display.command() == "python -m vecflap.cli"
