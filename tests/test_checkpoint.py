"""Checkpoints are written whole or not at all, and what is not one is refused by its name."""

import json
import os
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tiny import same, trained

import vecflap
from vecflap import checkpoint
from vecflap.checkpoint import best_of, load_checkpoint, load_weights, save_checkpoint, write_atomically

TENSORS = {
    "online.a": torch.arange(6.0).view(2, 3).T,  # not contiguous
    "online.b": torch.tensor(7),
    "sim.c": torch.arange(5, dtype=torch.uint8),
}


@pytest.fixture
def file(tmp_path) -> Path:
    """A good checkpoint."""
    save_checkpoint(tmp_path / "good.safetensors", TENSORS, {"config": {"x": [1, None]}})
    return tmp_path / "good.safetensors"


def test_what_was_saved_is_loaded(file):
    tensors, header = load_checkpoint(file)
    assert same(tensors, TENSORS)
    assert header == {"config": {"x": [1, None]}, "format": 9, "rules_version": 1}
    assert same(load_checkpoint(file, "online.")[0], {"a": TENSORS["online.a"], "b": TENSORS["online.b"]})


@pytest.mark.parametrize("failing", ["fsync", "replace", "write"])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(file, monkeypatch, failing):
    def fail(*_):
        raise OSError("the disk is full")

    before = file.read_bytes()
    if failing == "write":
        monkeypatch.setattr(checkpoint, "open", lambda *a: Unwritable(*a), raising=False)
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_checkpoint(file, {"online.a": torch.zeros(1000)}, {})
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


class Unwritable:
    """A file on a disk that is full after a few bytes."""

    def __init__(self, path: Path, mode: str) -> None:
        self.file = open(path, mode)  # noqa: SIM115

    def __enter__(self) -> "Unwritable":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self.file.write(data[:10])
        raise OSError("the disk is full")


def test_the_data_is_on_the_disk_before_the_name_is(file, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, r=real: (calls.append(n), r(*a)))
    write_atomically(file, b"new")
    assert calls == ["fsync", "replace"]
    assert file.read_bytes() == b"new"


TENSORS_C = {name: t.contiguous() for name, t in TENSORS.items()}
GOOD = {"config": {}, "format": 9, "rules_version": 1}
UNFIT = {
    "empty": (b"", "damaged"),
    "no header": (b"\x00" * 8, "damaged"),
    "random bytes": (bytes(range(256)) * 20, "damaged"),
    "a pickle": (b"\x80\x04N.", "damaged"),
    "somebody else's": (safetensors.torch.save(TENSORS_C), "not a checkpoint of vecflap"),
    "somebody else's, with metadata": (
        safetensors.torch.save(TENSORS_C, metadata={"format": "pt"}),
        "not a checkpoint of vecflap",
    ),
    "not JSON": (safetensors.torch.save(TENSORS_C, metadata={"vecflap": "{"}), "damaged"),
    "older rules": (b"rules_version 0", "written with rules_version 0, this vecflap has 1: train anew"),
    "newer rules": (b"rules_version 2", "written with rules_version 2, this vecflap has 1"),
    "another format": (b"format 2", "written with format 2, this vecflap has 9"),
    "no version": (b"rules_version null", "written with rules_version None"),
}


def assert_refused(path: Path, message: str) -> None:
    for load in (load_checkpoint, load_weights, vecflap.load):
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}.*{message}") as raised:
            load(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("data", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_file_is_refused_by_its_name(tmp_path, data, message):
    if data[:7] in (b"rules_v", b"format "):
        name, version = data.decode().split()
        header = GOOD | {name: json.loads(version)}
        data = safetensors.torch.save(TENSORS_C, metadata={"vecflap": json.dumps(header)})
    (tmp_path / "x.safetensors").write_bytes(data)
    assert_refused(tmp_path / "x.safetensors", message)


def test_a_truncated_file_is_refused_wherever_it_ends(file):
    data = file.read_bytes()
    for length in (*range(0, len(data), 7), 8, len(data) - 1):
        file.write_bytes(data[:length])
        assert_refused(file, "damaged")


def test_whatever_bits_of_the_header_flip_it_is_a_clean_refusal_or_another_header(file):
    data, (tensors, header), messages = file.read_bytes(), load_checkpoint(file), set()
    for i in range(8 + int.from_bytes(data[:8], "little")):
        damaged = bytearray(data)
        damaged[i] ^= 0x10
        file.write_bytes(damaged)
        try:
            loaded, read = load_checkpoint(file)
        except ValueError as error:
            messages.add(str(error).split(" ")[0])
        else:
            assert read != header or not same(loaded, tensors)
    assert messages == {str(file)}


def test_what_is_not_there_is_missed(tmp_path):
    assert_refused(tmp_path / "none.safetensors", "there is no such file")
    with pytest.raises(ValueError, match=rf"^{tmp_path} holds no checkpoint"):
        vecflap.load(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    folder = trained(tmp_path / "a").folder
    tensors, header = load_checkpoint(folder / "best.safetensors")
    header["config"]["network"] = "article"
    save_checkpoint(folder / "best.safetensors", tensors, header)
    with pytest.raises(
        ValueError, match=r"best\.safetensors holds the weights of another network than Article"
    ):
        vecflap.load(folder)


def test_a_run_is_played_by_its_best_policy_or_else_its_last(tmp_path):
    folder = trained(tmp_path / "a").folder
    assert best_of(folder) == folder / "best.safetensors"
    weights = load_weights(folder)[0]
    assert same(vecflap.load(str(folder)).network.state_dict(), weights)
    (folder / "best.safetensors").unlink()
    assert best_of(folder) == folder / "last.safetensors"
    last = load_checkpoint(folder / "last.safetensors", "average.")[0]
    assert same(vecflap.load(folder).network.state_dict(), last)
    assert best_of(folder / "last.safetensors") == folder / "last.safetensors"


def test_nothing_is_pickled_anywhere():
    sources = [path.read_text() for path in Path(vecflap.__file__).parent.glob("*.py")]
    assert len(sources) > 15
    banned = r"import pickle|torch\.load\b|torch\.save\b|allow_pickle=True|\bexec\(|marshal|shelve|dill"
    assert not [found.group() for text in sources if (found := re.search(banned, text))]
