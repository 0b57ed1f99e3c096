"""Which games act at random, and how: it depends on counters alone, never on what is learned."""

import torch
from torch import Tensor

from vecflap import draws
from vecflap.config import Config
from vecflap.kernels import kernel

GREEDY = 2
"""In an array of forced actions: choose by the Q values."""
OTHERWISE = 3
"""In an array of forced actions: do what the Q values do not choose."""


@kernel(_nrt=False)
def explore(forced, seed, purpose, row, eps, flap_chance, clumsy, missed):
    """Decide which games act at random, and how. It depends on the counters alone, never on what is learned.

    forced: uint8 [N], out: 1 flap, 0 glide, GREEDY. purpose: a stream of draws.py. row: rows played so far.
    eps: share of random actions. flap_chance: share of flaps among those.
    clumsy: how many games, the first ones, glide at random besides. missed: in what share of their steps.
    """
    for game in range(len(forced)):
        bits = draws.draw(seed, purpose, game, row, 0)
        flap = draws.chance(bits >> 32, int(flap_chance * 2**32))
        forced[game] = flap if draws.chance(bits, int(eps * 2**32)) else GREEDY
        if game < clumsy and draws.chance(draws.draw(seed, purpose, game, row, 1), int(missed * 2**32)):
            forced[game] = 0


def explore_there(config: Config, row: Tensor, game: Tensor, per_2_32: Tensor) -> Tensor:
    """uint8 [N]: what `explore` decides in training, by a device that counts rows itself.

    row: int64, played so far. game: int64 [N]. per_2_32: int64, the share of random actions, of 2**32.
    """
    seed = torch.full_like(game, config.seed)
    bits = draws.draw(seed, draws.EXPLORE, game, row, 0)
    flap = draws.chance(bits >> 32, int(config.flap_chance * 2**32))
    forced = torch.where(draws.chance(bits, per_2_32), flap.to(torch.uint8), GREEDY)
    misses = draws.chance(draws.draw(seed, draws.EXPLORE, game, row, 1), int(config.missed * 2**32))
    return torch.where(misses & (game < config.clumsy_games), 0, forced)
