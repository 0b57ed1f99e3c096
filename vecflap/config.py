"""Every number of a run: one frozen, validated dataclass. Its docstrings are the flags' help."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from vecflap.ranges import MANY, RANGES, SMALLEST_GAP, flag

RulesName = Literal["flap7", "flap9", "easy", "medium", "hard", "wide", "mixed"]


@dataclass(frozen=True)
class Config:
    """Train an agent that plays Flappy Bird from pixels."""

    preset: Literal["fast", "article"] = "fast"
    """Where the other defaults come from: `fast` is what reaches a good bird soonest, `article` the numbers
    of the OneFlow program."""

    # The game
    rules: RulesName = "flap7"
    """`flap7`: the game of the OneFlow article, score drawn. `flap9`: the widely copied one, stronger flap;
    `hard` plays as it, `medium` and `easy` have larger gaps, `wide` has gaps anywhere. `mixed`: every episode
    is another game."""
    gap: int = 0
    """Height of the gaps in pixels, 40 or more; 0: that of the rules, which is 100 in the original."""
    envs: int = 256
    """Games played at a time."""
    skip: int = 2
    """Frames of a step: the bird flaps in the first one, or not at all. Where it decides in every second
    frame, what it does matters more, and what comes of it is nearer: it learns in half the time."""
    sticky: float = 0.0
    """Chance that a game repeats its last action instead of the one it is given."""
    latency: bool = False
    """Play every action one step late."""
    flip: float = 0.0
    """Chance of every pixel to be shown inverted."""
    seed: int = 0
    """Everything random follows from it."""

    # The machine
    device: str = "auto"
    """cpu, cuda, cuda:1, ... or auto: cuda where there is one."""
    sim: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the games play; auto: on the CPU. cuda plays the same games, needs `pip install vecflap[cuda]`,
    and its speed is not measured yet."""
    graphs: bool = True
    """On CUDA, queue acting and updates as graphs, one call instead of hundreds; with `--sim cuda` whole
    rows."""
    threads: int = 0
    """CPU threads of torch, in the learner and in selections; 0: one, and a helper takes half of the work,
    the learner's in float32 only, while a core is idle (helper.py). More are for the article's network: with
    the compact one they cost far more than they help as soon as anything else is running."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of convolutions and wide layers; auto: bfloat16 where that is faster, on CUDA, by AMX, and on AMD's
    processors that have it. The last layer, the loss and the weights are always float32. The compact network
    learned no faster in bfloat16 on a CPU with AMX, and on the few seeds seen its birds died more often."""

    # How long
    steps: int = 10_000_000
    """Stop after this many steps, a step being one frame of one game, or --skip of them. Schedules do not
    depend on it."""
    until: Literal["good", "solved", "mastered", "steps"] = "solved"
    """Stop as soon as so many games of a selection pass its limit of pipes: good: 90 %; solved: all;
    mastered: all, five times as many pipes. steps: go on to the end."""
    time_limit: float = 0.0
    """Stop after this many seconds; 0: no limit. Such a run does not repeat exactly."""

    # What is learned
    network: Literal["compact", "article"] = "compact"
    """compact: two strided convolutions and four wide layers, 0.2 M weights, most of them an embedding of
    bytes. article: two 3x3 convolutions with batch norm and pooling, 4.2 M weights."""
    reward_pipe: float = 1.0
    """Reward for a pipe passed."""
    reward_crash: float = -1.0
    """Reward for a crash."""
    reward_alive: float = 0.2
    """Reward for any other step."""
    reward_close: float = -1.0
    """Added to the reward of a step within `clearance` of a pipe."""
    gamma: float = 0.94
    """Discount of a step."""
    n_step: int = 4
    """Rewards summed before the target network's value takes over."""
    double: bool = False
    """Double DQN: the online network chooses the next action, the target network values it."""
    loss: Literal["huber", "squared", "categorical"] = "categorical"
    """Of the taken action's Q value against its target. categorical: values are distributions, see
    histogram.py; the others want `--caution 0`."""
    caution: float = 0.1
    """With `categorical`, what the bird that is judged and kept plays by, and what states are learned to be
    worth: Q values less so many of their standard deviations. So it avoids what it is unsure of."""
    clearance: int = 6
    """Pixels: in training, a step in which a bird is closer to a pipe above or below it is rewarded by
    `reward_close` more. So birds keep away from the edge, and still know what is beyond."""
    missed: float = 0.2
    """Learn as if this share of the flaps were missed, at the start. Who does keeps away from where a flap is
    the last chance, which a network cannot tell to the pixel."""
    missed_end: float = 0.05
    """The same from `lr_steps` on; straight in between. Who misses many flaps may die either way, and so
    accepts a certain death later for a little safety now."""
    slipped: float = 0.05
    """Learn as if in this share of the glides a flap slipped in: keeps away from where one would be the
    end."""
    flap_bias: float = 0.3
    """How much less a new network thinks of flapping than of gliding: else half of them cling to the
    ceiling."""

    # How it is learned
    batch: int = 256
    """Transitions of an update."""
    steps_per_update: int = 256
    """One update for so many steps."""
    learn_start: int = 5_000
    """The first update comes after this many steps."""
    capacity: int = 2_097_152
    """Steps kept for replay, 520 bytes each: 2**21 are 1.02 GiB on the device."""
    recent: int = 1_048_576
    """Only so many of them are sampled, the latest; later the latest half of all; 0: all. What a much worse
    bird did says little of what states are worth."""
    optimiser: Literal["adam", "muon"] = "muon"
    """muon: steps that are equally long in all directions of a layer's weights, see muon.py; too dear for the
    article's network on a CPU. adam wants a smaller `lr`, say 0.001."""
    lr: float = 1e-2
    """Learning rate at the start; with muon that of matrices, and a fifth of it that of the rest."""
    lr_end: float = 3e-4
    """Learning rate from `lr_steps` on; straight in between."""
    lr_steps: int = 1_000_000
    """Steps over which the learning rate falls to `lr_end`, and `missed` to `missed_end`."""
    adam_eps: float = 1e-8
    """Adam's epsilon."""
    clip: float = 10.0
    """Largest norm of a gradient; 0: no limit."""
    priority: float = 0.4
    """How much more often a step is sampled whose value was wrong by more: exponent of the error; 0: all are
    sampled alike."""
    correction: float = 0.4
    """How much less a step's loss counts that is sampled more often: exponent; 1 undoes the bias."""
    target_every: int = 0
    """Copy the target network every so many steps; 0: let it follow softly, see `target_rate`."""
    target_rate: float = 0.01
    """Share by which the target network moves to the online one at each update, where `target_every` is 0."""
    average: float = 6.0
    """The network that is judged and kept is an average of the online ones over about the last part of all
    updates, for 6 the last sixth; 0: the online one itself."""

    # Exploration
    eps_start: float = 0.1
    """Share of random actions at the start."""
    eps_end: float = 0.01
    """Share of random actions from `eps_steps` on; straight in between."""
    eps_steps: int = 200_000
    """Steps over which the share of random actions falls."""
    flap_chance: float = 1.0
    """Chance that a random action flaps. A bird flaps once in a dozen frames: what comes of a flap is what it
    seldom learns."""
    clumsy: float = 0.5
    """Share of the games that miss flaps, as many as `missed` says. The others are played as well as can
    be."""
    rehearse: bool = True
    """Every second game that is not clumsy is played as the bird that is kept would play it, though without
    `caution`, so that its own mistakes are met."""
    short: float = 0.25
    """Share of the games that begin anew after `short_pipes` pipes, so that a bird which survives does not
    forget the first ones."""
    short_pipes: int = 3
    """Pipes of such a game."""
    any_score: bool = True
    """Games begin with any score drawn, of one digit, two or three, in equal parts: while it learns a bird
    seldom gets as far, and the digits stand where it looks."""
    practice: float = 0.4
    """Share of the games that practise: they begin shortly before a death of another game, see lessons.py."""
    otherwise: float = 0.5
    """Share of those in which the bird does, in one step, what it would not: it does not know what would have
    saved it."""
    displaced: float = 0.5
    """Share of the practice that begins somewhere else instead: with the bird moved up or down by up to 40
    pixels from where it was in some game, mostly between gaps that are far apart, and at any speed."""

    # Choosing the best
    eval_every: int = 64_000
    """Steps from a selection's begin to the next one's, or twice, three times as many where it plays long:
    greedy play of games that are neither training's nor the exam's, beside training. Too many deaths end one
    early."""
    eval_games: int = 2_000
    """Games of a selection."""
    eval_pipes: int = 200
    """Pipes at which a game of a selection ends."""

    # What is written
    log_every: int = 64_000
    """Steps between two lines of metrics.jsonl."""
    save_every: int = 2_560_000
    """Steps between two checkpoints to resume from."""
    out: Path | None = None
    """Folder of the run; default: a fresh runs/<rules>-<preset>-<number>."""
    resume: bool = False
    """Go on from the last checkpoint of the run in `out`, exactly."""
    init: Path | None = None
    """Begin with the weights of this run or checkpoint, and nothing else of it."""

    def __post_init__(self) -> None:
        """Raise ValueError at the first number that cannot be."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            kind = type(getattr(type(self), name))
            if isinstance(value, bool) or not isinstance(value, (int, kind)) or not low <= value <= high:
                whole = "a whole number" if kind is int else "a number"
                raise ValueError(f"{flag(name)} {value} is not {whole} from {low} to {high}.")
        for field in dataclasses.fields(self):
            choices = get_args(field.type) if get_origin(field.type) is Literal else ()
            if choices and self[field.name] not in choices:
                raise ValueError(f"{flag(field.name)} {self[field.name]} is none of: {', '.join(choices)}.")
        self._check_together()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def _check_together(self) -> None:
        if 0 < self.gap < SMALLEST_GAP:
            raise ValueError(
                f"--gap {self.gap} is not a whole number from {SMALLEST_GAP} to {RANGES['gap'][1]}."
            )
        least = self.envs * (FRAMES + self.n_step)
        if self.capacity < least:
            raise ValueError(
                f"--capacity {self.capacity} is too small for {self.envs} games, stacks of {FRAMES} frames"
                f" and {self.n_step}-step returns. Needed: --capacity {least} or more."
            )
        if self.capacity % self.envs:
            below = self.capacity // self.envs * self.envs
            near = " or ".join(f"--capacity {c}" for c in (below, below + self.envs) if c <= MANY)
            raise ValueError(
                f"--capacity {self.capacity} is not a multiple of --envs {self.envs}: the replay is a ring of"
                f" rows, one step of all games each. Nearest: {near}."
            )
        if self.network == "article" and self.batch == 1:
            raise ValueError("--batch 1 is too small for the batch norm of --network article: try --batch 2.")
        if self.caution and self.loss != "categorical":
            raise ValueError(
                f"--caution {self.caution} needs distributions: --loss categorical; or --caution 0."
            )
        if self.loss == "categorical" and self.gamma == 1:
            raise ValueError(
                "--gamma 1 has no greatest return for --loss categorical to tell: try --gamma 0.99."
            )
        if self.resume and self.out is None:
            raise ValueError("--resume needs --out RUN, the folder of the run to go on with.")

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON has them."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any], source: Path) -> "Config":
        """The reverse of `to_json`. ValueError, naming the source, if these are not a config's fields."""
        try:
            paths = {name: values[name] and Path(values[name]) for name in ("out", "init")}
            return cls(**(values | paths))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{source} is damaged, or of another version of vecflap: {error}") from None

    @property
    def rewards(self) -> tuple[float, ...]:
        """What VecFlap's `rew` of -1, 0, 1, 2 and 3 are worth."""
        alive, passed = self.reward_alive, self.reward_pipe
        return self.reward_crash, alive, passed, alive + self.reward_close, passed + self.reward_close

    @property
    def rows(self) -> int:
        """Rows of the replay ring."""
        return self.capacity // self.envs

    @property
    def clumsy_games(self) -> int:
        """How many games miss flaps: the first ones."""
        return int(self.clumsy * self.envs)

    @property
    def practice_games(self) -> int:
        """How many games practise: the last ones."""
        return int(self.practice * self.envs)

    @property
    def short_games(self) -> int:
        """How many games begin anew after a few pipes: the first ones."""
        return int(self.short * self.envs)


FRAMES = 4
"""Frames of a state."""
