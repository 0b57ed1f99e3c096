"""Train a bird of either rules until it is mastered, in ten minutes at most, and examine it.

python bench/mastered.py [--seed 0] [--limit 600]

Mastered: no death in a selection of 2,000 games to 1,000 pipes. The exams are of 100 games to 1,000 pipes,
and of 1,000 games to 200. Writes results/mastered.json, of which `bench/report.py` makes a table.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from seeds import RESULTS, counted, examined, vecflap

from vecflap.checkpoint import load_checkpoint

EXAMS = {"1,000 pipes": (100, 1_000), "1,000 games": (1_000, 200)}
"""Games and pipes."""
BIRD = {"step": "_step", "pipes_per_death": "", "deaths": "_deaths"}
"""What is told of the bird that was kept, by its key in the run's progress."""


def row_of(rules, seed, limit, folder):
    """Train, and sit the exams."""
    goal = "--until", "mastered", "--time-limit", limit
    began = time.monotonic()
    vecflap("train", "--rules", rules, "--seed", seed, *goal, "--out", folder)
    seconds = time.monotonic() - began
    _, header = load_checkpoint(folder / "last.safetensors", "updates")
    return {
        "rules": rules,
        "seed": seed,
        "seconds": round(seconds, 1),
        **counted(folder),
        "bird": {name: header["progress"][f"best{key}"] for name, key in BIRD.items()},
        "exams": {name: examined(folder, *games) for name, games in EXAMS.items()},
    }


def main():
    """One after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    rows = []
    for rules in ("flap7", "flap9"):
        folder = arguments.runs / f"mastered-{rules}"
        if folder.exists():
            sys.exit(f"{folder} is there already: remove it, or choose other --runs.")
        rows.append(row_of(rules, arguments.seed, arguments.limit, folder))
        print(json.dumps(rows[-1]), flush=True)
        machine = json.loads((folder / "manifest.json").read_text())
        command = " ".join(["python bench/mastered.py", *sys.argv[1:]])
        results = {"command": command, "machine": machine, "rows": rows}
        (RESULTS / "mastered.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
