"""What the games of a run did, counted where they play: on a GPU without a wait."""

from typing import NamedTuple

import torch
from torch import Tensor

RECENT = 100
"""Ended games that the shown scores are about."""


class Counts(NamedTuple):
    """A reading of a Tally."""

    flaps: int
    episodes: int
    """Games that ended."""
    recent: list[int]
    """Pipes passed in each of the last hundred of them, the last at the end."""


class Tally:
    """Flaps, ended games and their scores. Game after game of a row, row after row."""

    def __init__(self, device: torch.device) -> None:
        self._flaps = torch.zeros((), dtype=torch.int64, device=device)
        self._episodes = torch.zeros_like(self._flaps)
        self._scores = torch.zeros(RECENT + 1, dtype=torch.int32, device=device)  # the last: of no use

    def add(self, act: Tensor, term: Tensor, score: Tensor) -> None:
        """Count a row. act, term: uint8 [N]; score: int32 [N]."""
        number = self._episodes + term.cumsum(0)  # int64 [N]: of the episode that ended, from 1
        self._flaps += act.sum()
        self._episodes += term.sum()
        kept = (term == 1) & (number > self._episodes - RECENT)
        self._scores[torch.where(kept, number % RECENT, RECENT)] = score

    def read(self) -> Counts:
        """The counts so far. Waits for the device."""
        episodes, scores = int(self._episodes), self._scores.tolist()
        numbers = range(max(episodes - RECENT, 0) + 1, episodes + 1)
        return Counts(int(self._flaps), episodes, [scores[number % RECENT] for number in numbers])

    def go_on(self, counts: Counts) -> None:
        """Go on from a reading."""
        self._flaps.fill_(counts.flaps)
        self._episodes.fill_(counts.episodes)
        for number, score in enumerate(counts.recent, counts.episodes - len(counts.recent) + 1):
            self._scores[number % RECENT] = score
