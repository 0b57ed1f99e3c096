"""Where training games begin: some anew after a few pipes, so that the first ones are not forgotten, some
shortly before a bird died, so that what is seldom met is met often, and some where no bird would have come.

A good bird dies once in thousands of pipes, too seldom to learn from. So whenever one dies that did not miss
its flaps on purpose, the game as it stood some steps before becomes a scene, and games that practise begin
with a scene; their own deaths make scenes too, and the kept bird's deaths in selections several each, since
nowhere else are games played as it plays, and so many. Many scenes are lost from the beginning, others are
never lost any more. Most is learned from those that are sometimes won and sometimes lost, where it matters
what the bird does: a scene is chosen by p (1 - p), p being the share of games won from it (Rutherford et al.,
"No regrets", 2024), and makes room for a new one where that is least. A bird that does again what it did
learns what that is worth, not what would have saved it. So in some of these games it does in one step, any,
what it would not. Those games say nothing of p, nor do those with a random action: of a bird that is good
nearly only they are lost, and what is left to learn would be buried under scenes that chance alone loses.

What lies beside the birds' paths they would know from a few random flaps only, and it is there that a flap or
a glide is thought better than it is. So other games that practise begin with a bird displaced from where it
was in some game ("exploring starts": Sutton and Barto, "Reinforcement learning", 5.3). Letters: N games.
"""

import torch
from torch import Tensor

from vecflap import draws
from vecflap.ahead import BEFORE, steps_of
from vecflap.config import Config
from vecflap.drawn import drawn
from vecflap.explore import GREEDY, OTHERWISE
from vecflap.physics import APPEND_X, BIRD_VY, BIRD_Y, FLAP_VY, GAP_Y, LOWEST_Y, MAX_VY, NUMBERS, PIPE_X
from vecflap.replay import CUT, OLDEST_AGE

NEAREST, FARTHEST = 8, BEFORE
"""Frames before a crash that a scene may begin."""
LENGTH = 60
"""Frames after which a game that practises is cut off, and won."""
SCENES = 512
"""Scenes remembered."""
TAKES = 4
"""Scenes made of a death in a selection."""
SEEN = 3
"""Steps of a game after which its stack of frames is whole."""
NEVER = -1
AWAY = 40
"""Pixels that a displaced bird is moved up or down, at most."""
RIVALS = 4
"""Games from which the state for a displaced bird is chosen: that with the longest way from gap to gap."""


