"""The benchmark's Triton kernels compute the compact network's first layer, in Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="pip install triton (of Linux's torch with CUDA it is a part)")

BENCH = Path(__file__).resolve().parents[1] / "bench"
PROGRAM = """
import torch
import unpacking

for batch in (1, 3, 20):  # a block, some, and more than a program's
    of = batch, torch.device("cpu"), torch.float32  # the interpreter multiplies bfloat16's bit patterns
    unpacking.check(unpacking.Layer(unpacking.fused, *of), unpacking.Layer(unpacking.by_table, *of))
"""


def test_the_fused_layer_is_the_networks():
    env, command = os.environ | {"TRITON_INTERPRET": "1"}, [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=BENCH, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
