"""Selections: greedy play that judges policies while training goes on.

Training grants rows and never more: so a verdict comes at the same step of training on every machine, however
fast the two are beside each other.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vecflap import helper
from vecflap.config import Config
from vecflap.evaluate import Scores
from vecflap.judge import Judge

NAP = 0.01
"""Seconds between two looks at what is waited for."""
MANY = 500
"""Games of a selection that are worth a process, which takes two seconds to start, and its memory."""


class Beside:
    """A judge in a thread; on CUDA in that of training: a graph must not be captured while another thread
    uses the device."""

    def __init__(self, config: Config, *limits: int) -> None:
        """config, limits: what a Judge wants to know."""
        self._judge = Judge(config, *limits)
        self._thread = ThreadPoolExecutor(
            1, "vecflap-selection", initializer=torch.set_num_threads, initargs=(config.threads,)
        )
        self._at_once = config.device.startswith("cuda")
        self._playing: Future[Scores | None] | None = None

    def begin(self, weights: dict[str, np.ndarray], seed: int) -> None:
        """See Judge.begin."""
        self._playing = None
        self._judge.begin(weights, seed)

    def play(self, rows: int) -> None:
        """Let it play so many rows."""
        self._judge.waited_for = False
        self._playing = self._thread.submit(self._judge.play, rows)
        if self._at_once:
            self._playing.exception()

    @property
    def busy(self) -> bool:
        """Whether it has not played all of them."""
        return self._playing is not None and not self._playing.done()

    def hurry(self) -> None:
        """Training waits for it."""
        self._judge.waited_for = True

    def wait(self) -> Scores | None:
        """Wait until it has. Returns what Judge.play does."""
        return self._playing.result() if self._playing else None

    def close(self) -> None:
        """Stop at once."""
        self._judge.dismissed = True
        self._thread.shutdown()


class Apart:
    """The same in a process: of one process Python runs one thread at a time, so that training would often
    wait for the judge, and the judge for training."""

    def __init__(self, *about: Any) -> None:
        self._link, theirs = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vecflap.judge", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for training, which closes this
        )
        theirs.close()
        self._playing = False
        self._tell(about)

    def begin(self, weights: dict[str, np.ndarray], seed: int) -> None:
        self._tell((weights, seed))

    def play(self, rows: int) -> None:
        self._tell(rows)
        self._playing = True

    @property
    def busy(self) -> bool:
        return self._playing and not self._link.poll()

    def hurry(self) -> None:
        if self.busy:
            self._tell("wait")

    def wait(self) -> Scores | None:
        return self._hear() if self._playing else None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._link.close()

    def _tell(self, what: Any) -> None:
        try:
            self._link.send(what)
        except ConnectionError:
            self._hear()  # raises what went wrong
            raise

    def _hear(self) -> Scores | None:
        try:
            found = self._link.recv()
        except (EOFError, ConnectionError):
            status = self._process.wait()
            raise OSError(
                f"the process that plays selections ended, with status {status}. Was it stopped, or is there"
                " too little memory?"
            ) from None
        if isinstance(found, Exception):
            raise found
        self._playing = False
        return found


class Selection:
    """Games of a frozen copy of a policy, one selection after the other, while training goes on."""

    def __init__(self, config: Config, games: int, pipes: int, most_deaths: int) -> None:
        """
        games, pipes, most_deaths: of each selection, see Judge.
        """
        self._about = config, games, pipes, most_deaths
        self.weights: dict[str, Tensor] = {}
        """What is judged."""
        self.rows = 0  # granted
        self._under_way = False
        self._judge: Beside | Apart | None = None

    @property
    def plays(self) -> bool:
        """Whether games are being played now."""
        return self._judge is not None and self._judge.busy

    def begin(self, weights: dict[str, Tensor], seed: int) -> None:
        """Judge a network of these weights, which are copied, by the games of a seed."""
        config, games, *_ = self._about
        if self._judge is None:
            apart = config.device == "cpu" and games >= MANY and helper.CORES > 1
            self._judge = (Apart if apart else Beside)(*self._about)
        self.weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}
        self._judge.begin({name: tensor.numpy() for name, tensor in self.weights.items()}, seed)
        self.rows, self._under_way = 0, True

    def grant(self, rows: int) -> None:
        """Let it play so many rows more, after `scores` had none for those before."""
        assert self._judge is not None, "begin comes first"
        self.rows += rows
        self._judge.play(rows)

    def wait(self, stop: Callable[[], bool]) -> bool:
        """Wait for the rows granted, while a second thread helps to play them; until `stop` tells to wait no
        longer. Returns whether they have been played."""
        if self._under_way and self._judge:
            self._judge.hurry()
        while self.plays:
            if stop():
                return False
            time.sleep(NAP)
        return True

    def scores(self) -> Scores | None:
        """Wait for the rows granted. The scores, once; None as long as the games have not ended."""
        if not self._under_way or self._judge is None:
            return None
        self.wait(helper.never)
        scores = self._judge.wait()
        self._under_way = scores is None
        return scores

    def finish(self) -> Scores | None:
        """The scores of what is under way, played to its end."""
        while self._under_way:
            if scores := self.scores():
                return scores
            self.grant(1_000)
        return None

    def close(self) -> None:
        """Stop at once."""
        if self._judge:
            self._judge.close()
