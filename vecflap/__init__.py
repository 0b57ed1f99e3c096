"""vecflap: train an agent that plays Flappy Bird from pixels, fast. See README.md; start reading in
loop.py."""

import os
import sys
from typing import Any

__all__ = ["Config", "Policy", "VecFlap", "load", "load_config", "train"]

if "OMP_WAIT_POLICY" not in os.environ:
    # How often an idle OpenMP thread looks for work before it sleeps, about 0.1 ms; read when torch or Numba
    # loads GNU's OpenMP. Its own 300,000 are milliseconds: where the system put two threads on one core, each
    # waited for the other's to end, and a step of 1,024 games took 8 ms instead of 0.02.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if gymnasium := sys.modules.get("gymnasium"):  # or else `import vecflap.gym` registers it
    gymnasium.register(
        "vecflap/FlappyBird-v0",
        entry_point="vecflap.gym:FlappyBird",
        vector_entry_point="vecflap.gym:FlappyBirdVector",
    )

_WHERE = {
    "Config": "config",
    "Policy": "evaluate",
    "VecFlap": "sim",
    "load": "evaluate",
    "load_config": "folder",
    "train": "loop",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `vecflap --help` needs neither torch nor Numba."""
    if name not in _WHERE:
        raise AttributeError(f"module 'vecflap' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"vecflap.{_WHERE[name]}"), name)
