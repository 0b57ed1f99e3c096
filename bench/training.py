"""vecflap's training and two others' loops, by turns, on the same threads. Item: one transition learned from.

python bench/training.py [--threads 2] [--rounds 2] [--seconds 20] [--device cpu] [--flappy-python PYTHON]

A window is a process of its own. The others are re-created in baselines/: they play vecflap's game, with
the article's or vecflap's default network. --flappy-python: one that has flappy-bird-gymnasium, say that of
`make bench-peers`, which also plays then. vecflap runs as its users run it, `vecflap train`, without
selections; not timed are starting, compiling and the first seconds. FLOPs are those of the plain
convolutions, whatever computes them; beside them stands what products of matrices reach in the same round.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "training.json"
WARM_UP = 12.0  # s; the article's loop plays a hundred frames before it learns
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {  # name: module and arguments
    "article's loop, its network": ("article", {"network": "article"}),
    "article's loop, compact network": ("article", {"network": "compact"}),
    "CleanRL-style loop, compact network": ("cleanrl", {"network": "compact"}),
    "CleanRL-style loop, flappy-bird-gymnasium": (
        "cleanrl",
        {"network": "compact", "games": "flappy-bird-gymnasium"},
    ),
    "vecflap, compact network": (
        "vecflap",
        {"envs": 64, "steps-per-update": 64, "capacity": 262_144, "log-every": 2_048},
    ),
    "vecflap, article's network": (
        "vecflap",
        {"preset": "article", "batch": 32, "envs": 8, "capacity": 50_000, "log-every": 64},
    ),
}


def vecflap_rates(seconds, device, threads, warm_up, batch=128, **flags):
    """Rates a second of `vecflap train`, from the lines of its metrics."""
    flags |= {"device": device, "threads": threads, "batch": batch, "until": "steps", "steps": 10**12}
    flags |= {
        "time-limit": seconds + warm_up,
        "learn-start": 256,
        "eval-every": 10**12,
        "save-every": 10**12,
    }
    with tempfile.TemporaryDirectory() as folder:
        words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "vecflap.cli", "train", "--out", f"{folder}/run", *words]
        subprocess.run(command, check=True, capture_output=True)
        lines = [json.loads(line) for line in Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["seconds"] > warm_up and line["updates"])
    passed = lines[-1]["seconds"] - first["seconds"]
    steps, updates = ((lines[-1][name] - first[name]) / passed for name in ("step", "updates"))
    return {"steps": steps, "updates": updates, "samples": batch * updates}


def matrix_rates(device, threads, size=1024):
    """FLOPs a second of products of square matrices, the best of some."""
    import torch

    torch.set_num_threads(threads)
    rates = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        best = 0.0
        for _ in range(40):
            began = time.perf_counter()
            c = a @ b
            if device != "cpu":
                torch.cuda.synchronize()
            best = max(best, 2 * len(c) ** 3 / (time.perf_counter() - began))
        rates[str(kind).removeprefix("torch.")] = best
    return rates


def flops_of(network, batch=64):
    """FLOPs of learning from one transition: the online network on both states, one of them backwards too,
    the target network on the other."""
    import torch
    from baselines.networks import NETWORKS
    from torch.utils.flop_counter import FlopCounterMode

    net, obs = NETWORKS[network](), torch.zeros(batch, 4, 64, 64)
    with FlopCounterMode(display=False) as counter:
        net(obs).sum().backward()
        with torch.no_grad():
            net(obs), net(obs)
    return counter.get_total_flops() / batch


def window(system, seconds, device, threads, warm_up):
    """Rates of one system. Run in a process of its own."""
    module, options = SYSTEMS[system]
    if module == "vecflap":
        return vecflap_rates(seconds, device, threads, warm_up, **options)
    import torch

    torch.set_num_threads(threads)
    return importlib.import_module(f"baselines.{module}").run(
        device=device, seconds=seconds, warm_up=warm_up, **options
    )


def child(python, *words):
    """What this script says in a process of its own: of a system, seconds, device, threads and warm-up."""
    command = [python, __file__, "--window", *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--flappy-python", default="")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--window", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.window:
        system, seconds, device, threads, warm_up = args.window
        if system == "matrices":
            print(json.dumps(matrix_rates(device, int(threads))))
        else:
            print(json.dumps(window(system, float(seconds), device, int(threads), float(warm_up))))
        return
    systems = [name for name in SYSTEMS if args.flappy_python or "gymnasium" not in name]
    rounds = []
    for number in range(args.rounds):
        row = {"matrices": child(sys.executable, "matrices", 0, args.device, args.threads, 0)}
        for system in systems:
            python = args.flappy_python if "gymnasium" in system else sys.executable
            row[system] = child(python, system, args.seconds, args.device, args.threads, WARM_UP)
            rates = ", ".join(f"{rate:,.1f} {name}/s" for name, rate in row[system].items())
            print(f"round {number + 1}  {system:<44} {rates}", flush=True)
        rounds.append(row)
    result = {
        "command": " ".join(["python", "bench/training.py", *sys.argv[1:]]),
        **machine_of(args),
        "flops": {network: flops_of(network) for network in ("compact", "article")},
        "rounds": rounds,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(training_table(result))


def machine_of(args):
    """What ran this."""
    from vecflap.device import cpu_name

    return {
        "machine": {
            "cpu": cpu_name(),
            "threads": args.threads,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "numba")},
            },
        },
        "device": args.device,
    }


def training_table(result):
    """Rates of every system, and vecflap's beside them: the medians of the rounds, and of their ratios."""
    compact, article = "vecflap, compact network", "vecflap, article's network"

    def median(system, rate):
        return statistics.median(row[system][rate] for row in result["rounds"])

    def times(system, other, rate):
        return f"{statistics.median(row[system][rate] / row[other][rate] for row in result['rounds']):.1f}"

    lines = [
        "| | env steps/s | samples learned from/s | vecflap, compact: steps | samples "
        "| vecflap, article's: samples |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for system in result["rounds"][0]:
        if system != "matrices":
            rates = [f"{median(system, rate):,.0f}" for rate in ("steps", "samples")]
            ratios = [times(compact, system, rate) for rate in ("steps", "samples")]
            cells = [system, *rates, *ratios, times(article, system, "samples")]
            lines.append(f"| {' | '.join(cells)} |")
    for system, network in ((compact, "compact"), (article, "article")):
        done, shares = median(system, "samples") * result["flops"][network], []
        fast = median("matrices", "bfloat16") > median("matrices", "float32")  # else it is imitated
        for kind in ("float32", "bfloat16")[: 1 + fast]:
            rate = median("matrices", kind)
            shares.append(f"{done / rate:.0%} of the {rate / 1e9:.0f} of matrix products in {kind}")
        lines += ["", f"{system}: {done / 1e9:.0f} GFLOP/s, {', '.join(shares)}."]
    m = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in m["versions"].items())
    threads = f"{m['threads']} thread" + "s" * (m["threads"] > 1)
    return "\n".join([*lines, "", f"`{result['command']}` on {m['cpu']}, {threads}, {versions}."])


if __name__ == "__main__":
    main()
