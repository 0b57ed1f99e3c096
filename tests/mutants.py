"""Change the rules and the picture in one place at a time, in every place: the fast tests must notice each.

    python tests/mutants.py [--jobs 2] [--files physics render] [--only crashed | --only 3,17] [--boundscheck]

Mutated are comparisons, constants, operators, min and max, and conditional expressions; not annotations,
strings, decorators, imports and the messages of asserts. Every mutant is a copy of the package in a process
of its own: first without the compiler, which ends most of them soon, then with an empty cache of kernels. One
that no test can notice is argued away in
equivalent_mutants.toml, by a key without line numbers: function, line, change, and #2 if it is the second
such. Exit code 1: a mutant survived that is not argued away, or an argument is out of date. Without
--boundscheck, what becomes of a mutant that reads past an array's end is up to what lies there.
"""

import argparse
import ast
import importlib
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter, deque
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
FILES = ("physics", "tables", "render")
ARGUED = ROOT / "tests" / "equivalent_mutants.toml"
FAST = ("physics", "render", "rules", "collision", "traces", "sim", "views", "players")
"""The tests that a mutant faces, those named like its file first; what does not exist is left out."""
UNCOMPILED = ("physics", "render", "rules", "traces")
"""Those that it faces first, without the compiler."""
LAST = ("random_games", "number_of_games")
"""Words in the names of slow tests: they come after all others."""
LEFT_OUT = "threads"
"""A word in the names of tests that say no more of rules and pictures, and take 20 s to compile."""

BINARY = {"+": "-", "-": "+", "*": "+", "/": "*", "//": "*", "%": "+", "**": "*", "@": "*"}
BINARY |= {"&": "|", "|": "&", "^": "&", "<<": ">>", ">>": "<<"}
COMPARED = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",)}
COMPARED |= {"!=": ("==",), "is": ("is not",), "is not": ("is",), "in": ("not in",), "not in": ("in",)}
UNARY = {ast.USub: "-", ast.Invert: "~", ast.Not: "not "}
SWAPPED = {"min": "max", "max": "min"}
UNTOUCHED = {"annotation", "returns", "decorator_list", "msg"}  # fields of nodes


def operator(sign: str) -> Any:
    """The class of a binary operator or comparison."""
    node: Any = ast.parse(f"a {sign} b", mode="eval").body
    return type(node.ops[0] if isinstance(node, ast.Compare) else node.op)


SIGNS = {operator(sign): sign for sign in (*BINARY, *COMPARED)}


class Mutant(NamedTuple):
    """A file of the package with one change."""

    key: str
    file: str
    line: int
    source: str


class Trial(NamedTuple):
    """How a mutant came off."""

    mutant: Mutant
    outcome: str  # survived, killed, timeout, crashed, or error: pytest itself failed
    seconds: float
    log: str


def nodes(node: ast.AST, scope: str) -> Iterator[tuple[ast.AST, str]]:
    """All nodes that may be mutated, each with the dotted name of the function it is in."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{node.name}"
    yield node, scope
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and field not in UNTOUCHED:
                yield from nodes(child, scope)


def changes(node: ast.AST) -> Iterator[tuple[Any, str, Any]]:
    """The mutants of one node: the place of the change, its name, and what stands there instead."""
    match node:
        case ast.Compare(left, ops, right):
            for i, sign in enumerate(SIGNS[type(op)] for op in ops):
                for other in COMPARED[sign]:
                    changed = [*ops[:i], operator(other)(), *ops[i + 1 :]]
                    yield right[i], f"{sign} -> {other}", ast.Compare(left, changed, right)
        case ast.BoolOp(op, values):
            glue, name = (ast.Or(), "and -> or") if isinstance(op, ast.And) else (ast.And(), "or -> and")
            for i in range(1, len(values)):
                pair = ast.BoolOp(glue, values[i - 1 : i + 1])
                rest = [*values[: i - 1], pair, *values[i + 1 :]]
                yield values[i], name, ast.BoolOp(op, rest) if len(rest) > 1 else pair
        case ast.BinOp(left, op, right):
            sign = SIGNS[type(op)]
            yield right, f"{sign} -> {BINARY[sign]}", ast.BinOp(left, operator(BINARY[sign])(), right)
        case ast.AugAssign(target, op, value):
            sign = SIGNS[type(op)]
            yield node, f"{sign}= -> {BINARY[sign]}=", ast.AugAssign(target, operator(BINARY[sign])(), value)
        case ast.UnaryOp(op, operand) if type(op) in UNARY:
            yield node, f"{UNARY[type(op)]}x -> x", operand
        case ast.IfExp(test, body, orelse):
            yield test, "if-else swapped", ast.IfExp(test, orelse, body)
        case ast.Call(ast.Name(name), arguments, keywords) if name in SWAPPED:
            call = ast.Call(ast.Name(SWAPPED[name]), arguments, keywords)
            yield node, f"{name} -> {SWAPPED[name]}", call
        case ast.Constant(bool(value)):
            yield node, f"{value} -> {not value}", ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            for number in (value - 1, value + 1):
                yield node, f"{value} -> {number}", ast.Constant(number)


def replaced(source: str, old: Any, new: ast.AST) -> str:
    """The source with one node's text replaced."""
    lines = source.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: old.lineno - 1])) + old.col_offset
    end = sum(map(len, lines[: old.end_lineno - 1])) + old.end_col_offset
    text = f"({ast.unparse(new)})" if isinstance(new, ast.expr) else ast.unparse(new)
    whole = source.encode()
    return (whole[:start] + text.encode() + whole[end:]).decode()


