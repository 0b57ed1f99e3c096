"""What the user sees of an exam, of `vecflap bench` and of `vecflap doctor`: tables."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vecflap.deaths import Death, draw_all
from vecflap.doctor import Finding
from vecflap.speed import Speed


def show_exam(values: dict[str, Any]) -> None:
    """The exam's table."""
    table = Table(title=Text(f"{values['checkpoint']} plays {values['rules']}"), title_justify="left")
    for name in ("games", "limit", "mean", "median", "min", "max", "survived"):
        table.add_column(name, justify="right")
    table.add_row(
        str(values["games"]),
        f"{values['pipes']} pipes",
        *(f"{values[name]:g}" for name in ("mean", "median", "min", "max")),
        f"{values['survived']:.1%}",
    )
    console = Console(highlight=False, markup=False)
    console.print(table)
    random = f"{values['epsilon']:.1%} of the actions random" if values["epsilon"] else "greedy"
    console.print(
        f"pipes passed by the bird, {random}; games of exam seed {values['seed']}, gap {values['gap']}"
    )
    console.print(f"of all such games, less than {values['lost_at_most']:.1%} would be lost (at 95 %)")
    if values["skip"] > 1:
        console.print(f"it decides every {values['skip']} frames")
    if disturbed := [f"{name} {values[name]}" for name in ("sticky", "latency", "flip") if values[name]]:
        console.print("disturbed: " + ", ".join(disturbed))


def show_deaths(deaths: list[Death], run: Path) -> None:
    """How birds died, a line each, and where the pictures of it are."""
    console = Console(highlight=False, markup=False)
    if not deaths:
        console.print("no bird died")
        return
    table = Table(title="Deaths: the last frame a planner could still have lived from", title_justify="left")
    for name in ("game", "pipes", "flew into", "last chance", "it did", "Q glide", "Q flap"):
        table.add_column(name, justify="left" if name == "flew into" else "right")
    for death in deaths:
        s = death.summary()
        if s["last_chance"] is None:
            told = [f"over {death.skip * len(death.act)} frames before", "", "", ""]
        else:
            told = [
                f"{s['last_chance']} frames before",
                s["did"],
                f"{s['q_glide']:.2f}",
                f"{s['q_flap']:.2f}",
            ]
        table.add_row(str(s["game"]), str(s["pipes"]), s["flew_into"], *told)
    console.print(table)
    folder = (run if run.is_dir() else run.parent) / "deaths"  # of a bird that comes with vecflap: here
    try:
        files = draw_all(deaths, folder)
    except ImportError:
        console.print("Pictures of them need matplotlib: pip install matplotlib.")
    else:
        console.print(f"Pictures: {files[0]}" + (f" and {len(files) - 1} more" if len(files) > 1 else ""))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """Within, how many there are so far is shown on the terminal, if there is one: who counts tells."""
    with Console(stderr=True, highlight=False).status(f"0{what}") as status:
        yield lambda count: status.update(f"{count:,}{what}")


def show_proof(values: dict[str, Any]) -> None:
    """What `vecflap prove` found."""
    console = Console(highlight=False, markup=False)
    console.print(f"{values['checkpoint']} plays {values['rules']}, gap {values['gap']}", soft_wrap=True)
    console.print(f"{values['situations']:,} situations, all that it can come to")
    if values["close"]:
        console.print(
            f"in {values['close']:,} of them its values are as good as equal: both actions followed"
        )
    if values["never_dies"]:
        console.print("in none of them it dies: whatever gaps come, this bird flies on for ever")
        return
    console.print(f"in {values['fatal'] + values['close_fatal']:,} of them the next frame is its last")
    console.print(f"a game of {values['pipes']:,} pipes is lost with a chance of {values['lost']:.3g}")


def show_speeds(speeds: Iterable[Speed]) -> None:
    """What `vecflap bench` measures, a line as soon as it is known."""
    console = Console(highlight=False, markup=False)
    for speed in speeds:
        unit, size = next((u, s) for u, s in (("M", 1e6), ("k", 1e3), ("", 1)) if speed.rate >= s or s == 1)
        rate = f"{speed.rate / size:.3g} {unit}".rstrip()
        console.print(f"{speed.about:<48} {rate:>8} {speed.item}s/s", soft_wrap=True)


def show_findings(findings: list[Finding]) -> None:
    """What `vecflap doctor` found, a line each, with what could be done about it below."""
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(
            Text("!", "bold yellow") if finding.hint else Text("·", "dim"), finding.about, finding.value
        )
        if finding.hint:
            table.add_row("", "", Text(finding.hint, "yellow"))
    console = Console(highlight=False, markup=False)
    console.print(table)
    wrong = sum(bool(finding.hint) for finding in findings)
    console.print(f"\n{wrong} to look at." if wrong else "\nNothing stands in the way.")
