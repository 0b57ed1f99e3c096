"""How fast vecflap is here, measured in about a minute: `vecflap bench`."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.benchmark import Timer

from vecflap import players, views
from vecflap.config import FRAMES, Config
from vecflap.dqn import Learner
from vecflap.explore import GREEDY
from vecflap.folder import settle
from vecflap.helper import Helper, always
from vecflap.loop import train
from vecflap.presets import PRESETS
from vecflap.render import SIZE
from vecflap.replay import Batch
from vecflap.run import Run, View
from vecflap.sim import VecFlap

SECONDS = 1.0  # of a measurement; training takes ten times that
ROWS = 100  # played in one go


class Speed(NamedTuple):
    """What was measured."""

    about: str
    rate: float
    """Items a second, the median."""
    item: str


def speeds(device: str = "auto", threads: int = 0, seconds: float = SECONDS) -> Iterator[Speed]:
    """Measure one thing after the other. threads: of the learner; 0: one, and a helper."""
    config = settle(Config(device=device, threads=threads))
    torch.set_num_threads(config.threads)
    if config.device.startswith("cuda"):
        torch.cuda.set_device(config.device)  # that torch's timer waits for
    for envs, workers in ((64, 1), (1024, 1), (8192, 1), (8192, None)):
        yield of_games(envs, workers, seconds)
    frames = torch.zeros(1024, SIZE, dtype=torch.int64)
    took = median(partial(frames.fill_, -1), seconds)
    yield Speed("only writing as many bytes, 1024 games", 1024 / took, "frame")
    if config.device.startswith("cuda") and util.find_spec("numba_cuda"):
        yield of_games_on_cuda(config.device, seconds)
    yield from of_learning(config, seconds)
    yield of_training(config, 10 * seconds)


def median(statement: Callable[[], object], seconds: float) -> float:
    """Seconds that a call takes; torch's timer waits for the device."""
    timer = Timer("f()", globals={"f": statement}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=seconds).median


def recorded(sim: VecFlap, rows: int) -> np.ndarray:
    """uint8 [rows, N]: what a player that survives does next."""
    actions = np.zeros((rows, sim.envs), np.uint8)
    for row in actions:
        players.careful(sim.rows, row)
        sim.step(row)
    return actions


def of_games(envs: int, threads: int | None, seconds: float) -> Speed:
    """Games on the CPU, played and drawn, well under way, by a player that survives."""
    sim = VecFlap(envs, threads=threads)
    recorded(sim, 300)
    begin = sim.state_dict()
    actions = recorded(sim, ROWS)

    def play() -> None:
        sim.load_state_dict(begin)
        for row in actions:
            sim.step(row)

    of = f"{sim.threads} thread{'s' * (sim.threads > 1)}"
    return Speed(f"playing and drawing {envs} games, {of}", envs * ROWS / median(play, seconds), "frame")


def of_games_on_cuda(device: str, seconds: float) -> Speed:
    """Games on the GPU."""
    from vecflap.cuda_sim import CudaFlap

    sim = CudaFlap(8192, device=device)
    return Speed("playing and drawing 8192 games, GPU", 8192 / median(sim.step, seconds), "frame")


def states(count: int) -> torch.Tensor:
    """int64 [count, 4, 64]: stacks of games under way, each at another place of its way."""
    sim, chance = VecFlap(count, threads=1), np.random.default_rng(0)
    stack = torch.zeros(count, FRAMES, SIZE, dtype=torch.int64)
    for _ in range(200):
        players.careful(sim.rows, sim.act.numpy())
        sim.act ^= torch.from_numpy((chance.random(count) < 0.05).astype(np.uint8))
        sim.step()
        views.push(sim.frame, sim.age, stack)
    return stack


def of_learning(config: Config, seconds: float) -> Iterator[Speed]:
    """Acting and updates, by both presets, without playing and sampling."""
    device = torch.device(config.device)
    for preset in (PRESETS["fast"], PRESETS["article"]):
        ours = replace(preset, device=config.device, threads=config.threads, precision=config.precision)
        learner, batch = Learner(ours, device, Helper(always, config.threads)), preset.batch
        obs, forced = states(64).to(device), torch.full((64,), GREEDY, dtype=torch.uint8, device=device)
        about = f"{preset.network} network, {config.precision}"
        took = median(partial(learner.act, obs, forced), seconds)
        yield Speed(f"acting for 64 games, {about}", 64 / took, "state")
        obs, ones = states(batch).to(device), torch.ones(batch, device=device)
        given = Batch(obs, ones.long(), ones, ones, obs, ones, ones.long())
        took = median(partial(learner.update, given, 1e-4), seconds)
        yield Speed(f"updates of {batch}, {about}", batch / took, "transition")


class Clock(View):
    """Times a run from the first update on, and a second more."""

    begin_at, step_then, rate = 0.0, 0, 0.0

    def tick(self, run: Run) -> None:
        now = time.perf_counter()
        if not self.begin_at and run.learner.updates:
            self.begin_at = now + 1
        elif self.begin_at and not self.step_then and now > self.begin_at:
            self.begin_at, self.step_then = now, run.step
        elif self.step_then:
            self.rate = (run.step - self.step_then) / (now - self.begin_at)


def of_training(config: Config, seconds: float) -> Speed:
    """`vecflap train` with the defaults, without selections."""
    clock, never = Clock(), 10**12
    with tempfile.TemporaryDirectory() as folder:
        whole = replace(config, until="steps", steps=never, time_limit=seconds, out=Path(folder) / "run")
        train(replace(whole, eval_every=never, log_every=never, save_every=never), clock)
    return Speed("training, by the default recipe", clock.rate, "step")
