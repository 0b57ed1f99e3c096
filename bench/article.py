"""Train with the article's network and numbers, and two of its choices made otherwise: when does a bird play?

python bench/article.py [--steps 100_000] [--seeds 1] [--jobs 2] [--runs runs]

A run goes on to its last step, or until its bird passes 200 pipes in every game of a selection. Writes
results/article.json, of which `bench/report.py` makes a table, and article.png.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from seeds import RESULTS, counted, curve_of, lines_of
from torch import nn

import vecflap
from vecflap.presets import PRESETS
from vecflap.run import View

SHARED = "target and online network share batch norm, as in the program"
VARIANTS: dict[str, dict[str, Any]] = {
    "the preset": {},
    SHARED: {},
    "random actions, from 10 % to 0.1 %": {"eps_start": 0.1, "eps_end": 0.001, "eps_steps": 50_000},
}
"""Fields of Config, by what a run is called. A random action flaps with a chance of one in ten, about as
often as a bird should."""
FLAP_CHANCE = 0.1


class Sharing(View):
    """Has a run's networks share scale, shift and running statistics of their batch norms."""

    def tick(self, run):
        """A row was played, with an update at most."""
        target = dict(run.learner.target.named_modules())
        for name, norm in run.learner.online.named_modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                target[name].load_state_dict(norm.state_dict())


def train(variant, seed, steps, folder):
    """Train one bird."""
    fields = VARIANTS[variant] | {"flap_chance": FLAP_CHANCE, "steps": steps, "seed": seed, "out": folder}
    vecflap.train(replace(PRESETS["article"], **fields), Sharing() if variant == SHARED else View())


def trained(job):
    """Train one bird in a process of its own. Returns its row."""
    variant, seed, _, folder = job
    subprocess.run([sys.executable, __file__, "--job", json.dumps(job)], check=True)
    run = Path(folder)
    seconds = lines_of(run)[-1]["seconds"]
    row = {"variant": variant, "seed": seed, "seconds": seconds, **counted(run), "curve": curve_of(run)}
    print(f"{variant}, seed {seed}: {row['steps']:,} steps, {seconds:.0f} s", flush=True)
    return row


def plot(results, path):
    """Pipes that the greedy policy passes for a death, over steps, a line a run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=130)
    for row in results["rows"]:
        colour = f"C{list(VARIANTS).index(row['variant'])}"
        steps, pipes = zip(*((p["step"], max(p["pipes_per_death"], 0.1)) for p in row["curve"]), strict=True)
        label = row["variant"] if row["seed"] == 0 else None
        axes.plot(steps, pipes, color=colour, marker="o", markersize=3, label=label)
    axes.set(xlabel="steps, of one game", ylabel="pipes a death, greedy", xlim=0, yscale="log")
    axes.set_title(f"the article's network and numbers, {results['machine']['cpu']}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def main():
    """Run all, `--jobs` at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        variant, seed, steps, folder = json.loads(arguments.job)
        train(variant, seed, steps, Path(folder))
        return
    numbered = list(product(range(arguments.seeds), enumerate(VARIANTS)))
    jobs = [
        (variant, seed, arguments.steps, str(arguments.runs / f"article-{number}-{seed}"))
        for seed, (number, variant) in numbered
    ]
    if there := [folder for *_, folder in jobs if Path(folder).exists()]:
        sys.exit(f"{there[0]} is there already: remove it, or choose other --runs.")
    command, rows = " ".join(["python bench/article.py", *sys.argv[1:]]), []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(trained, jobs):
            rows.append(row)
            machine = json.loads((Path(jobs[0][-1]) / "manifest.json").read_text())
            results = {"command": command, "machine": machine, "rows": rows}
            (RESULTS / "article.json").write_text(json.dumps(results, indent=1) + "\n")
            plot(results, RESULTS / "article.png")


if __name__ == "__main__":
    main()
