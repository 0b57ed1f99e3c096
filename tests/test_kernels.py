"""However they are compiled, the games are the same; a compiled kernel does not outlive its sources."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vecflap import kernels

PROGRAM = """
import numpy as np
from vecflap import players, views
from vecflap.disturb import Disturb
from vecflap.rules import Rules
from vecflap.sim import VecFlap

np.seterr(over="ignore")  # draws wrap on purpose
for rules in ("flap7", "flap9", "mixed", Rules(first_score=1234)):
    sim = VecFlap(4, rules, np.int64(6), threads=1, final=True, disturb=Disturb(0.1, True, 0.01))
    stack, pixels = np.zeros((4, 2, 64), np.int64), np.zeros((4, 2, 64, 64), np.uint8)
    numbers, wants = np.zeros((4, 12), np.float32), np.zeros(4, np.uint8)
    for t in range(80):
        players.careful(sim.rows, wants)
        sim.step([wants[0], t % 13 == 0, 0, 1])
        views.push(sim.frame, sim.age, stack)
        views.unpack(stack[:1], pixels[:1])
        views.features(sim.rows, numbers)
        shown = sim.rows, sim.frame.numpy(), sim.final.numpy(), stack, pixels, numbers, sim.score.numpy()
        print(rules, t, *(hash(array.tobytes()) for array in shown))
"""


def output(**variables: str) -> str:
    """What the program says, with environment variables."""
    env = os.environ | {"PYTHONHASHSEED": "0"} | variables
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"NUMBA_DISABLE_JIT": "1"},
        {"NUMBA_BOUNDSCHECK": "1"},
        {"NUMBA_CPU_NAME": "generic"},  # without AVX-512 and AVX2
    ],
    ids=str,
)
def test_games_are_the_same_however_they_are_compiled(variables, tmp_path):
    compiled = output()
    assert compiled.count("\n") == 320
    assert output(NUMBA_CACHE_DIR=str(tmp_path), **variables) == compiled


def test_a_changed_source_gets_a_cache_folder_of_its_own(tmp_path, monkeypatch):
    for source in Path(kernels.__file__).parent.glob("*.py"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    original = kernels.cache_folder()
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "kernels.py"))
    assert kernels.cache_folder() == original, "the place of the package does not matter"
    with (tmp_path / "shapes.py").open("a") as source:
        source.write("\n")
    changed = kernels.cache_folder()
    assert changed != original
    assert Path(changed).parent == Path(original).parent
