"""The command `vecflap`. Nothing heavy is imported before a command needs it."""

import contextlib
import io
import json
import os
import re
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, subcommand

from vecflap.config import Config, RulesName
from vecflap.presets import PRESETS


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
    """Frames played with the same action; 0: as in training."""
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


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 `verify` found differences, 2 the user's mistake,
    130 interrupted."""
    argv = (sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        command = parse(argv)
        return COMMANDS[type(command)](command)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        return 1
    except (ValueError, OSError) as error:  # OSError: a full disk, a folder that is not there
        print(f"vecflap: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse(argv: list[str]) -> Any:
    """The command's dataclass, from its arguments. ValueError, in one line, where they are not understood."""
    names = [kind.__name__.lower() if kind is not Config else "train" for kind in COMMANDS]
    if not argv[0].startswith("-") and argv[0] not in names:
        raise ValueError(f"{argv[0]} is not a command. There are: {', '.join(names)}.")
    train = Annotated[Config, subcommand("train", default=train_defaults(argv))]
    commands: Any = train
    for command in (Eval, Prove, Watch, Verify, Record, Doctor, Bench):
        commands = commands | Annotated[command, subcommand(command.__name__.lower())]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(commands, args=argv, prog="vecflap", description=DESCRIPTION)
    except SystemExit as error:
        if not error.code:
            raise
        raise ValueError(in_one_line(said.getvalue())) from None


DESCRIPTION = "Train an agent that plays Flappy Bird from pixels, watch it, and examine it."


PLAIN = {
    r"Error parsing (Config: )?": "",
    r"invalid literal for int\(\) with base 10: (.*)": r"\1 is not a whole number.",
    r"could not convert string to float: (.*)": r"\1 is not a number.",
}
"""Python's words for a mistake, and ours."""


def in_one_line(box: str) -> str:
    """The message of tyro's framed report of a mistake, and the flag it thinks was meant.

    The report has a title and parts between rules, which are of "-" where stdout can't show boxes.
    """
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    parts = [list(part) for is_text, part in groupby(lines, lambda line: bool(line.strip("─╰╯-"))) if is_text]
    message = " ".join(parts[0])
    for part in parts[1:]:
        if part[0] == "Perhaps you meant:":
            message += f" (perhaps {part[1].split()[0]}?)"
    for python, plain in PLAIN.items():
        message = re.sub(python, plain, message)
    return message


def train_defaults(argv: list[str]) -> Config:
    """What `train` starts from: the preset's numbers, or those of the run to be resumed."""
    if argv[:1] != ["train"]:
        return PRESETS["fast"]
    if "--resume" in argv and (out := value_of("--out", argv)):
        from vecflap.folder import load_config

        return load_config(Path(out))
    return PRESETS.get(value_of("--preset", argv) or "fast", PRESETS["fast"])


def value_of(flag: str, argv: list[str]) -> str | None:
    """What was given for a flag, as `--flag value` or `--flag=value`."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(flag + "="):
            return word[len(flag) + 1 :]
    return None


SHORT_LOOK, LONG_LOOK = "2000", "30000"
"""How often idle threads look for work: as the package says, and in training on more than one thread, which
two made 11 % faster so."""


def train(config: Config) -> int:
    """`vecflap train`."""
    if config.threads > 1 and os.environ.get("GOMP_SPINCOUNT") == SHORT_LOOK:
        os.environ["GOMP_SPINCOUNT"] = LONG_LOOK  # read when torch is imported
    from vecflap.display import Display
    from vecflap.loop import train as run

    outcome = run(config, Display())
    return 130 if outcome.reason == "interrupted" else 0


def eval_(command: Eval) -> int:
    """`vecflap eval`."""
    from vecflap.deaths import Witness
    from vecflap.evaluate import exam

    witness = Witness(command.games) if command.deaths else None
    scores, about = exam(
        command.run,
        command.games,
        command.pipes,
        seed=command.seed,
        epsilon=command.epsilon,
        rules=command.rules,
        gap=command.gap,
        skip=command.skip,
        sticky=command.sticky,
        latency=command.latency,
        flip=command.flip,
        device=command.device,
        witness=witness,
    )
    values = scores.summary() | about
    if command.json:
        deaths = {"deaths": [death.summary() for death in witness.deaths]} if witness else {}
        print(json.dumps(values | deaths))
        return 0
    from vecflap.results import show_deaths, show_exam

    show_exam(values)
    if witness:
        show_deaths(witness.deaths, command.run)
    return 0


def prove(command: Prove) -> int:
    """`vecflap prove`."""
    from vecflap.proof import prove as run
    from vecflap.results import counting, show_proof

    with counting(" situations found") as tell:
        values = run(
            command.run,
            command.pipes,
            rules=command.rules,
            gap=command.gap,
            rounding=command.rounding,
            device=command.device,
            tell=tell,
        )
    if command.json:
        print(json.dumps(values))
    else:
        show_proof(values)
    return 0


def watch(command: Watch) -> int:
    """`vecflap watch`."""
    from vecflap import watch

    watch.watch(
        command.run,
        window=command.window,
        save=command.save,
        seed=command.seed,
        frames=command.frames,
        fps=command.fps,
    )
    return 0


def verify(command: Verify) -> int:
    """`vecflap verify`."""
    from vecflap import traces

    report = traces.verify(command.trace, command.rules)
    print(f"{command.trace}: {report.steps:,} steps by the rules of {command.rules}")
    print(f"differing steps:  {report.differing_steps:,}")
    print(f"differing frames: {report.differing_frames:,}")
    if report.first_difference:
        print(f"the first one:    {report.first_difference}")
    return 1 if report.first_difference else 0


def record(command: Record) -> int:
    """`vecflap record`."""
    from vecflap import traces

    traces.record(command.trace, command.rules, command.steps, command.seed)
    print(f"{command.trace}: {command.steps:,} steps by the rules of {command.rules}")
    print(f"check it:  vecflap verify {command.trace} --rules {command.rules}")
    return 0


def doctor(command: Doctor) -> int:
    """`vecflap doctor`."""
    from vecflap.doctor import findings
    from vecflap.results import show_findings

    show_findings(findings())
    return 0


def bench(command: Bench) -> int:
    """`vecflap bench`."""
    from vecflap.results import show_speeds
    from vecflap.speed import speeds

    measured = speeds(command.device, command.threads)
    if command.json:
        print(json.dumps({speed.about: {f"{speed.item}s/s": speed.rate} for speed in measured}))
    else:
        show_speeds(measured)
    return 0


COMMANDS: dict[type, Any] = {
    Config: train,
    Eval: eval_,
    Prove: prove,
    Watch: watch,
    Verify: verify,
    Record: record,
    Doctor: doctor,
    Bench: bench,
}

if __name__ == "__main__":
    sys.exit(main())
