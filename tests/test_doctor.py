"""`vecflap doctor`: what it says is so, and what is wrong is pointed out."""

import os
import subprocess
import sys

import numba
import pytest
import torch

from vecflap import doctor
from vecflap.kernels import CACHE


def output(**variables: str) -> str:
    """What the command prints, with environment variables."""
    env = os.environ | {"COLUMNS": "200"} | variables
    command = [sys.executable, "-m", "vecflap.cli", "doctor"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_tells_what_there_is():
    text = output()
    assert f"torch {torch.__version__}" in text
    assert f"Numba {numba.config.NUMBA_NUM_THREADS}, torch" in text
    assert CACHE in text
    assert "libgomp" in text, "torch has one"


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set"),
        ({"NUMBA_CPU_NAME": "generic"}, "neither AVX-512 nor AVX2"),
        ({"OMP_WAIT_POLICY": "active"}, "keep a core busy"),
        ({"NUMBA_CACHE_DIR": "/dev/null/none"}, "cannot be written"),
        ({"NUMBA_CACHE_DIR": "/tmp/none-so-far"}, "none yet"),
    ],
    ids=str,
)
def test_it_points_at_what_is_wrong(variables, hint, tmp_path):
    text = output(**variables)
    assert hint in text
    assert "to look at." in text
    (tmp_path / "kernel").touch()
    assert hint not in output(NUMBA_CACHE_DIR=str(tmp_path))


def test_a_busy_machine_is_noticed(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 1.0, 1.0))
    assert any(f.hint.startswith("other programs") for f in doctor.findings())
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 1.0, 1.0))
    assert not any(f.hint.startswith("other programs") for f in doctor.findings())
