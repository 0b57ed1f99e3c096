"""A run's folder: config.json, manifest.json, metrics.jsonl, best.safetensors and last.safetensors."""

import json
import platform
import subprocess
from dataclasses import fields, replace
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any

import torch

from vecflap.checkpoint import write_atomically
from vecflap.config import Config
from vecflap.device import cpu_name, find_device, gains_by_bfloat16
from vecflap.ranges import flag

MAY_CHANGE = {"steps", "until", "time_limit", "device", "sim", "graphs", "threads", "out", "resume"}
"""What a run may be told anew when it is resumed."""


def load_config(folder: str | Path) -> Config:
    """The config of a run, as it was settled when it began; `out` is where the run is now."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not the folder of a run: it has no config.json.")
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return replace(Config.from_json(values, path), out=Path(folder))


def settle(config: Config) -> Config:
    """The config with each `auto` replaced by what it means here, so that a resumed run does the same."""
    device = find_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if gains_by_bfloat16(device) else "float32"
    settled: dict[str, Any] = {"device": str(device), "threads": config.threads or 1, "precision": precision}
    return replace(config, **settled, sim="cuda" if config.sim == "cuda" else "cpu")


def check_resumed(config: Config) -> None:
    """Raise ValueError where a config to resume with is not the run's own."""
    assert config.out is not None, "Config sees to it"
    saved = load_config(config.out)
    for field in fields(Config):
        ours, theirs = config[field.name], saved[field.name]
        if field.name not in MAY_CHANGE and ours != theirs:
            raise ValueError(
                f"{flag(field.name)} {ours} differs from the run's {theirs}: a run goes on as it began. To"
                f" train on with other numbers, begin a new run with --init {config.out}."
            )


def create(config: Config) -> Path:
    """Make the run's folder, with config and manifest in it; without `out`,
    runs/<rules>-<preset>-<number>."""
    if config.out is not None:
        folder = config.out
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise ValueError(
                f"--out {folder} is there already: take another folder, or go on with its run by --resume."
            ) from None
        except OSError as error:
            raise ValueError(f"--out {folder} cannot be made: {error.strerror}.") from None
    else:
        try:
            folder = fresh_folder(f"{config.rules}-{config.preset}")
        except OSError as error:
            raise ValueError(
                f"No folder can be made in runs: {error.strerror}. Choose one: --out DIR."
            ) from None
    write_json(folder / "config.json", replace(config, out=folder, resume=False).to_json())
    write_json(folder / "manifest.json", manifest(config))
    return folder


def fresh_folder(name: str) -> Path:
    """A new folder runs/<name>-<number>, of the lowest number that is free."""
    for number in count(1):
        folder = Path("runs") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def manifest(config: Config) -> dict[str, Any]:
    """What the bits of a run depend on besides its config: it repeats exactly where these agree."""
    packages = ("vecflap", "torch", "numpy", "numba")
    return {
        "versions": {name: metadata.version(name) for name in packages}
        | {"python": platform.python_version()},
        "commit": commit(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "device": config.device,
        "threads": config.threads,
        "gpu": torch.cuda.get_device_name(config.device) if config.device.startswith("cuda") else None,
    }


def differences(folder: Path, config: Config) -> dict[str, tuple[Any, Any]]:
    """What of a run's manifest is another today: name to (then, now)."""
    try:
        before = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return {"manifest.json": ("there", "unreadable")}
    now = manifest(config)
    return {name: (before.get(name), now[name]) for name in now if before.get(name) != now[name]}


def commit() -> str | None:
    """The commit of the sources, "+" where they differ from it; None for an installed package."""
    here = Path(__file__).parent
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
        if not (here.parent / ".git").exists():
            return None
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
