"""The Gymnasium environments: what Gymnasium promises of them, and what they promise themselves."""

import subprocess
import sys

import numpy as np
import pytest
from twins import pixels, twin_of

pytest.importorskip("gymnasium", reason="pip install gymnasium")
import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

from vecflap import views
from vecflap.gym import FlappyBird, FlappyBirdVector
from vecflap.physics import Games
from vecflap.picture import paint
from vecflap.players import careful
from vecflap.rules import Rules
from vecflap.shown import KINDS
from vecflap.sim import VecFlap

ID = "vecflap.gym:vecflap/FlappyBird-v0"
NO_CHANCE = Rules(top=130)
SAME_STEP = {"autoreset_mode": AutoresetMode.SAME_STEP}


def vector(envs: int = 8, *, seed: int = 3, **options) -> FlappyBirdVector:
    """A vector whose games have begun."""
    env = FlappyBirdVector(envs, **options)
    env.reset(seed=seed)
    return env


def acts(env: FlappyBirdVector, rng: np.random.Generator, forgets: float = 0.1) -> np.ndarray:
    """int64 [N]: actions of a careful player who forgets to flap with a chance."""
    act = np.zeros(env.num_envs, np.uint8)
    careful(env.sim.rows, act)
    return (act & (rng.random(env.num_envs) >= forgets)).astype(np.int64)


def as_pixels(packed: np.ndarray) -> np.ndarray:
    """bool [..., 64, 64], by [column][row], of observations that are bytes of packed frames."""
    return np.unpackbits(packed, axis=-1, bitorder="little").astype(bool)


# What Gymnasium promises


@pytest.mark.parametrize("obs", KINDS)
def test_gymnasiums_checker_finds_nothing(obs, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check_env(gymnasium.make(ID, obs=obs, frames=2).unwrapped)


@pytest.mark.parametrize("obs", ["stack", "features"])
def test_the_checker_of_stable_baselines_finds_nothing(obs):
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="pip install .[examples]")
    checker.check_env(FlappyBird(obs=obs))


