"""Play games to the end with a fixed policy, and count pipes."""

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from vecflap import draws
from vecflap.ahead import BEFORE, MOST_ENDS, Ahead, steps_of
from vecflap.checkpoint import best_of, load_weights
from vecflap.config import FRAMES, Config, RulesName
from vecflap.deaths import Witness
from vecflap.device import find_device
from vecflap.disturb import Disturb
from vecflap.dqn import choose
from vecflap.explore import GREEDY, explore
from vecflap.frozen import frozen
from vecflap.helper import Helper, always
from vecflap.histogram import values
from vecflap.networks import fill, make_network
from vecflap.physics import NUMBERS
from vecflap.ranges import RANGES, check_range
from vecflap.replay import Replay
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap


def rules_of(config: Config) -> Rules:
    """The rules that a config's games are played by."""
    rules = RULES[config.rules]
    return rules._replace(gap=config.gap) if config.gap else rules


def training_rules(config: Config) -> Rules | list[Rules]:
    """Those of training: where a score is drawn it may begin anywhere, a third of the games with each number
    of digits."""
    rules = rules_of(config)
    if not (config.any_score and rules.score_drawn and rules.first_score == 0):
        return rules
    return [rules._replace(first_score=DIGITS[game % len(DIGITS)]) for game in range(config.envs)]


DIGITS = ((0, 9), (10, 99), (100, 999))
"""Scores of one, two and three digits."""


def games_of(config: Config, envs: int, seed: int, rules: Any = None, **options: Any) -> VecFlap:
    """The games that a config says, disturbances included. rules: others. options: more of VecFlap's."""
    disturb = Disturb(config.sticky, config.latency, config.flip)
    return VecFlap(envs, rules or rules_of(config), seed, skip=config.skip, disturb=disturb, **options)


class Policy(NamedTuple):
    """A network that plays."""

    network: nn.Module  # int64 [B, K, 64] packed stacks -> float32 [B, 2] Q values
    config: Config  # of its training

    @torch.inference_mode()
    def q(self, obs: torch.Tensor) -> torch.Tensor:
        """float32 [B, 2]: the values of gliding and flapping, less `caution`, for int64 [B, 4, 64] stacks of
        packed frames."""
        return values(self.network, obs, self.config.caution)

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """uint8 [B]: the greedy actions."""
        return choose(self.q(obs))

    def asked(self, helper: Helper) -> Callable[[torch.Tensor], torch.Tensor]:
        """`q`, as long as the network's weights are not changed; on a CPU the helper is asked about half of
        the states."""
        if next(self.network.parameters()).device.type != "cpu":
            return self.q
        return partial(helper.rows, frozen(self.network, self.config.caution))


def load(path: str | Path, device: str = "cpu") -> Policy:
    """The policy of a run's folder (its best) or of a checkpoint file. ValueError where there is none.

    device: cpu, cuda, cuda:1, ... or auto.
    """
    where = find_device(device)
    weights, header, file = load_weights(Path(path))
    config = Config.from_json(header["config"], file)
    network = make_network(config, where)
    fill(network, weights, file)
    return Policy(network, config)


def exam(
    path: Path,
    games: int = 100,
    pipes: int = 200,
    *,
    seed: int = 0,
    epsilon: float = 0.0,
    rules: RulesName | None = None,
    gap: int = 0,
    skip: int = 0,
    sticky: float | None = None,
    latency: bool | None = None,
    flip: float | None = None,
    device: str = "auto",
    witness: Witness | None = None,
) -> "tuple[Scores, dict[str, Any]]":
    """Play held-out games with a run's best policy. Returns the scores, and what they are of.

    rules, gap, skip, sticky, latency, flip: others than those of the run, if not None or 0; see Config.
    witness: who is told how birds die.
    """
    check_range("games", games, *RANGES["eval_games"])
    check_range("pipes", pipes, *RANGES["eval_pipes"])
    check_range("seed", seed, *RANGES["seed"])
    check_range("epsilon", epsilon, 0.0, 1.0)
    policy = load(path, device)
    torch.set_num_threads(policy.config.threads or 1)
    asked: dict[str, Any] = {"rules": rules, "gap": gap or None, "skip": skip or None}
    asked |= {"sticky": sticky, "latency": latency, "flip": flip}
    played = replace(policy.config, **{name: value for name, value in asked.items() if value is not None})
    helper = Helper(always, policy.config.threads)
    how: dict[str, Any] = {"seed": seed, "epsilon": epsilon, "witness": witness, "helper": helper}
    scores = evaluate(policy, played, games, pipes, **how)
    about: dict[str, Any] = {"seed": seed, "epsilon": epsilon, "rules": played.rules}
    about |= {"gap": rules_of(played).gap, "checkpoint": str(best_of(path))}
    return scores, about | {name: played[name] for name in ("skip", "sticky", "latency", "flip")}


