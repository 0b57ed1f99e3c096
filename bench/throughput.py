"""Of bench/gpu.py: steps and updates a second of whole runs, how busy the device is, and memory."""

import gc
import itertools
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vecflap.graphs import WARM_UP, Captured
from vecflap.loop import train
from vecflap.presets import PRESETS
from vecflap.run import View

NEVER = 10**12
PRESET_OF = {preset.network: preset for preset in PRESETS.values()}
PROFILED = 0.2  # s: thousands of kernels
PAUSE = 5.0  # us: longer ones are not a graph's, but the host's


def wait(device):
    """Until the device has done what was queued."""
    if device == "cuda":
        torch.cuda.synchronize()


def check_captured():
    """AssertionError if a graph could not be captured. Others may try."""
    possible, Captured.possible = Captured.possible, True
    assert possible, "it cannot be captured as a graph"


def memory(device):
    """Bytes of the process, and of the device's memory: in use, and taken from others."""
    lines = Path("/proc/self/status")
    of_process = re.findall(r"VmRSS:\s*(\d+)", lines.read_text()) if lines.exists() else []
    taken = {"rss": 1024 * int(of_process[0])} if of_process else {}
    if device == "cuda":
        taken |= {"allocated": torch.cuda.memory_allocated(), "reserved": torch.cuda.memory_reserved()}
    return taken


class Window(View):
    """Of a run: rates and memory, over `seconds`; then, from a few rows, how long kernels run in one."""

    def __init__(self, device, seconds):
        self.device, self.seconds = device, seconds
        self.learning = 0  # rows since the first update
        self.since: Any = None  # seconds, rows and updates when the rates' time began
        self.profiler: Any = None
        self.result: dict[str, Any] = {}

    def tick(self, run):
        """After every row."""
        now, rows = time.perf_counter(), run.replay.row
        self.learning += run.learner.updates > 0
        if self.learning <= 2 * WARM_UP or run.learner.updates < 10:  # graphs are captured meanwhile
            return
        if self.since is None:
            wait(self.device)
            self.warm = memory(self.device)
            self.since = time.perf_counter(), rows, run.learner.updates
        elif not self.result and now - self.since[0] > self.seconds:
            self.rates(run, rows)
            if self.device == "cpu":
                run.reason = "measured"
                return
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profiler.__enter__()
            self.profiled = time.perf_counter(), rows
        elif self.result and now - self.profiled[0] > PROFILED:
            wait(self.device)
            self.profiler.__exit__(None, None, None)
            kernels, profiled = kernels_of(self.profiler.events()), rows - self.profiled[1]
            self.result["busy"] = union(kernels) / 1e6 / profiled / self.row_seconds
            self.result["fed"] = union(kernels, PAUSE) / union(kernels, float("inf"))
            self.result["kernels"] = len(kernels) / profiled
            run.reason = "measured"

    def rates(self, run, rows):
        """What happened since the warm-up."""
        wait(self.device)
        passed = time.perf_counter() - self.since[0]
        self.row_seconds = passed / (rows - self.since[1])
        self.result = {
            "steps": run.config.envs / self.row_seconds,
            "updates": (run.learner.updates - self.since[2]) / passed,
            "batch": run.config.batch,
            "busy": None,  # share of the time with a kernel running; the profiler slows all else down
            "fed": None,  # share of the profiled time with one running, or the next to come at once
            "kernels": None,  # a row
            "memory": {"warm": self.warm, "end": memory(self.device)},
        }


def kernels_of(events):
    """Begin and end of every kernel, in microseconds; copies and fills are none."""
    on_device = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in on_device if not e.name.startswith(("Memcpy", "Memset"))]
    assert kernels, "the profiler saw no kernel"
    return [(e.time_range.start, e.time_range.end) for e in kernels]


def union(intervals, pause=0.0):
    """The length of what some intervals cover, and pauses between them up to a length."""
    total, end = 0.0, -float("inf")
    for a, b in sorted(intervals):
        total += max(0.0, b - end) if a <= end + pause else b - a
        end = max(end, b)
    return total


def runs(args) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and changes of the config, of every run: an update a row, and the default recipe's updates."""
    sims: tuple[Any, ...] = ("cpu",) if args.cpu else ("cpu", "cuda")
    most = args.envs[-1]
    for network, envs, sim in itertools.product(PRESET_OF, args.envs, sims):
        batch = 16 if args.cpu else 1024 if envs == most else 128
        one_a_row = {"batch": batch, "steps_per_update": max(envs, 64)}
        yield f"{network} {envs} {sim}", {"network": network, "envs": envs, "sim": sim} | one_a_row
    for sim in sims:
        recipe = {"batch": 16, "steps_per_update": most // 4} if args.cpu else {}
        yield (
            f"compact {most} {sim}, default ratio",
            {"network": "compact", "envs": most, "sim": sim} | recipe,
        )


def throughput(args):
    """Steps and updates a second of the training loop, with the games on the CPU and on the GPU, the share
    of the time with a kernel running, and memory."""
    results = {}
    for name, changes in runs(args):
        window, envs = Window(args.device, args.seconds), changes["envs"]
        changes |= dict.fromkeys(("steps", "eval_every", "log_every", "save_every"), NEVER)
        changes |= {"capacity": envs * max(64, 262_144 // envs), "learn_start": envs * 8}
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            try:
                config = replace(PRESET_OF[changes["network"]], device=args.device, until="steps", out=out)
                train(replace(config, **changes), window)
                results[name] = window.result
                check_captured()
            except Exception as error:
                results[name] = window.result | {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        gc.collect()  # graphs and rings hold each other
    return results


def lines_of(results):
    """A line or two for each run."""
    for name, x in results.items():
        if "failed" in x:
            yield f"training {name:>32}: FAILED {x['failed']}"
        if "steps" not in x:
            continue
        yield f"training {name:>32}: {x['steps']:12,.0f} steps/s, {x['updates']:8,.1f} updates/s"
        if x["busy"] is not None:
            shares = f"a kernel running {x['busy']:.1%} of the time, or about to {x['fed']:.1%}"
            yield f"{'':>43}{shares}; {x['kernels']:,.0f} kernels a row"
        ends = x["memory"].values()
        mib = (
            f"{of} {' to '.join(f'{end[of] / 2**20:,.0f}' for end in ends)} MiB" for of in x["memory"]["end"]
        )
        yield f"{'':>43}{', '.join(mib)}"
