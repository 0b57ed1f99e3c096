"""How soon a network learns to see that a bird is about to be lost, by optimiser and learning rate.

python bench/search/fit.py [--updates 3000] [--games 256] [--rows 6000]

A careful player with bursts of bad play meets large steps between two gaps of `flap9`. For every state kept,
an exact search says what both actions are worth: -0.95^T, T being the frames until the crash, of a player who
does his best but misses a fifth of his flaps. The compact network is fitted to seven eighths of the states,
and its mean squared error is that on the others. Table and results/fit-flap9.json.
"""

import argparse
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vecflap import physics
from vecflap.config import Config
from vecflap.kernels import kernel
from vecflap.muon import optimisers, set_rate
from vecflap.networks import make_network
from vecflap.physics import BIRD_VY, BIRD_Y, FLAP_VY, GAP_Y, GRAVITY, LOWEST_Y, MAX_VY, PIPE_X
from vecflap.planner import crashes
from vecflap.players import careful
from vecflap.replay import Replay
from vecflap.rules import RULES
from vecflap.sim import VecFlap

RESULTS = Path(__file__).parents[1] / "results" / "fit-flap9.json"
MISSED, GAMMA, HORIZON = 0.2, 0.95, 50
LARGE = 50  # px from one gap to the next
FASTEST = 9  # px/frame, a flap of flap9
SPEEDS = FASTEST + MAX_VY + 1
BATCH, HARD = 256, 96  # states of an update, and how many of them are near their end
RATES = [("adam", 1e-3), ("adam", 2e-3), ("adam", 4e-3), ("muon", 5e-3), ("muon", 1e-2), ("muon", 2e-2)]


@kernel()
def values(games, out):
    """What gliding and flapping are worth. games: int32 [N, 16], in. out: float32 [N, 2]."""
    later, now = np.zeros((LOWEST_Y + 1, SPEEDS)), np.zeros((LOWEST_Y + 1, SPEEDS))
    dead = np.zeros(LOWEST_Y + 1, np.bool_)
    for i in range(len(games)):
        g = games[i]
        later[:] = 0.0
        for frame in range(HORIZON, 0, -1):
            for y in range(LOWEST_Y + 1):
                dead[y] = crashes(g, y, frame)
            for y in range(LOWEST_Y + 1):
                for speed in range(SPEEDS):
                    y0, v0 = physics.fall(y, speed - FASTEST, 0, g[FLAP_VY], g[GRAVITY])
                    y1, v1 = physics.fall(y, speed - FASTEST, 1, g[FLAP_VY], g[GRAVITY])
                    glide = -1.0 if dead[y0] else GAMMA * later[y0, v0 + FASTEST]
                    flap = -1.0 if dead[y1] else GAMMA * later[y1, v1 + FASTEST]
                    flap = MISSED * glide + (1 - MISSED) * flap
                    now[y, speed] = max(glide, flap)
                    if frame == 1 and y == g[BIRD_Y] and speed == g[BIRD_VY] + FASTEST:
                        out[i, 0], out[i, 1] = glide, flap
            later, now = now, later


def states(games, rows):
    """(int64 [M, 4, 64] stacks, float32 [M, 2] values) of states in front of a large step."""
    rng = np.random.default_rng(0)
    rules = RULES["flap9"]
    jumps = rules._replace(top_step=rules.top[1] - rules.top[0])  # type: ignore[index, operator]
    sim = VecFlap(games, [rules, jumps] * (games // 2), seed=0)
    stacks = Replay(5, games, frames=4, graphs=False)
    badly, act, kept, found = np.zeros(games, int), np.zeros(games, np.uint8), [], []
    for _ in range(rows):
        stacks.open(sim.frame, sim.age)
        careful(sim.rows, act)
        begins = rng.random(games) < 0.03
        badly = np.where(begins, rng.integers(1, 12, games), np.maximum(badly - 1, 0))
        act = np.where((badly > 0) & (rng.random(games) < 0.3), rng.random(games) < 0.25, act).astype(
            np.uint8
        )
        step = sim.rows[:, GAP_Y + 1] - sim.rows[:, GAP_Y]
        here = (step >= LARGE) & (abs(sim.rows[:, PIPE_X] - 47) < 63) & (rng.random(games) < 0.25)
        kept.append(stacks.latest()[torch.from_numpy(here)])
        found.append(sim.rows[here].copy())
        sim.step(torch.from_numpy(act))
        stacks.close(sim.act, sim.rew, sim.term)
    worth = np.zeros((sum(map(len, found)), 2), np.float32)
    values(np.concatenate(found), worth)
    return torch.cat(kept), torch.from_numpy(worth)


def fit(name, lr, obs, worth, updates):
    """A row of the table: errors after a half and all of the updates."""
    torch.manual_seed(0)
    config = Config(loss="huber", caution=0.0, flap_bias=0.0, precision="float32")
    network = make_network(config, torch.device("cpu"))
    found = optimisers(network, name, lr, 1e-8, torch.device("cpu"))
    test = torch.arange(len(obs)) % 8 == 0
    x, y = obs[~test], worth[~test]
    hard = (y.amin(1) < -0.05).nonzero().squeeze(1)
    errors, start = [], time.perf_counter()
    for update in range(1, updates + 1):
        any_of = torch.randint(0, len(x), (BATCH - HARD,))
        chosen = torch.cat([any_of, hard[torch.randint(0, len(hard), (HARD,))]])
        network.zero_grad()
        F.mse_loss(network(x[chosen]), y[chosen]).backward()
        for optimiser in found:
            set_rate(optimiser, lr * (1.0 - 0.9 * update / updates))
            optimiser.step()
        if update in (updates // 2, updates):
            with torch.inference_mode():
                there = torch.cat([network(part) for part in obs[test].split(1024)])
            errors.append(round(float(F.mse_loss(there, worth[test])), 6))
    ms = round((time.perf_counter() - start) / updates * 1e3, 2)
    return {"optimiser": name, "lr": lr, "half": errors[0], "all": errors[1], "ms_an_update": ms}


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=3_000)
    parser.add_argument("--games", type=int, default=256)
    parser.add_argument("--rows", type=int, default=6_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    obs, worth = states(arguments.games, arguments.rows)
    lost = int((worth.amax(1) < -0.05).sum())
    print(f"{len(obs):,} states, {lost:,} of them of birds that are lost or nearly so", flush=True)
    rows = []
    print(
        f"| | learning rate | error after {arguments.updates // 2:,} updates | after {arguments.updates:,} |"
    )
    print("|---|---:|---:|---:|")
    for name, lr in RATES:
        rows.append(fit(name, lr, obs, worth, arguments.updates))
        print(f"| {name} | {lr:g} | {rows[-1]['half']:.5f} | {rows[-1]['all']:.5f} |", flush=True)
    about = {
        "command": "python bench/search/fit.py " + " ".join(sys.argv[1:]),
        "states": len(obs),
        "lost": lost,
    }
    about |= {name: version(name) for name in ("torch", "numba")} | {"python": platform.python_version()}
    RESULTS.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
