"""Exams of the birds that come with vecflap. Item: a pipe passed."""

from dataclasses import replace

import pytest

from vecflap.evaluate import evaluate, load

GAMES, PIPES = 1_000, 40


@pytest.mark.parametrize("way", ["ahead", "row by row"])
@pytest.mark.parametrize("rules", ["flap7", "flap9"])
def test_games(benchmark, items, rules, way):
    """1,000 games to 40 pipes: each as far as the network has answered before, or all together, a step at a
    time, and the network asked about every state, as where something disturbs them."""
    policy = load(rules)
    config = policy.config if way == "ahead" else replace(policy.config, sticky=1e-9)
    benchmark.group = f"games {rules}"
    items(GAMES * PIPES, "pipe", alternative=way == "row by row")
    evaluate(policy, config, 10, 1)
    scores = benchmark.pedantic(evaluate, args=(policy, config, GAMES, PIPES), rounds=3)
    assert scores.survived > 0.99
