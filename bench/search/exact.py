"""flap9 solved exactly, by the rewards and the errors that the recipe learns by: what a bird does worse, and
what learned targets cost.

python bench/search/exact.py [--targets learned values taken both] [--seeds 1] [--steps 512000] [--jobs 2]

The pictures tell the state to the pixel: where the bird is and how fast, where the next pipe is, its gap, and
the one after it once that is in sight. So the values of both actions can be had by sweeps over all states,
wings taken for the widest, and flaps missed as often as they are in the end (`--missed-end`). Training is
then given them as targets, in place of the learned ones: as the values that returns end with (values), of the
action that was taken (taken), or of both. Every so many steps the network that would be kept plays, as in
ablate.py, and its decisions are held against the exact values. Table and results/exact-flap9.json.
"""

import argparse
import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from judged import Judge, per_death

import vecflap
from vecflap import draws, physics
from vecflap.config import FRAMES, Config
from vecflap.dqn import worth
from vecflap.folder import manifest
from vecflap.kernels import kernel
from vecflap.physics import BIRD_VY, BIRD_Y, GAP_Y, LOWEST_Y, MAX_VY, PIPE_SPEED, PIPE_X, SCORE_X
from vecflap.replay import Replay
from vecflap.rules import RULES
from vecflap.sim import VecFlap

RESULTS = Path(__file__).parents[1] / "results" / "exact-flap9.json"
TARGETS = ["learned", "values", "taken", "both"]
RULE = RULES["flap9"]
CONFIG = Config(rules="flap9")
FLAP, GAP, TOP, TOP_STEP, TOPS = -9, 100, 100, 10, 8
BEHIND = 6  # px: a pipe left of here is past, and the next one counts
FIRST_X = (146, 154)  # px, where a pipe is when it begins to count
NEXT, LAST_SEEN = (152, 144), 286  # px, how far behind it that is, and where a pipe comes into the picture
HALF = tuple(len(range(x, BEHIND - 1, -PIPE_SPEED)) for x in FIRST_X)
PHASES = sum(HALF)
X = np.concatenate([np.arange(x, BEHIND - 1, -PIPE_SPEED) for x in FIRST_X])
UNSEEN = np.repeat(NEXT, HALF) + X > LAST_SEEN
SPEEDS = MAX_VY - FLAP + 1
ENOUGH = 0.01  # change of a value in a sweep
LARGE, CLEAR = 0.3, 1.0  # what a decision is worse than the better one
GAMES, ROWS, WARM = 300, 500, 100  # played for that, and left out at first


@kernel()
def find_hits(x, clearance, hit):
    """What becomes of a bird: 2 a crash with any wing, 1 too close, 0 neither. x: int64 [P], in, px of the
    pipe that counts, before it moves. hit: uint8 [P, 8, 381], out, by gap and the bird's height."""
    for p in range(len(x)):
        for g in range(TOPS):
            for y in range(LOWEST_Y + 1):
                for wing in range(3):
                    top, there = TOP + TOP_STEP * g, x[p] - PIPE_SPEED
                    if physics.crashed(y, wing, there, top, GAP):
                        hit[p, g, y] = 2
                    elif physics.crashed(y, wing, there, top + clearance, GAP - 2 * clearance):
                        hit[p, g, y] = max(hit[p, g, y], 1)


@kernel()
def play(x, hit, p, gaps, y, v, act, skip):
    """Play a step from phase p. Returns what became of the bird, as in find_hits, whether a pipe was passed,
    and its height and speed. gaps: int64 [skip], which one counts in each frame."""
    what, passed = 0, 0
    for k in range(skip):
        at = (p + k) % len(x)
        passed += SCORE_X - PIPE_SPEED < x[at] <= SCORE_X
        y, v = physics.fall(y, v, act if k == 0 else 0, FLAP, 1)
        what = max(what, hit[at, gaps[k], y])
        if what == 2:
            break
    return what, passed, y, v


