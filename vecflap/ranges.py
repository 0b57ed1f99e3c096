"""What the numbers of a Config may be."""

SMALLEST_GAP = 40  # px: a bird is 24 high and rises 28 by a flap
MANY = 2**31 - 1  # draws choose among fewer than this; far above what fits in memory
RANGES: dict[str, tuple[float, float]] = {
    "gap": (0, 230),  # 170 + 230 px still end above the ground
    "envs": (1, 1_048_576),
    "skip": (1, 100),
    "sticky": (0.0, 1.0),
    "flip": (0.0, 0.5),
    "seed": (0, 2**63 - 1),
    "threads": (0, 4096),
    "steps": (1, 10**15),
    "time_limit": (0.0, 1e9),
    "reward_pipe": (-1e6, 1e6),
    "reward_crash": (-1e6, 1e6),
    "reward_alive": (-1e6, 1e6),
    "reward_close": (-1e6, 1e6),
    "gamma": (0.0, 1.0),
    "n_step": (1, 1000),
    "caution": (0.0, 1e3),
    "clearance": (0, 20),
    "missed": (0.0, 1.0),
    "missed_end": (0.0, 1.0),
    "slipped": (0.0, 1.0),
    "flap_bias": (-1e6, 1e6),
    "batch": (1, 1_048_576),
    "steps_per_update": (1, 10**9),
    "learn_start": (0, 10**15),
    "capacity": (1, MANY),
    "recent": (0, MANY),
    "lr": (0.0, 1.0),
    "lr_end": (0.0, 1.0),
    "lr_steps": (1, 10**15),
    "adam_eps": (0.0, 1.0),
    "clip": (0.0, 1e9),
    "priority": (0.0, 1.0),
    "correction": (0.0, 1.0),
    "target_every": (0, 10**15),
    "target_rate": (0.0, 1.0),
    "average": (0.0, 1e9),
    "eps_start": (0.0, 1.0),
    "eps_end": (0.0, 1.0),
    "eps_steps": (1, 10**15),
    "flap_chance": (0.0, 1.0),
    "clumsy": (0.0, 1.0),
    "short": (0.0, 1.0),
    "short_pipes": (1, MANY),
    "practice": (0.0, 1.0),
    "otherwise": (0.0, 1.0),
    "displaced": (0.0, 1.0),
    "eval_every": (1, 10**15),
    "eval_games": (1, 1_048_576),
    "eval_pipes": (1, MANY // 5),
    "log_every": (1, 10**15),
    "save_every": (1, 10**15),
}
"""Smallest and largest value of every number of a Config."""


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError where a flag's number is out of its range."""
    if not low <= value <= high:
        raise ValueError(f"{flag(name)} {value} is not a number from {low} to {high}.")


def flag(name: str) -> str:
    """The command line's flag for a field."""
    return "--" + name.replace("_", "-")
