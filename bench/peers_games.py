"""The games that bench/peers.py plays: vecflap's, and those of other systems as their users set them up.

A function of GAMES makes games and returns two functions: choose() -> actions of a row, and step(actions) ->
(observations [games, ...], points). Its docstring tells the observation and the number of games.
"""

import itertools
from typing import Any

import numpy as np


def vecflap_flap7():
    """64x64 one-bit picture, score drawn; 1,024 games"""
    from vecflap import VecFlap, players

    sim = VecFlap(1024, "flap7", threads=1)
    act, frame, rew = sim.act.numpy(), sim.frame.numpy(), sim.rew.numpy()

    def step(_):
        sim.step()
        return frame, rew

    def choose():
        players.careful(sim.rows, act)

    for _ in range(500):  # rows, until every screen shows the pipes of a game well under way
        step(choose())
    return choose, step


def flaps(state):
    """Whether the bird of flappy-bird-gymnasium flaps: when low in the next gap. It passes about 80 pipes.

    state: 12 numbers; x is in screens of 288 px, y in screens of 512 px.
    """
    next_pipe = 0 if state[0] > 5 / 288 else 3  # a pipe is 52 px wide, the bird's left edge is at 57
    return int(state[9] + (24 + 10) / 512 > state[next_pipe + 2])  # 24 px of bird, 10 px to spare


def flappy_bird_with_pixels():
    """The game of flappy-bird-gymnasium that shows its state and its screen, as 64x64 pixels."""
    import gymnasium
    from gymnasium.wrappers import AddRenderObservation, TransformObservation

    rows, columns = np.arange(64)[:, None] * 512 // 64, np.arange(64) * 288 // 64
    env = gymnasium.make("flappy_bird_gymnasium:FlappyBird-v0", render_mode="rgb_array", use_lidar=False)
    pixels = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    space = gymnasium.spaces.Dict({"state": env.observation_space, "pixels": pixels})

    def shrink(obs):  # picking pixels took 50 us, Pillow's cheapest resize 720, rendering 2,700
        return {**obs, "pixels": obs["pixels"][rows, columns]}

    return TransformObservation(AddRenderObservation(env, render_only=False), shrink, space)


def flappy_bird_gymnasium():
    """64x64 RGB picture; 1 game"""
    return one_flappy_bird(flappy_bird_with_pixels(), lambda obs: obs["state"], lambda obs: obs["pixels"])


def flappy_bird_gymnasium_state():
    """12 numbers, without pixels; 1 game"""
    import gymnasium

    env = gymnasium.make("flappy_bird_gymnasium:FlappyBird-v0", use_lidar=False)
    return one_flappy_bird(env, lambda obs: obs, lambda obs: obs)


def one_flappy_bird(env, state, shown):
    """A single game, restarted where it ends. state, shown: functions of its observation."""
    seen, _ = env.reset(seed=0)

    def step(act):
        nonlocal seen
        seen, rew, term, _, _ = env.step(act)
        if term:
            seen, _ = env.reset()
        return shown(seen)[None], rew

    return lambda: flaps(state(seen)), step


def flappy_bird_sb3():
    """64x64 RGB picture; 8 games in a DummyVecEnv"""
    from stable_baselines3.common.vec_env import DummyVecEnv

    games = DummyVecEnv([flappy_bird_with_pixels] * 8)
    games.seed(0)
    seen: Any = games.reset()

    def step(act):
        nonlocal seen
        seen, rew, _, _ = games.step(act)
        return seen["pixels"], rew

    return lambda: [flaps(state) for state in seen["state"]], step


def envpool_games(task, envs):
    """Games of EnvPool, played at random; a point counts whoever gets it."""
    import envpool

    games = envpool.make(task, env_type="gymnasium", num_envs=envs, num_threads=1, seed=0)
    games.reset()
    draws = np.random.default_rng(0)

    def step(act):
        picture, rew, *_ = games.step(act)
        return picture, abs(rew)

    return lambda: draws.integers(games.action_space.n, size=envs, dtype=np.int32), step


def envpool_pong():
    """84x84 grey picture, four stacked, of every fourth frame; 8 games"""
    return envpool_games("Pong-v5", 8)


def envpool_catch():
    """10x5 picture; 1,024 games"""
    return envpool_games("Catch-v0", 1024)


def jax_games(reset, step_one, actions):
    """1,024 games in JAX, played at random.

    reset: key -> state. step_one: (key, state, action) -> (observation, state, reward). Both of one game.
    """
    import jax

    envs = 1024
    draws = np.random.default_rng(0)
    acts = itertools.cycle([jax.numpy.asarray(draws.integers(actions, size=envs)) for _ in range(256)])
    state = jax.jit(jax.vmap(reset))(jax.random.split(jax.random.key(0), envs))
    key = jax.random.key(1)

    @jax.jit
    def step_all(key, state, act):
        key, now = jax.random.split(key)
        return key, *jax.vmap(step_one)(jax.random.split(now, envs), state, act)

    def step(act):
        nonlocal key, state
        key, picture, state, rew = jax.block_until_ready(step_all(key, state, act))
        return picture, rew

    return lambda: next(acts), step


def pgx_breakout():
    """10x10x4 picture; 1,024 games of MinAtar's Breakout"""
    import pgx
    from pgx.experimental import auto_reset

    env = pgx.make("minatar-breakout")
    step_and_reset = auto_reset(env.step, env.init)

    def step_one(key, state, act):
        state = step_and_reset(state, act, key)
        return state.observation, state, state.rewards

    return jax_games(env.init, step_one, env.num_actions)


def gymnax_breakout():
    """10x10x4 picture; 1,024 games of MinAtar's Breakout"""
    import gymnax

    env, params = gymnax.make("Breakout-MinAtar")
    return jax_games(
        lambda key: env.reset(key, params)[1],
        lambda key, state, act: env.step(key, state, act, params)[:3],
        env.num_actions,
    )


PEERS = {  # name: (what pip installs, first the one whose version is told; games)
    "flappy-bird-gymnasium": ("flappy-bird-gymnasium", flappy_bird_gymnasium),
    "Stable-Baselines3 around it": ("stable-baselines3 flappy-bird-gymnasium", flappy_bird_sb3),
    "flappy-bird-gymnasium, no picture": ("flappy-bird-gymnasium", flappy_bird_gymnasium_state),
    "EnvPool Pong-v5": ("envpool", envpool_pong),
    "EnvPool Catch": ("envpool", envpool_catch),
    "pgx minatar-breakout": ("pgx", pgx_breakout),
    # gymnax 1.0.1 imports six, but does not ask for it
    "gymnax Breakout-MinAtar": ("gymnax>=1 six", gymnax_breakout),
}
GAMES = {"vecflap": vecflap_flap7} | {name: games for name, (_, games) in PEERS.items()}
