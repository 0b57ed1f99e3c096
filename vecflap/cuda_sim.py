"""N games on a GPU: `CudaFlap`, with the surface of VecFlap, and CUDA kernels over the same rules and tables.

Numba's compiler for CUDA is the extra `cuda`. In its simulator (NUMBA_ENABLE_CUDASIM=1) the games play in
NumPy's arrays, slowly and without a GPU.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import cuda as numba_cuda
from torch import Tensor

from vecflap import draws, physics, render
from vecflap.buffers import actions
from vecflap.kernels import config
from vecflap.physics import AGE, NUMBERS, Gaps
from vecflap.play import play_frames, show_ages
from vecflap.rules import Rules, rows_of
from vecflap.sim import OUTPUTS

cuda: Any = numba_cuda  # its types leave out what is used here
if not config.ENABLE_CUDASIM:
    from numba.cuda import dispatcher

    settings: Any = dispatcher.config
    settings.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # few games are few blocks
THREADS = 64  # of a block: the columns of a picture


@cuda.jit
def play(state, ranges, act, age, rew, term, score, moved, plan, skip, clearance, seed, purpose, stream):
    """Play one step of every game and plan its picture. The arguments are those of play.play_all, and
    plan: int32 [12, N], out."""
    i = cuda.grid(1)
    if i < len(act):
        gaps = Gaps(seed, purpose, stream)
        play_frames(state, ranges, act, rew, term, score, moved, skip, clearance, gaps, i)
        if term[i]:
            physics.restart(state, i, ranges[i], gaps)
        show_ages(state[AGE, i : i + 1], age[i : i + 1], skip)
        render.make_plan(state, plan[:, i : i + 1], i, i + 1)


@cuda.jit
def restart(state, ranges, which, age, plan, skip, seed, purpose, stream):
    """Begin an episode of every game of which uint8 [N] is 1, and plan all pictures."""
    i = cuda.grid(1)
    if i < len(which):
        if which[i]:
            physics.restart(state, i, ranges[i], Gaps(seed, purpose, stream))
        show_ages(state[AGE, i : i + 1], age[i : i + 1], skip)
        render.make_plan(state, plan[:, i : i + 1], i, i + 1)


@cuda.jit
def draw(frame, plan):
    """Draw every game as planned. frame: int64 [N, 64], out."""
    i, c = cuda.blockIdx.x, cuda.threadIdx.x
    frame[i, c] = render.column(plan, i, c)
    if plan[render.SCORE_SHOWN, i] >= render.LONG_SCORE:
        cuda.syncthreads()
        if c == 0:
            render.draw_score(frame[i], plan[render.SCORE_SHOWN, i])


class CudaFlap:
    """N games of Flappy Bird on a GPU: the games of a VecFlap of the same seed, bit for bit.

    The outputs are those of VecFlap, as tensors on the device, and stay where they are. A step only queues
    work on torch's current stream: nothing waits. Actions on the device are not looked at: any but 0 flaps.
    """

    act: Tensor
    frame: Tensor
    age: Tensor
    rew: Tensor
    term: Tensor
    score: Tensor

    def __init__(
        self,
        envs: int,
        rules: str | Rules | Sequence[str | Rules] = "flap7",
        seed: int = 0,
        *,
        device: torch.device | str = "cuda",
        purpose: int = draws.GAPS_TRAIN,
        stream: np.ndarray = physics.NO_STREAM,
        skip: int = 1,
        clearance: int = 0,
    ) -> None:
        """device: a CUDA device; in Numba's simulator "cpu". The others are those of VecFlap."""
        if envs < 1:
            raise ValueError(f"envs={envs}: at least one game is needed.")
        if skip < 1:
            raise ValueError(f"skip={skip}: a step plays at least one frame.")
        if clearance < 0:
            raise ValueError(f"clearance={clearance}: birds keep 0 pixels or more.")
        self.envs, self.seed, self.purpose = envs, seed, purpose
        self.skip, self.clearance = skip, clearance
        self.device = torch.device(device)

        def memory(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.state = memory(torch.int32, NUMBERS, envs)
        self.act = memory(torch.uint8, envs)
        for name, (dtype, columns) in OUTPUTS.items():
            if name != "final":
                setattr(self, name, memory(dtype, envs, *columns))
        self._moved, self._plan = memory(torch.uint8, envs), memory(torch.int32, render.PLAN, envs)
        self._ranges = torch.from_numpy(rows_of(rules, envs)).to(self.device)
        self._gaps = torch.from_numpy(stream).to(self.device)
        self._nobody = memory(torch.uint8, envs)
        self._arrays = {
            name: numbas(tensor) for name, tensor in vars(self).items() if isinstance(tensor, Tensor)
        }
        self.restart()

    @property
    def rows(self) -> np.ndarray:
        """int32 [N, 16]: the whole state, a copy for looking, see physics.Games. Waits for the device."""
        return self.state.cpu().numpy().T.copy()

    @property
    def games(self) -> physics.Games:
        """The same by name."""
        return physics.Games.of(self.rows.T)

    def step(self, act: Any = None) -> None:
        """Play one step of every game: with `act`, or else self.act."""
        if isinstance(act, Tensor):
            self.act.copy_(act, non_blocking=True)
        elif act is not None:
            self.act.copy_(torch.from_numpy(actions(act, self.envs)))
        names = ("state", "_ranges", "act", "age", "rew", "term", "score", "_moved", "_plan")
        self._launch(play, names, self.skip, self.clearance)

    def restart(self, which: Any = None, seed: int | None = None) -> None:
        """Begin an episode of every game, or of those where `which`, bool [N], is true: a tensor on the
        device is not waited for.

        seed: go on with another seed; all games then begin anew.
        """
        if seed is None and isinstance(which, Tensor) and which.device == self.device:
            self._restart(which.to(torch.uint8))
            return
        if seed is not None:
            self.seed, which = seed, None
            self.state.zero_()
        mask = np.ones(self.envs, np.uint8) if which is None else actions(which, self.envs)
        self._restart(torch.from_numpy(mask))

    def draw(self) -> None:
        """Write frame and age anew from the games' state, say after changing it by hand."""
        self._restart(self._nobody)

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on: int32 [16, N], as VecFlap has it."""
        return {"games": self.state.cpu().clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of as many games, this one's or VecFlap's."""
        games = state["games"]
        if games.shape != self.state.shape:
            raise ValueError(f"The state is of {games.shape[-1]} games, these are {self.envs}.")
        if not physics.are_possible(games.numpy()):
            raise ValueError("The state is damaged: it has games that cannot be.")
        self.state.copy_(games)
        self.draw()

    def _restart(self, which: Tensor) -> None:
        self._arrays["which"] = numbas(which.to(self.device))
        self._launch(restart, ("state", "_ranges", "which", "age", "_plan"), self.skip)

    def _launch(self, kernel: Any, names: Sequence[str], *settings: int) -> None:
        """Queue a kernel with a thread a game, then the drawing."""
        stream = 0 if config.ENABLE_CUDASIM else numbas_stream(torch.cuda.current_stream(self.device))
        blocks, threads = -(-self.envs // THREADS), min(self.envs, THREADS)
        arrays = self._arrays
        rest = (*settings, np.int64(self.seed), np.int64(self.purpose), arrays["_gaps"])
        kernel[blocks, threads, stream](*(arrays[name] for name in names), *rest)
        draw[self.envs, render.SIZE, stream](arrays["frame"], arrays["_plan"])


def numbas(tensor: Tensor) -> Any:
    """A tensor's memory as Numba's kernels take it."""
    if config.ENABLE_CUDASIM:
        return tensor.numpy()
    return cuda.as_cuda_array(tensor, sync=False)


@cache
def numbas_stream(stream: torch.cuda.Stream) -> Any:
    """A stream of torch's as Numba's launches take it."""
    return cuda.external_stream(stream.cuda_stream)
