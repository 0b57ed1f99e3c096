"""How wrong may values be before a bird dies? flap9's exact values, by numbers of the recipe, with errors.

python bench/search/margins.py [--errors 0.02 0.04 0.08] [--fields 3]

A network is wrong in the same way wherever states are alike. So an error is drawn for every block of states,
7 pixels high, 3 pixels a frame, 2 steps of a pipe, and a bird plays by the exact values with them. Errors are
in shares of what there is between a crash and the highest value. Writes results/margins-flap9.json, of which
`bench/report.py` makes a table.
"""

import argparse
import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from exact import BEHIND, CONFIG, LAST_SEEN, RESULTS, RULE, TOP, TOP_STEP, TOPS, look_up, solve

from vecflap import draws
from vecflap.folder import manifest
from vecflap.kernels import kernel
from vecflap.physics import BIRD_VY, BIRD_Y, FLAP_VY, GAP_Y, PIPE_SPEED, PIPE_X
from vecflap.sim import VecFlap

VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no flap missed": {"missed_end": 0.0},
    "15 % of the flaps missed": {"missed_end": 0.15},
    "clearance 4": {"clearance": 4},
    "clearance 9": {"clearance": 9},
    "clearance 12": {"clearance": 12},
    "discount 0.96": {"gamma": 0.96},
    "clearance 9, discount 0.96": {"clearance": 9, "gamma": 0.96},
    "clearance 12, discount 0.96": {"clearance": 12, "gamma": 0.96},
    "a decision in every third frame": {"skip": 3, "gamma": 0.91, "reward_alive": 0.3},
}
GAMES, FRAMES = 1_000, 5_000
BLOCKS = (40, TOPS, TOPS, 55, 7)  # of pipe, gap, next gap, height, speed


@kernel()
def find_blocks(rows, out):
    """Blocks of games' states. rows: int32 [N, 16], in, see physics.Games. out: int64 [N, 5], out."""
    for i in range(len(rows)):
        g = rows[i]
        pipe = 0 if g[PIPE_X] >= BEHIND else 1
        out[i, 0] = g[PIPE_X + pipe] // 16
        out[i, 1] = (g[GAP_Y + pipe] - TOP) // TOP_STEP
        seen = g[PIPE_X + pipe + 1] <= LAST_SEEN
        out[i, 2] = (g[GAP_Y + pipe + 1] - TOP) // TOP_STEP if seen else 0
        out[i, 3] = g[BIRD_Y] // 7
        out[i, 4] = (g[BIRD_VY] - g[FLAP_VY]) // 3


def deaths(q, skip, error, seed):
    """How often birds die that play by float32 [..., 2] values with such errors."""
    sim = VecFlap(GAMES, RULE, seed, purpose=draws.GAPS_SELECT, threads=1, skip=skip)
    wrong = error * np.random.default_rng(seed).standard_normal(BLOCKS).astype(np.float32)
    exact, block, died = np.zeros((GAMES, 2), np.float32), np.zeros((GAMES, len(BLOCKS)), np.int64), 0
    for _ in range(FRAMES // skip):
        rows = np.ascontiguousarray(sim.rows)
        look_up(q, rows, exact)
        find_blocks(rows, block)
        better = exact[:, 1] - exact[:, 0] + wrong[tuple(block.T)] > 0
        sim.step(torch.from_numpy(better.astype(np.uint8)))
        died += int(sim.term.sum())
    return died


def main():
    """Solve the game for all variants, and play."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--errors", type=float, nargs="+", default=[0.02, 0.04, 0.08])
    parser.add_argument("--fields", type=int, default=3)
    arguments = parser.parse_args()
    errors, fields = arguments.errors, range(arguments.fields)
    pipes = len(fields) * GAMES * FRAMES * PIPE_SPEED // 148
    print(f"deaths in {pipes:,} pipes, with errors of {errors}")
    rows = []
    for name, fields_changed in VARIANTS.items():
        config = replace(CONFIG, **fields_changed)
        q = solve(config)
        span = float(q.max()) - config.reward_crash
        died = [sum(deaths(q, config.skip, error * span, seed) for seed in fields) for error in errors]
        rows.append({"values": name, "deaths": dict(zip(map(str, errors), died, strict=True))})
        print(f"{name}: {died}", flush=True)
    about = {
        "command": " ".join(["python bench/search/margins.py", *sys.argv[1:]]),
        "pipes": pipes,
        "machine": manifest(replace(CONFIG, device="cpu", threads=1)),
    }
    results = RESULTS.with_name("margins-flap9.json")
    results.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
