"""Put the best bird of a run into the package, in half precision: its file is half as large, and its values
change by less than they differ between machines that round otherwise.

python bench/bird.py RUN

Then it sits its exams: python bench/exams.py vecflap/birds/RULES.safetensors --made "THE COMMAND OF THE RUN".
"""

import argparse
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from vecflap.checkpoint import BIRDS, best_of
from vecflap.evaluate import load


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    to = BIRDS / f"{load(run).config.rules}.safetensors"
    with safe_open(best_of(run), "pt") as file:
        weights = {name: file.get_tensor(name).half() for name in file.keys()}  # noqa: SIM118
        save_file(weights, to, file.metadata())
    to.chmod(0o644)
    print(f"{to}: {to.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
