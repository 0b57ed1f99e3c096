"""Other systems and vecflap, by turns on one core. Item: one step of one game, its observation delivered.

python bench/peers.py [--install] [--rounds 5] [--seconds 3]

A window is a process of its own with one thread, pinned to one core. After each window of a peer comes one of
vecflap, so a round's ratio is of neighbours in time. Timed are the calls that step, restarts included; not
timed are compiling, warming up, choosing actions and looking at the result. --install first installs the
peers into this Python, which should be a virtual environment of their own.
"""

import argparse
import datetime
import functools
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from peers_games import GAMES, PEERS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "peers.json"
WARM_UP = 100  # rows, in which every player passes something that counts: two pipes, a ball
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
HEADLESS = {
    "JAX_PLATFORMS": "cpu",
    "SDL_VIDEODRIVER": "dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
}


def rate_of(games, seconds):
    """Steps a second of games, with so many seconds in `step`. Run in a process of its own."""
    choose, step = games()
    most, steps, timed = 0.0, 0, 0.0
    for _ in range(WARM_UP):
        picture, points = step(choose())
        most = max(most, np.max(points))
    first = np.array(picture)
    while timed < seconds:
        act = choose()
        began = time.perf_counter()
        picture, points = step(act)
        timed += time.perf_counter() - began
        most = max(most, np.max(points))
        steps += len(picture)
    before, after = first.reshape(len(first), -1), np.asarray(picture).reshape(len(first), -1)
    played = after.any(1) & (after != before).any(1)
    assert most >= 1, "no points: fast because it did nothing?"
    assert played.mean() > 0.5, "still or empty observations: fast because it did nothing?"
    return steps / timed


def window(name, seconds):
    """Steps a second of one window, or else why there are none."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, env=os.environ | ONE_THREAD | HEADLESS, capture_output=True, text=True, timeout=600
        )
    except subprocess.TimeoutExpired:
        return "not measured here: it took over 600 s"
    if done.returncode == 0:
        return float(done.stdout.split()[-1])
    errors = re.findall(r"^[\w.]*Error\b.*", done.stderr, re.MULTILINE) or [f"exit status {done.returncode}"]
    sentence = errors[-1].split(". ")[0][:160]
    why = re.sub(r"\S*/\S+", "...", sentence)  # a machine's paths are nobody else's business
    missing = why.startswith(("ModuleNotFoundError", "ImportError"))
    return f"not {'importable' if missing else 'measured'} here: {why}"


@functools.cache
def install(requirements):
    """Install a peer, without our pins, as gymnax wants an older Gymnasium. Returns None, or why it could not
    be."""
    print(f"installing {requirements}", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    failed = subprocess.run([*pip, *requirements.split()]).returncode
    return "not installable here: pip could not install it" if failed else None


def measure(rounds, seconds, failed):
    """All rounds of all peers. failed: peer to why it is not to be measured. Returns a row for each peer."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    failed = dict(failed)
    for turn, name in itertools.product(range(rounds), PEERS):
        if name in failed:
            continue
        rate = window(name, seconds)
        if isinstance(rate, str):
            failed[name] = rate
            print(f"{name}: {rate}", flush=True)
            continue
        beside = window("vecflap", seconds)
        if isinstance(beside, str):
            sys.exit(f"vecflap: {beside}")
        rates[name].append((rate, beside))
        times = f"{short(beside / rate)} times"
        print(f"round {turn + 1}: {name} {short(rate)}/s, vecflap {short(beside)}/s, {times}", flush=True)
    return [{"name": n, "error": failed[n]} if n in failed else row_of(n, rates[n]) for n in PEERS]


def row_of(name, pairs):
    """The results of a peer, from its rates and those of vecflap beside it."""
    requirements, games = PEERS[name]
    rates, beside = zip(*pairs, strict=True)
    ratios = [b / a for a, b in pairs]
    return {
        "name": name,
        "version": metadata.version(re.split("[ <>=]", requirements)[0]),
        "what": games.__doc__,
        "rates": [round(rate, 1) for rate in rates],
        "vecflap_rates": [round(rate, 1) for rate in beside],
        "median": round(statistics.median(rates), 1),
        "vecflap_median": round(statistics.median(beside), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
    }


def short(x):
    """A number in three digits: 25.6 M, 53,100, 7.31."""
    if x >= 1e6:
        return f"{float(f'{x / 1e6:.3g}'):g} M"
    x = float(f"{x:.3g}")
    return f"{x:,.0f}" if x >= 100 else f"{x:g}"


def peers_table(results):
    """Steps per second of every peer, and of vecflap beside it."""
    lines = [
        "| | version | observation; games | steps/s | vecflap beside it | ratio | range |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in results["peers"]:
        if "error" in row:
            lines.append(f"| {row['name']} | - | {row['error']} | - | - | - | - |")
            continue
        ratio, low, high = (short(row[key]) for key in ("ratio", "ratio_low", "ratio_high"))
        who = f"{row['name']} | {row['version']} | {row['what']}"
        rates = f"{short(row['median'])} | {short(row['vecflap_median'])}"
        lines.append(f"| {who} | {rates} | {ratio} | {low} to {high} |")
    m = results["machine"]
    where = f"one core of {m['cpu']}, Python {m['python']}, medians"
    return "\n".join([*lines, "", f"`{results['command']}` on {where}. vecflap: {results['vecflap']}."])


def main():
    """Measure all peers, or, with --one, a window of one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="first install the peers into this Python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--one", choices=GAMES, help="measure one window in this process, and print its rate")
    arguments = parser.parse_args()
    if arguments.one:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        print(rate_of(GAMES[arguments.one], arguments.seconds))
        return
    from vecflap.device import cpu_name

    failed = {}
    if arguments.install:
        if sys.prefix == sys.base_prefix:
            sys.exit("--install would change this Python: use one of a virtual environment, python -m venv.")
        failed = {name: why for name, (requirements, _) in PEERS.items() if (why := install(requirements))}
    results = {
        "command": f"python bench/peers.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}",
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "date": datetime.date.today().isoformat(),
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "vecflap": GAMES["vecflap"].__doc__,
        "peers": measure(arguments.rounds, arguments.seconds, failed),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(peers_table(results))


if __name__ == "__main__":
    main()
