"""The command line: what it prints, its exit codes, and one clean line for each of the user's mistakes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import TINY, flags, tensors, trained

from vecflap import cli
from vecflap.checkpoint import load_checkpoint, save_checkpoint

SHORT = flags(TINY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return trained(tmp_path_factory.mktemp("runs") / "a", rules="flap9").folder


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """Relative paths are of an empty folder, and the shell finds `vecflap`."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, *words: object, code: int = 0) -> list[str]:
    """The lines a command prints. It must exit as it should, and say something on one stream only."""
    assert cli.main([str(word) for word in words]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert not (out if code == 2 else err), (out, err)
    return (err if code == 2 else out).splitlines()


MISTAKES = {
    "trian": "trian",
    "train --envz 3": "--envz",
    "train extra": "extra",
    "train --envs": "--envs",
    "train --envs 0": "--envs 0 is not a whole number from 1 to",
    "train --envs -1": "--envs",
    "train --envs 1.5": "--envs",
    "train --envs many": "--envs",
    "train --lr nan": "--lr nan is not a number from 0.0 to 1.0",
    "train --gamma 1.01": "--gamma 1.01",
    "train --eps-start -0.1": "--eps-start",
    "train --flap-chance inf": "--flap-chance inf",
    "train --seed 9223372036854775808": "--seed 9223372036854775808",
    "train --batch 0": "--batch 0",
    "train --time-limit -1": "--time-limit",
    "train --rules flap8": "flap8",
    "train --preset slow": "slow",
    "train --until bored": "bored",
    "train --envs 64 --capacity 1000": "--capacity 960 or --capacity 1024",
    "train --capacity 64": "--capacity 2048 or more",
    "train --capacity 2147483392 --device cpu": "does not fit into cpu's free memory",
    "train --device foo": "--device foo is none of: auto, cpu, cuda",
    "train --device mps": "--device mps: vecflap trains on cpu and cuda",
    "train --resume": "--resume needs --out",
    "train --resume --out none": "none is not the folder of a run",
    "train --resume --out {there}": "{there} is not the folder of a run",
    "train --out {there}": "{there} is there already",
    "train --out {there}/broken/x": "--out {there}/broken/x cannot be made",
    "train --init none": "none: there is no such file",
    "train --init {there}/broken": "{there}/broken is damaged",
    "train --resume --out {folder} --lr 0.5": "--lr 0.5 differs from the run's",
    "train --resume --out {folder} --init {folder}": "--init {folder} differs from the run's None",
    "eval flap8": "there is no such file",
    "eval none": "none: there is no such file",
    "eval {there}": "{there} holds no checkpoint",
    "eval {there}/broken": "{there}/broken is damaged, or not a checkpoint of vecflap",
    "eval {there}/other": "{there}/other was written with rules_version 2, this vecflap has 1",
    "eval {folder} --games 0": "--games 0",
    "eval {folder} --pipes 2147483648": "--pipes 2147483648",
    "eval {folder} --epsilon nan": "--epsilon nan",
    "eval {folder} --device tpu": "--device tpu",
    "prove none": "none: there is no such file",
    "prove flap7": "A score is drawn into the picture",
    "prove {folder} --rules mixed": "every episode is another game",
    "prove {folder} --pipes 0": "--pipes 0",
    "prove {folder} --rounding -1": "--rounding -1",
    "watch none": "none: there is no such file",
    "verify none": "none can't be replayed",
    "verify {there}/broken": "{there}/broken can't be replayed",
    "record x --steps 0": "steps",
    "record none/x": "none/x",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_gets_one_clean_line_and_leaves_nothing(capsys, folder, here, line):
    there = here / "there"
    there.mkdir()
    (there / "broken").write_bytes((folder / "best.safetensors").read_bytes()[:300])
    header = load_checkpoint(folder / "best.safetensors")[1]
    save_checkpoint(there / "other", tensors(folder, name="best"), header)
    (there / "other").write_bytes((there / "other").read_bytes().replace(b'version\\": 1', b'version\\": 2'))
    before = sorted(here.rglob("*")), sorted(folder.iterdir())
    (message,) = said(capsys, *line.format(there=there, folder=folder).split(), code=2)
    assert message.startswith("vecflap: ")
    assert MISTAKES[line].format(there=there, folder=folder) in message
    assert (sorted(here.rglob("*")), sorted(folder.iterdir())) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="run on a machine without a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_cuda_is_refused(capsys, here, folder, device):
    for command in (("train",), ("eval", folder)):
        (message,) = said(capsys, *command, "--device", device, code=2)
        assert f"--device {device}: torch" in message
    assert not list(here.iterdir())


def test_training_says_what_to_type_next_and_that_works(capsys):
    lines = said(capsys, "train", *SHORT)
    for told in ("flap7, 8 games", "1 MiB replay", "2 samples a step", "cpu, 1 thread", " steps/s here"):
        assert told in lines[0]
    assert "all steps played; 400 steps, 25 updates" in lines[-4]
    typed = [line.split("vecflap ")[1].split() for line in lines[-3:]]
    assert [words[0] for words in typed] == ["watch", "eval", "train"]
    said(capsys, *typed[0], "--frames", 2, "--save", "bird.png")
    assert Path("bird.png").stat().st_size > 500
    said(capsys, *typed[1], "--games", 2)
    lines = said(capsys, *typed[2])
    assert "800 steps, 75 updates" in lines[-4]


def test_flags_and_presets_become_the_config(capsys, here):
    article = ["--preset=article", "--threads", "1", "--device", "cpu", "--steps", "2", "--out", "a"]
    said(capsys, "train", *article, "--lr", "0.125", "--no-double", "--gamma=0.9")
    config = json.loads((here / "a" / "config.json").read_text())
    names = ("preset", "network", "envs", "capacity", "lr", "gamma", "double", "steps")
    assert [config[n] for n in names] == ["article", "article", 1, 50_000, 0.125, 0.9, False, 2]


def test_the_exam_prints_one_json_object_last(capsys, folder):
    lines = said(capsys, "eval", folder, "--games", 3, "--pipes", 2, "--seed", 4, "--epsilon", 0.5, "--json")
    values = json.loads(lines[-1])
    expected = "games pipes mean median min max survived lost_at_most"
    expected += " seed epsilon rules gap checkpoint skip sticky latency flip"
    assert list(values) == expected.split()
    assert values["checkpoint"] == str(folder / "best.safetensors")
    given = {"games": 3, "pipes": 2, "seed": 4, "epsilon": 0.5, "rules": "flap9", "gap": 100}
    assert values | given == values
    table = "\n".join(said(capsys, "eval", folder, "--games", 3, "--pipes", 2, "--rules", "flap7"))
    assert "plays flap7" in table
    assert "2 pipes" in table


def test_a_bird_is_followed_to_all_situations(capsys, folder):
    values = json.loads(said(capsys, "prove", folder, "--pipes", 1, "--json")[-1])
    names = "situations never_dies fatal close close_fatal pipes lost rounding rules gap checkpoint"
    assert list(values) == names.split()
    assert values["situations"] > values["fatal"] > 0
    assert values["lost"] == 1.0, "an untrained bird"
    lines = said(capsys, "prove", folder, "--pipes", 1)
    assert lines[1] == f"{values['situations']:,} situations, all that it can come to"
    assert lines[-1] == "a game of 1 pipes is lost with a chance of 1"


def test_a_recording_is_verified(capsys):
    said(capsys, "record", "x.npz", "--steps", 300, "--rules", "flap9")
    assert "differing steps:  0" in said(capsys, "verify", "x.npz", "--rules", "flap9")
    assert "expected" in said(capsys, "verify", "x.npz", "--rules", "flap7", code=1)[-1]


def vecflap(*words: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-W", "error", "-m", "vecflap.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_help_loads_neither_torch_nor_numba():
    code = "import sys; from vecflap.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'numba', 'numpy', 'rich.live'} & set(sys.modules)))"
    for words in ([], ["--help"], ["train", "--help"], ["eval", "-h"]):
        command = [sys.executable, "-W", "error", "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "100"})
        assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
        assert "usage: vecflap" in done.stdout


def test_ctrl_c_saves_the_run_and_exits_with_130():
    process = vecflap("train", *SHORT, "--steps", "1000000", "--out", "a", "--until", "steps")
    while "  eps " not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted; everything is saved" in out
    assert out.rstrip().endswith("vecflap train --out a --resume")
    step = int(tensors(Path("a"))["replay.counters"][0]) * 8
    assert f"{step:,} steps" in out


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_a_mistake_is_one_line_in_a_process_of_its_own(encoding):
    env = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "40"}
    out, err = vecflap("train", "--envs", "0", env=env).communicate(timeout=60)
    assert out == ""
    assert err == "vecflap: --envs 0 is not a whole number from 1 to 1048576.\n"
