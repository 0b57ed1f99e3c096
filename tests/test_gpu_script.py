"""bench/gpu.sh, tiny, on the CPU: every part works, and the results have the shape that is promised."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVS = (8, 64)
MEMORY = {"warm": None, "end": None}
OF_KERNELS = dict.fromkeys(("busy", "fed", "kernels"), type(None))
RATES = {"steps": float, "updates": float, "batch": int, "memory": MEMORY} | OF_KERNELS
RUNS = [f"{network} {envs} cpu" for network in ("compact", "article") for envs in ENVS]
FLOORS = {"arithmetic": float, "memory": float}
EAGER = {"eager": {"seconds": float, "times_the_floor": float}}
UPDATE = {"batch": int, "floors": FLOORS, "ways": EAGER}
WAYS = ("by_table", "by_shifts", "as_product", "as_rows")
TIMES = dict.fromkeys(("act", "learn", "act_ratio", "learn_ratio"), float)
PAIR = "vecflap, compact network / CleanRL-style loop, compact network"
SCHEMA = {
    "command": str,
    "machine": dict.fromkeys(("device", "cpu", "python", "torch", "numba", "numpy"), str),
    "parts": {
        "environment": None,
        "matrices": dict.fromkeys(("float32", "bfloat16", "bytes"), float),
        "simulators": {f"cpu {envs}": float for envs in ENVS},
        "throughput": dict.fromkeys([*RUNS, "compact 64 cpu, default ratio"], RATES),
        "unpacking": dict.fromkeys((f"{way} 8" for way in WAYS), TIMES),
        "baselines": {PAIR: {"steps": float, "samples": float}},
        "updates": dict.fromkeys(("compact", "article"), UPDATE),
        "birds": None,
    },
    "errors": {},
}


def assert_fits(value, schema, where="result"):
    """A dict has the keys of its schema, a number is positive."""
    if isinstance(schema, dict):
        assert value.keys() == schema.keys(), where
        for key, part in schema.items():
            assert_fits(value[key], part, f"{where}.{key}")
    elif schema is not None:
        assert isinstance(value, schema), where
        assert schema not in (int, float) or value > 0, where


def test_it_measures_everything_and_says_so(tmp_path):
    out = tmp_path / "gpu.json"
    parts = [*SCHEMA["parts"]]
    command = ["bench/gpu.sh", "--cpu", "--seconds", "0.2", "--limit", "120", "--out", out, "--parts", *parts]
    env = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert_fits(result, SCHEMA)
    for text in (
        "simulator     cpu 64",
        "article 8 cpu:",
        "compact 64 cpu, default ratio:",
        "first layer        as_rows 8: act",
        "update  compact, batch 16,          eager:",
        f"{PAIR}: ",
        "bird of seed 0",
    ):
        assert text in done.stdout
    assert result["parts"]["birds"][0]["steps"] == 2_048, "whole rows of 64"


def test_kernels_that_overlap_are_counted_once(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from throughput import union

    assert union([(0, 2), (1, 3), (5, 6), (5.5, 5.6), (3, 4)]) == pytest.approx(5)
    assert union([]) == 0
    assert union([(0, 2), (1, 3), (3.5, 4), (6, 7)], pause=0.5) == pytest.approx(5)


def test_without_a_gpu_it_says_what_to_do(tmp_path):
    env = os.environ | {"PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(["bench/gpu.sh"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "bench/gpu.py: torch finds no CUDA device. Try --cpu.\n")
