"""Selections: greedy play that judges policies while training goes on, in a thread of its own.

Training grants rows and never more: so a verdict comes at the same step of training on every machine, however
fast the two are beside each other.
"""

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from vecflap import draws
from vecflap.config import Config
from vecflap.evaluate import Policy, Scores, match
from vecflap.helper import Helper
from vecflap.networks import make_network


class Selection:
    """Games of a frozen copy of a policy, one selection after the other. Exam games are never among them."""

    def __init__(self, config: Config, games: int, pipes: int, most_deaths: int) -> None:
        """
        games, pipes, most_deaths: of each selection, see `evaluate.match`.
        """
        self.config, self.games, self.pipes, self.most_deaths = config, games, pipes, most_deaths
        self.device = torch.device(config.device)
        self.network = make_network(config, self.device)
        self.rows = 0  # granted
        self._match: Generator[None, None, Scores] | None = None
        self._scores: Scores | None = None
        self._thread = ThreadPoolExecutor(
            1, "vecflap-selection", initializer=torch.set_num_threads, initargs=(config.threads,)
        )
        self._waited_for = False
        self._helper = Helper(lambda: self._waited_for, config.threads)
        self._playing: Future | None = None
        self._closed = False

    @property
    def plays(self) -> bool:
        """Whether its thread is at work."""
        return self._playing is not None and not self._playing.done()

    def begin(self, weights: dict[str, torch.Tensor], seed: int) -> None:
        """Judge a network of these weights, which are copied, by the games of a seed."""
        self.network.load_state_dict(weights)
        policy, config = Policy(self.network, self.config), self.config
        self.rows, self._scores = 0, None
        self._match = match(
            policy, config, self.games, self.pipes,
            seed=seed, purpose=draws.GAPS_SELECT, most_deaths=self.most_deaths,
            helper=self._helper,
        )  # fmt: skip

    def grant(self, rows: int) -> None:
        """Let it play so many rows more, after `scores` had none for those before. On CUDA they are played at
        once: a graph must not be captured while another thread uses the device."""
        self.rows += rows
        if self.device.type == "cuda":
            self._play(rows)
        else:
            self._playing = self._thread.submit(self._play, rows)

    def scores(self) -> Scores | None:
        """Wait for the rows granted, while a second thread helps to play them. The scores, once; None as long
        as the games have not ended."""
        if self._playing:
            self._waited_for = True
            self._playing.result()
            self._waited_for = False
        scores, self._scores = self._scores, None
        if scores:
            self._match = None
        return scores

    def finish(self) -> Scores | None:
        """The scores of what is under way, played to its end."""
        while self._match is not None:
            if scores := self.scores():
                return scores
            self.grant(1_000)
        return None

    def close(self) -> None:
        """Stop at once."""
        self._closed = True
        self._thread.shutdown()

    def _play(self, rows: int) -> None:
        assert self._match is not None
        try:
            for _ in range(rows):
                if self._closed:
                    return
                next(self._match)
        except StopIteration as end:
            self._scores = end.value
