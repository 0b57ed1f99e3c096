"""Train with one ingredient of the recipe changed at a time, and judge what comes of it.

python bench/search/ablate.py --rules flap7 --seeds 5 --steps 1024000 [--jobs 2] [--only "no practice" ...]

Every so many steps the network that would be kept plays games of the selection's kind (never the exam's),
which end with the third death. Table and results/ablation-RULES.json: pipes a death, the median of the seeds,
with its 90 % bootstrap interval. The same command goes on where it was stopped.
"""

import argparse
import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from judged import curve, per_death

from vecflap.config import Config
from vecflap.folder import manifest

RESULTS = Path(__file__).parents[1] / "results"
VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "Q values as numbers, Huber loss": {"loss": "huber", "caution": 0.0},
    "no caution": {"caution": 0.0},
    "no clearance": {"clearance": 0},
    "Adam": {"optimiser": "adam", "lr": 1e-3, "lr_end": 1e-4},
    "one random action in a thousand": {"eps_end": 0.001},
    "half of the random actions flaps": {"flap_chance": 0.5},
    "the online network is kept, not an average": {"average": 0.0},
    "no practice": {"practice": 0.0},
    "nothing done otherwise": {"otherwise": 0.0},
    "no bird displaced": {"displaced": 0.0, "practice": 0.2},
    "all sampled alike": {"priority": 0.0, "correction": 0.0},
    "no missed flaps": {"missed": 0.0, "missed_end": 0.0, "clumsy": 0.0},
    "flaps missed alike from first to last": {"missed_end": 0.2},
    "no slips": {"slipped": 0.0},
    "no rehearsal": {"rehearse": False},
    "no games of three pipes": {"short": 0.0},
    "scores drawn as the rules say": {"any_score": False},
    "returns over 1 step": {"n_step": 1},
    "discount 0.95": {"gamma": 0.95},
    "no bias against flapping": {"flap_bias": 0.0},
    "learned in bfloat16": {"precision": "bfloat16"},
    "twice the games": {"envs": 512, "steps_per_update": 512, "learn_start": 10_000},
    "Double DQN": {"double": True},
}


def trained(job):
    """The curve of a job."""
    name, rules, seed, steps, every = job
    points = list(curve(every, rules=rules, seed=seed, steps=steps, **VARIANTS[name]))
    print(*job, *(f"{per_death(point):,.0f}" for point in points), flush=True)
    return {"variant": name, "seed": seed, "curve": points}


def table(rows):
    """Lines of a Markdown table: a variant each, a column for each time of judging."""
    steps = [point["step"] for point in rows[0]["curve"]]
    lines = [
        "| | " + " | ".join(f"{step // 1000:,}k steps" for step in steps) + " |",
        "|---" * (len(steps) + 1) + "|",
    ]
    rng = np.random.default_rng(0)
    for name in dict.fromkeys(row["variant"] for row in rows):
        of_seeds = np.array([[per_death(p) for p in row["curve"]] for row in rows if row["variant"] == name])
        again = np.median(of_seeds[rng.integers(0, len(of_seeds), (2_000, len(of_seeds)))], axis=1)
        low, high = np.quantile(again, [0.05, 0.95], axis=0)
        cells = (
            f"{mid:,.0f} ({a:,.0f} to {b:,.0f})"
            for mid, a, b in zip(np.median(of_seeds, axis=0), low, high, strict=True)
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main():
    """Run all, `--jobs` at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", default="flap7")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_024_000)
    parser.add_argument("--every", type=int, default=256_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    steps = math.ceil(arguments.steps / arguments.every) * arguments.every
    seeds = range(arguments.seeds)
    jobs = [[n, arguments.rules, s, steps, arguments.every] for s, n in product(seeds, arguments.only)]
    out = arguments.out or RESULTS / f"ablation-{arguments.rules}.json"
    command = "python bench/search/ablate.py " + " ".join(sys.argv[1:])
    about = {"command": command, "machine": manifest(Config())}
    found = json.loads(out.read_text()) if out.exists() else {}
    rows = found["rows"] if about.items() <= found.items() else []  # go on where it was stopped
    known = {(row["variant"], row["seed"]) for row in rows}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(trained, [job for job in jobs if (job[0], job[2]) not in known]):
            rows.append(row)
            out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()
