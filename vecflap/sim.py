"""N games, played and drawn together: `VecFlap`."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch

from vecflap import draws, physics, render
from vecflap.buffers import actions, array_over, wrong_actions
from vecflap.disturb import Disturb, Disturbance
from vecflap.kernels import PARALLEL
from vecflap.physics import NUMBERS
from vecflap.play import draw_all, play_all, play_all_threaded, restart_all
from vecflap.rules import Rules, rows_of

OUTPUTS = {  # in the order of the kernels' arguments: type, and columns
    "frame": (torch.int64, (render.SIZE,)),
    "final": (torch.int64, (render.SIZE,)),
    "age": (torch.uint8, ()),
    "rew": (torch.int8, ()),
    "term": (torch.uint8, ()),
    "score": (torch.int32, ()),
}
NOT_AT_ALL = Disturb()
GAMES_PER_THREAD = 256
"""Fewer games than this are not worth waking a thread for: a call that does costs about 4 us more."""


def width(envs: int) -> int:
    """Columns of the state's memory: more than games, so that a cache has room for a game's 16 numbers.

    Rows a multiple of 4 KiB apart would share the same 8 places of an L1 cache: 38 instead of 28 ns a frame.
    """
    return envs if envs <= 256 else (envs + 1023) // 1024 * 1024 + 64


class VecFlap:
    """N games of Flappy Bird in one process, stepped together, drawn as packed 64x64 one-bit pictures.

    Every output is a torch tensor in memory that stays where it is (pinned if `pin`; your own by `bind`),
    overwritten by the next step; `.numpy()` of it is an array over the same memory. With `buffers` of more
    than one, steps draw into them by turns, and `frame` is the latest. A crashed game restarts within the
    step.

    act:   uint8 [N]      1 = flap, 0 = glide: what `step()` plays
    frame: int64 [N, 64]  the picture: bit r of word c is column c, row r; after a crash the next episode's
    first
    final: int64 [N, 64]  where term is 1, the picture at the crash, if asked for; else [0, 64]
    crashes: int32 [16, N]  the same in numbers, see physics.Games; else [16, 0]
    age:   uint8 [N]      steps since the episode began, cut at 255; 0 = its first picture
    rew:   int8 [N]       -1 crash, +1 pipe passed, 0 otherwise; CLOSE more within the clearance
    term:  uint8 [N]      1 = the episode ended in this step
    score: int32 [N]      pipes passed in this episode, of the one that just ended where term is 1
    games: physics.Games  the whole state by name, for looking: views of `state`, int32 [16, N]
    rows:  int32 [N, 16]  the same, a row a game

    Game i plays the same whatever N, and however many threads: its gaps are draws keyed (seed, purpose, i,
    count).
    """

    act: torch.Tensor
    frame: torch.Tensor
    final: torch.Tensor
    age: torch.Tensor
    rew: torch.Tensor
    term: torch.Tensor
    score: torch.Tensor

    def __init__(
        self,
        envs: int,
        rules: str | Rules | Sequence[str | Rules] = "flap7",
        seed: int = 0,
        *,
        purpose: int = draws.GAPS_TRAIN,
        stream: np.ndarray = physics.NO_STREAM,
        threads: int | None = None,
        pin: bool = False,
        buffers: int = 1,
        final: bool = False,
        skip: int = 1,
        clearance: int = 0,
        disturb: Disturb = NOT_AT_ALL,
    ) -> None:
        """
        envs:    number of games, 1 or more.
        rules:   a name in rules.RULES, or Rules of your own; or a list of them, one a game.
        seed:    any int64.
        purpose: which stream of gaps, see draws.py.
        stream:  uint8 gap places to play instead of draws (for one game: to replay a recording).
        threads: CPU threads, at most Numba's; None: one for every 256 games.
        buffers: memories for frames: those of a step stay as they are for `buffers` - 1 steps more.
        final:   whether to draw the pictures of crashes.
        skip:    frames of a step: a bird flaps in the first one, or not at all; a crash ends it.
        clearance: px; `rew` tells where birds are closer to a pipe above or below them.
        disturb: actions that stick or come late, pixels that flip.
        """
        if envs < 1:
            raise ValueError(f"envs={envs}: at least one game is needed.")
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least one is needed.")
        if buffers < 1:
            raise ValueError(f"buffers={buffers}: at least one is needed.")
        if skip < 1:
            raise ValueError(f"skip={skip}: a step plays at least one frame.")
        if clearance < 0:
            raise ValueError(f"clearance={clearance}: birds keep 0 pixels or more.")
        self.envs, self.seed, self.purpose, self.stream = envs, seed, purpose, stream
        self.skip, self.clearance = skip, clearance
        self.ranges = rows_of(rules, envs)
        self.disturbance = None if disturb == NOT_AT_ALL else Disturbance(disturb, envs)
        self.threads = min(threads or max(envs // GAMES_PER_THREAD, 1), envs)
        if self.threads > 1:  # asking Numba starts its threads, which sets OpenMP's number, and so torch's
            of_torch = torch.get_num_threads()
            self.threads = min(self.threads, numba.get_num_threads())
            torch.set_num_threads(of_torch)
        self._state = np.zeros((NUMBERS, width(envs)), np.int32)
        self.state = self._state[:, :envs]
        self.games = physics.Games.of(self.state)
        self.rows = self.state.T
        self.crashes = np.zeros((NUMBERS, envs * final), np.int32)
        self._moved = np.zeros(envs, np.uint8)
        self.act = torch.zeros(envs, dtype=torch.uint8, pin_memory=pin)
        for name, (dtype, columns) in OUTPUTS.items():
            shape = (envs * (final or name != "final"), *columns)
            setattr(self, name, torch.zeros(shape, dtype=dtype, pin_memory=pin))
        others = [torch.zeros_like(self.frame, pin_memory=pin) for _ in range(buffers - 1)]
        self._frames = deque([*others, self.frame])  # the latest last
        self._worker: ThreadPoolExecutor | None = None
        self._playing: Future | None = None
        self._point()
        self.restart()

    def step(self, act: Any = None) -> None:
        """Play one frame of every game: with `act`, 0 or 1 for each (tensor, array or list), or else
        self.act. ValueError for anything else, with the games as they were."""
        self._check_idle()
        if not self._play(self._act if act is None else actions(act, self.envs)):
            raise wrong_actions()
        self._turn()

    def step_async(self, act: Any = None) -> None:
        """Begin a step on a thread of its own, and return: until `step_wait`, the outputs are being written,
        but with more buffers than one not `frame`, which is the latest step's till then.

        ValueError, as from `step`, now or from `step_wait`.
        """
        self._check_idle()
        given = (self._act if act is None else actions(act, self.envs)).copy()
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "vecflap")
        self._playing = self._worker.submit(self._play, given)

    def step_wait(self) -> None:
        """Wait for the end of the step that `step_async` began."""
        if self._playing is None:
            raise ValueError("step_wait: no step was begun by step_async.")
        playing, self._playing = self._playing, None
        if not playing.result():
            raise wrong_actions()
        self._turn()

    def restart(self, which: Any = None, seed: int | None = None) -> None:
        """Begin an episode of every game, or of those where `which`, bool [N], is true.

        seed: go on with another seed; all games then begin anew, as those of a VecFlap just made.
        """
        self._check_idle()
        if seed is not None:
            self.seed, which = seed, None
            self.state[:] = 0
            self._point()
        mask = np.ones(self.envs, np.uint8) if which is None else actions(which, self.envs)
        frame, age = self.frame.numpy(), self.age.numpy()
        restart_all(self._state, self.ranges, mask, frame, age, self._plan, self.skip, *self._gaps)
        if self.disturbance:
            self.draw()

    def turn(self) -> None:
        """Go on in the next of the buffers, with a copy of the latest frames."""
        self._check_idle()
        latest = self.frame
        self._turn()
        self.frame.copy_(latest)

    def draw(self) -> None:
        """Write frame and age anew from the games' state, say after changing it by hand."""
        self._check_idle()
        draw_all(self._state, self.frame.numpy(), self.age.numpy(), self._plan, self.skip)
        if self.disturbance:
            self.disturbance.show(self.frame.numpy(), self.seed)

    def bind(self, **outputs: Any) -> None:
        """Write outputs, by their names, into memory of yours from now on: tensors, arrays, or what has
        DLPack, of the same type and shape. What they hold now is copied. ValueError for what does not fit.
        Of the buffers, `frame` is the latest."""
        self._check_idle()
        checked = {}
        for name, memory in outputs.items():
            if name not in OUTPUTS:
                raise ValueError(f"{name!r} is no output. Outputs are: {', '.join(OUTPUTS)}.")
            old = getattr(self, name).numpy()
            checked[name] = array_over(name, memory, old.dtype, old.shape)
        for name, array in checked.items():
            array[...] = getattr(self, name).numpy()
            memory = outputs[name]
            setattr(self, name, memory if isinstance(memory, torch.Tensor) else torch.from_numpy(array))
        self._frames[-1] = self.frame
        self._point()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """All that is needed to go on: int32 [16, N], and what disturbances have to remember."""
        self._check_idle()
        disturbance = self.disturbance.state_dict() if self.disturbance else {}
        arrays = {"games": self.state.copy()} | disturbance
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a `state_dict` of as many games."""
        self._check_idle()
        games = state["games"]
        if games.shape != self.state.shape:
            raise ValueError(f"The state is of {games.shape[-1]} games, these are {self.envs}.")
        if not physics.are_possible(games.numpy()):
            raise ValueError("The state is damaged: it has games that cannot be.")
        self.state[:] = games.numpy()
        if self.disturbance:
            self.disturbance.load_state_dict({k: v.numpy() for k, v in state.items() if k != "games"})
        self.draw()

    def _play(self, given: np.ndarray) -> bool:
        """Play and draw a step. Returns whether it did: not, if `given` holds what is no action."""
        if self.disturbance is None:
            return self._run(given)
        if given.max() > 1:
            return False
        chosen = given.copy()
        self._run(self.disturbance.act(chosen, self.age.numpy(), self.seed))
        self._act[:] = chosen
        self.disturbance.show(self._frames[0].numpy(), self.seed)
        return True

    def _run(self, given: np.ndarray) -> bool:
        if self.threads == 1:
            return play_all(self._state, self.ranges, given, *self._arguments[0])
        with PARALLEL:
            return play_all_threaded(self._state, self.ranges, given, *self._arguments[0])

    def _turn(self) -> None:
        """Make the buffer that comes next the latest."""
        if len(self._frames) > 1:
            self._frames.rotate(-1)
            self._arguments.rotate(-1)
            self.frame = self._frames[-1]

    def _point(self) -> None:
        """Make the kernel's arguments anew. Made at every step, they would take longer than 64 games."""
        self._gaps = (self.seed, self.purpose, self.stream)
        self._plan = np.zeros((self.threads, render.PLAN, render.BLOCK), np.int32)
        self._act = self.act.numpy()
        _, final, *others = (getattr(self, name).numpy() for name in OUTPUTS)
        rest = (final, self.crashes, *others, self._moved, self._plan, self.skip, self.clearance, *self._gaps)
        self._arguments = deque((self._act, frame.numpy(), *rest) for frame in self._frames)

    def _check_idle(self) -> None:
        if self._playing is not None:
            raise ValueError("a step is being played: call step_wait() first.")
