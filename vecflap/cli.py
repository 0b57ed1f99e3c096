"""The command `vecflap`. Nothing heavy is imported before a command needs it."""

import contextlib
import io
import json
import os
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from vecflap.commands import Bench, Doctor, Eval, Prove, Record, Verify, Watch
from vecflap.config import Config
from vecflap.presets import PRESETS


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
