"""DQN in one file, as CleanRL has them: plain PyTorch, over the vector environment and its packed frames.

python examples/cleanrl_dqn.py --steps 400_000      # needs: pip install vecflap[gym]

Random actions flap in one case of ten; with a fair coin the bird would stick to the ceiling.
"""

import argparse
import time

import gymnasium
import numpy as np
import torch
from torch import nn

GAMES, BATCH, ROWS, START = 64, 128, 2000, 50  # a row is a step of all games; 2,000 are 0.26 GB
GAMMA, TARGET_RATE, FLAP_CHANCE = 0.97, 0.01, 0.1


class Network(nn.Module):
    """uint8 [B, 4, 64, 8] packed stacks to float32 [B, 2] Q values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(4, 32, 8, stride=8), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(576, 256), nn.ReLU(), nn.Linear(256, 2)),
        )

    def forward(self, packed: np.ndarray) -> torch.Tensor:
        bits = np.unpackbits(packed, axis=-1, bitorder="little").reshape(*packed.shape[:-1], 64)
        return self.layers(torch.from_numpy(bits).float())


def train(steps: int, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    envs = gymnasium.make_vec("vecflap.gym:vecflap/FlappyBird-v0", num_envs=GAMES, obs="packed_stack")
    online, target = Network(), Network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), 1e-3)
    states = np.zeros((ROWS, GAMES, 4, 64, 8), np.uint8)
    acts, rewards, terms = (np.zeros((ROWS, GAMES), dtype) for dtype in (np.int64, np.float32, np.float32))
    pipes, began = [], time.monotonic()
    obs, _ = envs.reset(seed=seed)
    for row in range(steps // GAMES):
        states[row % ROWS] = obs
        if row > START:
            i = (row - rng.integers(1, min(row, ROWS), BATCH)) % ROWS, rng.integers(GAMES, size=BATCH)
            after = states[(i[0] + 1) % ROWS, i[1]]  # another episode's, after a crash: it does not count
            with torch.no_grad():  # Double DQN: one network chooses, the other values
                value = target(after).gather(1, online(after).argmax(1, keepdim=True))[:, 0]
            goal = torch.from_numpy(rewards[i]) + GAMMA * torch.from_numpy(1 - terms[i]) * value
            q = online(states[i]).gather(1, torch.from_numpy(acts[i])[:, None])[:, 0]
            optimizer.zero_grad()
            nn.functional.smooth_l1_loss(q, goal).backward()
            optimizer.step()
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.data.lerp_(fast.data, TARGET_RATE)
        eps = max(0.1 * (1 - row * GAMES / 100_000), 0.001)
        with torch.no_grad():
            act = online(obs).argmax(1).numpy()
        act = np.where(rng.random(GAMES) < eps, rng.random(GAMES) < FLAP_CHANCE, act)
        obs, reward, term, _, infos = envs.step(act)
        acts[row % ROWS], rewards[row % ROWS], terms[row % ROWS] = act, reward, term
        if term.any():
            pipes += infos["final_info"]["score"][term].tolist()
        if row % 100 == 99:
            played, seconds = (row + 1) * GAMES, time.monotonic() - began
            print(f"{played:9,} steps {seconds:5.0f} s {np.mean(pipes[-200:]):6.2f} pipes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))
