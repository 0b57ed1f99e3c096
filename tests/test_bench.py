"""Benchmarks call what lies deep inside the package: they must still be able to."""

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[1] / "bench"


def test_parts_of_a_step_are_played_as_they_are_now():
    """Each once, untimed."""
    command = [sys.executable, "-m", "pytest", BENCH / "bench_parts.py", "--benchmark-disable", "-q"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert "10 passed" in ended.stdout
