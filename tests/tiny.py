"""Runs of a few seconds and less, and frames, for tests."""

import json
from pathlib import Path
from typing import Any

import torch

from vecflap import train
from vecflap.checkpoint import load_checkpoint
from vecflap.config import Config
from vecflap.run import Outcome, View

torch.set_num_threads(1)  # the tensors are small

TINY: dict[str, Any] = {
    "envs": 8,
    "batch": 16,
    "capacity": 2_048,
    "threads": 1,
    "device": "cpu",
    "steps": 400,
    "learn_start": 200,
    "steps_per_update": 8,
    "n_step": 3,  # rewards that torch and the kernels add up in the same order
    "eval_every": 200,
    "eval_games": 4,
    "eval_pipes": 2,
    "log_every": 100,
    "save_every": 200,
}
CPU = torch.device("cpu")
CLOCKED = {"seconds", "steps_per_s", "updates_per_s"}
"""Of a line of metrics: what depends on the clock."""


def tiny(out: Path | None, **changes: Any) -> Config:
    """The config of a short run."""
    return Config(**(TINY | {"out": out} | changes))


def flags(config: dict[str, Any]) -> list[str]:
    """The command line's flags for fields of a config."""
    return [word for name, value in config.items() for word in ("--" + name.replace("_", "-"), str(value))]


def trained(out: Path, view: View | None = None, **changes: Any) -> Outcome:
    """What became of a short run."""
    return train(tiny(out, **changes), view)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def unclocked(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics, without what depends on the clock."""
    return [{k: v for k, v in line.items() if k not in CLOCKED} for line in metrics(folder)]


def tensors(folder: Path, prefix: str = "", name: str = "last") -> dict[str, torch.Tensor]:
    """The tensors of a run's checkpoint, by their names without the prefix."""
    return load_checkpoint(folder / f"{name}.safetensors", prefix)[0]


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """Whether two dicts of tensors are equal, bit for bit."""
    return ours.keys() == theirs.keys() and all(
        a.dtype == theirs[name].dtype and torch.equal(a, theirs[name]) for name, a in ours.items()
    )


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random packed frames; also of all and of no pixels."""
    packed = torch.randint(-(2**62), 2**62, (*shape, 64), generator=torch.Generator().manual_seed(seed)) * 2
    packed.view(-1, 64)[0], packed.view(-1, 64)[1] = 0, -1
    packed.view(-1)[-1] = -(2**63)
    return packed