@pytest.mark.parametrize(("envs", "rules"), [(1, "flap7"), (1, "mixed"), (5, NO_CHANCE)])
@pytest.mark.parametrize(("skip", "limit"), [(1, None), (1, 70), (2, 20)])
@pytest.mark.parametrize("obs", KINDS)
def test_the_vector_is_what_gymnasium_makes_of_single_games(obs, skip, limit, envs, rules):
    options = {"obs": obs, "rules": rules, "skip": skip, "max_episode_steps": limit}
    ours = gymnasium.make_vec(ID, num_envs=envs, **options)
    theirs = gymnasium.make_vec(
        ID, num_envs=envs, vectorization_mode="sync", vector_kwargs=SAME_STEP, **options
    )
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.metadata["autoreset_mode"] == ours.autoreset_mode == AutoresetMode.SAME_STEP
    assert data_equivalence(ours.reset(seed=7), theirs.reset(seed=7), exact=True)
    rng, terms, cuts, most = np.random.default_rng(1), 0, 0, 0
    for t in range(600):
        act = acts(ours.unwrapped, rng, 0.8 * (t // 75 % 2))
        one, other = ours.step(act), theirs.step(act)
        for a, b, name in zip(one, other, ("obs", "rew", "term", "trunc", "infos"), strict=True):
            assert data_equivalence(a, b, exact=True), f"{name} differs at step {t}"
        terms, cuts, most = terms + one[2].sum(), cuts + one[3].sum(), max(most, one[4]["score"].max())
        if t % 200 == 199:
            mask = rng.random(envs) < 0.5
            mask[0] = True
            resets = [env.reset(options={"reset_mask": mask}) for env in (ours, theirs)]
            assert data_equivalence(*resets, exact=True)
    assert terms >= 3
    assert bool(cuts >= 3) == bool(limit)
    assert most > 0 or skip > 1


def test_a_crash_in_the_last_step_is_both_ends():
    options = {"num_envs": 2, "obs": "packed_stack", "rules": NO_CHANCE}
    env, steps = vector(2), 1
    while not env.step(np.zeros(2))[2].any():
        steps += 1
    ours, theirs = (
        gymnasium.make_vec(ID, **options, max_episode_steps=steps, **how)
        for how in ({}, {"vectorization_mode": "sync", "vector_kwargs": SAME_STEP})
    )
    assert data_equivalence(ours.reset(seed=7), theirs.reset(seed=7), exact=True)
    for _ in range(steps + 5):
        one, other = ours.step(np.array([0, steps > 0])), theirs.step(np.array([0, steps > 0]))
        assert data_equivalence(one, other, exact=True)
        steps -= 1
        if steps == 0:
            assert one[2].tolist() == [True, False]
            assert one[3].tolist() == [True, True]


def test_wrappers_for_vectors_work():
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(vector(16, obs="packed"))
    env.reset(seed=3)
    lengths = np.zeros(16, int)
    for t in range(1, 60):  # before 1.4 it miscounts later episodes by one
        _, _, terms, _, infos = env.step(np.zeros(16, int))
        if (terms & (lengths == 0)).any():
            lengths[terms & (lengths == 0)] = t
            assert (infos["episode"]["l"][terms & (lengths == t)] == t).all()
    assert lengths.all()


def test_the_environment_is_found_by_its_name_alone():
    code = f"""
import sys, warnings
warnings.simplefilter("error")
import gymnasium
assert not {{"torch", "numba", "vecflap"}} & set(sys.modules)
obs, _ = gymnasium.make({ID!r}).reset(seed=1)
assert obs.shape == (4, 64, 64)
envs = gymnasium.make_vec({ID!r}, num_envs=4096, obs="packed")
assert envs.reset(seed=1)[0].shape == (4096, 64, 8), envs
assert envs.unwrapped.__class__.__name__ == "FlappyBirdVector"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_rest_of_the_package_does_without_gymnasium():
    code = "import sys; sys.modules['gymnasium'] = None; from vecflap import cli, loop, sim, watch"
    subprocess.run([sys.executable, "-c", code], check=True)


# What is seen


@pytest.mark.parametrize("skip", [1, 2])
@pytest.mark.parametrize("rules", ["flap7", "mixed"])
def test_observations_are_the_games_frames_and_final_ones_those_of_the_crash(rules, skip):
    envs = {obs: vector(rules=rules, obs=obs, skip=skip) for obs in KINDS}
    seen, rng, crashes = {}, np.random.default_rng(2), 0
    for _ in range(100):
        before = {obs: array.copy() for obs, array in seen.items()}
        act = acts(envs["packed"], rng, 0.3)
        twins = [twin_of(envs["packed"].sim, i) for i in range(8)]
        ends = [
            any(twin.step(flap and frame == 0)[1] for frame in range(skip))
            for twin, flap in zip(twins, act, strict=True)
        ]
        outcomes = {obs: env.step(act) for obs, env in envs.items()}
        seen = {obs: outcome[0] for obs, outcome in outcomes.items()}
        for i, twin in enumerate(twins):
            assert outcomes["packed"][2][i] == ends[i]
            frame = twin.crash["frame"] if ends[i] else twin.frame()
            last = {obs: out[4]["final_obs"][i] if ends[i] else seen[obs][i] for obs, out in outcomes.items()}
            assert (as_pixels(last["packed"]) == frame).all()
            assert (as_pixels(last["packed_stack"][-1]) == frame).all()
            assert (last["stack"] == 255 * as_pixels(last["packed_stack"])).all()
            assert last["features"][[9, 10]] == pytest.approx(bird(twin.crash if ends[i] else twin.state()))
            if before:
                assert (last["packed_stack"][:-1] == before["packed_stack"][i, 1:]).all()
            if ends[i]:
                assert (as_pixels(seen["packed_stack"][i]) == twin.frame()).all(), "an episode's first frame"
        crashes += sum(ends)
    assert crashes > 12


def bird(state: dict) -> list[float]:
    """Two of the features."""
    return [state["bird_y"] / 404, state["bird_vy"] / 10]


@pytest.mark.parametrize("obs", KINDS)
def test_spaces_contain_all_observations(obs):
    env = vector(64, rules="mixed", obs=obs, frames=2)
    rng, ended = np.random.default_rng(5), 0
    assert env.games.obs in env.observation_space
    for t in range(300):
        seen, *_, infos = env.step(acts(env, rng, 0.02 * (t // 60)))
        assert seen in env.observation_space
        for final in infos.get("final_obs", np.zeros(0))[infos.get("_final_obs", np.zeros(0, bool))]:
            assert final in env.single_observation_space
            ended += 1
    assert ended > 60


def test_bounds_of_features_are_those_of_the_games():
    """The furthest that a pipe, a gap and the bird get, under all rules, as the features tell it."""
    state = np.zeros((16, 3), np.int32)
    games = Games.of(state)
    games.pipe_x[:] = np.array([-52, 432, 4])[:, None]
    games.gap_y[1:], games.gap[0] = 404, 0
    games.bird_y[1], games.bird_vy[:] = 380, (-30, 10, 0)
    games.wing_cycle[1], games.age[1] = 3, 9
    space, told = FlappyBird(obs="features").observation_space, np.zeros((3, 12), np.float32)
    views.features(state.T, told)
    assert all(one in space for one in told)
    assert (told.min(axis=0) == space.low)[[0, 3, 6, 1, 4, 7, 9, 10, 11]].all()
    assert (told.max(axis=0) == space.high)[[0, 3, 1, 4, 7, 10, 11]].all()


@pytest.mark.parametrize("obs", KINDS)
def test_observations_stay_for_one_more_step_and_take_two_memories(obs):
    env = vector(obs=obs)
    rng, seen, kept = np.random.default_rng(0), env.games.obs, env.games.obs.copy()
    places = []
    for _ in range(30):
        later = env.step(acts(env, rng, 0.5))[0]
        assert (seen == kept).all()
        assert (seen != later).any()
        seen, kept = later, later.copy()
        places.append(seen.ctypes.data)
    env.reset(options={"reset_mask": np.arange(8) < 3})
    assert (seen == kept).all()
    assert len(set(places)) == 2
    assert places[::2] == places[:1] * 15


def test_packed_observations_are_the_simulators_own_memory():
    env = vector(obs="packed")
    for _ in range(3):
        seen = env.step(np.ones(8))[0]
        assert seen.ctypes.data == env.sim.frame.data_ptr()


@pytest.mark.parametrize("obs", KINDS)
def test_copies_and_all_but_observations_are_the_callers(obs):
    env = vector(obs=obs, copy=True, max_episode_steps=25)
    rng, kept = np.random.default_rng(0), []
    for _ in range(60):
        outcome = env.step(acts(env, rng, 0.4))
        kept.append((outcome, [repr(array) for array in outcome]))
    assert any(outcome[3].any() for outcome, _ in kept)
    for outcome, as_it_was in kept:
        assert [repr(array) for array in outcome] == as_it_was


@pytest.mark.parametrize("obs", KINDS)
def test_observations_of_a_single_game_are_the_callers(obs):
    env = FlappyBird(obs=obs)
    kept = [env.reset()[0]] + [env.step(1)[0] for _ in range(5)] + [env.reset()[0]]
    assert not any(np.shares_memory(a, b) for n, a in enumerate(kept) for b in kept[:n])


# What is played


@pytest.mark.parametrize("skip", [1, 2])
def test_rewards_and_scores_are_those_of_the_simulator(skip):
    env = vector(64, rules="easy", skip=skip, pipe_reward=5.0, crash_reward=-3.0, alive_reward=0.25)
    sim, rng, paid = VecFlap(64, "easy", seed=3, skip=skip), np.random.default_rng(0), set()
    for t in range(250):
        low = sim.games.bird_y > sim.games.gap_y[:, 0] + sim.games.gap - 70
        act = low & (rng.random(64) >= (0.1 if t > 100 else 0.0))
        _, rewards, terms, truncations, infos = env.step(act)
        sim.step(act)
        assert (rewards == np.select([sim.rew == -1, sim.rew == 1], [-3.0, 5.0], 0.25)).all()
        assert (terms == sim.term.numpy()).all()
        assert (infos["score"] == sim.games.score).all()
        assert not truncations.any()
        assert ("final_info" in infos) == terms.any()
        if terms.any():
            assert (infos["final_info"]["score"][terms] == sim.score.numpy()[terms]).all()
        paid |= set(rewards)
    assert paid == {-3.0, 0.25, 5.0}


def test_a_single_game_is_the_first_of_a_vector_and_reset_goes_on_with_it():
    env, sim, rng = FlappyBird(rules="flap9", obs="packed"), VecFlap(1, "flap9", seed=9), None
    rng = np.random.default_rng(4)
    obs, info = env.reset(seed=9)
    scores = []
    for t in range(800):
        assert (as_pixels(obs) == pixels(sim.frame[0].numpy())).all()
        assert info["score"] == sim.games.score[0]
        act = acts(env.vector, rng, 0.8 * (t // 75 % 2))[0]
        obs, rew, over, cut, info = env.step(act)
        sim.step([act])
        assert (rew, over, cut) == ({0: 0.1, 1: 1.0, -1: -1.0}[int(sim.rew[0])], bool(sim.term[0]), False)
        if over:
            scores.append(info["score"])
            assert info["score"] == sim.score[0]
            obs, info = env.reset()
        elif t % 200 == 199:
            obs, info = env.reset()
            sim.restart()
    assert len(scores) > 4
    assert max(scores) > 0


def test_seeds_choose_the_games():
    def gaps(env, **options):
        env.reset(**options)
        return getattr(env, "vector", env).sim.games.gap_y[:, :2].tolist()

    env, one = FlappyBirdVector(8), FlappyBird()
    assert gaps(env, seed=5) == gaps(env, seed=5) == VecFlap(8, seed=5).games.gap_y[:, :2].tolist()
    assert gaps(env, seed=5) != gaps(env, seed=6) != gaps(env)
    assert gaps(one, seed=5) == gaps(env, seed=5)[:1]
    assert gaps(env, seed=2**40) == VecFlap(8, seed=2**40).games.gap_y[:, :2].tolist()
    assert gaps(FlappyBirdVector(8)) != gaps(FlappyBirdVector(8)), "without a seed"
    for unseeded in (FlappyBirdVector(8), FlappyBird()):
        chosen = gaps(unseeded)
        assert gaps(unseeded, seed=unseeded.np_random_seed) == chosen


def test_a_mask_resets_some_games():
    env = vector(obs="features")
    for _ in range(10):
        env.step(np.zeros(8))
    before, mask = env.sim.rows.copy(), np.arange(8) % 3 == 0
    _, infos = env.reset(options={"reset_mask": mask})
    assert (env.sim.games.age == np.where(mask, 0, 10)).all()
    assert (env.sim.rows[~mask] == before[~mask]).all()
    assert (infos["_score"] == mask).all()


@pytest.mark.parametrize("obs", KINDS)
def test_wrong_actions_change_nothing(obs):
    env, twin = vector(obs=obs), vector(obs=obs)
    for _ in range(5):
        seen = env.step(np.ones(8))[0]
        twin.step(np.ones(8))
    kept = seen.copy()
    for wrong in (np.full(8, 2), np.zeros(7), [None] * 8):
        with pytest.raises(ValueError, match="act"):
            env.step(wrong)
    assert (seen == kept).all()
    for _ in range(3):
        assert data_equivalence(env.step(np.zeros(8)), twin.step(np.zeros(8)), exact=True)


def test_steps_need_a_reset():
    env = FlappyBird()
    for fresh, act in ((env, 0), (FlappyBirdVector(2), [0, 0])):
        with pytest.raises(ResetNeeded):
            fresh.step(act)
    env.reset()
    while not env.step(0)[2]:
        pass
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        FlappyBirdVector(2).reset(options={"reset_mask": np.ones(2, bool)})


MASK = {"reset_mask": np.zeros(3, bool)}
BAD = {
    "obs": (lambda: FlappyBird(obs="foo"), "'foo'.*stack, packed, packed_stack, features"),
    "frames": (lambda: FlappyBird(frames=0), "frames=0"),
    "rules": (lambda: FlappyBird(rules="flap8"), "'flap8' is unknown"),
    "skip": (lambda: FlappyBirdVector(2, skip=0), "skip=0"),
    "games": (lambda: FlappyBirdVector(0), "envs=0"),
    "limit": (lambda: FlappyBirdVector(2, max_episode_steps=0), "max_episode_steps=0"),
    "render mode": (lambda: FlappyBird(render_mode="ansi"), "'ansi'.*human, rgb_array"),
    "windows": (lambda: FlappyBirdVector(2, render_mode="human"), "'human'.*: rgb_array"),
    "seeds": (lambda: FlappyBirdVector(2).reset(seed=[1, 2]), r"seed=\[1, 2\].*keys all"),
    "empty mask": (lambda: vector(3).reset(options=MASK), "reset_mask.*3 bool"),
    "mask of numbers": (lambda: vector(3).reset(options={"reset_mask": np.array([1, 0, 1])}), "reset_mask"),
    "mask in a list": (lambda: vector(3).reset(options={"reset_mask": [True] * 3}), "reset_mask"),
    "mask and seed": (lambda: vector(3).reset(seed=1, options={"reset_mask": ~MASK["reset_mask"]}), "seed=1"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# What is rendered


def test_rendered_pictures_are_the_screen():
    env = vector(3, render_mode="rgb_array")
    for _ in range(5):
        env.step([0, 1, 0])
    for picture, row in zip(env.render(), env.sim.rows, strict=True):
        assert picture.shape == (512, 288, 3)
        assert (picture == paint(row)).all()


def test_the_picture_of_a_game_that_is_over_shows_the_crash():
    env = FlappyBird(render_mode="rgb_array")
    env.reset(seed=1)
    over = False
    while not over:
        twin = twin_of(env.vector.sim, 0)
        over = env.step(1)[2]
        twin.step(1)
        row = env.vector.sim.crashes[:, 0] if over else env.vector.sim.rows[0]
        state = twin.crash if over else twin.state()
        assert [row[0], row[3], row[6]] == [state["bird_y"], *state["pipes"][0]]
        assert (env.render() == paint(row)).all()
    env.reset()
    assert (env.render() == paint(env.vector.sim.rows[0])).all()


def test_a_window_shows_every_step_until_it_is_closed(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = []
    monkeypatch.setattr(
        pygame.display, "flip", lambda: shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))
    )
    env = FlappyBird(render_mode="human", rules="flap9", skip=3)
    assert env.metadata["render_fps"] == 10
    env.metadata["render_fps"] = 1000
    env.reset(seed=2)
    for _ in range(4):
        env.step(0)
        assert (shown[-1].swapaxes(0, 1) == paint(env.vector.sim.rows[0])).all()
    assert len(shown) == 5
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    for _ in range(3):
        env.step(0)
    assert len(shown) == 5
    other = FlappyBird(render_mode="human")
    other.reset()
    assert pygame.display.get_init()
    for one in (other, other, env):
        one.close()
        assert not pygame.display.get_init()


def test_without_pygame_the_way_to_get_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    env = FlappyBird(render_mode="human")
    with pytest.raises(ValueError, match="pip install pygame-ce"):
        env.reset()


@pytest.mark.parametrize("env", [FlappyBird(), FlappyBirdVector(2)])
def test_rendering_without_a_mode_warns(env):
    env.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


@pytest.mark.parametrize("program", ["import gymnasium, vecflap", "import vecflap, gymnasium, vecflap.gym"])
def test_the_environment_is_registered_by_an_import(program):
    program += """
env = gymnasium.make("vecflap/FlappyBird-v0")
envs = gymnasium.make_vec("vecflap/FlappyBird-v0", num_envs=3, obs="packed")
print(env.reset(seed=1)[0].shape, envs.reset(seed=1)[0].shape)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.stdout == "(4, 64, 64) (3, 64, 8)\n", done.stderr
