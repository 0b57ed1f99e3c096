"""Compiled or not, the rules are the same; a compiled kernel does not outlive its sources."""

import os
import subprocess
import sys
from pathlib import Path

from vecflap import kernels

UNCOMPILED = """
import numpy as np
from vecflap.sim import VecFlap

np.seterr(over="ignore")  # draws wrap on purpose
for rules in ("flap7", "flap9"):
    sim = VecFlap(4, rules, np.int64(6), threads=1)
    for t in range(80):
        sim.step([t % 17 == 0, t % 13 == 0, 0, 1])
        print(rules, t, hash(sim.rows.tobytes()), hash(sim.frame.numpy().tobytes()), sim.score.tolist())
"""


def test_without_the_compiler_the_rules_are_the_same():
    def output(**variables: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": "0"} | variables
        command = [sys.executable, "-W", "error", "-c", UNCOMPILED]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    compiled = output()
    assert compiled.count("\n") == 160
    assert output(NUMBA_DISABLE_JIT="1") == compiled


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