def mutants_of(file: str) -> list[Mutant]:
    """All mutants of a file of the package, in the order of the places that they change."""
    source = (ROOT / "vecflap" / f"{file}.py").read_text()
    tree = ast.parse(source)
    found = [
        (at.lineno, at.col_offset, scope, name, replaced(source, node, new))
        for node, scope in nodes(tree, file)
        for at, name, new in changes(node)
    ]
    mutants, seen = [], Counter[str]()
    for line, _, scope, name, changed in sorted(found, key=lambda one: one[:2]):
        assert ast.dump(ast.parse(changed)) != ast.dump(tree), name
        text = source.split("\n")[line - 1].split("  #")[0].strip()
        key = f"{scope} | {text} | {name}"
        seen[key] += 1
        mutants.append(Mutant(key + f" #{seen[key]}" * (seen[key] > 1), file, line, changed))
    return mutants


def prepare() -> None:
    """What takes seconds, once for all processes forked from this one: imports, and Numba's setting up."""
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ.pop("VECFLAP_TRACES", None)
    numba, _, _ = (importlib.import_module(name) for name in ("numba", "pytest", "torch"))
    numba.njit("int64(int64[:], int32[:, :])")(lambda a, b: min(a[0] // 3, b[0, 1]) << 2 if a[1] > 0 else 0)


class SlowTestsLast:
    """A plugin of pytest's. Without the compiler, numbers wrap on purpose, as they do with it."""

    def pytest_collection_modifyitems(self, items: list) -> None:
        numba, numpy, physics, play = (
            importlib.import_module(name) for name in ("numba", "numpy", "vecflap.physics", "vecflap.play")
        )
        if numba.config.DISABLE_JIT:
            numpy.seterr(over="ignore")
            play.Gaps = lambda seed, *rest: physics.Gaps(numpy.int64(seed), *rest)
        items[:] = [item for item in items if LEFT_OUT not in item.name]
        items.sort(key=lambda item: any(word in item.name for word in LAST))


def run_tests(folder: Path, file: str, compiled: bool, timeout: float) -> None:
    """In a process of its own: the fast tests, on the package in a folder. Exits as pytest does."""
    signal.setitimer(signal.ITIMER_REAL, timeout)  # ends the process, in compiled code too
    os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    os.chdir(folder.parent)
    os.environ |= {"NUMBA_CACHE_DIR": str(folder / "cache"), "NUMBA_DISABLE_JIT": str(int(not compiled))}
    importlib.import_module("numba.core.config").reload_config()
    sys.path[0] = str(folder)  # instead of the folder of this script
    imported = importlib.import_module("vecflap").__file__
    if imported != str(folder / "vecflap" / "__init__.py"):
        print(f"{imported} was imported", flush=True)
        sys.exit(99)
    chosen = FAST if compiled else UNCOMPILED
    names = [f"tests/test_{name}.py" for name in sorted(chosen, key=lambda name: name != file)]
    options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    options += [] if compiled else ["-W", "ignore"]
    tests = [name for name in names if Path(name).exists()]
    sys.exit(int(importlib.import_module("pytest").main([*options, *tests], [SlowTestsLast()])))


def trials(work: Path, mutants: list[Mutant], jobs: int, timeout: float) -> Iterator[Trial]:
    """Try mutants, some at a time, each in a folder and a process of its own."""
    todo, running = deque((mutant, False) for mutant in mutants), dict[Any, tuple]()
    fork = multiprocessing.get_context("fork")
    codes = {0: "survived", 1: "killed", 2: "killed", -signal.SIGALRM: "timeout"}  # 2: on importing the tests
    while todo or running:
        while todo and len(running) < jobs:
            mutant, compiled = todo.popleft()
            folder = Path(tempfile.mkdtemp(dir=work))
            shutil.copytree(work / "vecflap", folder / "vecflap")
            if mutant.source:
                (folder / "vecflap" / f"{mutant.file}.py").write_text(mutant.source)
            process = fork.Process(
                target=run_tests, args=(folder, mutant.file, compiled, timeout), daemon=True
            )
            process.start()
            running[process.sentinel] = process, mutant, compiled, folder, time.monotonic()
        for sentinel in wait(list(running)):
            process, mutant, compiled, folder, begin = running.pop(sentinel)
            process.join()
            outcome = codes.get(process.exitcode, "error" if process.exitcode > 0 else "crashed")
            log = (folder / "log").read_text(errors="replace")
            shutil.rmtree(folder)
            if outcome == "survived" and not compiled:
                todo.appendleft((mutant, True))
            else:
                yield Trial(mutant, outcome, time.monotonic() - begin, log)


def tried(mutants: list[Mutant], jobs: int, timeout: float, show: Console) -> list[Trial]:
    """Try all mutants, after the package as it is. Shows those that no test has failed on as they come."""
    prepare()
    options: Any = {"auto_refresh": False, "redirect_stdout": False, "redirect_stderr": False}
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        Progress(console=show, **options) as progress,  # without a thread: this process forks
    ):
        work = Path(folder).resolve()
        for name in ("vecflap", "tests"):  # copies: the sources may change meanwhile
            shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", work)
        whole = next(trials(work, [Mutant("", "", 0, "")], 1, timeout or 600))
        if whole.outcome != "survived":
            sys.exit(f"{whole.log}\nThe tests fail without any mutation: {whole.outcome}.")
        timeout = timeout or max(20, 3 * whole.seconds)
        show.print(f"Unmutated: {whole.seconds:.1f} s. A mutant has {timeout:.0f} s.")
        task, done = progress.add_task("", total=len(mutants)), list[Trial]()
        for trial in trials(work, mutants, jobs, timeout):
            done.append(trial)
            if trial.outcome != "killed":
                show.print(f"{trial.outcome}, line {trial.mutant.line}: {trial.mutant.key}")
            if trial.outcome == "error":
                show.print(trial.log)
            counts = Counter(one.outcome for one in done)
            text = ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) + f" of {len(mutants)}"
            progress.update(task, advance=1, description=text, refresh=True)
    return done


