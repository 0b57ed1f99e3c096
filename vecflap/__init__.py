"""vecflap: train an agent that plays Flappy Bird from pixels, fast. See README.md; start reading in
loop.py."""

from typing import Any

__all__ = ["Config", "Policy", "VecFlap", "load", "load_config", "train"]

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
