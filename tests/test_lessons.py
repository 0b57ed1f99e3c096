"""Where games begin: held to a log of everything that was played."""

import numpy as np
import pytest
import torch

from vecflap import lessons
from vecflap.config import Config
from vecflap.lessons import FARTHEST, LENGTH, NEAREST, Lessons
from vecflap.physics import AGE, DRAWS
from vecflap.replay import CUT
from vecflap.sim import VecFlap

GAMES = 40
CONFIG = Config(envs=GAMES, capacity=GAMES * 100, clumsy=0.25, short=0.2, short_pipes=1, practice=0.5)


def flaps(rows: int, seed: int) -> np.ndarray:
    """uint8 [rows, N]: random birds, some of which pass a pipe."""
    return (np.random.default_rng(seed).random((rows, GAMES)) < 0.08).astype(np.uint8)


def played(rows: int, config: Config = CONFIG):
    """Play games that lessons begin. Yields, after each row: the games, the lessons, where the games stood
    before and just after the step, and how episodes ended."""
    sim = VecFlap(GAMES, "flap7", seed=3, threads=1, final=True)
    taught = Lessons(config, sim)
    for act in flaps(rows, seed=4):
        taught.note()
        before = sim.state.copy()
        sim.step(act)
        yield sim, taught, before, sim.state.copy(), taught.begin().clone()


def test_games_begin_where_others_stood_before_they_crashed():
    log: list[np.ndarray] = []
    began = np.zeros(GAMES, int)  # the row in which the game began
    scenes: set[bytes] = set()
    practised, cuts, backs = 0, 0, set()
    for row, (sim, taught, before, after, ended) in enumerate(played(1_500)):
        log.append(before)
        term, ended = sim.term.numpy(), ended.numpy()
        assert ((ended == 1) == (term == 1)).all()
        for game in np.flatnonzero(term):
            if game >= 10:  # those before are clumsy
                for back in range(NEAREST, FARTHEST + 1):
                    if row + 1 - back >= began[game]:
                        scenes.add(log[row + 1 - back][:, game].tobytes())
                        backs.add(back)
        for game in range(GAMES):
            state = sim.state[:, game]
            long = row + 1 - began[game] >= LENGTH
            if game >= 20 and int(taught.count) and (term[game] or long):
                assert state.tobytes() in scenes
                practised += 1
            elif game < 8 and not term[game] and after[9, game] >= CONFIG.short_pipes:
                assert ended[game] == CUT
                assert state[AGE] == 0
                assert state[DRAWS] == after[DRAWS, game] + 2
            elif game < 20 or not (term[game] or long):
                assert ended[game] == term[game]
                assert np.array_equal(state, after[:, game])
            if ended[game]:
                began[game] = row + 1
        cuts += int((ended == CUT).sum())
        assert taught.age.tolist() == np.minimum(row + 1 - began, 255).tolist()
    assert practised > 500
    assert backs == set(range(NEAREST, FARTHEST + 1))
    assert cuts > 20


def test_what_is_shown_is_where_they_stand():
    for sim, taught, *_ in played(300):
        shown, ages = sim.frame.clone(), taught.age
        sim.draw()
        assert torch.equal(sim.frame, shown)
        assert ages.max() <= max(LENGTH, 255)


def test_practice_makes_scenes_while_most_of_it_succeeds():
    config = Config(envs=GAMES, capacity=GAMES * 100, clumsy=0.0, short=0.0, practice=0.9)
    share, made, kinds = 0.0, 0, {True: 0, False: 0}
    for sim, taught, *_, ended in played(2_000, config):
        few = share < lessons.FAILING  # before the row
        practised = ended[4:] if int(taught.count) else torch.zeros(0)
        died, over = int((practised == 1).sum()), int((practised > 0).sum())
        share += lessons.FOLLOWED * (died - over * share)
        assert float(taught.failing) == pytest.approx(share, abs=1e-5)
        natural, others = int(sim.term[:4].sum()), int(sim.term[4:].sum())
        new, made = int(taught.count) - made, int(taught.count)
        assert new <= natural + few * others
        kinds[few] += new
    assert kinds[True] > 40
    assert kinds[False] > 20


@pytest.mark.parametrize("share", ["short", "practice"])
def test_without_lessons_games_go_on_as_they_are(share):
    off = {"short": 0.0, "practice": 0.0} | {share: 0.01}  # of 40 games: none
    config = Config(envs=GAMES, capacity=GAMES * 100, **off)
    for sim, taught, _, after, ended in played(400, config):
        assert torch.equal(ended, sim.term)
        assert np.array_equal(sim.state, after)
        assert torch.equal(taught.age, sim.age)