def report(done: list[Trial], known: set[str], show: Console) -> tuple[dict[str, Any], bool]:
    """Show survivors, and arguments that are out of date. Returns (numbers, whether all is well)."""
    argued = tomllib.loads(ARGUED.read_text())
    found = {trial.mutant.key: trial.outcome for trial in done}
    survivors = {key: argued.get(key, "") for key, outcome in found.items() if outcome == "survived"}
    outdated = [key for key in argued if key not in known or found.get(key, "survived") != "survived"]
    for key, why in sorted(survivors.items(), key=lambda one: not one[1]):
        line = " = ".join(json.dumps(text, ensure_ascii=False) for text in (key, why))  # as TOML has it
        show.print(f"{'Argued away' if why else 'SURVIVED'}: {line}")
    for key in outdated:
        show.print(f"OUT OF DATE in {ARGUED.name}, {found.get(key, 'no such mutant')}: {key}")
    counts = Counter(found.values())
    killed = sum(counts[outcome] for outcome in ("killed", "timeout", "crashed"))
    seconds = sum(trial.seconds for trial in done)
    numbers = {
        "command": shlex.join(["python", "tests/mutants.py", *sys.argv[1:]]),
        "mutants": len(done),
        "killed": killed,
        "timeouts": counts["timeout"],
        "crashes": counts["crashed"],
        "survivors": [{"key": key, "why": why} for key, why in survivors.items()],
        "seconds": round(seconds),
    }
    ways = f"{counts['timeout']} by a timeout, {counts['crashed']} by a crash"
    show.print(f"{len(done)} mutants, {killed} killed ({ways}), {seconds / max(len(done), 1):.1f} s each.")
    return numbers, all(survivors.values()) and not outdated and not counts["error"]


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--files", nargs="+", default=FILES, help="of the package")
    parser.add_argument("--only", default="", help="a part of the keys, or numbers as --list shows them")
    parser.add_argument("--list", action="store_true", help="show the mutants and stop")
    parser.add_argument("--timeout", type=float, default=0, help="s; else 3 times what the package takes")
    parser.add_argument("--boundscheck", action="store_true", help="an index out of bounds is an error")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    args = parser.parse_args()
    os.environ["NUMBA_BOUNDSCHECK"] = "1" if args.boundscheck else "0"
    show = Console(markup=False, highlight=False, soft_wrap=True)
    mutants = {file: mutants_of(file) for file in (*args.files, *FILES)}
    numbers = args.only.split(",") if re.fullmatch(r"\d[\d,]*", args.only) else None
    numbered = enumerate([mutant for file in args.files for mutant in mutants[file]], 1)
    todo = {n: m for n, m in numbered if (args.only in m.key if numbers is None else str(n) in numbers)}
    if args.list:
        show.print("\n".join(f"{n:>4} {mutant.key}" for n, mutant in todo.items()))
        return
    done = tried(list(todo.values()), args.jobs, args.timeout, show)
    result, good = report(done, {mutant.key for file in mutants for mutant in mutants[file]}, show)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
