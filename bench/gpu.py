"""What vecflap does on a GPU, in under 10 minutes: the `gpu` tests, throughput, how busy the device is.

bench/gpu.sh [--out FILE]        on a machine with CUDA
bench/gpu.sh --cpu --seconds 1   the same on a CPU, tiny: that the script works

Every part that fails is reported, and the others go on. tests/test_gpu_script.py knows the JSON's schema.
"""

import argparse
import gc
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training import flops_of, matrix_rates

from vecflap import VecFlap
from vecflap.config import Config
from vecflap.doctor import findings
from vecflap.dqn import Learner
from vecflap.folder import cpu_name, settle
from vecflap.loop import train
from vecflap.run import View

ROOT = Path(__file__).parent.parent
NEVER = 10**12


def wait(device):
    """Until the device has done what was queued."""
    if device == "cuda":
        torch.cuda.synchronize()


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
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
    return matrix_rates(args.device, torch.get_num_threads(), size) | {"bytes": best}


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


class Window(View):
    """Of a run: rates, over `seconds`; then, for a second, how long kernels run in a row."""

    def __init__(self, device, seconds):
        self.device, self.seconds = device, seconds
        self.since: Any = None  # seconds, rows and updates when the rates' time began
        self.profiler: Any = None
        self.rates: dict[str, Any] = {}
        self.busy: float | None = None

    def tick(self, run):
        """After every row."""
        now, rows = time.perf_counter(), run.replay.row
        if run.learner.updates < 10:  # graphs are captured meanwhile
            return
        if self.since is None:
            wait(self.device)
            self.since = time.perf_counter(), rows, run.learner.updates
        elif not self.rates and now - self.since[0] > self.seconds:
            wait(self.device)
            passed = time.perf_counter() - self.since[0]
            self.row_seconds = passed / (rows - self.since[1])
            updates = run.learner.updates - self.since[2]
            self.rates = {"steps": run.config.envs / self.row_seconds, "updates": updates / passed}
            if self.device == "cpu":
                run.reason = "measured"
                return
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profiler.__enter__()
            self.profiled = time.perf_counter(), rows
        elif self.rates and now - self.profiled[0] > 1:
            wait(self.device)
            self.profiler.__exit__(None, None, None)
            kernels = kernels_of(self.profiler.events())
            self.busy = union(kernels) / 1e6 / (rows - self.profiled[1]) / self.row_seconds
            run.reason = "measured"


def kernels_of(events):
    """Begin and end of every kernel, in microseconds; copies and fills are none."""
    on_device = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in on_device if not e.name.startswith(("Memcpy", "Memset"))]
    assert kernels, "the profiler saw no kernel"
    return [(e.time_range.start, e.time_range.end) for e in kernels]


def union(intervals):
    """The length of what some intervals cover."""
    total, end = 0.0, -float("inf")
    for a, b in sorted(intervals):
        total += max(0.0, b - max(a, end))
        end = max(end, b)
    return total


def throughput(args):
    """Steps and updates a second of the training loop, with the games on the CPU and on the GPU, and the
    share of the time with a kernel running."""
    results = {}
    sims: tuple[Any, ...] = ("cpu",) if args.cpu else ("cpu", "cuda")
    networks: tuple[Any, ...] = ("compact", "article")
    for network, envs, sim in itertools.product(networks, args.envs, sims):
        batch = 1024 if envs == 8192 else 128
        window = Window(args.device, args.seconds)
        with tempfile.TemporaryDirectory() as folder:
            config = Config(
                network=network,
                envs=envs,
                batch=batch if not args.cpu else 16,
                steps_per_update=max(envs, 64),
                capacity=envs * max(64, 262_144 // envs),
                learn_start=envs * 8,
                device=args.device,
                sim=sim,
                until="steps",
                steps=NEVER,
                eval_every=NEVER,
                log_every=NEVER,
                save_every=NEVER,
                out=Path(folder) / "run",
            )
            train(config, window)
        gc.collect()  # graphs and rings hold each other
        results[f"{network} {envs} {sim}"] = window.rates | {"batch": config.batch, "busy": window.busy}
    return results


def updates(args):
    """Time of an update against its floor: its FLOPs at the rate of matrix products, or its bytes at that of
    copies, whichever is longer."""
    from vecflap.replay import Batch

    ceilings, results = matrices(args), {}
    for network in ("compact", "article"):
        config = settle(Config(network=network, device=args.device, batch=16 if args.cpu else 1024))
        b, learner = config.batch, Learner(config, torch.device(args.device))
        obs = torch.randint(-(2**62), 2**62, (b, 4, 64), device=args.device)
        ones = torch.ones(b, device=args.device)
        batch = Batch(obs, (torch.arange(b, device=args.device) % 2), ones, ones, obs.flip(0))
        times = []
        for _ in range(3 if args.cpu else 50):
            wait(args.device)
            began = time.perf_counter()
            for _ in range(2 if args.cpu else 10):
                learner.update(batch, 1e-4)
            wait(args.device)
            times.append((time.perf_counter() - began) / (2 if args.cpu else 10))
        weights = sum(p.nbytes for p in learner.online.parameters())
        floors = {
            "arithmetic": b * flops_of(network) / ceilings[config.precision],
            "memory": (2 * obs.nbytes + 9 * weights) / ceilings["bytes"],
        }
        seconds = statistics.median(times)
        ratio = seconds / max(floors.values())
        results[network] = {"batch": b, "seconds": seconds, "floors": floors, "times_the_floor": ratio}
    return results


def birds(args):
    """Seconds until three seeds are done by themselves, from the start of their processes."""
    rows = []
    for seed in range(1 if args.cpu else 3):
        with tempfile.TemporaryDirectory() as folder:
            flags = ["--seed", seed, "--device", args.device, "--out", f"{folder}/run"]
            flags += ["--time-limit", args.limit]
            flags += ["--steps", 2_000, "--log-every", 1_000] if args.cpu else []
            command = [sys.executable, "-m", "vecflap.cli", "train", *map(str, flags)]
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            lines = [json.loads(x) for x in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
            tests = [line["test_survived"] for line in lines if "test_survived" in line]
            rows.append(
                {
                    "seed": seed,
                    "seconds": time.perf_counter() - began,
                    "steps": max((line["step"] for line in lines), default=0),
                    "survived": max(tests, default=0.0),
                }
            )
    return rows


PARTS = (environment, gpu_tests, matrices, simulators, throughput, updates, birds)


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
    for name, x in parts.get("throughput", {}).items():
        busy = "" if x["busy"] is None else f", a kernel running {x['busy']:.1%} of the time"
        rates = f"{x['steps']:12,.0f} steps/s, {x['updates']:8,.1f} updates/s"
        lines.append(f"training {name:>17}: {rates}{busy}")
    for name, x in parts.get("updates", {}).items():
        times = f"{x['seconds'] * 1e3:.3f} ms, {x['times_the_floor']:.1f} times its floor"
        lines.append(f"update {name:>8}, batch {x['batch']}: {times}")
    for row in parts.get("birds", []):
        survived = f"{row['survived']:.0%} survive the test"
        lines.append(f"bird of seed {row['seed']}: {row['seconds']:.1f} s, {survived}")
    return "\n".join(lines)


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="on the CPU, at tiny size")
    parser.add_argument("--seconds", type=float, default=5, help="of every throughput")
    parser.add_argument("--limit", type=float, default=60, help="seconds a bird may take")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "gpu.json")
    parser.add_argument("--parts", nargs="+", default=[part.__name__ for part in PARTS])
    args = parser.parse_args()
    args.device, args.failed = "cpu" if args.cpu else "cuda", False
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