@kernel()
def sweep(x, unseen, hit, rewards, gamma, missed, slipped, skip, value, q):
    """Renew all values once, from the last phase to the first. Returns the largest change.

    unseen: bool [P], where the next gap is not on the screen yet: there the better action is the better one
    on average. rewards: float64 [5], see Config.rewards. value: float32 [P, 8, 8, 381, 20], in and out, by
    phase, gap, next gap, height and speed. q: float32 [..., 2], out, of gliding and flapping.
    """
    change, phases = 0.0, len(x)
    mean = np.zeros((TOPS, LOWEST_Y + 1, SPEEDS))  # of what comes, over the gap that is not drawn yet
    both, gaps = np.zeros((TOPS, 2)), np.zeros(skip, np.int64)
    for p in range(phases - 1, -1, -1):
        then, stays = (p + skip) % phases, 0  # frames for which this pipe counts
        while stays < skip and (stays == 0 or x[(p + stays - 1) % phases] - PIPE_SPEED >= BEHIND):
            stays += 1
        falls_behind = x[(p + stays - 1) % phases] - PIPE_SPEED < BEHIND
        if falls_behind:
            for h in range(TOPS):
                for y in range(LOWEST_Y + 1):
                    for v in range(SPEEDS):
                        mean[h, y, v] = value[then, h, :, y, v].mean()
        for g in range(TOPS):
            for y in range(LOWEST_Y + 1):
                for v in range(SPEEDS):
                    for h in range(TOPS):
                        for k in range(skip):
                            gaps[k] = g if k < stays else h
                        for act in range(2):
                            what, passed, to, speed = play(x, hit, p, gaps, y, v + FLAP, act, skip)
                            if what == 2:
                                both[h, act] = rewards[0]
                                continue
                            after = mean[h, to, speed - FLAP]
                            if not falls_behind:
                                after = value[then, g, h, to, speed - FLAP]
                            both[h, act] = rewards[1 + passed + 2 * what] + gamma * after
                    on_average = both[:, 1].sum() > both[:, 0].sum()
                    for h in range(TOPS):
                        glide, flap = both[h]
                        new = (
                            flap + missed * (glide - flap)
                            if (on_average if unseen[p] else flap > glide)
                            else glide + slipped * (flap - glide)
                        )
                        change = max(change, abs(new - value[p, g, h, y, v]))
                        value[p, g, h, y, v] = new
                        for act in range(2):
                            q[p, g, h, y, v, act] = both[:, act].mean() if unseen[p] else both[h, act]
    return change


def solve(config):
    """float32 [74, 8, 8, 381, 20, 2]: the exact Q values, where the next gap is not seen their mean."""
    hit = np.zeros((PHASES, TOPS, LOWEST_Y + 1), np.uint8)
    find_hits(X, config.clearance, hit)
    value = np.zeros((PHASES, TOPS, TOPS, LOWEST_Y + 1, SPEEDS), np.float32)
    q = np.zeros((*value.shape, 2), np.float32)
    slipped = config.slipped / config.n_step  # at a return's end only
    numbers = config.gamma, config.missed_end, slipped, config.skip
    while sweep(X, UNSEEN, hit, np.array(config.rewards), *numbers, value, q) > ENOUGH:
        pass
    return q


