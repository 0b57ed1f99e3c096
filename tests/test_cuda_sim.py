"""The games on a GPU are those on the CPU: in Numba's CUDA simulator, as PTX, and on a GPU itself."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import metrics, same, tensors, unclocked

from vecflap import players
from vecflap.sim import VecFlap

cuda_sim = pytest.importorskip("vecflap.cuda_sim", reason="pip install vecflap[cuda]")

PROGRAM = """
import sys
import numpy as np
from vecflap import cuda_sim, players
from vecflap.cuda_sim import CudaFlap
from vecflap.sim import VecFlap

class NotNow:
    __getitem__ = lambda self, launch: lambda *arrays: None

draw, not_now = cuda_sim.draw, NotNow()
ours, theirs = (make(8, sys.argv[1], np.int64(3), clearance=int(sys.argv[2]), **more) for make, more in
                ((CudaFlap, {"device": "cpu"}), (VecFlap, {"threads": 1})))
seen = set()
for t in range(500):
    cuda_sim.draw = draw if t % 25 == 0 or theirs.term.any() else not_now
    act = np.zeros(8, np.uint8)
    players.careful(theirs.rows, act)
    act[:2] = t % 16 == 0, t % 40 == 0  # birds that die sooner or later
    drawn = [ours.frame.clone(), theirs.frame]
    ours.step(act)
    theirs.step(act)
    for name in ("age", "rew", "term", "score", "frame")[: 5 if cuda_sim.draw is draw else 4]:
        assert (getattr(ours, name) == getattr(theirs, name)).all(), (name, t)
    assert (ours.state.numpy() == theirs.state).all(), t
    seen |= {f"wing {wing}" for wing in theirs.games.wing} | {f"reward {rew}" for rew in theirs.rew.tolist()}
    seen |= {f"score {score > 3}" for score in theirs.score.tolist()}
cuda_sim.draw = draw
restarted = CudaFlap(8, sys.argv[1], 5, device="cpu")
restarted.load_state_dict(theirs.state_dict())
assert (restarted.frame == theirs.frame).all() and (restarted.age == theirs.age).all()
which = np.arange(8) % 3 == 0
ours.restart(which)
theirs.restart(which)
assert (ours.frame == theirs.frame).all() and (ours.age == theirs.age).all()
print(sorted(seen))
"""
SEEN = "['reward -1', 'reward 0', 'reward 1', 'score False', 'score True', 'wing 0', 'wing 1', 'wing 2']\n"


TRAINING = """
import sys
from pathlib import Path
import numpy as np
from vecflap import physics, play, run
from vecflap.config import Config
from vecflap.loop import train

np.seterr(over="ignore")  # without the compiler, numbers wrap as they do with it, but say so
play.Gaps = lambda seed, *rest: physics.Gaps(np.int64(seed), *rest)
tiny = {"envs": 3, "batch": 4, "capacity": 60, "steps": 180, "learn_start": 30, "steps_per_update": 15}
tiny |= {"eps_start": 0.5, "eval_every": 10**9, "log_every": 60, "save_every": 90, "device": "cpu"}
tiny |= {"n_step": 3, "clearance": 2}  # rewards that torch adds up in the kernel's order
for sim in ("cpu", "cuda"):
    train(Config(**tiny, sim=sim, out=Path(sys.argv[1], sim)))
"""


@pytest.mark.parametrize(("rules", "clearance"), [("flap7", 0), ("flap9", 0), ("flap9", 3)])
def test_in_numbas_simulator_games_are_those_of_the_cpu(rules, clearance):
    env = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, rules, str(clearance)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    seen = SEEN.replace("'reward 1'", "'reward 1', 'reward 2'") if clearance else SEEN
    assert (done.returncode, done.stdout) == (0, seen), done.stderr


def test_in_numbas_simulator_training_is_that_with_the_games_on_the_cpu(tmp_path):
    env = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore", "-c", TRAINING, str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "cpu")[-1]["episodes"] > 0
    assert unclocked(tmp_path / "cpu") == unclocked(tmp_path / "cuda")
    assert same(tensors(tmp_path / "cpu"), tensors(tmp_path / "cuda"))


def arrays(cuda_types: SimpleNamespace) -> dict:
    """Numba's types of the kernels' arguments."""
    t = cuda_types
    one = {name: t.Array(t.uint8, 1, "C") for name in ("act", "age", "term", "moved", "which", "stream")}
    one |= {"rew": t.Array(t.int8, 1, "C"), "score": t.Array(t.int32, 1, "C")}
    two = {name: t.Array(t.int32, 2, "C") for name in ("state", "ranges", "plan")}
    return (
        one
        | two
        | {"frame": t.Array(t.int64, 2, "C")}
        | dict.fromkeys(("skip", "clearance", "seed", "purpose"), t.int64)
    )


@pytest.mark.parametrize("name", ["play", "restart", "draw"])
def test_kernels_become_ptx_without_a_floating_point_instruction(name, monkeypatch):
    from numba import cuda, types
    from numba.cuda import dispatcher

    nowhere = SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: nowhere)  # asked for even to compile
    function = getattr(cuda_sim, name).py_func
    kinds = arrays(types)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    try:
        ptx, _ = cuda.compile_ptx(function, types.void(*(kinds[name] for name in names)), cc=(9, 0))
    except Exception as error:
        if "libnv" not in str(error):
            raise
        pytest.skip("pip install nvidia-nvvm nvidia-cuda-nvrtc")
    assert "st.global" in ptx or "\tst." in ptx, "it writes something"
    assert not re.findall(r"\.f(?:16|32|64)\b", ptx)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="run on a machine with a CUDA device")
@pytest.mark.parametrize(("rules", "rows"), [("flap7", 1230), ("flap9", 410), ("mixed", 410)])
def test_on_a_gpu_games_are_those_of_the_cpu(rules, rows):
    """10 million steps, and 3.4 million of the others."""
    envs, rng = 8192, np.random.default_rng(0)
    ours, theirs = cuda_sim.CudaFlap(envs, rules, 7), VecFlap(envs, rules, 7)
    for t in range(rows):
        act = np.zeros(envs, np.uint8)
        players.careful(theirs.rows, act)
        act ^= rng.random(envs) < 0.02
        ours.step(torch.from_numpy(act).cuda())
        theirs.step(act)
        if t % 10 == 0:
            for name in ("frame", "age", "rew", "term", "score"):
                assert (getattr(ours, name).cpu() == getattr(theirs, name)).all(), (name, t)
    assert (ours.rows == theirs.rows).all()
