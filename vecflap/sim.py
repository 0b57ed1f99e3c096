"""N games, played and drawn together: `VecFlap`, and the CPU's kernels over the rules of physics.py."""

from typing import Any

import numba
import numpy as np
import torch

from vecflap import draws, physics, render
from vecflap.kernels import inlined, kernel
from vecflap.physics import AGE, COLUMNS, RULES, Gaps, Rules

GAMES_PER_THREAD = 256
"""Fewer games than this are not worth waking a thread for: a call that does costs about 4 us more."""


@inlined
def play(games, act, frame, age, rew, term, score, rules, gaps, first, end):
    """Play and draw one frame of games first..end-1; the arguments are those of `play_all`."""
    for i in range(first, end):
        g = games[i]
        rew[i], term[i], score[i] = physics.advance(g, i, act[i], rules, gaps)
        age[i] = min(g[AGE], 255)
        render.draw(frame[i], g, rules)


@kernel(_nrt=False)
def play_all(games, act, frame, age, rew, term, score, flap_vy, gap, score_drawn, seed, purpose, stream):
    """Play and draw one frame of every game.

    games: int32 [N, 16], in and out, see physics.Games. act: uint8 [N], in, 1 = flap.
    frame: int64 [N, 64], age: uint8 [N], rew: int8 [N], term: uint8 [N], score: int32 [N], out, see VecFlap.
    The rest are the fields of physics.Rules and physics.Gaps, apart: passing the tuples would cost 1.1 us a
    call.
    """
    rules, gaps = Rules(flap_vy, gap, score_drawn), Gaps(seed, purpose, stream)
    play(games, act, frame, age, rew, term, score, rules, gaps, 0, len(games))


@kernel(parallel=True)
def play_all_threaded(
    games, act, frame, age, rew, term, score, flap_vy, gap, score_drawn, seed, purpose, stream, threads
):
    """`play_all`, one run of neighbouring games a thread: its frames stay in its own core's cache."""
    rules, gaps = Rules(flap_vy, gap, score_drawn), Gaps(seed, purpose, stream)
    n = len(games)
    for k in numba.prange(threads):
        first, end = n * k // threads, n * (k + 1) // threads
        play(games, act, frame, age, rew, term, score, rules, gaps, first, end)


@kernel()
def restart_all(games, seed, purpose, stream):
    """Begin the first episode of every game. games: int32 [N, 16], out."""
    games[:] = 0
    for i in range(len(games)):
        physics.restart(games[i], i, Gaps(seed, purpose, stream))


@kernel()
def draw_all(games, frame, age, flap_vy, gap, score_drawn):
    """Draw every game as it stands. games: int32 [N, 16], in. frame: int64 [N, 64], age: uint8 [N], out."""
    for i in range(len(games)):
        age[i] = min(games[i, AGE], 255)
        render.draw(frame[i], games[i], Rules(flap_vy, gap, score_drawn))


class VecFlap:
    """N games of Flappy Bird in one process, stepped together, drawn as packed 64x64 one-bit pictures.

    Every output is a torch tensor in memory that stays where it is (pinned if `pin`), overwritten by the next
    step; `.numpy()` of it is an array over the same memory. A crashed game restarts within the step.

    act:   uint8 [N]      1 = flap, 0 = glide: what `step()` plays
    frame: int64 [N, 64]  the picture: bit r of word c is column c, row r; after a crash the next episode's
    first
    age:   uint8 [N]      frames since the episode began, cut at 255; 0 = its first picture
    rew:   int8 [N]       -1 crash, +1 pipe passed, 0 otherwise
    term:  uint8 [N]      1 = the episode ended in this step
    score: int32 [N]      pipes passed in this episode, of the one that just ended where term is 1
    games: physics.Games  the whole state by name, for looking: views of int32 [N, 16]

    Game i plays the same whatever N, and however many threads: its gaps are draws keyed (seed, purpose, i,
    count).
    """

    def __init__(
        self,
        envs: int,
        rules: str | Rules = "flap7",
        seed: int = 0,
        *,
        purpose: int = draws.GAPS_TRAIN,
        stream: np.ndarray = physics.NO_STREAM,
        threads: int | None = None,
        pin: bool = False,
    ) -> None:
        """
        envs:    number of games, 1 or more.
        rules:   a name in physics.RULES, or Rules of your own.
        seed:    any int64.
        purpose: which stream of gaps, see draws.py.
        stream:  uint8 gap places to play instead of draws (for one game: to replay a recording).
        threads: CPU threads, at most Numba's; None: one for every 256 games.
        """
        if envs < 1:
            raise ValueError(f"envs={envs}: at least one game is needed.")
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least one is needed.")
        if isinstance(rules, str) and rules not in RULES:
            raise ValueError(f"rules={rules!r} is unknown. Choose from: {', '.join(RULES)}.")
        self.envs = envs
        self.rules = RULES[rules] if isinstance(rules, str) else rules
        self.threads = min(threads or max(envs // GAMES_PER_THREAD, 1), envs)
        if self.threads > 1:  # asking Numba starts its threads, which sets OpenMP's number, and so torch's
            of_torch = torch.get_num_threads()
            self.threads = min(self.threads, numba.get_num_threads())
            torch.set_num_threads(of_torch)
        self.rows = np.zeros((envs, COLUMNS), np.int32)
        self.games = physics.Games.of(self.rows)

        def output(dtype: torch.dtype, *shape: int) -> torch.Tensor:
            return torch.zeros(envs, *shape, dtype=dtype, pin_memory=pin)

        self.act = output(torch.uint8)
        self.frame = output(torch.int64, render.SIZE)
        self.age = output(torch.uint8)
        self.rew = output(torch.int8)
        self.term = output(torch.uint8)
        self.score = output(torch.int32)
        self._source = (seed, purpose, stream)
        outputs = (self.act, self.frame, self.age, self.rew, self.term, self.score)
        self._arguments = (self.rows, *(tensor.numpy() for tensor in outputs), *self.rules, *self._source)
        restart_all(self.rows, *self._source)
        self.draw()

    def step(self, act: Any = None) -> None:
        """Play one frame of every game: with `act`, 0 or 1 for each (tensor, array or list), or else
        self.act."""
        if act is not None:
            self.act.copy_(self._checked(act))
        if self.threads == 1:
            play_all(*self._arguments)
        else:
            play_all_threaded(*self._arguments, self.threads)

    def draw(self) -> None:
        """Write frame and age anew from the games' state, say after changing it by hand."""
        draw_all(self.rows, self.frame.numpy(), self.age.numpy(), *self.rules)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on: int32 [N, 16]."""
        return {"games": torch.from_numpy(self.rows.copy())}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a `state_dict` of as many games."""
        games = state["games"]
        if games.shape != self.rows.shape:
            raise ValueError(f"The state is of {len(games)} games, these are {self.envs}.")
        self.rows[:] = games.numpy()
        self.draw()

    def _checked(self, act: Any) -> torch.Tensor:
        try:
            checked = torch.as_tensor(act)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"act is not an array of 0 and 1: {error}") from None
        if checked.shape != self.act.shape:
            raise ValueError(
                f"act has shape {list(checked.shape)}, needed is [{self.envs}], one action a game."
            )
        if not bool(((checked == 0) | (checked == 1)).all()):
            raise ValueError("act has values other than 0 (glide) and 1 (flap).")
        return checked
