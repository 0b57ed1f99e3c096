"""Whether training keeps to the memory it asked for: resident memory, and that of the device, over minutes.

python bench/memory.py [--minutes 10] [--device cpu]

The default recipe trains, selections and lines of metrics included. Looked at every second, from the first
update after a selection on: by then everything has been used once. A look finds what an update has in its
hands or not, so growth is told between the medians of the first and of the last quarter, beside the highest.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
import torch
from training import machine_of

from vecflap import Config, train
from vecflap.run import Run, View

RESULTS = Path(__file__).parent / "results" / "memory.json"


class Memory(View):
    """Looks at a run's memory once a second."""

    def __init__(self):
        self.process, self.next, self.warm = psutil.Process(), 0.0, False
        self.points: list[dict[str, float]] = []

    def line(self, values):
        """Everything has been used once a selection is over."""
        self.warm |= "deaths" in values

    def tick(self, run: Run) -> None:
        """After every row."""
        if self.warm and time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            on_device = torch.cuda.memory_reserved(run.device) if run.device.type == "cuda" else 0
            both = self.process, *self.process.children()  # that which plays selections
            rss = sum(process.memory_info().rss for process in both)
            self.points.append({"seconds": round(run.seconds, 1), "rss": rss, "device": on_device})


def growth(points, name):
    """How far memory went up from the first quarter to the last, as a share."""
    quarter = max(len(points) // 4, 1)
    first, last = (median(p[name] for p in some) for some in (points[:quarter], points[-quarter:]))
    return last / first - 1 if first else 0.0


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.threads = 1  # machine_of tells
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder:
        train(
            Config(
                until="steps",
                steps=10**12,
                time_limit=60 * args.minutes,
                device=args.device,
                out=Path(folder) / "run",
            ),
            memory,
        )
    points = memory.points
    result = {
        "command": " ".join(["python", "bench/memory.py", *sys.argv[1:]]),
        **machine_of(args),
        "rss_growth": growth(points, "rss"),
        "device_growth": growth(points, "device"),
        "points": points[:: max(len(points) // 60, 1)],
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    for name in ("rss", "device"):
        highest = max(point[name] for point in points) / 2**20
        print(f"{name}: grew by {growth(points, name):+.2%}, at most {highest:,.1f} MiB")


if __name__ == "__main__":
    main()
