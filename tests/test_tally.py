"""The tally of a run, held to Python's own counting."""

import pytest
import torch

from vecflap.tally import RECENT, Counts, Tally


@pytest.mark.parametrize(("envs", "rate"), [(1, 0.3), (7, 0.2), (64, 0.01), (300, 0.7)])
def test_it_counts_as_python_does(envs, rate):
    chance = torch.Generator().manual_seed(envs)
    tally, flaps, scores = Tally(torch.device("cpu")), 0, []
    for row in range(120):
        act, term = (torch.rand(2, envs, generator=chance) < rate).to(torch.uint8)
        score = torch.randint(0, 1000, (envs,), dtype=torch.int32, generator=chance)
        tally.add(act, term, score)
        flaps += sum(act.tolist())
        scores += [s for s, ended in zip(score.tolist(), term.tolist(), strict=True) if ended]
        assert tally.read() == Counts(flaps, len(scores), scores[-RECENT:]), row
        if row == 60:  # as a resumed run does
            other = Tally(torch.device("cpu"))
            other.go_on(tally.read())
            tally = other
    assert len(scores) > 20
