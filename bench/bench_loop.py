"""The whole training loop, against its network arithmetic alone. Item: one step. Excluded: selection.

Making the run, its ring of 129 MiB included, and its last checkpoint are part of the time.
"""

from dataclasses import replace

import torch

from vecflap.dqn import Learner
from vecflap.explore import GREEDY
from vecflap.loop import train
from vecflap.presets import PRESETS
from vecflap.run import View

SMALL = replace(PRESETS["fast"], envs=64, steps_per_update=64, batch=128, capacity=2**18)
CONFIG = replace(SMALL, learn_start=2_000, eval_every=10**9, log_every=10**9, save_every=10**9)
ROWS = 150


class Laps(View):
    """Times nothing itself; it notes how far the run got."""

    updates = 0

    def end(self, outcome):
        """Keep the count."""
        if outcome:
            self.updates = outcome.updates


def test_loop(benchmark, items, tmp_path):
    """`vecflap.train` on the CPU, 64 games and an update of 128 for each row: playing, drawing, storing,
    acting, sampling and learning."""
    benchmark.group = "training loop"
    view = Laps()
    items(ROWS * 64, "step")
    folders = iter(range(10))

    def run():
        train(replace(CONFIG, steps=ROWS * 64, out=tmp_path / str(next(folders)), device="cpu"), view)

    benchmark.pedantic(run, warmup_rounds=1, rounds=3)
    assert view.updates == ROWS - 2_000 // 64 - 1


def test_network_alone(benchmark, items):
    """The alternative: as many acts and updates on the same states, with nothing around them."""
    learner = Learner(replace(CONFIG, precision="auto"), torch.device("cpu"))
    from bench_learner import states

    obs, forced = states(64), torch.full((64,), GREEDY, dtype=torch.uint8)
    from vecflap.replay import Batch

    b = CONFIG.batch
    act, ones = torch.arange(b) % 2, torch.ones(b)
    batch = Batch(states(b), act, torch.zeros(b), ones, states(b), ones, act)

    def rows():
        for row in range(ROWS):
            learner.act(obs, forced)
            if row > 2_000 // 64:
                learner.update(batch, 1e-4)

    benchmark.group = "training loop"
    items(ROWS * 64, "step", alternative=True)
    benchmark.pedantic(rows, warmup_rounds=1, rounds=3)
    assert learner.updates
