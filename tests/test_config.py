"""The config: what it refuses and what it says then, its JSON, its presets."""

import json
import re
from dataclasses import asdict, fields, replace
from math import inf, nan
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from vecflap.config import FRAMES, Config
from vecflap.presets import PRESETS
from vecflap.ranges import RANGES, flag

WHOLE = [name for name in RANGES if isinstance(getattr(Config, name), int)]
ROOM = {"capacity": 0, "envs": 0, "n_step": 0, "gamma": 0}
"""Numbers that the others limit too."""
CHOICES = {f.name: get_args(f.type) for f in fields(Config) if get_origin(f.type) is Literal}


def test_every_number_has_a_range():
    numbers = {f.name for f in fields(Config) if f.type in (int, float)}
    assert numbers == set(RANGES)


def refused(name: str, value: object) -> None:
    """Asserts that the value is refused, and that the message says which flag to change and to what."""
    low, high = RANGES[name]
    with pytest.raises(ValueError, match=re.escape(f"--{name.replace('_', '-')} {value} is not")) as raised:
        Config(**{name: value})
    message = str(raised.value)
    assert ("a whole number" if name in WHOLE else "a number") in message
    assert f"from {low} to {high}" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", RANGES)
def test_numbers_out_of_range_are_refused_and_the_ends_are_not(name):
    low, high = RANGES[name]
    step = 1 if name in WHOLE else 1e-6 * max(1, abs(high))
    for bad in (low - step, high + step, nan, inf, -inf, True, False, None, "7", [7], 10**30, -(10**30)):
        refused(name, bad)
    if name not in ROOM:
        assert Config(**{name: low})[name] == low
        assert Config(**{name: high})[name] == high


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_are_whole(name):
    for bad in (RANGES[name][0] + 0.5, float(RANGES[name][1]), np.float64(100), "100"):
        refused(name, bad)


def test_a_whole_number_will_do_where_any_is_asked_for():
    assert Config(gamma=0, clip=10).gamma == 0


@pytest.mark.parametrize("name", CHOICES)
def test_only_the_choices_can_be_chosen(name):
    for good in CHOICES[name]:
        assert Config(**{"caution": 0.0, name: good})[name] == good
    for bad in ("", "FAST", "flap8", None, 1, CHOICES[name]):
        with pytest.raises(ValueError, match=f"^{flag(name)} .* is none of: {', '.join(CHOICES[name])}"):
            Config(**{name: bad})


@pytest.mark.parametrize(
    ("capacity", "envs"), [(262_145, 64), (1000, 64), (63, 64), (100, 3), (2**31 - 1, 64), (650, 100)]
)
def test_the_suggested_capacities_fit(capacity, envs):
    with pytest.raises(ValueError, match=rf"^--capacity {capacity} is (not a multiple|too small)") as raised:
        Config(capacity=capacity, envs=envs)
    suggested = [int(c) for c in re.findall(r"--capacity (\d+)", str(raised.value))[1:]]
    assert suggested
    for capacity in suggested:
        config = Config(capacity=capacity, envs=envs)
        assert config.rows * envs == capacity


@pytest.mark.parametrize(("envs", "n_step"), [(64, 3), (1, 1), (100_000, 1), (3, 1000)])
def test_the_least_capacity_is_a_stack_and_a_return_for_each_game(envs, n_step):
    least = envs * (FRAMES + n_step)
    assert Config(envs=envs, n_step=n_step, capacity=least).rows == FRAMES + n_step
    with pytest.raises(ValueError, match=f"--capacity {least} or more"):
        Config(envs=envs, n_step=n_step, capacity=least - envs)


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="--resume needs --out"):
        Config(resume=True)
    assert Config(resume=True, out=Path("x")).resume


def test_a_frame_close_to_a_pipe_is_rewarded_by_so_much_more():
    config = Config(reward_crash=-5.0, reward_alive=0.5, reward_pipe=2.0, reward_close=-3.0)
    assert config.rewards == (-5.0, 0.5, 2.0, -2.5, -1.0)


def test_batch_norm_needs_more_than_one_transition():
    with pytest.raises(ValueError, match=r"--batch 1 .*--batch 2"):
        Config(network="article", batch=1)
    assert Config(network="article", batch=2).batch == 2
    assert Config(batch=1).batch == 1


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        Config().envs = 3


@pytest.mark.parametrize("config", [*PRESETS.values(), Config(out=Path("a/b"), init=Path("c"), seed=2**62)])
def test_a_config_survives_json(config):
    text = json.dumps(config.to_json())
    assert Config.from_json(json.loads(text), Path("x")) == config


DAMAGES = {
    "nothing": {},
    "not an object": [1],
    "a number": 3,
    "an unknown field": Config().to_json() | {"colour": "red"},
    "a missing path": {k: v for k, v in Config().to_json().items() if k != "out"},
    "a bad value": Config().to_json() | {"envs": -3},
    "a bad type": Config().to_json() | {"gamma": "0.9"},
    "a bad path": Config().to_json() | {"out": 5},
}


@pytest.mark.parametrize("values", DAMAGES.values(), ids=DAMAGES)
def test_damaged_json_is_refused_by_the_name_of_its_file(values):
    with pytest.raises(ValueError, match=r"^some/config\.json is damaged"):
        Config.from_json(values, Path("some/config.json"))


def test_presets_are_named_after_themselves_and_fast_is_the_default():
    assert {name: config.preset for name, config in PRESETS.items()} == {"fast": "fast", "article": "article"}
    assert PRESETS["fast"] == Config()
    assert set(PRESETS) == set(CHOICES["preset"])
    for config in PRESETS.values():
        assert replace(config) == config


def test_the_article_preset_has_the_articles_numbers():
    article = {  # the OneFlow program of 2021
        "rules": "flap7",
        "gap": 0,
        "skip": 1,
        "envs": 1,
        "network": "article",
        "precision": "auto",
        "loss": "squared",
        "caution": 0.0,
        "clearance": 0,
        "optimiser": "adam",
        "lr": 2e-4,
        "lr_end": 2e-4,
        "gamma": 0.99,
        "batch": 32,
        "capacity": 50_000,
        "learn_start": 100,
        "target_every": 100,
        "eps_start": 0.0,
        "eps_end": 0.0,
        "n_step": 1,
        "double": False,
        "clip": 0.0,
        "flap_bias": 0.0,
        "missed": 0.0,
        "missed_end": 0.0,
        "slipped": 0.0,
        "priority": 0.0,
        "correction": 0.0,
        "clumsy": 0.0,
        "average": 0.0,
        "rehearse": False,
        "short": 0.0,
        "practice": 0.0,
        "otherwise": 0.0,
        "displaced": 0.0,
        "any_score": False,
        "reward_alive": 0.1,
        "reward_pipe": 1.0,
        "reward_crash": -1.0,
    }
    assert {name: PRESETS["article"][name] for name in article} == article
    changed = {name for name, value in asdict(PRESETS["article"]).items() if value != Config()[name]}
    ours = {"preset", "steps_per_update", "steps", "eval_every", "eval_games", "log_every", "save_every"}
    assert changed - set(article) <= ours
