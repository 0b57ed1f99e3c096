"""Checkpoints: safetensors files with a JSON header, written whole or not at all. Loading executes
nothing."""

import json
import os
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save
from torch import Tensor

from vecflap.physics import RULES_VERSION

FORMAT = 9
"""Of the header, the names of the tensors and the columns of a game's row."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that after a crash at any instant either the old or the new one is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a JSON-able header. The versions of format and rules are added."""
    header = header | {"format": FORMAT, "rules_version": RULES_VERSION}
    on_host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(on_host, metadata={"vecflap": json.dumps(header)}))


def load_checkpoint(path: Path, prefix: str | None = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names begin with a prefix, without it, in host memory, and the header. None: those of
    the policy.

    ValueError where the file is missing, damaged, of another version or somebody else's.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("vecflap")
            if text is None:
                raise ValueError(f"{path} is not a checkpoint of vecflap.")
            header = json.loads(text)
            prefix = f"{header.get('policy')}." if prefix is None else prefix
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged, or not a checkpoint of vecflap: {error}") from None
    for name, ours in (("format", FORMAT), ("rules_version", RULES_VERSION)):
        if header.get(name) != ours:
            raise ValueError(
                f"{path} was written with {name} {header.get(name)}, this vecflap has {ours}:"
                " train anew, or install the version that wrote it."
            )
    return tensors, header


BIRDS = Path(__file__).parent / "birds"
"""Trained birds that come with the package, named by the rules they play."""


def best_of(path: Path) -> Path:
    """The file to play with: a checkpoint itself, the best (else the last) one of a run's folder, or a bird
    of the package, by its name."""
    bird = BIRDS / f"{path}.safetensors"
    if not path.exists() and bird.is_file():
        return bird
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    raise ValueError(
        f"{path} holds no checkpoint yet: a run writes one after its first selection, and when it ends."
    )


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], Path]:
    """The weights of a run's best policy, or of a checkpoint, with the header and the file they are from."""
    file = best_of(path)
    return *load_checkpoint(file, None), file
