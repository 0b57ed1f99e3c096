"""Of bench/gpu.py: the time of an update, eager, as a CUDA graph, compiled, and both, against its floor."""

import statistics
import time
from dataclasses import replace

import torch
from throughput import PRESET_OF, check_captured, wait
from training import flops_of

from vecflap.dqn import Learner
from vecflap.folder import settle
from vecflap.graphs import WARM_UP
from vecflap.replay import Batch

VARIANTS = {  # name: as a graph, compiled
    "eager": (False, False),
    "graph": (True, False),
    "compiled": (False, True),
    "compiled graph": (True, True),
}
COMPILING = 45
"""Seconds that it may take to compile a network's passes."""


def transitions(batch, device):
    """Random ones: half of all pixels are lit."""
    obs = torch.randint(-(2**62), 2**62, (batch, 4, 64), device=device)
    ones = torch.ones(batch, device=device)
    act = torch.arange(batch, device=device) % 2
    return Batch(obs, act, ones, ones, obs.flip(0), ones, act)


def seconds(learner, batch, args):
    """Seconds of an update, the median of some rounds."""
    rounds, calls = (3, 2) if args.cpu else (20, 20)
    for _ in range(WARM_UP + 2):
        learner.update(batch, 1e-4)
    times = []
    for _ in range(rounds):
        wait(args.device)
        began = time.perf_counter()
        for _ in range(calls):
            learner.update(batch, 1e-4)
        wait(args.device)
        times.append((time.perf_counter() - began) / calls)
    return statistics.median(times)


def variant(config, batch, graph, compiled, args):
    """Seconds of an update in one of the ways."""
    learner = Learner(replace(config, graphs=graph), torch.device(args.device))
    if compiled:
        assert args.deadline - time.monotonic() > COMPILING, "left out: no time to compile"
        learner.online.compile()
        learner.target.compile()
    taken = seconds(learner, batch, args)
    check_captured()
    return taken


def updates(args, ceilings):
    """Times of an update, and its floor: its FLOPs at the rate of matrix products, or its bytes at that of
    copies, whichever is longer. ceilings: those rates."""
    results = {}
    for network in PRESET_OF:
        config = settle(replace(PRESET_OF[network], device=args.device, batch=16 if args.cpu else 1024))
        batch = transitions(config.batch, args.device)
        weights = sum(p.nbytes for p in Learner(config, torch.device(args.device)).online.parameters())
        floors = {
            "arithmetic": config.batch * flops_of(network) / ceilings[config.precision],
            "memory": (2 * batch.obs.nbytes + 9 * weights) / ceilings["bytes"],
        }
        ways = {}
        for name, way in VARIANTS.items():
            if args.cpu and name != "eager":  # there are no graphs, and compiling needs a C++ compiler
                continue
            try:
                taken = variant(config, batch, *way, args)
                ways[name] = {"seconds": taken, "times_the_floor": taken / max(floors.values())}
            except Exception as error:
                ways[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        results[network] = {"batch": config.batch, "floors": floors, "ways": ways}
    return results


def lines_of(results):
    """A line for each network and way."""
    for network, x in results.items():
        for way, y in x["ways"].items():
            said = (
                f"FAILED {y['failed']}"
                if "failed" in y
                else (f"{y['seconds'] * 1e3:.3f} ms, {y['times_the_floor']:.1f} times its floor")
            )
            yield f"update {network:>8}, batch {x['batch']}, {way:>14}: {said}"
