"""A DQN as CleanRL writes it, re-created in plain PyTorch: one file, one loop, eager, float32.

Eight games in a Gymnasium vector environment, a replay of uint8 states (both of a transition), one update of
a batch for so many steps, a target network that is copied now and then.
"""

import time

import numpy as np
import torch
from torch.nn import functional as F

from baselines.networks import NETWORKS

ENVS, GAMMA, CAPACITY, COPY, RATE, EPSILON = 8, 0.99, 10_000, 500, 1e-3, 0.05


def vecflap_games():
    """vecflap's own, as Gymnasium's users have them: uint8 [8, 4, 64, 64]."""
    from vecflap.gym import FlappyBirdVector

    return FlappyBirdVector(ENVS, threads=1)


def flappy_bird_gymnasium():
    """Those of flappy-bird-gymnasium, one after the other, in grey at 64 x 64, the last four frames."""
    import gymnasium
    from gymnasium import wrappers
    from peers_games import flappy_bird_with_pixels

    def one():
        env = wrappers.TransformObservation(
            flappy_bird_with_pixels(),
            lambda obs: obs["pixels"][..., 1],
            gymnasium.spaces.Box(0, 255, (64, 64), np.uint8),
        )
        return wrappers.FrameStackObservation(env, 4)

    return gymnasium.vector.SyncVectorEnv([one] * ENVS)


GAMES = {"vecflap": vecflap_games, "flappy-bird-gymnasium": flappy_bird_gymnasium}


def run(network, device, seconds, warm_up, games="vecflap", batch=128, steps_per_update=64):
    """Play and train for so many seconds after the warm-up. Returns rates a second."""
    envs, rng = GAMES[games](), np.random.default_rng(0)
    online, target = (NETWORKS[network]().to(device) for _ in range(2))
    target.load_state_dict(online.state_dict())
    optimiser = torch.optim.Adam(online.parameters(), lr=RATE)
    shape = (CAPACITY // ENVS, ENVS)
    obs_kept, next_kept = (np.zeros((*shape, 4, 64, 64), np.uint8) for _ in range(2))
    act_kept, reward_kept, end_kept = (np.zeros(shape, kind) for kind in (np.int64, np.float32, np.float32))
    obs, _ = envs.reset(seed=1)
    row = updates = 0
    began = since = time.perf_counter()
    before = (0, 0)
    while (now := time.perf_counter()) < began + seconds + warm_up:
        if now < began + warm_up:
            before, since = (row, updates), now
        with torch.no_grad():
            act = online(torch.tensor(obs, device=device).float() / 255).argmax(1).cpu().numpy()
        act = np.where(rng.random(ENVS) < EPSILON, rng.random(ENVS) < 0.1, act)
        next_obs, reward, end, _, _ = envs.step(act)
        slot = row % len(obs_kept)
        obs_kept[slot], next_kept[slot], act_kept[slot] = obs, next_obs, act
        reward_kept[slot], end_kept[slot] = reward, end
        obs = next_obs
        row += 1
        if row > batch // ENVS and row * ENVS % steps_per_update < ENVS:
            at = rng.integers(0, min(row, len(obs_kept)), batch), rng.integers(0, ENVS, batch)
            here, there, acts, rewards, ends = (
                torch.tensor(kept[at], device=device)
                for kept in (obs_kept, next_kept, act_kept, reward_kept, end_kept)
            )
            with torch.no_grad():
                goal = rewards + GAMMA * target(there.float() / 255).amax(1) * (1 - ends)
            q = online(here.float() / 255).gather(1, acts[:, None]).squeeze(1)
            loss = F.mse_loss(q, goal)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            updates += 1
            if updates % COPY == 0:
                target.load_state_dict(online.state_dict())
    passed = now - since
    rates = (row - before[0]) * ENVS / passed, (updates - before[1]) / passed
    return {"steps": rates[0], "updates": rates[1], "samples": batch * rates[1]}