class Scores(NamedTuple):
    """What came of a number of games."""

    pipes: np.ndarray  # int32 [games] pipes passed, at most the limit
    limit: int
    deaths: int
    """Games that ended by a crash."""
    rows: int
    """Steps that the longest game took."""
    ends: np.ndarray | None = None
    """int32 [at most MOST_ENDS, any, 16]: where the first games whose birds died stood in the steps
    before, from the last one back. Games that were shorter are left out."""

    @property
    def mean(self) -> float:
        """Pipes of a game."""
        return float(self.pipes.mean())

    @property
    def survived(self) -> float:
        """Share of the games that reached the limit."""
        return float((self.pipes >= self.limit).mean())

    @property
    def per_death(self) -> float:
        """Pipes passed for each death: what a bird passes on average if no limit ends its game. Where none
        died, all of them."""
        return float(self.pipes.sum()) / max(self.deaths, 1)

    @property
    def lost_at_most(self) -> float:
        """Share of all games of this kind that would be lost, at most, at 95 % confidence: Clopper and
        Pearson's upper bound."""
        games, lost = len(self.pipes), int((self.pipes < self.limit).sum())
        if lost == games:
            return 1.0
        k = np.arange(1, lost + 1)
        ways = np.concatenate([[0.0], np.cumsum(np.log((games + 1 - k) / k))])  # log of binomials
        low, high = 0.0, 1.0
        for _ in range(40):
            share = (low + high) / 2
            of_k = ways + np.arange(lost + 1) * math.log(share)
            chance = np.exp(of_k + (games - np.arange(lost + 1)) * math.log1p(-share)).sum()
            low, high = (share, high) if chance > 0.05 else (low, share)
        return high

    def summary(self) -> dict[str, float]:
        """The numbers people ask for."""
        p = self.pipes
        return {
            "games": len(p),
            "pipes": self.limit,
            "mean": round(self.mean, 3),
            "median": float(np.median(p)),
            "min": int(p.min()),
            "max": int(p.max()),
            "survived": self.survived,
            "lost_at_most": round(self.lost_at_most, 5),
        }


def evaluate(policy: Policy, config: Config, games: int, pipes: int, **options: Any) -> Scores:
    """The scores of a `match`, played to its end."""
    rows = match(policy, config, games, pipes, **options)
    while True:
        try:
            next(rows)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def match(
    policy: Policy,
    config: Config,
    games: int,
    pipes: int,
    *,
    seed: int = 0,
    epsilon: float = 0.0,
    purpose: int = draws.GAPS_EXAM,
    most_deaths: int | None = None,
    witness: Witness | None = None,
    helper: Helper | None = None,
) -> Generator[int, bool | None, Scores]:
    """Play `games` games at once, each until its bird dies or has passed `pipes` pipes. Yields the deaths so
    far after every row, returns the scores. All games end at once where True is sent. On a CPU, where nothing
    is disturbed and nobody looks, a row is as many steps of each game as need no more than one question to
    the network, see ahead.py.

    config:  of the games: rules and disturbances.
    epsilon: share of actions that are random, a fair coin each.
    purpose: GAPS_EXAM or GAPS_SELECT of draws.py: training plays neither.
    most_deaths: with more than these, all end at once; None: none does for others.
    witness: who is told how they die.
    helper: on a CPU, who asks the network about half of the states.
    """
    device = next(policy.network.parameters()).device
    sim = games_of(config, games, seed, purpose=purpose, final=witness is not None)
    most_deaths = games if most_deaths is None else most_deaths
    ask = policy.asked(helper or Helper())
    passed, deaths, longest = np.zeros(games, np.int32), 0, 0
    playing = np.arange(games)
    if device.type == "cpu" and not sim.disturbance:
        ahead = Ahead(sim, lambda states: choose(ask(states)), pipes, epsilon, seed)
        while ahead.playing and len(ahead.died) <= most_deaths:
            ahead.play()
            if (yield len(ahead.died)):
                break
        passed, longest = np.minimum(ahead.score, pipes), int(ahead.steps.max())
        if not witness:
            return Scores(passed, pipes, len(ahead.died), longest, ahead.ends())
        playing = ahead.died  # which are played again, to be looked at
    stacks = Replay(
        FRAMES + 1, games, frames=FRAMES, device=device, graphs=False
    )  # stacks are rebuilt as in training
    forced = torch.empty(games, dtype=torch.uint8)
    before = steps_of(BEFORE, config.skip)
    past: deque[np.ndarray] = deque(maxlen=before)
    ends: dict[int, np.ndarray] = {}
    while len(playing) and deaths <= most_deaths:
        stacks.open(sim.frame, sim.age)
        states = stacks.latest()
        if len(playing) < games:
            states = states[torch.from_numpy(playing).to(device)]
        q = ask(states).cpu()
        explore(forced.numpy(), seed, draws.EXPLORE_EXAM, stacks.row, epsilon, 0.5, 0, 0.0)
        chosen = forced[playing]
        sim.act.zero_()
        sim.act[playing] = torch.where(chosen == GREEDY, choose(q), chosen)
        if witness:
            witness.see(playing, sim.rows, q.numpy(), sim.act.numpy()[playing])
        past.append(sim.state.copy())
        sim.step()
        stacks.close(sim.act, sim.rew, sim.term)
        passed[playing] = sim.score.numpy()[playing]
        died, done = sim.term.numpy()[playing] == 1, passed[playing] >= pipes
        deaths += int((died & ~done).sum())
        for game in playing[died & ~done].tolist():
            if witness:
                witness.bury(game, sim.crashes[:, game], config.skip)
            if len(past) == before:
                ends[game] = np.stack([state[:, game] for state in reversed(past)])
        playing = playing[~(died | done)]
        if (yield deaths):
            break
    told = np.array([ends[game] for game in sorted(ends)[:MOST_ENDS]], np.int32).reshape(-1, before, NUMBERS)
    return Scores(np.minimum(passed, pipes), pipes, deaths, max(longest, stacks.row), told)
