"""Sit every exam with a bird, and write results/exam-RULES.json: what is claimed of it, and harder ones.

python bench/exams.py vecflap/birds/flap7.safetensors [--made "vecflap train --seed 2"]

Exams of 100 games to 200 pipes, but for the first two. `bench/report.py` makes a table of them.
"""

import argparse
import json
from pathlib import Path

from seeds import RESULTS, vecflap

from vecflap.checkpoint import load_weights
from vecflap.config import Config
from vecflap.folder import manifest

EXAMS = {
    "1,000 pipes": ("--pipes", 1_000),
    "1,000 games": ("--games", 1_000),
    "a random action in 1,000 steps": ("--epsilon", 0.001),
    "a random action in 100": ("--epsilon", 0.01),
    "the last action repeated in 1 of 10 steps": ("--sticky", 0.1),
    "the last action repeated in 1 of 4": ("--sticky", 0.25),
    "every action a frame late": ("--latency", "True"),
    "1 pixel in 1,000 inverted": ("--flip", 0.001),
    "1 pixel in 100 inverted": ("--flip", 0.01),
    "gaps of 90 px": ("--gap", 90),
    "gaps of 80 px": ("--gap", 80),
}


def main():
    """Sit them one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bird", type=Path)
    parser.add_argument("--made", default="", help="the command that made the bird")
    arguments = parser.parse_args()
    _, header, file = load_weights(arguments.bird)
    config = Config.from_json(header["config"], file)
    exams = []
    for name, harder in EXAMS.items():
        words = "eval", arguments.bird, *harder, "--json"
        exam = json.loads(vecflap(*words).splitlines()[-1])
        exams.append({"exam": name, "command": " ".join(map(str, ("vecflap", *words))), **exam})
        print(f"{name:45} mean {exam['mean']:8.2f}, fewest {exam['min']:5}", flush=True)
    about = {"bird": str(arguments.bird), "made": arguments.made, "machine": manifest(config)}
    path = RESULTS / f"exam-{config.rules}.json"
    path.write_text(json.dumps(about | {"exams": exams}, indent=1) + "\n")


if __name__ == "__main__":
    main()
