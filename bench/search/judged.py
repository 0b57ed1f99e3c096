"""Trains with other numbers than the defaults, and judges what comes of it every so many steps.

The network that would be kept plays games of the selection's kind, never the exam's, until the third death.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import vecflap
from vecflap import draws
from vecflap.config import Config
from vecflap.evaluate import Policy, evaluate
from vecflap.run import View

GAMES, PIPES, SEED = 300, 200, 10_000


class Judge(View):
    """Judges the network that would be kept, every so many steps, and prints what it found."""

    def __init__(self, every):
        self.every, self.curve = every, []

    def tick(self, run):
        """A row was played."""
        if run.due(self.every):
            policy = Policy(getattr(run.learner, run.learner.kept), run.config)
            self.curve.append({"step": run.step} | self.judge(policy))
            print(json.dumps(self.curve[-1]), flush=True)

    def judge(self, policy):
        """How a bird plays."""
        scores = evaluate(
            policy, policy.config, GAMES, PIPES, seed=SEED, purpose=draws.GAPS_SELECT, most_deaths=2
        )
        return {"pipes": int(scores.pipes.sum()), "deaths": scores.deaths}


def train(every, fields):
    """Train with these fields of Config."""
    with tempfile.TemporaryDirectory() as folder:
        unjudged: dict[str, Any] = {"until": "steps", "eval_every": 10**12, "save_every": 10**12}
        vecflap.train(Config(**unjudged, **fields, out=Path(folder) / "run"), Judge(every))


def curve(every, **fields):
    """Yields what was found, a dict each time of judging, of training in a process of its own; whoever stops
    listening ends it."""
    words = [sys.executable, __file__, json.dumps([every, fields])]
    with subprocess.Popen(words, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield from map(json.loads, process.stdout)
        except GeneratorExit:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)


def per_death(point):
    """Pipes a death; where none died, all of them."""
    return point["pipes"] / max(point["deaths"], 1)


if __name__ == "__main__":
    train(*json.loads(sys.argv[1]))
