"""What vecflap does on a GPU, in under 10 minutes: the `gpu` tests, throughput, how busy the device is.

bench/gpu.sh [--out FILE]        on a machine with CUDA
bench/gpu.sh --cpu --seconds 1   the same on a CPU, tiny: that the script works

Every part that fails is reported, and the others go on. tests/test_gpu_script.py knows the JSON's schema.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import throughput as whole
import torch
import training
import unpacking as ways
import update
from throughput import throughput, wait

from vecflap import VecFlap
from vecflap.checkpoint import load_checkpoint
from vecflap.device import cpu_name
from vecflap.doctor import findings

ROOT = Path(__file__).parent.parent
MINUTES = 9.5
"""For everything: what comes last takes what is left."""
STARTING = 10
"""Seconds of a process around its training."""


def environment(args):
    """What vecflap doctor says."""
    return {finding.about: finding.value for finding in findings()}


def gpu_tests(args):
    """The tests under the marker `gpu`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)
    lines = (done.stdout + done.stderr).strip().splitlines()
    args.failed |= done.returncode != 0
    return {"passed": done.returncode == 0, "last_line": lines[-1] if lines else "", "log": lines[-40:]}


def matrices(args):
    """FLOP/s of matrix products, and bytes/s of copies: the ceilings."""
    big = torch.empty((2**28 if args.device == "cuda" else 2**22), dtype=torch.uint8, device=args.device)
    other, best = torch.empty_like(big), 0.0
    for _ in range(8):
        began = time.perf_counter()
        for _ in range(4):
            other.copy_(big)
        wait(args.device)
        best = max(best, 4 * 2 * big.nbytes / (time.perf_counter() - began))
    size = 8192 if args.device == "cuda" else 512
    return training.matrix_rates(args.device, torch.get_num_threads(), size) | {"bytes": best}


def simulators(args):
    """Frames a second of both simulators, drawn, at several numbers of games."""
    rates = {}
    for envs in args.envs:
        act = np.zeros(envs, np.uint8)
        act[::16] = 1
        for name in ("cpu", "cuda") if args.device == "cuda" else ("cpu",):
            if name == "cuda":
                from vecflap.cuda_sim import CudaFlap

                sim: Any = CudaFlap(envs)
                given: Any = torch.from_numpy(act).cuda()
            else:
                sim, given = VecFlap(envs), act
            for _ in range(20):
                sim.step(given)
            wait(args.device)
            rows, began = 0, time.perf_counter()
            while time.perf_counter() - began < min(args.seconds, 2):
                for _ in range(20):
                    sim.step(given)
                rows += 20
                wait(args.device)
            rates[f"{name} {envs}"] = envs * rows / (time.perf_counter() - began)
    return rates


def updates(args):
    """Times of an update, see update.py."""
    return update.updates(args, matrices(args))


def unpacking(args):
    """Times of the first layer, see unpacking.py."""
    return ways.measured(torch.device(args.device))


def baselines(args):
    """Rates of the loops of bench/training.py, a short window each, and vecflap's over theirs."""
    ours = ["vecflap, compact network"] + ["vecflap, article's network"] * (not args.cpu)
    theirs = ["CleanRL-style loop, compact network"] + ["article's loop, its network"] * (not args.cpu)
    words = 4, args.device, 1, 2 if args.cpu else 8  # seconds; and of the warm-up
    rates = {name: training.child(sys.executable, name, *words) for name in ours + theirs}
    return {
        f"{one} / {other}": {of: rates[one][of] / rates[other][of] for of in ("steps", "samples")}
        for one in ours
        for other in theirs
    }


def birds(args):
    """Seconds until three seeds are done by themselves, from the start of their processes."""
    rows, seeds = [], range(1 if args.cpu else 3)
    for seed in seeds:
        left = (args.deadline - time.monotonic()) / (len(seeds) - seed) - STARTING
        with tempfile.TemporaryDirectory() as folder:
            flags = ["--seed", seed, "--device", args.device, "--out", f"{folder}/run"]
            flags += ["--time-limit", max(min(args.limit, left), 1)]
            flags += ["--steps", 2_000, "--log-every", 1_000] if args.cpu else []
            command = [sys.executable, "-m", "vecflap.cli", "train", *map(str, flags)]
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            lines = [json.loads(x) for x in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
            header = load_checkpoint(Path(folder, "run", "last.safetensors"), "updates")[1]
            rows.append(
                {
                    "seed": seed,
                    "seconds": time.perf_counter() - began,
                    "steps": max((line["step"] for line in lines), default=0),
                    "reached": header["progress"]["reached"],
                    "pipes_per_death": header["progress"]["best"],
                }
            )
    return rows


PARTS = (
    *(environment, gpu_tests, matrices, simulators, throughput, unpacking),
    *(baselines, updates, birds),
)


def table(result):
    """The numbers worth a look, line by line."""
    lines = [
        f"{result['machine']['device']}, {result['machine']['cpu']}, torch {result['machine']['torch']}",
        "",
    ]
    parts = result["parts"]
    for name, error in result["errors"].items():
        lines.append(f"FAILED {name}: {error.splitlines()[-1]}")
    if "gpu_tests" in parts:
        lines.append(f"gpu tests: {parts['gpu_tests']['last_line']}")
    for name, rate in parts.get("simulators", {}).items():
        lines.append(f"simulator {name:>10}: {rate / 1e6:8.2f} M frames/s")
    for part, module in (("throughput", whole), ("unpacking", ways), ("updates", update)):
        lines += module.lines_of(parts.get(part, {}))
    for name, x in parts.get("baselines", {}).items():
        lines.append(f"{name}: {x['steps']:.1f} times the steps, {x['samples']:.1f} times the samples")
    for row in parts.get("birds", []):
        said = row["reached"] or f"not done: a death in {row['pipes_per_death']:.0f} pipes"
        lines.append(f"bird of seed {row['seed']}: {row['seconds']:.1f} s, {said}")
    return "\n".join(lines)


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="on the CPU, at tiny size")
    parser.add_argument("--seconds", type=float, default=4, help="of every throughput")
    parser.add_argument("--limit", type=float, default=60, help="seconds a bird may take")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "gpu.json")
    parser.add_argument("--parts", nargs="+", default=[part.__name__ for part in PARTS])
    args = parser.parse_args()
    args.device, args.failed = "cpu" if args.cpu else "cuda", False
    args.deadline = time.monotonic() + 60 * MINUTES
    args.envs = (8, 64) if args.cpu else (64, 1024, 8192)
    if not args.cpu and not torch.cuda.is_available():
        sys.exit("bench/gpu.py: torch finds no CUDA device. Try --cpu.")
    name = torch.cuda.get_device_name() if not args.cpu else "no GPU"
    result: dict[str, Any] = {
        "command": " ".join(["bench/gpu.sh", *sys.argv[1:]]),
        "machine": {"device": name, "cpu": cpu_name(), "python": platform.python_version()}
        | {name: metadata.version(name) for name in ("torch", "numba", "numpy")},
        "parts": {},
        "errors": {},
    }
    for part in PARTS:
        if part.__name__ in args.parts:
            began = time.perf_counter()
            try:
                result["parts"][part.__name__] = part(args)
            except Exception:
                result["errors"][part.__name__] = traceback.format_exc()
            print(f"{part.__name__}: {time.perf_counter() - began:.0f} s", flush=True)
            args.out.write_text(json.dumps(result, indent=1) + "\n")
    print("\n" + table(result))
    sys.exit(bool(result["errors"]) or args.failed)


if __name__ == "__main__":
    main()
