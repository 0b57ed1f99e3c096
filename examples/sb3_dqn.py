"""Stable-Baselines3's DQN learns Flappy Bird from pixels, on one CPU core, in a few minutes.

python examples/sb3_dqn.py --steps 400_000 --out curve      # needs: pip install vecflap[examples]

Its random actions toss a fair coin, which would pin the bird to the ceiling: so there are few of them.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env

from vecflap.gym import FlappyBirdVector

FLAP_EVERY = (10, 12, 14, 15, 16)  # frames; at 15 the bird keeps its height


def mean_pipes(play, games: int = 32, steps: int = 1000) -> float:
    """Of games that end after so many steps, 25 or 26 pipes. play: from observations and step to actions."""
    env = FlappyBirdVector(games)
    obs, _ = env.reset(seed=10**6)
    pipes, alive = np.zeros(games, int), np.ones(games, bool)
    for t in range(steps):
        obs, rewards, terminations, _, _ = env.step(play(obs, t))
        alive &= ~terminations
        pipes += alive & (rewards == 1)
        if not alive.any():
            break
    return float(pipes.mean())


class Exam(BaseCallback):
    """Let the policy play greedily at intervals."""

    def _init_callback(self) -> None:
        self.curve: list[dict] = []

    def _on_step(self) -> bool:
        pipes = mean_pipes(lambda obs, t: self.model.predict(obs, deterministic=True)[0])
        seconds = (time.time_ns() - self.model.start_time) // 10**9
        self.curve.append({"steps": self.num_timesteps, "seconds": seconds, "pipes": pipes})
        print(f"{self.num_timesteps:9,} steps {seconds:5} s {pipes:6.2f} pipes", flush=True)
        return True


def train(steps: int, every: int, seed: int, out: Path | None) -> None:
    torch.set_num_threads(1)
    baselines = {n: mean_pipes(lambda obs, t, n=n: np.full(len(obs), t % n == 0)) for n in FLAP_EVERY}
    print(*(f"flap every {n} frames: {pipes:5.2f} pipes" for n, pipes in baselines.items()), sep="\n")
    envs = make_vec_env("vecflap.gym:vecflap/FlappyBird-v0", n_envs=32, seed=seed)
    eps = {"exploration_initial_eps": 0.1, "exploration_final_eps": 0.002, "exploration_fraction": 0.5}
    target = {"tau": 0.01, "target_update_interval": envs.num_envs}
    learning = {"learning_rate": 5e-4, "gamma": 0.97, "n_steps": 3, "batch_size": 64, "train_freq": 1}
    memory = {"buffer_size": 50_000, "learning_starts": 5_000}  # 1.6 GB: unpacked, and every state twice
    small = {"policy_kwargs": {"features_extractor_kwargs": {"features_dim": 256}}, "device": "cpu"}
    model, exam = DQN("CnnPolicy", envs, seed=seed, **eps, **target, **learning, **memory, **small), Exam()
    model.learn(steps, callback=EveryNTimesteps(every, exam))
    if out:
        out.with_suffix(".json").write_text(json.dumps({"flap_every": baselines, "curve": exam.curve}))
        plot(exam.curve, max(baselines.values()), out.with_suffix(".png"))


def plot(curve: list[dict], baseline: float, path: Path) -> None:
    """Draw a learning curve over steps."""
    plt.figure(figsize=(7, 3.5), layout="constrained")
    plt.plot([e["steps"] for e in curve], [e["pipes"] for e in curve], label="SB3's DQN")
    plt.axhline(baseline, linestyle="--", color="gray", label="best of flapping every n frames")
    plt.xlabel(f"steps, {curve[-1]['seconds'] / 60:.0f} minutes on one core")
    plt.ylabel("mean pipes of 32 games of 1,000 steps")
    plt.legend(loc="upper left")
    plt.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--every", type=int, default=20_000, help="steps between two exams")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write OUT.json and OUT.png")
    train(**vars(parser.parse_args()))
