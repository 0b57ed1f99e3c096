"""Benchmarks call what lies deep inside the package: they must still be able to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tensors

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import article  # noqa: E402


def test_parts_of_a_step_are_played_as_they_are_now():
    """Each once, untimed."""
    command = [sys.executable, "-m", "pytest", BENCH / "bench_parts.py", "--benchmark-disable", "-q"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert "10 passed" in ended.stdout


@pytest.mark.parametrize("variant", [article.SHARED, "the preset"])
def test_the_articles_networks_share_batch_norm_where_they_shall(tmp_path, variant):
    job = variant, 0, 150, str(tmp_path / "run")  # the target is a copy of step 100
    subprocess.run([sys.executable, BENCH / "article.py", "--job", json.dumps(job)], check=True)
    online, target = (tensors(tmp_path / "run", f"{name}.") for name in ("online", "target"))
    equal = {name for name in online if torch.equal(online[name], target[name])}
    norms = {name for name in online if name.startswith("norm")} if variant == article.SHARED else set()
    assert equal == norms | {"conv1.bias"}  # which batch norm takes away: it has no gradient
