"""Fixtures for tests on recordings."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> dict:
    """The first 400 steps, and all gaps, of a recording of the original game, to change copies of."""
    with np.load(Path(__file__).parent / "golden" / "flap7.npz") as trace:
        steps = len(trace["action"])
        return {
            name: trace[name][:400] if trace[name].shape[:1] == (steps,) else trace[name] for name in trace
        }


@pytest.fixture
def saved(tmp_path):
    """Writes arrays as a recording, and returns its path."""

    def save(trace: dict) -> Path:
        np.savez(tmp_path / "trace.npz", **trace)
        return tmp_path / "trace.npz"

    return save
