"""vecflap for Gymnasium: one game, `FlappyBird`, and N at once, `FlappyBirdVector`.

    import gymnasium, vecflap
    gymnasium.make("vecflap/FlappyBird-v0")
    gymnasium.make_vec("vecflap/FlappyBird-v0", num_envs=4096, obs="packed")

`import vecflap` registers it where Gymnasium is imported already, `import vecflap.gym` in any case, as does
the name "vecflap.gym:vecflap/FlappyBird-v0": Gymnasium 1.0 and later find no package by themselves. Gymnasium
is an extra (`pip install vecflap[gym]`): who wants it has it already, and the simulator and the training do
without.

The number after the v rises when the same actions would show, pay or end something else: with
physics.RULES_VERSION, or with a default below.
"""

from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from vecflap.physics import MAX_PIPES, MAX_VY, PIPE_START_X, SCREEN_WIDTH
from vecflap.picture import paint
from vecflap.rules import LONGEST_FLAP
from vecflap.shapes import PIPE_WIDTH
from vecflap.shown import Shown
from vecflap.sim import VecFlap
from vecflap.window import FPS, Window

ID = "vecflap/FlappyBird-v0"
Infos = dict[str, Any]


def features_space() -> spaces.Box:
    """Bounds of views.FEATURES that hold for all rules."""
    left, right = -PIPE_WIDTH / SCREEN_WIDTH, PIPE_START_X[-1] / SCREEN_WIDTH
    low = [left, 0, 0] * MAX_PIPES + [0, -LONGEST_FLAP / MAX_VY, 0]
    high = [right, 1, 1] * MAX_PIPES + [1, 1, 1]
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))


