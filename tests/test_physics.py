"""The rules of one game, held against the naive twin: games played at random, and states placed by hand.

Trajectories find faults in the wiring, only placed states pin the comparisons, so there are both.
"""

import hashlib

import numpy as np
import pytest
import reference
from twins import assert_plays_as_twin, first_pipe, pixels, placed, step_of, twin_of

from vecflap import draws, physics, players
from vecflap.physics import Games
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap

ALL_RULES = {
    "flap7": RULES["flap7"],
    "flap9": RULES["flap9"],
    "narrow": Rules(-7, 60, True),
    "wide": Rules(-9, 150, False),
}


def glide(sim: VecFlap, flap: int = 0) -> VecFlap:
    """Play one frame of placed games, checking it against the twins."""
    assert_plays_as_twin(sim, np.full(sim.envs, flap, np.uint8))
    return sim


def test_the_two_games_are_the_originals():
    assert RULES["flap7"] == (-7, 100, True, 1, (100, 170), 10, 0)
    assert RULES["flap9"] == RULES["hard"] == (-9, 100, False, 1, (100, 170), 10, 0)
    assert (VecFlap(3, "flap7").games.score_from == 0).all()
    assert (VecFlap(3, "flap9").games.score_from == -1).all(), "none is drawn"


@pytest.mark.parametrize("rules", ALL_RULES.values(), ids=ALL_RULES)
def test_a_new_game_is_the_twins(rules):
    sim = VecFlap(20, rules, seed=1)
    for i in range(20):
        places = draws.below(draws.draw(np.full(1, 1, np.int64), draws.GAPS_TRAIN, i, np.arange(2), 0), 8)
        game = reference.Game(rules.flap_vy, places, rules.gap, rules.score_drawn)
        assert twin_of(sim, i).state() == game.state()
        assert (pixels(sim.frame[i].numpy()) == game.frame()).all()
    assert (sim.games.draws == 2).all()
    assert not sim.age.any()


@pytest.mark.parametrize("rules", ALL_RULES.values(), ids=ALL_RULES)
def test_random_games_play_as_the_twin(rules):
    sim = VecFlap(80, rules, seed=11)
    act, rates = np.zeros(80, np.uint8), np.linspace(0, 1, 80) ** 2 * 2**32
    seen = {"ceiling": 0, "ground": 0, "pipe": 0, "three pipes": 0, "passed": 0}
    for t in range(130):
        bits = draws.draw(np.full(1, 3, np.int64), draws.EXPLORE, np.arange(80), t, 0)
        players.careful(sim.rows, act)
        act[8:] = draws.chance(bits, rates.astype(np.int64))[8:]
        low = sim.games.bird_y > physics.LOWEST_Y - 10
        assert_plays_as_twin(sim, act, pictures=t % 10 == 0)
        crash = sim.term.numpy() == 1
        seen["ground"] += (crash & low).sum()
        seen["pipe"] += (crash & ~low).sum()
        seen["ceiling"] += (sim.games.bird_y == 0).sum()
        seen["three pipes"] += (sim.games.pipes == 3).sum()
        seen["passed"] += (sim.rew == 1).sum()
    assert all(seen.values()), seen


@pytest.mark.parametrize("flap_vy", [-7, -9])
def test_the_ground_is_a_crash_and_a_pixel_above_is_not(flap_vy):
    sim = glide(placed(Rules(flap_vy), bird_y=range(366, 380), bird_vy=2, score=3))
    assert sim.term.tolist() == [y + 3 >= 380 for y in range(366, 380)]
    assert sim.rew.tolist() == [-1 if y + 3 >= 380 else 0 for y in range(366, 380)]
    assert sim.score.tolist() == [3] * 14
    sim = glide(placed(Rules(flap_vy), bird_y=range(366, 380)), flap=1)
    assert not sim.term.any()


@pytest.mark.parametrize("flap_vy", [-7, -9])
def test_the_ceiling_stops_the_bird_but_not_its_speed(flap_vy):
    sim = glide(placed(Rules(flap_vy), bird_y=range(12)), flap=1)
    assert sim.games.bird_y.tolist() == [max(y + flap_vy, 0) for y in range(12)]
    assert (sim.games.bird_vy == flap_vy).all()
    glide(sim)
    assert (sim.games.bird_vy == flap_vy + 1).all()
    assert (sim.games.bird_y == 0).all()
    assert not sim.term.any()


