"""The OneFlow article's loop, re-created in plain PyTorch after its description; none of its code.

One game and an action every frame; states are the last four frames as float32; the last 50,000 transitions
wait in a deque, each with both of its states; a thread of its own trains on 32 of them, as often as it can,
while the target network plays, fed with 32 copies of the state. It is copied every 100 frames.

The game is vecflap's: the original takes 0.6 ms a frame where vecflap takes 0.002.
"""

import random
import threading
import time
from collections import deque

import numpy as np
import torch
from torch.nn import functional as F

from baselines.networks import NETWORKS
from vecflap import VecFlap
from vecflap.render import upright

BATCH, GAMMA, COPY, CAPACITY, FIRST, RATE = 32, 0.99, 100, 50_000, 100, 2e-4


def run(network, device, seconds, warm_up):
    """Play and train for so many seconds after the warm-up. Returns rates a second."""
    online, target = (NETWORKS[network]().to(device) for _ in range(2))
    target.eval()
    optimiser = torch.optim.Adam(online.parameters(), lr=RATE)
    memory: deque[tuple] = deque(maxlen=CAPACITY)
    lock, over = threading.Lock(), threading.Event()
    done = {"steps": 0, "updates": 0}

    def pictures(states):
        return torch.from_numpy(np.stack(states)).to(device)

    def train():
        while not over.is_set():
            with lock:
                sample = random.sample(memory, BATCH) if len(memory) > FIRST else None
            if sample is None:
                time.sleep(0.001)
                continue
            states, acts, rewards, next_states, ends = zip(*sample, strict=True)
            reward, end = torch.tensor(rewards, device=device), torch.tensor(ends, device=device)
            with torch.no_grad():
                value = target(pictures(next_states)).amax(1)
            q = online(pictures(states)).gather(1, torch.tensor(acts, device=device)[:, None]).squeeze(1)
            loss = F.mse_loss(q, reward + GAMMA * value * (1 - end))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            done["updates"] += 1

    def frame():
        return upright(sim.frame.numpy())[0].T.astype(np.float32) * 255 - 128

    sim = VecFlap(1, "flap7", threads=1)
    state = np.stack([frame()] * 4)
    trainer = threading.Thread(target=train)
    trainer.start()
    began, before = time.perf_counter(), dict(done)
    try:
        while (now := time.perf_counter()) < began + seconds + warm_up:
            if now < began + warm_up:
                before, since = dict(done), now
            with torch.no_grad():
                act = int(target(pictures([state] * BATCH))[0].argmax())
            sim.step(np.full(1, act, np.uint8))
            next_state = np.concatenate([state[1:], frame()[None]])
            reward = {-1: -1.0, 0: 0.1, 1: 1.0}[int(sim.rew[0])]
            with lock:
                memory.append((state, act, reward, next_state, float(sim.term[0])))
            state = next_state
            done["steps"] += 1
            if done["steps"] % COPY == 0:
                target.load_state_dict(online.state_dict())
    finally:
        over.set()
        trainer.join()
    passed = now - since
    steps, updates = (done[name] - before[name] for name in ("steps", "updates"))
    return {"steps": steps / passed, "updates": updates / passed, "samples": BATCH * updates / passed}
