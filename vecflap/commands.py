"""What can be typed after `vecflap`: the flags of each command, with their help. Those of `train` are in
config.py, and what commands do is in cli.py."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from vecflap.config import RulesName


@dataclass(frozen=True)
class Eval:
    """Sit the exam: play held-out games with a run's best policy, and print the pipes it passes."""

    run: Positional[Path] = Path("flap7")
    """Folder of a run, a checkpoint file, or a bird that comes with vecflap: flap7 or flap9."""
    games: int = 100
    """Games to play; training and the choice of the checkpoint never saw them."""
    pipes: int = 200
    """Pipes at which a game ends."""
    seed: int = 0
    """Which held-out games."""
    epsilon: float = 0.0
    """Share of actions that are random."""
    rules: RulesName | None = None
    """Other rules than those of the run."""
    gap: int = 0
    """Another gap than the run's, in pixels; 0: the run's."""
    skip: int = 0
    """Frames of a step, of which the bird decides in the first; 0: as in training."""
    sticky: float | None = None
    """Chance that a game repeats its last action instead of the bird's; default: as in training."""
    latency: bool | None = None
    """Play every action one step late; default: as in training."""
    flip: float | None = None
    """Chance of every pixel to be shown inverted; default: as in training."""
    deaths: bool = False
    """Show how birds died and by which frame they were lost, with a picture of each in the run's folder
    `deaths`."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ... or auto."""
    json: bool = False
    """Print one JSON object, on the last line."""


@dataclass(frozen=True)
class Prove:
    """Follow a run's best policy to every situation that it can come to, whatever the gaps: does it ever die?
    They are finitely many where no score is drawn, as by flap9, but millions: this takes minutes."""

    run: Positional[Path] = Path("flap9")
    """Folder of a run, a checkpoint file, or the bird of flap9 that comes with vecflap."""
    pipes: int = 200
    """If it does: the chance of a game to be lost before so many pipes."""
    rules: RulesName | None = None
    """Other rules than those of the run."""
    gap: int = 0
    """Another gap than the run's, in pixels; 0: the run's."""
    rounding: float = 1e-4
    """Where the two values differ by less, both actions are followed: another machine may round otherwise."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ... or auto."""
    json: bool = False
    """Print one JSON object, on the last line."""


@dataclass(frozen=True)
class Watch:
    """Watch a run's best policy play, in the terminal or in a window."""

    run: Positional[Path | None] = None
    """Folder of a run, a checkpoint file, or a bird that comes with vecflap: flap7 or flap9; default: the
    newest run in runs/, without any flap7."""
    window: bool = False
    """In a window, with pygame: pip install pygame-ce."""
    save: Path | None = None
    """Write an animated GIF or a PNG of the last picture to this file instead."""
    seed: int = 0
    """Which held-out games."""
    frames: int = 0
    """Stop after this many frames; 0: go on until Ctrl-C, or for --save 300."""
    fps: float = 0.0
    """Frames a second; 0: the game's own, 60 for flap7, 30 for others."""


@dataclass(frozen=True)
class Verify:
    """Replay a recording of the game, and report every step and frame in which vecflap differs from it."""

    trace: Positional[Path]
    """Recording of the original, or of `vecflap record`: an .npz file."""
    rules: RulesName = "flap7"
    """The rules it was played by."""


@dataclass(frozen=True)
class Record:
    """Record a game of scripted players, for `vecflap verify` here or in a port."""

    trace: Positional[Path]
    """The .npz file to write."""
    rules: RulesName = "flap7"
    """The rules to play by."""
    steps: int = 10_000
    """Frames to record."""
    seed: int = 0
    """Which game, and which players."""


@dataclass(frozen=True)
class Doctor:
    """Tell what matters on this machine when vecflap is slow."""


@dataclass(frozen=True)
class Bench:
    """Measure how fast vecflap is on this machine, in about a minute."""

    device: str = "auto"
    """Of the learner: cpu, cuda, cuda:1, ... or auto."""
    threads: int = 0
    """CPU threads of the learner; 0: one."""
    json: bool = False
    """Print one JSON object, on the last line."""