def test_speed_grows_to_ten_and_a_flap_sets_it():
    speeds = range(-9, 11)
    sim = glide(placed(bird_vy=speeds))
    assert sim.games.bird_vy.tolist() == [min(vy + 1, 10) for vy in speeds]
    assert sim.games.bird_y.tolist() == [200 + min(vy + 1, 10) for vy in speeds]
    sim = glide(placed(bird_vy=speeds), flap=1)
    assert (sim.games.bird_vy == -7).all()
    assert (sim.games.bird_y == 193).all()


@pytest.mark.parametrize("rules", [Rules(-7), Rules(-9)])
def test_the_wing_beats_every_third_frame_of_an_episode(rules):
    age, cycle = (array.reshape(-1) for array in np.indices((32, 4)))
    sim = glide(placed(rules, age=age, wing_cycle=cycle))
    beats = (age + 1) % 3 == 0
    shown = np.array([0, 1, 2, 1])[(cycle + beats - 1) % 4]
    assert (sim.games.wing == np.where(age < 2, 0, shown)).all(), "up until the first beat"
    assert (sim.games.wing_cycle == np.where(beats, (cycle + 1) % 4, cycle)).all()
    assert (sim.games.age == age + 1).all()


@pytest.mark.parametrize("flap", [0, 1])
def test_a_pipe_scores_in_one_frame_only(flap):
    xs = np.arange(40, 55)
    sim = glide(placed(pipe_x=first_pipe(xs), score=9), flap)
    scored = (45 <= xs) & (xs <= 48)
    assert (sim.rew.numpy() == scored).all()
    assert (sim.score.numpy() == 9 + scored).all()
    assert (sim.games.score == 9 + scored).all()
    assert not sim.term.any()


def test_a_pipe_passed_on_the_frame_of_the_crash_counts_though_the_reward_is_minus_one():
    xs = np.arange(40, 55)
    sim = glide(placed(pipe_x=first_pipe(xs), gap_y=170, bird_y=130, score=9))
    scored = (45 <= xs) & (xs <= 48)
    assert (sim.rew == -1).all()
    assert sim.term.all()
    assert (sim.score.numpy() == 9 + scored).all()
    assert (sim.games.score == 0).all()


def test_a_pipe_is_appended_when_the_first_is_about_to_leave():
    xs = np.arange(-3, 20)
    sim = glide(placed(pipe_x=first_pipe(xs), draws=7))
    appended = (0 < xs - 4) & (xs - 4 < 5)
    assert (sim.games.pipes == 2 + (xs - 4 < 5)).all()
    assert (sim.games.draws == 7 + appended).all()
    assert (sim.games.pipe_x[appended, 2] == 298).all()
    assert len(np.unique(sim.games.gap_y[appended, 2])) > 1


def test_a_pipe_that_has_left_is_dropped():
    xs = np.arange(-56, -40)
    gaps = (100, 130, 160)
    sim = glide(placed(pipe_x=first_pipe(xs), gap_y=gaps))
    dropped = xs - 4 < -52
    assert (sim.games.pipes == 3 - dropped).all()
    assert (sim.games.pipe_x[:, 0] == xs - 4 + 150 * dropped).all()
    assert (sim.games.gap_y[dropped, :2] == gaps[1:]).all()
    assert (sim.games.gap_y[~dropped] == gaps).all()


@pytest.mark.parametrize("flap", [0, 1])
def test_every_height_and_speed_moves_as_the_twin(flap):
    y, vy = (array.reshape(-1) for array in np.mgrid[0:380:7, -9:11])
    glide(placed(bird_y=y, bird_vy=vy), flap)


