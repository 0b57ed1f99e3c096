"""The exam: known scores of scripted birds, and the same ones as games that are played out naively."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import trained
from torch import nn

from vecflap import draws
from vecflap.config import Config
from vecflap.disturb import Disturb
from vecflap.evaluate import Policy, Scores, evaluate, exam, load, match, rules_of
from vecflap.explore import GREEDY, explore
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap

EASY = Config(rules="flap9", gap=230, skip=1)


class Fixed(nn.Module):
    """Q values that depend on nothing."""

    def __init__(self, *q: float) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.tensor([q]))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.q.expand(len(obs), 2)


class Erratic(nn.Module):
    """Flaps when the bird is low, and errs in one of about 24 stacks: which, hangs on every bit of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.states = nn.Parameter(torch.zeros(1)), 0
        words = torch.arange(4 * 64).view(4, 64)
        self.factors = draws.draw(torch.full_like(words, 8), 0, words, 0, 0) | 1

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        self.states += len(obs)
        low = (obs[:, -1, 15] >> 32 & 0x1FF) != 0  # rows 32..40 of a column that the bird is in, and no pipe
        errs = draws.below(draws.mix((obs * self.factors).sum((1, 2))), 24) == 0
        return torch.stack([torch.zeros(len(obs)), (low ^ errs).float()], 1)


def policy(network: nn.Module) -> Policy:
    return Policy(network.eval(), Config())


def played_out(
    network: nn.Module, config: Config, games: int, pipes: int, seed: int, purpose: int, epsilon: float
) -> tuple[list[int], int]:
    """Scores of games that all go on until the last one is over, and how many random actions there were."""
    disturb = Disturb(config.sticky, config.latency, config.flip)
    sim = VecFlap(games, rules_of(config), seed, purpose=purpose, skip=config.skip, disturb=disturb)
    stacks: list[deque] = [deque(maxlen=4) for _ in range(games)]
    scores: list[int | None] = [None] * games
    forced, row, random = np.zeros(games, np.uint8), 0, 0
    while None in scores:
        for stack, frame, age in zip(stacks, sim.frame.clone(), sim.age.tolist(), strict=True):
            stack.extend([frame] * (4 if age == 0 else 1))
        explore(forced, seed, draws.EXPLORE_EXAM, row, epsilon, 0.5, 0, 0.0)
        random += int((forced != GREEDY).sum())
        with torch.no_grad():
            q = network(torch.stack([torch.stack(list(stack)) for stack in stacks]))
        greedy = (q[:, 1] > q[:, 0]).numpy()
        sim.step(np.where(forced == GREEDY, greedy, forced))
        row += 1
        for i in range(games):
            over = bool(sim.term[i]) or int(sim.score[i]) >= pipes
            if over and scores[i] is None:
                scores[i] = min(int(sim.score[i]), pipes)
    return scores, random


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
@pytest.mark.parametrize("purpose", [draws.GAPS_EXAM, draws.GAPS_SELECT])
def test_scores_are_those_of_games_played_out(purpose, epsilon):
    network = Erratic()
    expected, random = played_out(network, EASY, 24, 4, 5, purpose, epsilon)
    scores = evaluate(policy(network), EASY, 24, 4, seed=5, epsilon=epsilon, purpose=purpose)
    assert scores.pipes.tolist() == expected
    assert {0, 4} <= set(expected), "some reach the limit, some do not"
    assert (random > 0) == (epsilon > 0)


def test_exams_repeat_and_hang_on_seed_purpose_and_epsilon():
    network = policy(Erratic())
    scores = [
        evaluate(network, EASY, 20, 4, seed=seed, purpose=purpose, epsilon=epsilon).pipes.tolist()
        for seed, purpose, epsilon in (
            (0, 3, 0.0),
            (0, 3, 0.0),
            (1, 3, 0.0),
            (0, 2, 0.0),
            (0, 1, 0.0),
            (0, 3, 0.05),
        )
    ]
    assert scores[0] == scores[1]
    assert len({tuple(s) for s in scores}) == 5
    assert scores[0] == evaluate(network, EASY, 30, 4).pipes.tolist()[:20], (
        "a game is its own, among however many"
    )


def test_a_game_is_over_once_its_bird_is_dead_or_has_passed_the_limit():
    network, disturbed = Erratic(), replace(EASY, sticky=1e-9)  # so that every state is asked about
    reached = evaluate(policy(network), disturbed, 50, 1).pipes.sum()
    assert 10 < reached < 50
    assert reached * 61 < network.states < 50 * 61, "the first pipe is passed in step 61"


@pytest.mark.parametrize("most", [0, 1, 5, 11])
def test_games_end_early_where_more_birds_have_died_than_may(most):
    whole = evaluate(policy(Erratic()), EASY, 24, 4)
    early = evaluate(policy(Erratic()), EASY, 24, 4, most_deaths=most)
    assert whole.deaths == (whole.pipes < 4).sum() > 12
    assert most < early.deaths <= most + 5, "those that died in the same step count too"
    assert early.rows < whole.rows
    assert (early.pipes <= whole.pipes).all()


@pytest.mark.parametrize("sticky", [0.0, 1e-9])
def test_games_end_when_they_are_told_to(sticky):
    rows = match(policy(Erratic()), replace(EASY, sticky=sticky), 24, 4)
    seen = [next(rows)]
    while seen[-1] < 3:
        seen.append(next(rows))
    assert seen == sorted(seen)
    with pytest.raises(StopIteration) as end:
        rows.send(True)
    assert end.value.value.deaths == seen[-1] < 12