class Lessons:
    """Begins the games of a run. sim: VecFlap or CudaFlap; nothing here waits for a GPU."""

    def __init__(self, config: Config, sim) -> None:  # type: ignore[no-untyped-def]
        self.config, self.sim = config, sim
        device = sim.act.device
        self._state = sim.state if isinstance(sim.state, Tensor) else torch.from_numpy(sim.state)
        self._game = torch.arange(config.envs, device=device)
        self.played = torch.zeros(config.envs, dtype=torch.int64, device=device)  # steps since it began
        self.row = torch.zeros((), dtype=torch.int64, device=device)
        self.nearest, self.farthest, self.length = (
            steps_of(frames, config.skip) for frames in (NEAREST, FARTHEST, LENGTH)
        )
        self.past = torch.zeros(self.farthest, NUMBERS, config.envs, dtype=torch.int32, device=device)
        self.scenes = torch.zeros(SCENES + 2, NUMBERS, dtype=torch.int32, device=device)  # last two: none
        self.count = torch.zeros((), dtype=torch.int64, device=device)  # of scenes, ever
        self.ends = torch.zeros(2, SCENES + 2, dtype=torch.int64, device=device)  # won, lost, of scenes
        # That a game practises; SCENES where it began as games do, SCENES + 1 where with a displaced bird
        self.scene = torch.full_like(self._game, SCENES)
        # That it did all by itself, since it began
        self.alone = torch.ones_like(self._game, dtype=torch.bool)
        # The step in which it does what the bird would not, from where it began
        self.turn = torch.full_like(self._game, NEVER)
        self._number = torch.arange(SCENES, device=device)
        self._teaches = self._game >= config.clumsy_games
        self._practises = self._game >= config.envs - config.practice_games

    @property
    def age(self) -> Tensor:
        """uint8 [N]: steps since the games began, wherever they did; cut."""
        return self.played.clamp(max=OLDEST_AGE).byte()

    def note(self) -> Tensor:
        """Before a step: remember where the games stand. Returns their ages."""
        self.past.index_copy_(0, self.row[None] % self.farthest, self._state[None])
        return self.age

    def provoke(self, forced: Tensor) -> None:
        """Before a step: have some games do what the bird would not, and note which do all by themselves.
        forced: uint8 [N], in place, see explore.py."""
        forced.masked_fill_(self.played == self.turn, OTHERWISE)
        self.alone &= forced == GREEDY

    def begin(self) -> Tensor:
        """After a step: begin games. Returns uint8 [N], how those of the step ended: `term`, with CUT."""
        config, sim, game = self.config, self.sim, self._game
        crashed = sim.term == 1
        self.played += 1
        short = (game < config.short_games) & (sim.score >= config.short_pipes) & ~crashed
        over = self._practises & (crashed | (self.played >= self.length))
        on_gpu = crashed.device.type == "cuda"  # which is not asked, but always told
        if on_gpu or over.any():
            self.ends.index_put_((crashed.long(), self.scene), (over & self.alone).long(), accumulate=True)
        if on_gpu or crashed.any():
            self._remember(crashed)
        over &= self.count > 0
        ended = short | over
        self.played.masked_fill_(crashed | ended, 0)
        self.alone |= crashed | ended
        if on_gpu or ended.any():
            self.scene.copy_(torch.where(over, self._choose(), self.scene))
            state = torch.where(over, self.scenes[self.scene].T, self._state)
            displaced = over & draws.chance(self._draw(2), int(config.displaced * 2**32))
            self.scene.masked_fill_(displaced, SCENES + 1)
            turns = draws.chance(self._draw(9), int(config.otherwise * 2**32)) & ~displaced
            turn = SEEN + draws.below(self._draw(10), self.farthest - SEEN)
            self.turn.copy_(torch.where(over, torch.where(turns, turn, NEVER), self.turn))
            self._state.copy_(torch.where(displaced, self._elsewhere(), state))
            sim.restart(short)
            sim.draw()
        self.row += 1
        return sim.term + CUT * (ended & ~crashed).byte()

    def learn_from(self, ends: Tensor) -> None:
        """Make scenes of deaths in a selection. ends: int32 [any, any, 16], see evaluate.Scores."""
        if not len(ends):
            return
        count, ends = len(ends) * TAKES, ends.to(self.scenes.device)
        back = self.nearest + draws.below(self._draw(11, count), self.farthest - self.nearest + 1)
        death = torch.arange(count, device=ends.device) // TAKES
        self._add(torch.ones_like(death, dtype=torch.bool), ends[death, back - 1])

    def _chance(self) -> Tensor:
        """int64 [SCENES]: how much is learned from each scene, 0 where there is none yet. Whole numbers, so
        that devices agree."""
        won, lost = self.ends[:, :SCENES] + 1
        return (won * lost << 20) // (won + lost) ** 2 * (self._number < self.count)

    def _choose(self) -> Tensor:
        """int64 [N]: a scene for each game."""
        up_to = self._chance().cumsum(0)
        at = draws.below(self._draw(1), up_to[-1:].clamp(min=1))
        return torch.searchsorted(up_to, at, right=True)

    def _elsewhere(self) -> Tensor:
        """int32 [16, N]: for each game a state of some game, its bird at another height and any speed. Of
        RIVALS games, that with the longest way from gap to gap: on long ways, which are rare, birds die."""
        rivals = draws.below(torch.stack([self._draw(5 + k) for k in range(RIVALS)]), self.config.envs)
        ways, of = self._ways(), rivals[0]
        for rival in rivals[1:]:
            of = torch.where(ways[rival] > ways[of], rival, of)
        state = self._state[:, of]
        moved = draws.below(self._draw(3), 2 * AWAY + 1) - AWAY
        state[BIRD_Y] = (state[BIRD_Y] + moved).clamp(0, LOWEST_Y - 1)
        strongest = state[FLAP_VY]
        state[BIRD_VY] = strongest + draws.below(self._draw(4), MAX_VY + 1 - strongest)
        return state

    def _ways(self) -> Tensor:
        """int32 [N]: px, how far apart the tops of two neighbouring gaps are, at most."""
        first, second, third = self._state[GAP_Y : GAP_Y + 3]
        further = torch.where(self._state[PIPE_X] < APPEND_X, (third - second).abs(), 0)
        return torch.maximum((second - first).abs(), further)

    def _draw(self, number: int, count: int = 0) -> Tensor:
        """int64 [N, or as many as asked for]: a row's draws of one of the things that are drawn."""
        count, device = count or self.config.envs, self._game.device
        return drawn(self.config.seed, draws.PRACTICE, 0, count, self.row, number, device)

    def _remember(self, crashed: Tensor) -> None:
        """Make scenes of where games stood some steps before their crash."""
        back = self.nearest + draws.below(self._draw(0), self.farthest - self.nearest + 1)
        known = crashed & self._teaches & (self.played >= back)
        known &= self.scene <= SCENES  # a displaced bird may have been lost from the first
        self._add(known, self.past[(self.row + 1 - back) % self.farthest, :, self._game])

    def _add(self, known: Tensor, states: Tensor) -> None:
        """Make scenes of those states that are known, in place of those from which the least is learned.
        known: bool [any], states: int32 [as many, 16]."""
        known = known & (known.cumsum(0) <= SCENES)
        worst = self._chance().sort(stable=True).indices
        slot = torch.where(known, worst[(known.cumsum(0) - 1).clamp(0, SCENES - 1)], SCENES)
        self.scenes[slot] = states
        self.ends[:, slot] = 0
        gone = torch.zeros_like(self.ends[0]).index_fill_(0, slot, 1)
        self.scene.masked_fill_(gone[self.scene] > 0, SCENES)
        self.count += known.sum()

    def state_dict(self) -> dict[str, Tensor]:
        """All that is needed to go on, between two rows."""
        names = ("played", "row", "past", "scenes", "count", "ends", "scene", "turn", "alone")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state_dict` of as many games."""
        for name, tensor in state.items():
            getattr(self, name).copy_(tensor)
