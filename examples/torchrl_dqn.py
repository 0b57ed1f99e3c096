"""TorchRL's DQN over the vector environment.

python examples/torchrl_dqn.py --steps 300_000      # needs: pip install vecflap[examples]

TorchRL keeps references to observations, so it needs copies of its own (copy=True). Its random actions toss a
fair coin, which would pin the bird to the ceiling: so there are few of them.
"""

import argparse
import time

import gymnasium
import torch
from tensordict.nn import TensorDictSequential
from torch import Tensor, nn
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs import GymWrapper
from torchrl.modules import EGreedyModule, QValueActor
from torchrl.objectives import DQNLoss, SoftUpdate, ValueEstimators

GAMES, BATCH, START = 64, 128, 50  # rows to begin learning after; a row is a step of all games
GAMMA, TARGET_RATE = 0.97, 0.01


class Network(nn.Module):
    """uint8 [..., 4, 64, 64] stacks to float32 [..., 2] Q values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(4, 32, 8, stride=8), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(576, 256), nn.ReLU(), nn.Linear(256, 2)),
        )

    def forward(self, stack: Tensor) -> Tensor:
        return self.layers(stack.flatten(0, -4).float() / 255).unflatten(0, stack.shape[:-3])


def train(steps: int, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    games = gymnasium.make_vec("vecflap.gym:vecflap/FlappyBird-v0", num_envs=GAMES, obs="stack", copy=True)
    env = GymWrapper(games, categorical_action_encoding=True)
    env.set_seed(seed)
    spec = env.action_spec_unbatched
    actor = QValueActor(Network(), in_keys=["observation"], spec=spec, action_space="categorical")
    explore = EGreedyModule(spec, eps_init=0.1, eps_end=0.001, annealing_num_steps=1500)
    policy = TensorDictSequential(actor, explore)
    loss = DQNLoss(actor, action_space="categorical", delay_value=True, double_dqn=True)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=GAMMA)
    target = SoftUpdate(loss, tau=TARGET_RATE)
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(30_000), batch_size=BATCH)
    following = [("next", key) for key in ("observation", "reward", "done", "terminated")]
    state, began, ended = env.reset(), time.monotonic(), 0
    for row in range(steps // GAMES):
        with torch.no_grad():
            step, state = env.step_and_maybe_reset(policy(state))
        explore.step(1)
        buffer.extend(step.select("observation", "action", *following))
        ended += int(step["next", "done"].sum())
        if row >= START:
            optimizer.zero_grad()
            loss(buffer.sample())["loss"].backward()
            optimizer.step()
            target.step()
        if row % 100 == 99:
            seconds, length = time.monotonic() - began, 100 * GAMES / max(ended, 1)
            print(f"{(row + 1) * GAMES:9,} steps {seconds:5.0f} s, {length:5.0f} steps a game", flush=True)
            ended = 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    train(**vars(parser.parse_args()))
