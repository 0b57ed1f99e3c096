"""Train several seeds with the defaults, sit the exam with each, and write table and curves to results/.

python bench/seeds.py --seeds 5 --rules flap7 [--limit 300] [--jobs 1]

A seed's time is wall-clock from the start of its process, selections included; the exam is another process.
"""

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from vecflap.checkpoint import load_checkpoint
from vecflap.config import Config

RESULTS = Path(__file__).parent / "results"
CONFIG = Config()


def vecflap(*words):
    """Run the command `vecflap`; returns its output."""
    return subprocess.run(
        [sys.executable, "-m", "vecflap.cli", *map(str, words)], check=True, text=True, stdout=-1
    ).stdout


def lines_of(folder):
    """The lines of a run's metrics."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def curve_of(folder):
    """What the selections of a run found."""
    lines = [line for line in lines_of(folder) if "deaths" in line]
    return [
        {"step": x["judged"], **{k: x[k] for k in ("seconds", "pipes_per_death", "deaths")}} for x in lines
    ]


def examined(folder, games, pipes):
    """What came of a run's bird in so many games."""
    exam = json.loads(vecflap("eval", folder, "--games", games, "--pipes", pipes, "--json").splitlines()[-1])
    exam.pop("checkpoint")
    return exam


def counted(folder):
    """A run's steps and updates, and what it says it has reached."""
    tensors, header = load_checkpoint(folder / "last.safetensors", "updates")
    progress = header["progress"]
    return {"steps": progress["step"], "updates": int(tensors[""]), "reached": progress["reached"]}


def run_seed(folder, rules, seed, limit):
    """Train one seed and examine it. Returns its row."""
    began = time.monotonic()
    vecflap("train", "--rules", rules, "--seed", seed, "--out", folder, "--time-limit", limit)
    row = row_of(folder, seed, time.monotonic() - began)
    exam = row["exam"]
    print(
        f"seed {seed}: {row['seconds']} s, exam mean {exam['mean']}, alive {exam['survived']:.0%}", flush=True
    )
    return row


def row_of(folder, seed, seconds):
    """Examine a run that took so many seconds. Returns its row."""
    began = time.monotonic()
    exam = examined(folder, 100, 200)
    exam_seconds = time.monotonic() - began
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        **counted(folder),
        "exam": exam,
        "exam_seconds": round(exam_seconds, 1),
        "curve": curve_of(folder),
    }


def plot(results, path):
    """Pipes that the greedy policy passes for a death, over wall-clock time, a line a seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=130)
    for row in results["rows"]:
        seconds = [point["seconds"] for point in row["curve"]]
        pipes = [max(point["pipes_per_death"], 1) for point in row["curve"]]
        axes.plot(seconds, pipes, marker="o", markersize=3, label=f"seed {row['seed']}")
    games, most = CONFIG.eval_games, CONFIG.eval_pipes
    axes.axhline(games * most, color="grey", linewidth=0.8, linestyle=":")
    axes.annotate(f"{games:,} games to {most} pipes, no death", (1, 1.1 * games * most), fontsize=7)
    axes.set(xlabel="seconds of training, on a CPU", ylabel="pipes a death, greedy", xlim=0, yscale="log")
    axes.set_ylim(0.9, 1_000_000)
    m = results["machine"]
    threads = f"{m['threads']} thread" + "s" * (m["threads"] > 1)
    title = f"{results['rules']}, {m['cpu']}, {threads}, torch {m['versions']['torch']}"
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def write(rows, folder, rules, command):
    """Write the results so far, with the machine of a run's folder, and plot them."""
    machine = json.loads((folder / "manifest.json").read_text())
    results = {"command": command.strip(), "rules": rules, "machine": machine, "rows": rows}
    (RESULTS / f"seeds-{rules}.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results, RESULTS / f"seeds-{rules}.png")


def main():
    """Run all seeds, `--jobs` at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rules", default="flap7")
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--jobs", type=int, default=1, help="seeds trained at a time, a thread each")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    folders = [arguments.runs / f"seeds-{arguments.rules}-{seed}" for seed in range(arguments.seeds)]
    for folder in folders:
        if folder.exists():
            sys.exit(f"{folder} is there already: remove it, or choose other --runs.")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        of_all = repeat(arguments.rules), range(arguments.seeds), repeat(arguments.limit)
        rows = []
        for row in pool.map(run_seed, folders, *of_all):
            rows.append(row)
            write(rows, folders[0], arguments.rules, "python bench/seeds.py " + " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
