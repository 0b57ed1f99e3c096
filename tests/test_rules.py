"""Rules as data: every game may have its own, drawn anew for every episode; the twin plays the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim import flaps
from twins import assert_plays_as_twin, pixels, twin_of

from vecflap import draws, players
from vecflap.physics import GROUND_Y
from vecflap.rules import RULES, Rules
from vecflap.sim import VecFlap


@st.composite
def some_rules(draw) -> Rules:
    """Any rules that can be played."""

    def ends(low: int, high: int) -> tuple[int, int]:
        first = draw(st.integers(low, high))
        return first, draw(st.integers(first, high))

    gap = ends(25, 250)
    return Rules(
        flap_vy=ends(-15, -1),
        gap=gap,
        score_drawn=draw(st.booleans()),
        gravity=ends(1, 4),
        top=ends(0, GROUND_Y - gap[1]),
        top_step=draw(st.integers(1, 40)),
        first_score=ends(0, 5000),
    )


@given(st.lists(some_rules(), min_size=3, max_size=3), st.integers(0, 2**63 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_games_of_any_rules_play_and_look_as_the_twin(rules, seed, careful):
    sim, act = VecFlap(3, rules, seed), np.zeros(3, np.uint8)
    for t in range(60):
        if careful:
            players.careful(sim.rows, act)
        else:
            act[:] = flaps(3, t)
        assert_plays_as_twin(sim, act, pictures=t % 15 == 0)
    assert (pixels(sim.frame.numpy())[1] == twin_of(sim, 1).frame()).all()


def test_every_episode_draws_its_rules_from_the_whole_of_their_ranges():
    rules = Rules((-9, -7), (100, 103), gravity=(1, 2), top=(50, 59), top_step=3, first_score=(7, 9))
    sim = VecFlap(2000, rules, seed=4)
    seen = {"flap_vy": {-9, -8, -7}, "gap": {100, 101, 102, 103}, "gravity": {1, 2}, "score_from": {7, 8, 9}}
    for _ in range(2):
        for name, values in seen.items():
            drawn, counts = np.unique(getattr(sim.games, name), return_counts=True)
            assert set(drawn.tolist()) == values, name
            assert counts.min() > 2000 / len(values) * 0.8
        assert set(np.unique(sim.games.gap_y[:, :2]).tolist()) == {50, 53, 56, 59}
        apart = np.corrcoef([sim.games.flap_vy, sim.games.gap, sim.games.gravity, sim.games.score_from])
        assert abs(apart - np.eye(4)).max() < 0.1, "drawn apart"
        before = sim.games.gap.copy()
        sim.restart()
        assert 0.6 < (before != sim.games.gap).mean() < 0.9


def test_what_an_episode_draws_is_written_down():
    """As test vectors: a change of these numbers is a change of everybody's games."""
    g = VecFlap(3, "mixed", seed=1).games
    drawn = [g.flap_vy, g.gap, g.gravity, g.score_from, g.gap_y[:, 0], g.gap_y[:, 1]]
    assert np.array(drawn).T.tolist() == VECTORS
    key = np.full(1, 1, np.int64)
    by_hand = [
        low + int(draws.below(draws.draw(key, draws.GAPS_TRAIN, 2, 0, what), many)[0])
        for low, many, what in ((-9, 3, 1), (100, 51, 5), (0, 1000, 7))
    ]
    assert by_hand == [VECTORS[2][0], VECTORS[2][1], VECTORS[2][3]]


VECTORS = [[-8, 128, 1, 119, 67, 206], [-9, 142, 1, 124, 148, 97], [-9, 149, 1, 311, 76, 130]]


def test_every_game_may_have_rules_of_its_own():
    names = list(RULES) * 2
    mixed = VecFlap(len(names), names, seed=6)
    alone = [VecFlap(len(names), name, seed=6) for name in names]
    crashes = 0
    for t in range(100):
        act = flaps(len(names), t)
        for sim in (mixed, *alone):
            sim.step(act)
        for i, sim in enumerate(alone):
            assert (mixed.rows[i] == sim.rows[i]).all()
            assert (mixed.frame[i] == sim.frame[i]).all()
        crashes += int(mixed.term.sum())
    assert crashes > 10


def test_the_drawn_score_begins_where_the_rules_say_and_counts_the_pipes_passed():
    plain, from_98 = VecFlap(8, "flap7", seed=2), VecFlap(8, Rules(first_score=98), seed=2)
    act = np.zeros(8, np.uint8)
    while plain.games.score.max() < 3:
        players.careful(plain.rows, act)
        for sim in (plain, from_98):
            sim.step(act)
        assert (plain.score == from_98.score).all()
        assert (plain.rew == from_98.rew).all()
    plain.games.score[:] += 98
    plain.draw()
    assert (plain.frame == from_98.frame).all()


IMPOSSIBLE = {
    "no gap": (Rules(gap=0), "rules: gap 0 is not a whole number from 25 to 404"),
    "a gap as narrow as the bird": (Rules(gap=24), "gap 24"),
    "a gap larger than the screen": (Rules(gap=600), "gap 600"),
    "a gap that ends below the ground": (Rules(gap=250), "a gap of 250 px with its top at 170 ends at 420"),
    "a place above the screen": (Rules(top=(-1, 100)), "top -1 is not a whole number from 0"),
    "a place below the screen": (Rules(top=600), "top 600"),
    "a range from behind": (Rules(gap=(120, 100)), r"gap \(120, 100\) is a range whose end is before"),
    "a flap downwards": (Rules(flap_vy=1), "flap_vy 1 is not a whole number from -30 to -1"),
    "no gravity": (Rules(gravity=0), "gravity 0"),
    "half a pixel": (Rules(gap=100.5), "gap 100.5"),
    "a truth": (Rules(gap=True), "gap True"),
    "no step": (Rules(top_step=0), "top_step 0"),
    "a negative score": (Rules(first_score=-1), "first_score -1"),
    "three numbers": (Rules(gap=(1, 2, 3)), r"gap \(1, 2, 3\)"),
    "an unknown name": ("flap8", "rules='flap8' is unknown. Choose from: flap7, flap9, easy"),
    "too few": (["flap7"], "rules: 1 are given for envs=2 games"),
    "one that is unknown": (["flap7", "flap8"], "rules='flap8'"),
}


@pytest.mark.parametrize(("rules", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_rules_are_refused(rules, message):
    with pytest.raises(ValueError, match=message):
        VecFlap(2, rules)


@pytest.mark.parametrize("gap", [25, 234])
def test_the_outermost_gaps_are_played(gap):
    for top in (0, GROUND_Y - gap):
        sim = VecFlap(4, Rules(gap=gap, top=top))
        for t in range(80):
            assert_plays_as_twin(sim, flaps(4, t), pictures=t % 20 == 0)