@kernel()
def look_up(q, rows, out):
    """The exact Q values of games. rows: int32 [N, 16], in, see physics.Games. out: float32 [N, 2]."""
    for i in range(len(rows)):
        g = rows[i]
        pipe = 0 if g[PIPE_X] >= BEHIND else 1
        x, half = g[PIPE_X + pipe], 0 if g[PIPE_X + pipe + 1] - g[PIPE_X + pipe] >= 150 else 1
        since = max((FIRST_X[half] - x) // PIPE_SPEED, 0)  # further away than ever later: an episode's first
        phase = half * HALF[0] + min(since, HALF[half] - 1)
        this, after = (g[GAP_Y + pipe] - TOP) // TOP_STEP, (g[GAP_Y + pipe + 1] - TOP) // TOP_STEP
        for act in range(2):
            out[i, act] = q[phase, this, after, g[BIRD_Y], max(g[BIRD_VY], FLAP) - FLAP, act]


def regret(policy, q):
    """float32 [any]: how much worse the decisions of a bird are than the better ones, in games of its own."""
    sim = VecFlap(GAMES, RULE, 5, purpose=draws.GAPS_SELECT, threads=1, skip=policy.config.skip)
    stacks = Replay(FRAMES + 1, GAMES, frames=FRAMES, graphs=False)
    exact, worse = np.zeros((GAMES, 2), np.float32), []
    for row in range(ROWS):
        stacks.open(sim.frame, sim.age)
        act = policy.act(stacks.latest())
        look_up(q, np.ascontiguousarray(sim.rows), exact)
        if row >= WARM:
            worse.append(exact.max(1) - exact[np.arange(GAMES), act.numpy()])
        sim.step(act)
        stacks.close(sim.act, sim.rew, sim.term)
    return np.concatenate(worse)


class Exact(Judge):
    """A run that is given exact targets, and judged."""

    def __init__(self, every, targets, q):
        super().__init__(every)
        self.targets, self.q = targets, q

    def begin(self, run):
        """Note the exact values of every row, and learn from them."""
        config, replay, learner = run.config, run.replay, run.learner
        exact = torch.zeros(replay.rows, replay.envs, 2)
        opened = replay.open

        def open_(frame, age):
            look_up(self.q, np.ascontiguousarray(run.sim.rows), exact[replay.row % replay.rows].numpy())
            opened(frame, age)

        def values(batch, _):
            slot, game = batch.place // replay.envs, batch.place % replay.envs
            steps = replay.outcomes(slot, game)[2]
            last = exact[(slot + steps) % replay.rows, game]
            return batch.ret + batch.discount * worth(last, last, learner.missed, config.slipped)

        def taken(batch, _):
            return exact.view(-1, 2)[batch.place].gather(1, batch.act[:, None]).squeeze(1)

        def both(batch, target):
            logits, should = learner.online.logits(batch.obs), exact.view(-1, 2)[batch.place]
            q = learner.online.mean(logits.detach())
            losses = sum(learner.online.loss(logits[:, act], should[:, act]) for act in range(2)) / 2
            return q, q.gather(1, batch.act[:, None]).squeeze(1), losses

        if self.targets != "learned":
            replay.open = open_
            learner._target = values if self.targets == "values" else taken
        if self.targets == "both":
            learner._losses = both

    def judge(self, policy):
        """How a bird plays, and how many of its decisions are far from the better ones."""
        worse = regret(policy, self.q)
        return super().judge(policy) | {
            "large": float((worse > LARGE).mean()),
            "clear": float((worse > CLEAR).mean()),
        }


def train(targets, seed, steps, every, solved):
    """Train with such targets; solved: a file with exact values. Returns a row of the results."""
    judge = Exact(every, targets, np.load(solved, mmap_mode="r"))
    with tempfile.TemporaryDirectory() as folder:
        run = {"seed": seed, "steps": steps, "until": "steps", "out": Path(folder) / "run"}
        vecflap.train(replace(CONFIG, **run, eval_every=10**12, save_every=10**12), judge)
    return {"targets": targets, "seed": seed, "curve": judge.curve}


def table(rows):
    """Lines of a Markdown table: targets and seeds, a column for each time of judging."""
    steps = [point["step"] for point in rows[0]["curve"]]
    lines = [
        "| targets | seed | " + " | ".join(f"{step // 1000:,}k steps" for step in steps) + " |",
        "|---|---:|" + "---:|" * len(steps),
    ]
    for row in rows:
        cells = (f"{per_death(p):,.0f} pipes a death, {p['large']:.3%}" for p in row["curve"])
        lines.append(f"| {row['targets']} | {row['seed']} | " + " | ".join(cells) + " |")
    return lines


def main():
    """Solve the game, and train with all targets, `--jobs` at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=512_000)
    parser.add_argument("--every", type=int, default=128_000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    command = " ".join(["python bench/search/exact.py", *sys.argv[1:]])
    about = {"command": command, "machine": manifest(CONFIG)}
    with tempfile.TemporaryDirectory() as folder:
        solved = Path(folder) / "q.npy"
        np.save(solved, solve(CONFIG))
        jobs = [
            (targets, seed, arguments.steps, arguments.every, solved)
            for seed, targets in product(range(arguments.seeds), arguments.targets)
        ]
        with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
            rows = list(pool.map(train, *zip(*jobs, strict=True)))
    RESULTS.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()
