"""Where games begin: held to a log of everything that was played."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vecflap import lessons
from vecflap.ahead import steps_of
from vecflap.config import Config
from vecflap.explore import GREEDY, OTHERWISE
from vecflap.lessons import AWAY, FARTHEST, LENGTH, NEAREST, SEEN, Lessons
from vecflap.physics import AGE, BIRD_VY, BIRD_Y, DRAWS, NUMBERS, Games
from vecflap.replay import CUT
from vecflap.sim import VecFlap

GAMES = 40
CONFIG = Config(
    envs=GAMES,
    skip=1,
    capacity=GAMES * 100,
    clumsy=0.25,
    short=0.2,
    short_pipes=1,
    practice=0.5,
    displaced=0.0,
    otherwise=0.0,
)


def flaps(rows: int, seed: int) -> np.ndarray:
    """uint8 [rows, N]: random birds, some of which pass a pipe."""
    return (np.random.default_rng(seed).random((rows, GAMES)) < 0.08).astype(np.uint8)


def played(rows: int, config: Config = CONFIG):
    """Play games that lessons begin. Yields, after each row: the games, the lessons, where the games stood
    before and just after the step, and how episodes ended."""
    sim = VecFlap(GAMES, "flap7", seed=3, threads=1, final=True, skip=config.skip)
    taught = Lessons(config, sim)
    for act in flaps(rows, seed=4):
        taught.note()
        before = sim.state.copy()
        sim.step(act)
        yield sim, taught, before, sim.state.copy(), taught.begin().clone()


@pytest.mark.parametrize("skip", [1, 2])
def test_games_begin_where_others_stood_before_they_crashed(skip):
    nearest, farthest, length = (steps_of(frames, skip) for frames in (NEAREST, FARTHEST, LENGTH))
    log: list[np.ndarray] = []
    began = np.zeros(GAMES, int)  # the row in which the game began
    scenes: set[bytes] = set()
    practised, cuts, backs = 0, 0, set()
    for row, (sim, taught, before, after, ended) in enumerate(played(1_500, replace(CONFIG, skip=skip))):
        log.append(before)
        term, ended = sim.term.numpy(), ended.numpy()
        assert ((ended == 1) == (term == 1)).all()
        for game in np.flatnonzero(term):
            if game >= 10:  # those before are clumsy
                for back in range(nearest, farthest + 1):
                    if row + 1 - back >= began[game]:
                        scenes.add(log[row + 1 - back][:, game].tobytes())
                        backs.add(back)
        for game in range(GAMES):
            state = sim.state[:, game]
            long = row + 1 - began[game] >= length
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
    assert backs == set(range(nearest, farthest + 1))
    assert cuts > 10


def test_what_is_shown_is_where_they_stand():
    for sim, taught, *_ in played(300):
        shown, ages = sim.frame.clone(), taught.age
        sim.draw()
        assert torch.equal(sim.frame, shown)
        assert ages.max() <= max(LENGTH, 255)


def test_displaced_birds_begin_beside_where_one_was():
    """In the state of some game but for height and speed; and their deaths are no scenes."""
    config = replace(CONFIG, short=0.0, practice=0.9, displaced=1.0)
    bird, moved, speeds, counts = [BIRD_Y, BIRD_VY], [], set(), [0]
    for sim, taught, _, after, ended in played(1_000, config):
        for game in np.flatnonzero(ended[4:]) + 4:
            if counts[-1]:
                state = sim.state[:, game, None]
                of = (np.delete(after, bird, 0) == np.delete(state, bird, 0)).all(0)
                moved.append(min(state[BIRD_Y] - after[BIRD_Y, of], key=abs))
                speeds.add(int(state[BIRD_VY, 0]))
                assert taught.scene[game] == lessons.SCENES + 1
        counts.append(int(taught.count))
    assert (min(moved), max(moved)) == (-AWAY, AWAY)
    assert abs(np.mean(moved)) < 3
    assert speeds == set(range(-7, 11))
    assert counts[200] == counts[-1] > 0, "by then all that practise are displaced, and the others clumsy"


def test_birds_are_displaced_where_gaps_are_far_apart():
    """Of four states drawn the one with the longest way from gap to gap, those of the pipes that exist."""
    games = 20_000
    taught = Lessons(Config(envs=games, capacity=games * 100), VecFlap(games, "flap7", seed=3, threads=1))
    g = taught.sim.games
    g.pipe_x[::2], g.gap_y[::2, 2] = (4, 154, 298), 170
    tops = g.gap_y[:, :3].copy()
    tops[1::2, 2] = tops[1::2, 1]  # there is no third pipe
    ways = abs(np.diff(tops, axis=1)).max(1)
    state = Games.of(taught._elsewhere().numpy())
    chosen = state.gap_y.copy()
    chosen[state.pipe_x[:, 0] >= 5, 2] = chosen[state.pipe_x[:, 0] >= 5, 1]
    found = abs(np.diff(chosen, axis=1)).max(1)
    for px in range(0, 80, 10):
        assert abs((found <= px).mean() - (ways <= px).mean() ** 4) < 0.02, px


def test_some_that_practise_scenes_do_what_they_would_not_in_one_step(monkeypatch):
    monkeypatch.setattr(lessons, "FARTHEST", 12)  # random birds do not live long
    config = replace(CONFIG, short=0.0, practice=0.9, displaced=0.5, otherwise=0.25)
    began, turns, scenes = np.zeros(GAMES, int), [0] * GAMES, [lessons.SCENES] * GAMES
    steps, once, never = set(), 0, 0
    for row, (_, taught, *_, ended) in enumerate(played(4_000, config)):
        for game in np.flatnonzero(ended):
            if scenes[game] < lessons.SCENES and row + 1 - began[game] > 12:
                once, never = once + turns[game], never + 1 - turns[game]
            assert not turns[game] or scenes[game] < lessons.SCENES
            began[game], turns[game], scenes[game] = row + 1, 0, int(taught.scene[game])
        forced = torch.full((GAMES,), GREEDY, dtype=torch.uint8)
        taught.provoke(forced)
        for game in np.flatnonzero(forced == OTHERWISE):
            turns[game] += 1
            steps.add(row + 1 - began[game])
    assert steps == set(range(SEEN, 12))
    assert never + once > 800
    assert once / (never + once) == pytest.approx(0.25, abs=0.05)


def learned(won: int, lost: int) -> float:
    """p (1 - p) of a scene, where a win and a loss are added to those that were."""
    return (won + 1) * (lost + 1) / (won + lost + 2) ** 2


def test_what_came_of_practice_is_counted_by_scene(monkeypatch):
    """Where the bird did all by itself; and a new scene takes the place of one that teaches little."""
    monkeypatch.setattr(lessons, "SCENES", 32)
    monkeypatch.setattr(lessons, "LENGTH", 15)  # so that random birds win too
    config = Config(envs=GAMES, capacity=GAMES * 100, clumsy=0.0, short=0.0, practice=0.9, displaced=0.0)
    ends, practises, count, replaced = [[0, 0] for _ in range(32)], [None] * GAMES, 0, 0
    alone, uncounted, rng = np.ones(GAMES, bool), 0, np.random.default_rng(6)
    for sim, taught, *_, ended in played(1_500, config):
        for game in range(4, GAMES):
            if ended[game] and practises[game] is not None:
                ends[practises[game]][int(ended[game] == 1)] += int(alone[game])
                uncounted += not alone[game]
        new, count = int(taught.count) - count, int(taught.count)
        order = sorted(range(32), key=lambda i: i < count - new and learned(*ends[i]))
        for slot in order[:new]:
            replaced += count > 32
            ends[slot] = [0, 0]
            practises = [None if practised == slot else practised for practised in practises]
        assert taught.ends[:, :32].T.tolist() == ends
        for game in range(4, GAMES):
            if ended[game] and int(taught.count):
                practises[game] = int(taught.scene[game])
                assert torch.equal(
                    torch.from_numpy(sim.state[:, game].copy()), taught.scenes[practises[game]]
                )
        by_chance = rng.choice([0, 1, GREEDY], GAMES, p=[0.01, 0.01, 0.98])
        forced = torch.from_numpy(by_chance.astype(np.uint8))
        taught.provoke(forced)
        alone = (alone | ended.numpy().astype(bool)) & (forced.numpy() == GREEDY)
    assert uncounted > 500
    assert replaced > 100
    assert sum(won for won, _ in ends) > 5


def test_deaths_of_selections_become_scenes_too():
    """Several each, in place of those from which the least is learned."""
    taught = Lessons(CONFIG, VecFlap(GAMES, "flap7", seed=3, threads=1))
    taught.ends[0, 20:] = 50  # won each time: nothing is learned from these
    taught.count.fill_(lessons.SCENES)
    taught.scenes[:] = torch.arange(lessons.SCENES + 2)[:, None]
    others = taught.scenes[:20].clone()
    ends = torch.arange(100 * FARTHEST)[:, None].int().repeat(1, NUMBERS).reshape(100, FARTHEST, NUMBERS)
    taught.learn_from(ends + 1_000_000)
    assert torch.equal(taught.scenes[:20], others)
    made = taught.scenes[:, 0].numpy() - 1_000_000
    made = np.sort(made[made >= 0])
    assert (made // FARTHEST).tolist() == np.arange(100).repeat(4).tolist()
    assert set(made % FARTHEST + 1) == set(range(NEAREST, FARTHEST + 1))
    assert taught.count == lessons.SCENES + 400
    assert not taught.ends[:, taught.scenes[:, 0] >= 1_000_000].any()


def test_tensors_stay_where_they_are():
    """A CUDA graph would go on with what they were when it was captured."""
    config = replace(CONFIG, displaced=0.5, otherwise=0.5)
    where = [
        {name: tensor.data_ptr() for name, tensor in taught.state_dict().items()}
        for _, taught, *_ in played(600, config)
    ]
    assert where[0] == where[-1]


def test_scenes_are_practised_by_how_much_is_learned_from_them():
    games = 20_000
    config = Config(envs=games, capacity=games * 100, practice=1.0)
    taught = Lessons(config, VecFlap(games, "flap7", seed=3, threads=1))
    generator = torch.Generator().manual_seed(5)
    taught.ends[:, :] = torch.randint(0, 30, taught.ends.shape, generator=generator)
    taught.ends[:, :256] = torch.tensor([[9], [0]])  # never lost: there is less to learn
    taught.count.fill_(500)
    expected = np.array([learned(*taught.ends[:, i].tolist()) for i in range(500)])
    expected *= games / expected.sum()
    times = np.bincount(taught._choose().numpy(), minlength=lessons.SCENES)
    assert not times[500:].any()
    assert (((times[:500] - expected) ** 2 / expected).sum()) < 500 + 5 * 1_000**0.5, "chi squared"
    assert times[:256].sum() < times[256:500].sum() / 2


@pytest.mark.parametrize("share", ["short", "practice"])
def test_without_lessons_games_go_on_as_they_are(share):
    off = {"short": 0.0, "practice": 0.0} | {share: 0.01}  # of 40 games: none
    config = Config(envs=GAMES, capacity=GAMES * 100, **off)
    for sim, taught, _, after, ended in played(400, config):
        assert torch.equal(ended, sim.term)
        assert np.array_equal(sim.state, after)
        assert torch.equal(taught.age, sim.age)