@pytest.mark.parametrize("q", [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)])
def test_a_bird_that_only_glides_or_flaps_passes_nothing(q):
    scores = evaluate(policy(Fixed(*q)), Config(), 7, 5)
    assert scores.pipes.tolist() == [0] * 7
    assert (scores.mean, scores.survived, scores.limit) == (0.0, 0.0, 5)


def test_scores_in_numbers():
    scores = Scores(np.array([0, 5, 2, 5], np.int32), 5, 2, 9)
    assert scores.per_death == 6.0
    assert Scores(np.array([5, 5], np.int32), 5, 0, 9).per_death == 10.0
    assert scores.summary() == {
        "games": 4,
        "pipes": 5,
        "mean": 3.0,
        "median": 3.5,
        "min": 0,
        "max": 5,
        "survived": 0.5,
        "lost_at_most": 0.90239,
    }


def test_a_config_plays_by_its_rules_and_gap():
    assert rules_of(Config(rules="flap9", gap=150)) == Rules(-9, 150, False)
    assert rules_of(Config()) == RULES["flap7"]


@pytest.mark.parametrize("how", [{"sticky": 0.3}, {"latency": True}, {"flip": 0.05}, {"skip": 2}], ids=str)
def test_disturbed_games_are_played_out_disturbed(how):
    network, config = Erratic(), replace(EASY, **how)
    expected, _ = played_out(network, config, 20, 3, 5, draws.GAPS_EXAM, 0.02)
    scores = evaluate(policy(network), config, 20, 3, seed=5, epsilon=0.02)
    assert scores.pipes.tolist() == expected
    assert expected != played_out(network, EASY, 20, 3, 5, draws.GAPS_EXAM, 0.02)[0]


def test_an_exam_may_be_disturbed_otherwise_than_the_training(folder):
    scores, about = exam(folder, 6, 2, skip=3, sticky=0.5, latency=True, flip=0.125)
    assert [about[name] for name in ("skip", "sticky", "latency", "flip")] == [3, 0.5, True, 0.125]
    config = replace(load(folder).config, skip=3, sticky=0.5, latency=True, flip=0.125)
    assert scores.pipes.tolist() == evaluate(load(folder), config, 6, 2).pipes.tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "a", rules="flap9", gap=200).folder


def test_an_exam_tells_what_it_is_of(folder):
    scores, about = exam(folder, 6, 2, seed=7, epsilon=0.5)
    assert (len(scores.pipes), scores.limit) == (6, 2)
    checkpoint = str(folder / "best.safetensors")
    expected = {"seed": 7, "epsilon": 0.5, "rules": "flap9", "gap": 200, "checkpoint": checkpoint}
    assert about == expected | {"skip": 2, "sticky": 0.0, "latency": False, "flip": 0.0}
    _, about = exam(folder, 6, 2, rules="flap7", gap=150, device="cpu")
    assert (about["rules"], about["gap"]) == ("flap7", 150)


def test_an_exam_plays_the_games_of_its_seed_by_its_rules(monkeypatch):
    bird = Policy(Erratic().eval(), Config(rules="flap9", gap=100))
    monkeypatch.setattr("vecflap.evaluate.load", lambda *_: bird)
    monkeypatch.setattr("vecflap.evaluate.best_of", lambda path: path)
    for seed, rules, gap in ((0, None, 230), (3, "flap7", 230), (0, None, 0)):
        played = Config(rules=rules or "flap9", gap=gap or 100)
        expected = evaluate(bird, played, 20, 3, seed=seed, epsilon=0.02).pipes
        scores, _ = exam("bird", 20, 3, seed=seed, rules=rules, gap=gap, epsilon=0.02)
        assert scores.pipes.tolist() == expected.tolist()
        assert gap == 0 or expected.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"games": 0}, r"--games 0 is not a number from 1 to"),
        ({"games": 10**9}, "--games 1000000000"),
        ({"pipes": 0}, "--pipes 0"),
        ({"pipes": 2**31}, "--pipes 2147483648"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**63}, "--seed 9223372036854775808"),
        ({"epsilon": -0.1}, "--epsilon -0.1 is not a number from 0.0 to 1"),
        ({"epsilon": 1.1}, "--epsilon 1.1"),
        ({"epsilon": float("nan")}, "--epsilon nan"),
        ({"gap": 20}, "--gap 20 is not"),
        ({"gap": -1}, "--gap -1 is not"),
        ({"sticky": 1.5}, "--sticky 1.5 is not a number from 0.0 to 1.0"),
        ({"flip": 0.6}, "--flip 0.6"),
        ({"skip": -1}, "--skip -1"),
        ({"rules": "flap8"}, "--rules flap8 is none of: flap7, flap9"),
        ({"device": "tpu"}, "--device tpu is none of"),
    ],
)
def test_an_exam_refuses_what_it_cannot_do(folder, changes, message):
    with pytest.raises(ValueError, match=message):
        exam(folder, **({"games": 2, "pipes": 1} | changes))


@pytest.mark.parametrize(
    ("games", "lost", "bound"),  # of tables of Clopper and Pearson's limits, one-sided
    [
        (100, 0, 0.02951),
        (1000, 0, 0.00299),
        (10, 1, 0.39416),
        (20, 20, 1.0),
        (20, 19, 0.99744),
        (100, 2, 0.06162),
    ],
)
def test_what_may_be_lost_at_most(games, lost, bound):
    scores = Scores(np.where(np.arange(games) < lost, 3, 200), 200, lost, 1)
    assert scores.lost_at_most == pytest.approx(bound, abs=2e-5)
    assert scores.summary()["lost_at_most"] == pytest.approx(bound, abs=2e-5)