def test_a_crash_restarts_within_the_frame_and_the_wings_cycle_goes_on():
    sim = placed(bird_y=379, bird_vy=5, wing_cycle=(0, 1, 2, 3), age=5, draws=50, score=3)
    sim.games.pipe_x[:] = 8, 152, 300  # a pipe is appended on the frame of the crash: its gap is drawn first
    glide(sim)
    g = sim.games
    assert sim.term.all()
    assert (g.bird_y == 244).all()
    assert (g.bird_vy == 0).all()
    assert (g.wing == 0).all()
    assert g.wing_cycle.tolist() == [1, 2, 3, 0]
    assert (g.pipes == 2).all()
    assert (g.pipe_x[:, :2] == (288, 432)).all()
    for i in range(sim.envs):
        places = draws.below(
            draws.draw(np.full(1, 5, np.int64), draws.GAPS_TRAIN, i, np.array([51, 52]), 0), 8
        )
        assert (g.gap_y[i, :2] == 100 + 10 * places).all()
    assert (g.draws == 53).all()
    assert (g.score == 0).all()
    assert (g.age == 0).all()


def test_gaps_come_from_the_stream_where_there_is_one():
    sim = VecFlap(1, stream=np.array([3, 7, 0, 5], np.uint8))
    assert sim.games.gap_y[0, :2].tolist() == [130, 170]
    sim.games.bird_y[:] = 379
    sim.step([0])
    assert step_of(sim, 0) == (-1, True, 0)
    assert sim.games.gap_y[0, :2].tolist() == [100, 150]


def test_games_name_the_columns_of_the_rows():
    state = np.arange(32, dtype=np.int32).reshape(2, 16).T
    games = Games.of(state)
    assert [field.shape for field in games] == [
        (2, 3) if name in ("pipe_x", "gap_y") else (2,) for name in games._fields
    ]
    games.pipe_x[1, 2] = -5
    assert (state == -5).sum() == 1, "a copy, not a view"
    assert len({int(column) for field in games for column in field[0].reshape(-1)}) == 16, "columns overlap"


DIGESTS = {1: "87e848b8d475a875"}
"""Of what 16 games did by each version of the rules."""


def test_another_game_is_another_version_of_the_rules():
    """Checkpoints carry the version: a change of what games do or look like must change it."""
    seen = hashlib.sha256()
    for rules in ("flap7", "flap9"):
        sim = VecFlap(16, rules, seed=2)
        for t in range(80):
            bits = draws.draw(np.full(1, 9, np.int64), draws.EXPLORE, np.arange(16), t, 0)
            sim.step(draws.chance(bits, 2**32 // 14))
            for output in (sim.frame, sim.age, sim.rew, sim.term, sim.score):
                seen.update(output.numpy().tobytes())
    assert DIGESTS[physics.RULES_VERSION] == seen.hexdigest()[:16]


POSSIBLE = {  # number of a game, least and most
    "bird_y": (0, physics.LOWEST_Y),
    "wing_cycle": (0, 3),
    "age": (0, 2**31 - 1),
    "score": (0, 2**31 - 1),
}


def test_possible_states_end_where_tables_do():
    sim = VecFlap(5, "flap7", seed=4)
    games = Games.of(sim.state)
    games.pipe_x[3, 0] = physics.APPEND_X - 1  # three pipes
    games.gap_y[:, 2] = [-1, 10**6, -1, 100, -1]  # leftovers, but that of game 3
    good = sim.state.copy()

    def possible(name: str, value: int, game: int, pipe: int | None = None) -> bool:
        sim.state[:] = good
        array = getattr(games, name)
        array[game if pipe is None else (game, pipe)] = value
        return physics.are_possible(sim.state)

    assert physics.are_possible(good)
    for name, (least, most) in POSSIBLE.items():
        for game in (0, 4):
            assert possible(name, least, game)
            assert possible(name, most, game)
            assert not possible(name, least - 1, game)
            assert most == 2**31 - 1 or not possible(name, most + 1, game)
    for game, pipe in ((0, 0), (0, 1), (3, 0), (3, 1), (3, 2)):
        assert possible("gap_y", 0, game, pipe)
        assert possible("gap_y", physics.GROUND_Y - 100, game, pipe)
        assert not possible("gap_y", -1, game, pipe)
        assert not possible("gap_y", physics.GROUND_Y - 99, game, pipe)
    assert possible("gap", 0, 2)
    assert not possible("gap", -1, 2)
    assert possible("gap_y", 10**6, 2, 2), "no third pipe"
