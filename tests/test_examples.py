"""The examples run, as they say they are to be run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
WHERE = "where it is installed: pip install .[examples]"


def run(name: str, *arguments: str) -> str:
    """What an example prints."""
    command = [sys.executable, EXAMPLES / name, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plain_pytorch():
    pytest.importorskip("gymnasium", reason=WHERE)
    assert "6,400 steps" in run("cleanrl_dqn.py", "--steps", "6_400")


def test_stable_baselines(tmp_path):
    pytest.importorskip("stable_baselines3", reason=WHERE)
    pytest.importorskip("matplotlib", reason=WHERE)
    printed = run("sb3_dqn.py", *("--steps", "5_200", "--every", "2_500", "--out", str(tmp_path / "curve")))
    assert "flap every 14 frames:" in printed
    assert len([line for line in printed.splitlines() if line.endswith("pipes") and " s " in line]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"curve.json", "curve.png"}


def test_torchrl():
    pytest.importorskip("torchrl", reason=WHERE)
    assert "6,400 steps" in run("torchrl_dqn.py", "--steps", "6_400")


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import random
import numpy as np
from reference import Game
FPS = 30
class GameState:
    def __init__(self):
        draws = random.Random(4)
        self.game = Game(-7, iter(lambda: draws.randrange(8), None))
    score = property(lambda self: self.game.score)
    def frame_step(self, actions):
        assert sum(actions) == 1
        reward, over, _ = self.game.step(actions[1])
        return np.repeat(self.game.picture().T[:, :, None] * np.uint8(200), 3, 2), reward or 0.1, over
"""
"""A program with the original's interface: the game by tests/reference.py, drawn at full size."""


def test_play_original(tmp_path):
    program = tmp_path / "checkout" / "game"
    program.mkdir(parents=True)
    (program / "wrapped_bird.py").write_text(PROGRAM.format(tests=str(Path(__file__).parent)))
    out = tmp_path / "scores.json"
    printed = run(
        "play_original.py", str(tmp_path / "checkout"), "flap7", "--frames", "330", "--out", str(out)
    )
    assert "330 frames of wrapped_bird.py: 8 pipes, 0 deaths" in printed
    assert "the last game stands at 8" in printed
    scores = json.loads(out.read_text())
    assert (scores["frames"], scores["ended_at"], scores["last"], scores["rules"]) == (330, [], 8, "flap7")
