"""Training beside selections: these in a process of their own, against the same in a thread, by turns.

python bench/selecting.py [--rounds 2]

The default recipe goes on with the bird that comes with the package, which is judged all the time, on a CPU.
Timed are the steps between the first verdict that may come and the last one. Results/selecting.json.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from vecflap import selection, train
from vecflap.checkpoint import BIRDS
from vecflap.config import Config
from vecflap.run import Run, View

RESULTS = Path(__file__).parent / "results" / "selecting.json"
BEGIN, END = 128_000, 256_000
NEVER = 10**12


class Clock(View):
    """Tells how long the steps took."""

    began = took = 0.0

    def tick(self, run: Run) -> None:
        """After every row."""
        if run.step == BEGIN:
            self.began = run.seconds
        elif run.step == END:
            self.took = run.seconds - self.began


def seconds(apart, folder):
    """Of the steps, with selections in a process of their own or not."""
    selection.MANY = 1 if apart else NEVER
    clock, bird = Clock(), BIRDS / "flap7.safetensors"
    config = Config(device="cpu", init=bird, steps=END, until="steps", save_every=NEVER, out=folder)
    train(replace(config, lr=3e-4, eps_start=0.01), clock)  # as the recipe ends: the bird stays good
    return clock.took


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    took: dict[str, list[float]] = {"process": [], "thread": []}
    with tempfile.TemporaryDirectory() as folder:
        seconds(True, Path(folder) / "warm")  # kernels may have to be compiled
        for number in range(arguments.rounds):
            for where, times in took.items():
                times.append(round(seconds(where == "process", Path(folder) / f"{where}-{number}"), 2))
                print(where, times[-1], "s", flush=True)
        machine = json.loads((Path(folder) / "process-0" / "manifest.json").read_text())
    ratio = round(median(took["thread"]) / median(took["process"]), 3)
    print(f"a process: {ratio} times as fast")
    command = f"python bench/selecting.py --rounds {arguments.rounds}"
    results = {"command": command, "steps": [BEGIN, END], "seconds": took, "thread / process": ratio}
    RESULTS.write_text(json.dumps(results | {"machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
