"""A row of training without the host: games, replay and learner are on one device, and a row is one CUDA
graph."""

from functools import partial

import torch

from vecflap.explore import explore_there
from vecflap.graphs import Captured
from vecflap.run import Run

AHEAD = 8
"""Rows that may be queued: enough to keep a GPU busy, too few for the clock and Ctrl-C to notice."""


class DeviceRow:
    """What the loop does with a row of a run, queued by one call; the host counts along.

    Rows differ in the number of their updates, and in whether the target network is copied: each kind has a
    graph. The shares of random actions and of missed flaps, and the learning rate, are told by the host.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._game = torch.arange(run.config.envs, device=run.device)
        self._eps = torch.zeros_like(self._game[0])  # int64, of 2**32
        self._kinds: dict[tuple[int, bool], Captured] = {}
        self._ends = [
            torch.cuda.Event(blocking=True) for _ in range(AHEAD if run.device.type == "cuda" else 0)
        ]

    def play(self) -> None:
        """Play a row, and learn what belongs to it."""
        run, replay, learner, config = self.run, self.run.replay, self.run.learner, self.run.config
        updates = run.updates_due
        kind = updates, run.due(config.target_every)
        if kind not in self._kinds:
            self._kinds[kind] = Captured(partial(self._queue, *kind), run.device, config.graphs)
        end = self._ends[replay.row % AHEAD] if self._ends else None
        if end:
            end.synchronize()
        self._eps.fill_(int(run.eps * 2**32))
        learner.set_rate(run.lr)
        learner.set_missed(run.missed)
        self._kinds[kind]()
        if end:
            end.record()
        replay.count(updates * config.batch)
        learner.updates += updates

    def _queue(self, updates: int, copied: bool) -> None:
        """The loop's row, as the device does it, by its own counters."""
        sim, replay, learner, config = self.run.sim, self.run.replay, self.run.learner, self.run.config
        lessons = self.run.lessons
        replay.open_there(sim.frame, lessons.note())
        with torch.no_grad():
            forced = explore_there(config, replay.row_there, self._game, self._eps)
            lessons.provoke(forced)
            choice = learner.decide(replay.latest_there(), forced)
            sim.act.copy_(choice.act)
            replay.rate_there(choice.value, choice.taken)
        for _ in range(updates):
            batch = replay.sample_there(config.batch)
            replay.renew(batch.place, learner.descend(*batch))
        if copied:
            learner.follow(1.0)
        sim.step()
        self.run.tally.add(sim.act, sim.term, sim.score)
        replay.close_there(choice.noted, sim.rew, lessons.begin())
