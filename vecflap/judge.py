"""Who plays the games of selections, in the process of training or in one of its own."""

import sys
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection

import numpy as np
import torch

from vecflap import draws
from vecflap.config import Config
from vecflap.evaluate import Policy, Scores, match
from vecflap.helper import Helper
from vecflap.networks import make_network

MORE = 8
"""Deaths that a lost selection goes on to at most, since more is learned from more; one more ends it."""


class Judge:
    """Games of a frozen policy, one selection after the other. Exam games are never among them.

    A selection is lost with one death more than there may be. It then ends once training looks at it again,
    so that the next policy is judged soon; until then it goes on: its deaths become scenes to practise.
    """

    def __init__(self, config: Config, games: int, pipes: int, most_deaths: int) -> None:
        """
        games, pipes: of each selection, see `evaluate.match`.
        most_deaths: with more than these it is lost.
        """
        self.config, self.games, self.pipes, self.most_deaths = config, games, pipes, most_deaths
        self.network = make_network(config, torch.device(config.device))
        self.waited_for = False
        """Whether training waits: then a second thread helps."""
        self.dismissed = False
        self._helper = Helper(lambda: self.waited_for, config.threads)
        self._match: Generator[int, bool | None, Scores] | None = None

    def begin(self, weights: dict[str, np.ndarray], seed: int) -> None:
        """Judge a network of these weights by the games of a seed."""
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self._match = match(
            *(Policy(self.network, self.config), self.config, self.games, self.pipes),
            seed=seed,
            purpose=draws.GAPS_SELECT,
            most_deaths=max(self.most_deaths, MORE),
            helper=self._helper,
        )

    def play(self, rows: int, look_up: Callable[[], None] = lambda: None) -> Scores | None:
        """Play so many rows. The scores, or None if the games have not ended and are not lost.

        look_up: called before each row, for who wants to change `waited_for`, or `dismissed`, which ends it.
        """
        assert self._match is not None, "begin comes first"
        deaths = 0
        try:
            for _ in range(rows):
                look_up()
                if self.dismissed:
                    break
                deaths = next(self._match)
            if deaths > self.most_deaths:
                self._match.send(True)
        except StopIteration as end:
            self._match = None
            return end.value
        return None


def serve(link: Connection) -> None:
    """Do what training asks for, until it is gone: first (Config, games, pipes, most_deaths) is sent, then
    (weights, seed) to begin a selection, rows to play, and "wait". Every number of rows is answered, by the
    scores, None, or what went wrong."""
    config, *limits = link.recv()
    torch.set_num_threads(config.threads)
    judge = Judge(config, *limits)

    def look_up() -> None:
        while link.poll():
            link.recv()  # "wait"; or EOFError, if training is gone
            judge.waited_for = True

    while True:
        asked = link.recv()
        if isinstance(asked, tuple):
            judge.begin(*asked)
        elif isinstance(asked, int):
            judge.waited_for = False  # a "wait" may have come too late
            link.send(judge.play(asked, look_up))


def main() -> None:
    """Serve the process that has started this one."""
    link = Connection(int(sys.argv[1]))
    try:
        serve(link)
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        link.send(error)


if __name__ == "__main__":
    main()
