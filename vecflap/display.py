"""What the user sees while it trains: a live panel, or plain lines where there is no terminal."""

import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vecflap.config import FRAMES
from vecflap.dqn import Learner
from vecflap.explore import GREEDY
from vecflap.graphs import WARM_UP
from vecflap.helper import Helper, always
from vecflap.render import SIZE, braille
from vecflap.replay import Batch
from vecflap.run import Outcome, Run, View

REFRESH = 0.15
"""Seconds between two pictures of the live panel: drawing one takes about 4 ms."""


class Display(View):
    """Shows a run on the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False)
        self.live: Live | None = None
        self.latest: dict[str, Any] = {}
        self.selection = "none yet"
        self.next_refresh = 0.0
        self.run: Run | None = None

    def begin(self, run: Run) -> None:
        self.run = run
        self.console.print(start_line(run), soft_wrap=True)
        if self.console.is_terminal:
            self.live = Live(self._panel(), console=self.console, auto_refresh=False)
            self.live.start()

    def tick(self, run: Run) -> None:
        if self.live and time.monotonic() >= self.next_refresh:
            self.live.update(self._panel(), refresh=True)
            self.next_refresh = time.monotonic() + REFRESH

    def doing(self, text: str) -> None:
        if self.live:
            self.selection = text
            self.live.update(self._panel(), refresh=True)

    def line(self, values: dict[str, Any]) -> None:
        if "deaths" in values:
            self.selection = deaths_text(values["pipes_per_death"], values["deaths"])
            text = f"step {values['judged']:>9,}  greedy, {self.selection}"
        else:
            self.latest = values
            text = metrics_text(values)
        if not self.live:
            self.console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(f"note: {text}", soft_wrap=True)

    def end(self, outcome: Outcome | None) -> None:
        if self.live:
            self.live.update(self._panel(), refresh=True)
            self.live.stop()
        if outcome:
            self.console.print(end_text(outcome), soft_wrap=True)

    def _panel(self) -> RenderableType:
        run = self.run
        assert run is not None
        stats = Table.grid(padding=(0, 2))
        stats.add_column(style="dim")
        stats.add_column(width=26)
        for name, text in panel_rows(run, self.latest, self.selection):
            stats.add_row(name, text)
        bar = ProgressBar(total=run.config.steps, completed=min(run.step, run.config.steps), width=38)
        left = Table.grid()
        left.add_row(bar)
        left.add_row(stats)
        bird = Text(braille(run.sim.frame[0].cpu().numpy()), style="yellow")
        title = Text(f"vecflap  {run.config.rules}  {run.folder}")
        side_by_side = Table.grid(padding=(0, 2))
        side_by_side.add_row(left, bird)
        return Panel(side_by_side, title=title, title_align="left", expand=False)


def start_line(run: Run) -> str:
    """Memory, samples per step, device, and what it will take here."""
    c = run.config
    replay, weights = run.replay.nbytes, sum(p.nbytes for p in run.learner.online.parameters())
    rate = c.envs / seconds_a_row(run)
    time_left = clock((c.steps - run.step) / rate)
    threads = f"{c.threads} thread" + "s" * (c.threads > 1)
    return (
        f"{c.rules}, {c.envs} games, {c.network} network, seed {c.seed}, in {run.folder}: "
        f"memory {mib(replay)} replay and {mib(5 * weights)} learner; "
        f"{c.batch / c.steps_per_update:g} samples a step; {c.device}, {threads}, {c.precision}; "
        f"about {rate:,.0f} steps/s here: {c.steps:,} steps take about {time_left}, and the selections"
    )


def seconds_a_row(run: Run) -> float:
    """What a row will take here once the learner learns and no selection plays, measured on made-up states
    with a learner of its own."""
    c, device = run.config, run.device
    learner = Learner(c, device, Helper(always, c.threads))
    states = torch.zeros(max(c.batch, c.envs), FRAMES, SIZE, dtype=torch.int64, device=device)
    obs, numbers = states[: c.batch], torch.zeros(c.batch, device=device)
    batch = Batch(obs, numbers.long(), numbers, numbers, obs, numbers, numbers.long())
    forced = torch.full((c.envs,), GREEDY, dtype=torch.uint8, device=device)

    def timed(work: Callable[[], object]) -> float:
        for _ in range(WARM_UP + 1):
            work()
        learner.meter.tolist()  # wait for the device
        began = time.perf_counter()
        for _ in range(3):
            work()
        learner.meter.tolist()
        return (time.perf_counter() - began) / 3

    updates = c.envs / c.steps_per_update
    return timed(lambda: learner.act(states[: c.envs], forced)) + updates * timed(
        lambda: learner.update(batch, 0.0)
    )


def mib(size: float) -> str:
    """Bytes in words."""
    return f"{size / 2**20:,.0f} MiB"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None, form: str = ".2f") -> str:
    """A number, or a dash where there is none yet."""
    return "-" if value is None else format(value, form)


def metrics_text(values: dict[str, Any]) -> str:
    """A line of metrics for people."""
    return (
        f"step {values['step']:>9,}  {clock(values['seconds'])}  {values['steps_per_s']:,} steps/s"
        f"  {values['updates_per_s']:g} updates/s  score {number(values['score'], '.1f')}"
        f"  eps {values['eps']:.4f}  loss {number(values.get('loss'), '.4f')}"
    )


def deaths_text(pipes_per_death: float, deaths: int) -> str:
    """What a selection found."""
    if not pipes_per_death:
        return "no pipe passed"
    pipes = f"{pipes_per_death:,.{1 if pipes_per_death < 10 else 0}f} pipes"
    return f"a death in {pipes}" if deaths else f"no death in {pipes}"


def panel_rows(run: Run, m: dict[str, Any], selection: str) -> list[tuple[str, str]]:
    """Names and texts of the live panel: at most 26 characters, so that it fits a terminal of 80."""
    recent, best = run.tally.read().recent, run.progress
    return [
        ("steps", f"{run.step:,} of {run.config.steps:,}"),
        ("time", clock(run.seconds)),
        ("speed", f"{number(m.get('steps_per_s'), ',')} steps/s"),
        ("", f"{number(m.get('updates_per_s'), 'g')} updates/s"),
        ("last games", f"{sum(recent) / len(recent):.1f} pipes, best {max(recent)}" if recent else "-"),
        ("greedy", selection),
        ("best", deaths_text(best.best, best.best_deaths) if best.best >= 0 else "-"),
        ("exploring", f"eps {run.eps:.4f}, flaps {number(m.get('flap_share'), '.1%')}"),
        ("loss", f"{number(m.get('loss'), '.4f')}, gradient {number(m.get('grad_norm'))}"),
        ("Q value", f"{number(m.get('value'))}, realised {number(m.get('realised'))}"),
        ("Q ties", f"{number(m.get('tie'), '.2%')}, lr {run.lr:.1e}"),
    ]


REASONS = {
    "good": "the bird is good: it got to the end of 9 in 10 games",
    "solved": "solved: the bird got to the end of every game",
    "mastered": "mastered: the bird got to the end of every game, of the long ones",
    "steps": "all steps played",
    "time_limit": "the time is up",
    "interrupted": "interrupted; everything is saved",
}


def command() -> str:
    """What to type for vecflap: with its path where the shell would not find it."""
    if shutil.which("vecflap"):
        return "vecflap"
    return sys.argv[0] if Path(sys.argv[0]).name == "vecflap" else "python -m vecflap.cli"


def end_text(outcome: Outcome) -> str:
    """How a run ended, and what to type next."""
    folder = outcome.folder
    vecflap = command()
    best = (
        f"the best bird, of step {outcome.best_step:,}: {deaths_text(outcome.best, outcome.best_deaths)}"
        if outcome.best >= 0
        else ""
    )
    lines = [
        f"{REASONS[outcome.reason]}; {outcome.steps:,} steps, {outcome.updates:,} updates, "
        + clock(outcome.seconds)
        + (f"; {best}" if best else ""),
        f"  watch it:  {vecflap} watch {shlex.quote(str(folder))}",
        f"  examine:   {vecflap} eval {shlex.quote(str(folder))}",
    ]
    more = (
        ""
        if outcome.reason in ("interrupted", "time_limit")
        else f" --until steps --steps {2 * outcome.steps}"
    )
    lines.append(f"  go on:     {vecflap} train --out {shlex.quote(str(folder))} --resume{more}")
    return "\n".join(lines)
