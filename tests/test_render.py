"""The 64x64 picture, pixel by pixel, held against the naive twin's: equality everywhere."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import reference
from numba import njit
from twins import pixels, twin_of

from vecflap import draws, render, shapes, tables, vector
from vecflap.physics import GROUND_Y, LOWEST_Y
from vecflap.rules import Rules
from vecflap.sim import VecFlap

SHAPES = json.loads((Path(__file__).parent / "golden" / "shapes.json").read_text())
PLACES = [100 + 10 * place for place in range(8)]


def all_drawn(compose):
    """A kernel that draws all games, by one way to compose a picture."""
    draw = render.drawing(compose)

    @njit
    def draw_all(state, frame, plan):
        for a in range(0, len(frame), render.BLOCK):
            draw(frame, state, plan, a, min(a + render.BLOCK, len(frame)))

    return draw_all


@njit
def draw_by_columns(state, frame, plan):
    """Draw as many threads would, each a column."""
    for i in range(len(frame)):
        render.make_plan(state, plan, i, i + 1)
        for c in range(render.SIZE):
            frame[i, c] = render.column(plan, 0, c)
        if plan[render.SCORE_SHOWN, 0] >= render.LONG_SCORE:
            render.draw_score(frame[i], plan[render.SCORE_SHOWN, 0])


WAYS = {"loops": all_drawn(render.compose_with_loops)}
WAYS |= {way: all_drawn(render.composing_with_vectors(way)) for way in vector.ways()}
WAYS["columns"] = draw_by_columns


def assert_drawn_as_twin(rules: str | Rules, **fields) -> None:
    """Draw games in states placed by hand, one value a game in each field, over an all-lit picture; with
    loops and in all ways that the processor has vectors for."""
    sim = VecFlap(len(next(iter(fields.values()))), rules)
    sim.games.bird_y[:] = 222  # where no fields say otherwise
    for name, value in fields.items():
        getattr(sim.games, name)[:] = value
    sim.frame[:] = -1
    sim.draw()
    for way, draw_all in WAYS.items():
        drawn = np.full_like(sim.frame.numpy(), -1)
        draw_all(sim._state, drawn, np.zeros((render.PLAN, render.BLOCK), np.int32))
        assert (drawn == sim.frame.numpy()).all(), f"{way} differ from what VecFlap draws"
    frames = pixels(sim.frame.numpy())
    for i in range(sim.envs):
        differs = np.argwhere(frames[i] != twin_of(sim, i).frame())
        assert not len(differs), f"column, row {differs[:5].tolist()} of {sim.rows[i]}"


@pytest.mark.parametrize("gap_y", PLACES)
def test_a_pipe_is_drawn_wherever_it_is(gap_y):
    xs = np.arange(-52, 301)
    pipe_x = xs[:, None] + np.array([0, 500, 500])
    assert_drawn_as_twin("flap9", pipe_x=pipe_x, gap_y=np.full_like(pipe_x, gap_y))


@pytest.mark.parametrize("gap", [60, 61, 99, 150, 234])
def test_gaps_of_other_heights_are_drawn(gap):
    xs, tops = (array.reshape(-1) for array in np.meshgrid(range(-52, 300, 13), PLACES))
    pipe_x = xs[:, None] + np.array([0, 500, 500])
    assert_drawn_as_twin(Rules(-7, gap, True), pipe_x=pipe_x, gap_y=pipe_x * 0 + tops[:, None])


def test_two_and_three_pipes_are_drawn():
    xs = np.arange(-52, 5)
    pipe_x = xs[:, None] + np.array([0, 144, 294])
    gap_y = np.array(PLACES)[(xs[:, None] * (1, 3, 5)) % 8]
    assert_drawn_as_twin("flap9", pipe_x=pipe_x, gap_y=gap_y)
    assert_drawn_as_twin("flap9", pipe_x=pipe_x + 57, gap_y=gap_y)
    in_sight = np.array([[x, 149, 200] for x in (4, 5, 6)])  # a third of the first game only
    assert_drawn_as_twin("flap9", pipe_x=in_sight, gap_y=gap_y[:3])


def test_the_bird_is_drawn_with_every_wing_at_every_height():
    wing, y = (array.reshape(-1) for array in np.indices((3, LOWEST_Y + 1)))
    cycle = np.array([1, 2, 3])[wing]  # up, mid, down: what came before
    assert_drawn_as_twin("flap9", wing_cycle=cycle, age=np.full(len(y), 30), bird_y=y)
    assert_drawn_as_twin("flap9", wing_cycle=cycle, age=np.full(len(y), 2), bird_y=y)


def test_every_score_is_drawn():
    powers = [10**k + d for k in range(2, 9) for d in (-1, 0, 1)]
    scores = [*range(121), *powers, 123_456_789, 1_000_000_000, 1_111_111_111, 2**31 - 1]
    assert_drawn_as_twin("flap7", score=scores)
    assert_drawn_as_twin("flap9", score=scores[::20])  # not drawn


def test_all_that_overlaps_is_drawn():
    n = 400
    bits = [draws.draw(np.full(1, 9, np.int64), draws.RECORD, np.arange(n), k, 0) for k in range(6)]
    pipe_x = draws.below(bits[0], 340)[:, None] - 52 + np.array([0, 150, 300])
    gap_y = 100 + 10 * np.stack([draws.below(b, 8) for b in bits[1:4]], axis=1)
    score, y = draws.below(bits[4], 200), draws.below(bits[5], 380)
    fields = {
        "pipe_x": pipe_x,
        "gap_y": gap_y,
        "score": score,
        "bird_y": y,
        "wing_cycle": y % 4,
        "age": y % 9,
    }
    assert_drawn_as_twin("flap7", **fields)
    assert_drawn_as_twin(Rules(-9, 77, True), **fields)


def naive_upright(words: np.ndarray) -> np.ndarray:
    return np.array([[int(word) >> row & 1 for word in words] for row in range(64)], np.uint8)


def test_upright_is_the_picture_as_people_look_at_it():
    sim = VecFlap(6)
    sim.games.bird_y[:] = range(100, 160, 10)
    sim.draw()
    frames = sim.frame.numpy()
    upright = render.upright(frames)
    assert upright.dtype == np.uint8
    assert (upright == [naive_upright(words) for words in frames]).all()
    assert (render.upright(frames[2]) == upright[2]).all()
    assert (render.upright(frames.reshape(2, 3, 64)) == upright.reshape(2, 3, 64, 64)).all()
    assert (render.upright(frames[:, ::-1]) == upright[:, :, ::-1]).all(), "of a view"


def test_braille_has_the_same_dots():
    frame = draws.draw(np.full(1, 4, np.int64), draws.RECORD, 0, np.arange(64), 0)
    upright = naive_upright(frame)
    lines = render.braille(frame).split("\n")
    assert [len(line) for line in lines] == [32] * 16
    numbered = ((1, 4), (2, 5), (3, 6), (7, 8))  # Unicode's dots, as they lie in a cell
    for row, line in enumerate(lines):
        for column, cell in enumerate(line):
            dots = ord(cell) - 0x2800
            for y, x in product(range(4), range(2)):
                assert dots >> (numbered[y][x] - 1) & 1 == upright[4 * row + y, 2 * column + x]


def test_silhouettes_are_the_measured_ones():
    birds = ("bird_up", "bird_mid", "bird_down")
    pairs = [(shapes.BIRDS[wing], shapes.BIRD_WIDTH, name) for wing, name in enumerate(birds)]
    pairs += [(shapes.DIGITS[d], shapes.DIGIT_WIDTHS[d], f"digit_{d}") for d in range(10)]
    for ours, width, name in pairs:
        assert SHAPES[name]["width"] == width
        assert np.array_equal(shapes.solid(ours, width), reference.SHAPES[name]), name
    assert {len(reference.SHAPES[name]) for name in birds} == {shapes.BIRD_HEIGHT}
    assert {len(reference.SHAPES[f"digit_{d}"]) for d in range(10)} == {shapes.DIGIT_HEIGHT}
    lower = np.zeros((320, shapes.PIPE_WIDTH), bool)
    lower[: shapes.LIP_HEIGHT] = True
    lower[:, shapes.BODY_FIRST : shapes.BODY_END] = True
    assert np.array_equal(lower, reference.SHAPES["pipe_lower"])
    assert np.array_equal(lower[::-1], reference.SHAPES["pipe_upper"])


def test_first_column_is_the_first_with_a_tap():
    taps = [int(4.5 * c + 1.75) + 1 for c in range(64)]
    for x in range(-54, 400):
        first = next((c for c in range(64) if taps[c] >= x), 64)
        assert tables.first_column(x) == first


def test_row_bits_are_the_rows_with_a_tap():
    row_of = {8 * row + tap: row for row in range(64) for tap in (3, 4)}
    for y0 in range(GROUND_Y + 1):
        word = 0
        for y in range(y0, GROUND_Y):
            word |= 1 << row_of[y] if y in row_of else 0
            assert tables.row_bits(y0, y + 1) == word