class FlappyBirdVector(gymnasium.vector.VectorEnv):
    """N games of Flappy Bird, stepped together by one simulator.

    Observations, by `obs`; pictures are the original's 64x64 ones, transposed: the first index is the column:
    stack        uint8 [N, 4, 64, 64]  0 or 255, the episode's last frames, [age][column][row], oldest first;
    before there are so many, its first is repeated
    packed       uint8 [N, 64, 8]      the last frame: bit b of byte k of a column is its row 8 k + b
    packed_stack uint8 [N, 4, 64, 8]   the last frames, packed
    features     float32 [N, 12]       numbers, see views.FEATURES

    Rewards are float64, infos {"score": int64 [N], pipes passed in this episode}. Episodes that end begin
    anew in the same step, with final_obs and final_info in the infos as SyncVectorEnv gives them.

    Observations are not copied: they alternate between two memories, so those of a step stay as they are
    during the next step, and are overwritten by the one after that. All else is the caller's to keep. One
    seed keys all games: game i is a function of (seed, i), whatever N.
    """

    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        rules: Any = "flap7",
        obs: str = "stack",
        frames: int = 4,
        skip: int = 1,
        pipe_reward: float = 1.0,
        crash_reward: float = -1.0,
        alive_reward: float = 0.1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        threads: int | None = None,
        copy: bool = False,
    ) -> None:
        """
        rules, skip, threads: see VecFlap.
        frames: of a stack.
        *_reward: of a step with a crash, else of one with a pipe passed, else of any.
        max_episode_steps: steps after which an episode is truncated; None: it never is.
        copy: whether observations are copies, the caller's to keep.
        """
        check_mode(render_mode, self.metadata)
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps={max_episode_steps}: an episode has at least one.")
        buffers = 2 if obs == "packed" else 1
        self.sim = VecFlap(num_envs, rules, threads=threads, buffers=buffers, final=True, skip=skip)
        self.games = Shown(self.sim, obs, frames)
        self.num_envs, self.render_mode, self.copy = num_envs, render_mode, copy
        self.autoreset_mode = AutoresetMode.SAME_STEP  # where SyncVectorEnv has it, and TorchRL looks
        self.limit, self.steps = max_episode_steps, np.zeros(num_envs, np.int64)
        self.rewards = np.array([alive_reward, pipe_reward, crash_reward], np.float64)  # by rew: 0, 1, -1
        self._outcome = self.sim.rew.numpy(), self.sim.term.numpy().view(bool), self.sim.score.numpy()
        self._all = np.ones(num_envs, bool)
        self.begun = False
        self.metadata = self.metadata | {"render_fps": round(frames_a_second(rules) / skip) or 1}
        self.single_action_space = spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, num_envs)
        shape = self.games.obs.shape[1:]
        self.single_observation_space = (
            features_space() if obs == "features" else spaces.Box(0, 255, shape, np.uint8)
        )

    @cached_property
    def observation_space(self) -> gymnasium.Space:  # type: ignore[override]
        """Made when asked for: that of 4,096 stacks takes 2 s and 0.5 GB, as much as they do."""
        return batch_space(self.single_observation_space, self.num_envs)

    def reset(self, *, seed: Any = None, options: Infos | None = None) -> tuple[np.ndarray, Infos]:
        """Begin all games anew, or episodes of those where options["reset_mask"], bool [N], is true.

        seed: one number, of all games. The first reset without one chooses some.
        """
        mask = (options or {}).get("reset_mask")
        self._check_reset(seed, mask)
        super().reset(seed=seed)
        if seed is None and not self.begun:
            seed = self.np_random_seed
        self.games.restart(mask, None if seed is None else seed % 2**63)
        self.begun = True
        which = np.ones(self.num_envs, bool) if mask is None else mask.copy()
        self.steps[which] = 0
        return self._seen(), {"score": np.zeros(self.num_envs, np.int64), "_score": which}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Infos]:
        """Play one step of every game. actions: [N] of 0 (glide) and 1 (flap); uint8 is the fastest."""
        if not self.begun:
            raise ResetNeeded("step: call reset() first.")
        ended, finals = self.games.play(actions)
        rew, term, score = self._outcome
        rewards, terminations = self.rewards.take(rew, mode="wrap"), term.copy()
        truncations = np.zeros(self.num_envs, bool)
        if self.limit:
            self.steps += 1
            truncations = self.steps >= self.limit
            cut = (truncations & ~terminations).nonzero()[0]
            if len(cut):
                pairs = zip((ended, finals), self.games.cut(cut), strict=True)
                ended, finals = (np.concatenate(pair) for pair in pairs)
            self.steps[ended] = 0
        infos = self._infos(score.astype(np.int64), ended, finals)
        return self._seen(), rewards, terminations, truncations, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Of every game the screen, uint8 [512, 288, 3] RGB."""
        if self.render_mode is None:
            gymnasium.logger.warn('render: nothing to do without render_mode="rgb_array".')
            return None
        return tuple(paint(row) for row in self.sim.rows)

    def _seen(self) -> np.ndarray:
        seen = self.games.show()
        return seen.copy() if self.copy else seen

    def _infos(self, score: np.ndarray, ended: np.ndarray, finals: np.ndarray) -> Infos:
        infos: Infos = {"score": score, "_score": self._all.copy()}
        if len(ended):
            which, final_obs = np.zeros(self.num_envs, bool), np.empty(self.num_envs, object)
            which[ended] = True
            final_obs[ended] = np.fromiter(finals, object, len(finals))
            infos |= {"final_obs": final_obs, "_final_obs": which, "_final_info": which.copy()}
            infos["final_info"] = {"score": score * which, "_score": which.copy()}
            score[ended] = 0
        return infos

    def _check_reset(self, seed: Any, mask: Any) -> None:
        """ValueError for what cannot be."""
        if not (seed is None or isinstance(seed, int)):
            raise ValueError(f"seed={seed!r}: one whole number is needed, which keys all games.")
        if mask is None:
            return
        shape = (self.num_envs,)
        if not (isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == shape and mask.any()):
            raise ValueError(f"reset_mask: needed is a NumPy array of {self.num_envs} bool, not all false.")
        if seed is not None:
            raise ValueError(f"seed={seed} keys all games: it cannot be given with a reset_mask.")
        if not self.begun:
            raise ResetNeeded("reset_mask: reset all games first.")


class FlappyBird(gymnasium.Env):
    """One game of Flappy Bird: that of a FlappyBirdVector of one, but over when it is over.

    Observations, rewards and options are those of FlappyBirdVector, of one game and in memory of their own;
    after a crash what was seen then. infos {"score": int, pipes passed in this episode}. With
    render_mode="human" a window shows every step.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(
        self,
        *,
        rules: Any = "flap7",
        obs: str = "stack",
        frames: int = 4,
        skip: int = 1,
        pipe_reward: float = 1.0,
        crash_reward: float = -1.0,
        alive_reward: float = 0.1,
        render_mode: str | None = None,
    ) -> None:
        check_mode(render_mode, self.metadata)
        rewards: Infos = {
            "pipe_reward": pipe_reward,
            "crash_reward": crash_reward,
            "alive_reward": alive_reward,
        }
        self.vector = FlappyBirdVector(1, rules=rules, obs=obs, frames=frames, skip=skip, **rewards)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": self.vector.metadata["render_fps"]}
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.over = False
        self.window: Window | None = None

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[np.ndarray, Infos]:
        """Begin an episode. seed: the games to come are those of game 0 of a vector with this seed."""
        super().reset(seed=seed)
        if seed is None and not self.vector.begun:
            seed = self.np_random_seed
        if seed is not None or not self.over:  # if it is over, the vector has begun the next one
            self.vector.reset(seed=seed)
        self.over = False
        self._show()
        return self.vector.games.show()[0].copy(), {"score": 0}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Infos]:
        """Play one step. action: 0 (glide) or 1 (flap)."""
        if self.over:
            raise ResetNeeded("step: the episode is over, call reset() first.")
        obs, rewards, terminations, _, infos = self.vector.step([action])
        self.over = bool(terminations[0])
        seen = infos["final_obs"][0] if self.over else obs[0].copy()
        self._show()
        return seen, float(rewards[0]), self.over, False, {"score": int(self.vector.sim.score[0])}

    def render(self) -> np.ndarray | None:
        """The screen, uint8 [512, 288, 3] RGB, after a crash of the crash; None if a window shows it."""
        if self.render_mode is None:
            gymnasium.logger.warn('render: nothing to do without a render_mode, "rgb_array" or "human".')
        return self._screen() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window."""
        if self.window:
            self.window.close()
            self.window = None

    def _screen(self) -> np.ndarray:
        sim = self.vector.sim
        return paint((sim.crashes if self.over else sim.state)[:, 0])

    def _show(self) -> None:
        if self.render_mode == "human":
            self.window = self.window or Window("vecflap")
            self.window.show(self._screen(), self.metadata["render_fps"])


def check_mode(render_mode: str | None, metadata: Infos) -> None:
    """ValueError for what is no render mode."""
    if render_mode not in (None, *metadata["render_modes"]):
        modes = ", ".join(metadata["render_modes"])
        raise ValueError(f"render_mode={render_mode!r} is unknown. Choose from: {modes}.")


def frames_a_second(rules: Any) -> float:
    """At which people play the game."""
    return FPS.get(rules, 30.0) if isinstance(rules, str) else 30.0


if ID not in gymnasium.registry:
    gymnasium.register(
        ID, entry_point=f"{__name__}:FlappyBird", vector_entry_point=f"{__name__}:FlappyBirdVector"
    )
