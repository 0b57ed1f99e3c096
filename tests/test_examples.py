"""The examples run, as they say they are to be run."""

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
