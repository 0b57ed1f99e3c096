"""The training loop: play, store, learn. What surrounds it is in run.py."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vecflap import draws
from vecflap.config import Config
from vecflap.explore import explore
from vecflap.row import DeviceRow
from vecflap.run import Outcome, Run, View


def train(config: Config, view: View | None = None) -> Outcome:
    """Train an agent. The run's folder holds the result: vecflap.load(outcome.folder) plays it.

    view: who is shown the progress; None: nobody.
    Raises ValueError for a config that cannot be run here, before anything is written.
    """
    run = Run(config, view or View())
    with interrupts() as interrupted, run.shown():
        config, sim, lessons, replay, learner = run.config, run.sim, run.lessons, run.replay, run.learner
        whole = DeviceRow(run) if run.config.sim == "cuda" else None
        forced = torch.empty(config.envs, dtype=torch.uint8, pin_memory=run.device.type == "cuda")
        acted = torch.cuda.Event() if run.device.type == "cuda" else None
        run.catch_up(interrupted)
        while not run.reason:
            if whole:  # games and learner are on one device: the same as below, without the host
                whole.play()
            else:
                # What the games show goes to the replay; the network chooses, while a few act at random.
                replay.open(sim.frame, lessons.note())
                explore(forced.numpy(), config.seed, draws.EXPLORE, replay.row, *run.exploration)
                lessons.provoke(forced)
                learner.set_missed(run.missed)
                choice = learner.act(replay.latest(), forced.to(run.device, non_blocking=True))
                sim.act.copy_(choice.act, non_blocking=True)
                if acted:
                    acted.record()
                # All the learner's work is queued before the only wait: it goes on while the games play.
                replay.rate(choice.value, choice.taken)
                for _ in range(run.updates_due):
                    replay.renew(*learner.update(replay.sample(config.batch), run.lr))
                if run.due(config.target_every):
                    learner.follow(1.0)
                if acted:
                    acted.synchronize()
                sim.step()
                run.tally.add(sim.act, sim.term, sim.score)
                replay.close(choice.noted, sim.rew, lessons.begin())
            run.count()

            # Every cadence is in steps, so that runs repeat; a checkpoint comes last, to hold all of the row.
            if run.due(config.eval_every):
                run.select(interrupted)
            if run.due(config.log_every):
                run.log()
            run.end_if(interrupted())
            if run.due(config.save_every) or run.reason:
                run.save()
    return run.outcome()


@contextmanager
def interrupts() -> Iterator:
    """Within, Ctrl-C and a polite kill only set a flag, which the yielded function tells; a second one
    interrupts."""
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread gets signals
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
