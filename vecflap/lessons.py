"""Where training games begin: some anew after a few pipes, so that the first ones are not forgotten, some
shortly before a bird died, so that what is seldom met is met often.

A good bird dies once in thousands of pipes, too seldom to learn from. So whenever one dies that did not miss
its flaps on purpose, the game as it stood some steps before becomes a scene, and games that practise begin
with one of the latest scenes. Their own deaths make scenes too, many of which are lost from the beginning:
they tell what losing looks like, up to where it begins. But only as long as most practice succeeds, or in the
end all would be lost. Letters: N games.
"""

import torch
from torch import Tensor

from vecflap import draws
from vecflap.config import Config
from vecflap.physics import NUMBERS
from vecflap.replay import CUT, OLDEST_AGE

NEAREST, FARTHEST = 8, 30
"""Steps before a crash that a scene may begin."""
FAILING, FOLLOWED = 0.25, 0.005
"""Share of practice that may fail, of recent games; each counts for so much."""
LENGTH = 60
"""Steps after which a game that practises is cut off."""
SCENES = 512
"""Scenes remembered."""


class Lessons:
    """Begins the games of a run. sim: VecFlap or CudaFlap; nothing here waits for a GPU."""

    def __init__(self, config: Config, sim) -> None:  # type: ignore[no-untyped-def]
        self.config, self.sim = config, sim
        device = sim.act.device
        self._state = sim.state if isinstance(sim.state, Tensor) else torch.from_numpy(sim.state)
        self._game = torch.arange(config.envs, device=device)
        self.played = torch.zeros(config.envs, dtype=torch.int64, device=device)  # steps since it began
        self.row = torch.zeros((), dtype=torch.int64, device=device)
        self.past = torch.zeros(FARTHEST, NUMBERS, config.envs, dtype=torch.int32, device=device)
        self.scenes = torch.zeros(SCENES + 1, NUMBERS, dtype=torch.int32, device=device)  # last: of no use
        self.count = torch.zeros((), dtype=torch.int64, device=device)  # of scenes, ever
        self.failing = torch.zeros((), device=device)  # share of practice
        self._teaches = self._game >= config.clumsy_games
        self._practises = self._game >= config.envs - config.practice_games

    @property
    def age(self) -> Tensor:
        """uint8 [N]: steps since the games began, wherever they did; cut."""
        return self.played.clamp(max=OLDEST_AGE).byte()

    def note(self) -> Tensor:
        """Before a step: remember where the games stand. Returns their ages."""
        self.past.index_copy_(0, self.row[None] % FARTHEST, self._state[None])
        return self.age

    def begin(self) -> Tensor:
        """After a step: begin games. Returns uint8 [N], how those of the step ended: `term`, with CUT."""
        config, sim, game = self.config, self.sim, self._game
        crashed = sim.term == 1
        on_gpu = crashed.device.type == "cuda"  # which is not asked, but always told
        if on_gpu or crashed.any():
            self._remember(crashed)
        self.played += 1
        short = (game < config.short_games) & (sim.score >= config.short_pipes) & ~crashed
        over = crashed | (self.played >= LENGTH)
        practises = self._practises & over & (self.count > 0)
        self.failing += FOLLOWED * ((practises & crashed).sum() - practises.sum() * self.failing)
        ended = short | practises
        self.played.masked_fill_(crashed | ended, 0)
        if on_gpu or ended.any():
            picked = draws.below(self._draw(1), self.count.clamp(1, SCENES))
            self._state.copy_(torch.where(practises, self.scenes[picked].T, self._state))
            sim.restart(short)
            sim.draw()
        self.row += 1
        return sim.term + CUT * (ended & ~crashed).byte()

    def _draw(self, number: int) -> Tensor:
        """int64 [N]: a row's draws."""
        seed = torch.full_like(self._game, self.config.seed)
        return draws.draw(seed, draws.PRACTICE, self._game, self.row, number)

    def _remember(self, crashed: Tensor) -> None:
        """Make scenes of where games stood some steps before their crash."""
        back = NEAREST + draws.below(self._draw(0), FARTHEST - NEAREST + 1)
        known = crashed & self._teaches & (self.played + 1 >= back)
        known &= ~self._practises | (self.failing < FAILING)
        number = (self.count + known.cumsum(0) - 1) % SCENES
        then = self.past[(self.row + 1 - back) % FARTHEST, :, self._game]
        self.scenes[torch.where(known, number, SCENES)] = then
        self.count += known.sum()

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, between two rows."""
        names = ("played", "row", "past", "scenes", "count", "failing")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of as many games."""
        for name, tensor in state.items():
            getattr(self, name).copy_(tensor)
