"""A run: its parts, its counters and schedules, what happens now and then. The loop over it is in loop.py."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vecflap.checkpoint import load_checkpoint, load_weights, save_checkpoint, write_atomically
from vecflap.config import FRAMES, Config
from vecflap.dqn import Learner, part
from vecflap.evaluate import Policy, Scores, games_of, training_rules
from vecflap.folder import check_resumed, create, differences, settle
from vecflap.helper import Helper
from vecflap.kernels import config as numba_config
from vecflap.lessons import Lessons
from vecflap.replay import Replay
from vecflap.selection import Selection
from vecflap.sim import VecFlap
from vecflap.tally import Counts, Tally

if TYPE_CHECKING:  # an extra
    from vecflap.cuda_sim import CudaFlap


class Goal(NamedTuple):
    """What a selection must be like for the run to be over."""

    deaths: float
    """Most deaths, as a share of the games."""
    pipes: int
    """Its limit, in `eval_pipes`."""


GOALS = {"good": Goal(0.1, 1), "solved": Goal(0.0, 1), "mastered": Goal(0.0, 5), "steps": Goal(-1.0, 5)}
FEW = 2
"""Most deaths of a selection where there is no goal; with one more it is lost."""
PACE = 16
"""Steps that a selection plays at first for each step of training, or more where a row of it is more than one
of each game, see `evaluate.match`."""
NEGLIGIBLE = 0.01
"""A reward discounted to less than this share does not count in a realised return."""


class Outcome(NamedTuple):
    """What became of a run."""

    folder: Path
    reason: str
    """good, solved, steps, time_limit or interrupted."""
    steps: int
    updates: int
    seconds: float
    best: float
    """Pipes a death of the saved policy in its selection, see evaluate.Scores.per_death; -1: none yet."""
    best_deaths: int
    best_step: int


class View:
    """Who is shown the progress of a run: nobody, unless a subclass shows it."""

    def begin(self, run: "Run") -> None:
        """The run is set up, and about to start or to go on."""

    def tick(self, run: "Run") -> None:
        """Another row was played: called often, must be cheap."""

    def doing(self, text: str) -> None:
        """Something that takes a while has begun."""

    def line(self, values: dict[str, Any]) -> None:
        """A line was added to metrics.jsonl."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def end(self, outcome: Outcome | None) -> None:
        """The run is over, its folder complete; or it failed: None."""


@dataclass
class Progress:
    """The counters of a run, saved with it."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_deaths: int = 0
    best_step: int = 0
    reached: str = ""  # the goal that a selection has met
    judged_step: int = 0  # of the policy in the selection under way; 0: there is none
    judged_rows: int = 0  # that it may have played
    unseen: bool = False  # whether the run ended while it was waited for
    logged_flaps: int = 0  # when the last line of metrics was written
    logged_step: int = 0
    logged_updates: int = 0
    logged_seconds: float = 0.0


def training_games(config: Config, device: torch.device) -> "VecFlap | CudaFlap":
    """The games that a run learns from."""
    rules = training_rules(config)
    if config.sim == "cpu":
        pin = device.type == "cuda"
        return games_of(config, config.envs, config.seed, rules, pin=pin, clearance=config.clearance)
    try:
        from vecflap.cuda_sim import CudaFlap
    except ImportError:
        raise ValueError(
            "--sim cuda needs numba-cuda: pip install vecflap[cuda]; or use --sim cpu."
        ) from None
    if device.type == "cpu" and not numba_config.ENABLE_CUDASIM:
        raise ValueError("--sim cuda needs a CUDA device to learn on too: --device cuda; or use --sim cpu.")
    if config.sticky or config.latency or config.flip:
        raise ValueError("--sim cuda plays without --sticky, --latency and --flip: use --sim cpu.")
    return CudaFlap(
        *(config.envs, rules, config.seed),
        device=device, skip=config.skip, clearance=config.clearance,
    )  # fmt: skip


class Run:
    """The parts of a run, made from a config and, where it is resumed, from its last checkpoint."""

    def __init__(self, config: Config, view: View) -> None:
        if config.resume:
            check_resumed(config)
        config = settle(config)
        self.config, self.view = config, view
        self.device = torch.device(config.device)
        torch.set_num_threads(config.threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # so that events are recorded on its stream
        self.sim = training_games(config, self.device)
        self.replay = Replay(
            config.rows,
            config.envs,
            frames=FRAMES,
            n_step=config.n_step,
            gamma=config.gamma,
            rewards=config.rewards,
            exponent=config.priority,
            correction=config.correction,
            recent=config.recent,
            seed=config.seed,
            device=self.device,
            graphs=config.graphs,
        )
        self.lessons = Lessons(config, self.sim)
        helper = Helper(lambda: not self.selection.plays, config.threads)
        self.learner = Learner(config, self.device, helper)
        goal, games = GOALS[config.until], config.eval_games
        most_deaths = FEW if goal.deaths < 0 else int(goal.deaths * games)
        self.selection = Selection(config, games, goal.pipes * config.eval_pipes, most_deaths)
        self.progress = Progress()
        self.tally = Tally(self.sim.act.device)
        self.reason = ""  # why the run is over
        if config.resume:
            self._resume()
        else:
            if config.init is not None:
                self.learner.begin_with(*load_weights(config.init))
            self.config = replace(config, out=create(config))
        self.started = time.monotonic() - self.progress.seconds
        self.limit = self.progress.seconds + (config.time_limit or math.inf)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within, the run's progress is shown."""
        self.view.begin(self)
        self.end_if(False)
        outcome = None
        try:
            yield
            self._finish()
            outcome = self.outcome()
        finally:
            self.selection.close()
            self.view.end(outcome)

    @property
    def folder(self) -> Path:
        """Where the run keeps its files."""
        assert self.config.out is not None
        return self.config.out

    @property
    def step(self) -> int:
        """Frames of single games played so far."""
        return self.progress.step

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the run so far, those before it was resumed included."""
        return time.monotonic() - self.started

    @property
    def eps(self) -> float:
        """Share of random actions."""
        return self._between(self.config.eps_start, self.config.eps_end, self.config.eps_steps)

    @property
    def exploration(self) -> tuple[float, float, int, float]:
        """How games explore: the last arguments of `explore.explore`."""
        return self.eps, self.config.flap_chance, self.config.clumsy_games, self.config.missed

    @property
    def lr(self) -> float:
        """Learning rate."""
        return self._between(self.config.lr, self.config.lr_end, self.config.lr_steps)

    @property
    def missed(self) -> float:
        """Share of the flaps that the player misses whose values are learned."""
        return self._between(self.config.missed, self.config.missed_end, self.config.lr_steps)

    def _between(self, start: float, end: float, steps: int) -> float:
        return start + (end - start) * min(self.step / steps, 1.0)

    @property
    def updates_due(self) -> int:
        """Updates that belong to the row being played."""
        if self.step < self.config.learn_start or self.replay.first > self.replay.last:
            return 0
        every = self.config.steps_per_update
        return (self.step + self.config.envs) // every - self.step // every

    def due(self, every: int) -> bool:
        """Whether the last row reached another multiple of `every` steps; never for 0."""
        return every > 0 and self.step // every > (self.step - self.config.envs) // every

    def count(self) -> None:
        """Count the row just played."""
        self.progress.step += self.config.envs
        self.view.tick(self)

    def select(self, interrupted: Callable[[], bool]) -> None:
        """See how the selection under way has gone on, and let it; else begin one with the policy as it is
        now. Where the run is over before that can be seen, it is seen to when the run is resumed."""
        progress, selection = self.progress, self.selection
        progress.unseen = not selection.wait(lambda: interrupted() or self.seconds >= self.limit)
        if progress.unseen:
            return
        if scores := selection.scores():
            self._keep(scores)
            if scores.ends is not None:
                self.lessons.learn_from(torch.from_numpy(scores.ends))
        if not progress.judged_step and progress.reached != self.config.until:
            progress.judged_step = self.step
            selection.begin(getattr(self.learner, self.learner.kept).state_dict(), self._judging_seed)
        if progress.judged_step:
            first = PACE * self.config.eval_every // self.config.eval_games + 1
            selection.grant(first + 4 * selection.rows)  # who has come far will end well: worth waiting for
            progress.judged_rows = selection.rows

    def catch_up(self, interrupted: Callable[[], bool]) -> None:
        """See to what the run did not wait for when it was over."""
        if self.progress.unseen:
            self.select(interrupted)
            self.end_if(interrupted())
            if self.reason:
                self.save()

    @property
    def _judging_seed(self) -> int:
        """Every selection has other games: of many policies, one may be lucky in the same ones."""
        return (self.config.seed + self.progress.judged_step) % 2**63

    def _finish(self) -> None:
        """Play the selection under way to its end, if all steps are played. That is not part of the run where
        it is resumed, for more steps: there the selection goes on as if it had not ended here."""
        if self.reason == "steps" and self.progress.judged_step:
            self.view.doing("the last selection ...")
            if scores := self.selection.finish():
                self._keep(scores, last=True)
                self.reason = self.progress.reached or self.reason

    def _keep(self, scores: Scores, **more: bool) -> None:
        """Write down what a selection found, and keep its policy if it is the best so far."""
        config, progress, step = self.config, self.progress, self.progress.judged_step
        progress.judged_step = 0
        if scores.deaths <= GOALS[config.until].deaths * config.eval_games:
            progress.reached = config.until
        if scores.per_death >= progress.best:
            progress.best, progress.best_deaths, progress.best_step = scores.per_death, scores.deaths, step
            weights = self.selection.weights.items()
            named = {f"{self.learner.kept}.{name}": tensor for name, tensor in weights}
            save_checkpoint(self.folder / "best.safetensors", named, self._header())
        values = {"step": self.step, "updates": self.learner.updates, "seconds": round(self.seconds, 2)}
        values |= {"judged": step, "deaths": scores.deaths}
        self._write(values | {"pipes_per_death": round(scores.per_death, 2)} | more)

    def log(self) -> None:
        """Write a line of metrics, averages since the line before."""
        progress, config, (flaps, episodes, recent) = self.progress, self.config, self.tally.read()
        steps, updates = self.step - progress.logged_step, self.learner.updates - progress.logged_updates
        seconds = self.seconds - progress.logged_seconds
        values: dict[str, Any] = {
            "step": self.step,
            "updates": self.learner.updates,
            "seconds": round(self.seconds, 2),
            "steps_per_s": round(steps / seconds),
            "updates_per_s": round(updates / seconds, 1),
            "episodes": episodes,
            "score": sum(recent) / len(recent) if recent else None,
            "eps": self.eps,
            "lr": self.lr,
            "flap_share": (flaps - progress.logged_flaps) / steps,
        }
        meter = self.learner.read_meter()
        values |= meter._asdict() if meter else {}
        horizon = math.ceil(math.log(NEGLIGIBLE) / math.log(config.gamma)) if 0 < config.gamma < 1 else 1
        if self.replay.row - horizon >= self.replay.first:
            obs, realised = self.replay.realised(horizon)
            value = Policy(self.learner.online, config).q(obs).amax(1)
            values |= {"value": float(value.mean()), "realised": float(realised.mean())}
        progress.logged_flaps, progress.logged_step = flaps, self.step
        progress.logged_updates, progress.logged_seconds = self.learner.updates, self.seconds
        self._write(values)

    def end_if(self, interrupted: bool) -> None:
        """See whether the run is over."""
        if interrupted:
            self.reason = "interrupted"
        elif self.progress.reached == self.config.until:
            self.reason = self.config.until
        elif self.step >= self.config.steps:
            self.reason = "steps"
        elif self.seconds >= self.limit:
            self.reason = "time_limit"

    def save(self) -> None:
        """Write last.safetensors, from which the run can be resumed as if it had not stopped."""
        self.progress.seconds = self.seconds
        tensors = self.learner.state_dict()  # "online." at the beginning, as in best.safetensors
        tensors |= {f"sim.{key}": value for key, value in self.sim.state_dict().items()}
        tensors |= {f"lessons.{key}": value for key, value in self.lessons.state_dict().items()}
        tensors |= {f"replay.{key}": value for key, value in self.replay.state_dict().items()}
        if self.progress.judged_step:
            tensors |= {f"judged.{key}": value for key, value in self.selection.weights.items()}
        save_checkpoint(self.folder / "last.safetensors", tensors, self._header())

    def outcome(self) -> Outcome:
        """What became of the run so far."""
        p = self.progress
        updates = self.learner.updates
        best = (p.best, p.best_deaths, p.best_step)
        return Outcome(self.folder, self.reason, p.step, updates, self.seconds, *best)

    def _header(self) -> dict[str, Any]:
        ours = {"progress": asdict(self.progress), "tally": self.tally.read(), "policy": self.learner.kept}
        return {"config": replace(self.config, resume=False).to_json()} | ours

    def _write(self, values: dict[str, Any]) -> None:
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(values) + "\n")
        self.view.line(values)

    def _resume(self) -> None:
        """Take everything from the last checkpoint, and drop the metrics written after it."""
        path = self.folder / "last.safetensors"
        if not path.is_file():
            raise ValueError(
                f"{self.folder} has no last.safetensors to resume from: begin anew in another folder."
            )
        tensors, header = load_checkpoint(path)
        if not part(tensors, "replay."):
            raise ValueError(f"{path} holds weights only: begin a new run with --init {path}.")
        self.sim.load_state_dict(part(tensors, "sim."))
        self.lessons.load_state_dict(part(tensors, "lessons."))
        self.replay.load_state_dict(part(tensors, "replay."))
        self.learner.load_state_dict(tensors)
        self.progress = Progress(**header["progress"])
        if self.progress.judged_step:
            self.selection.begin(part(tensors, "judged."), self._judging_seed)
            self.selection.grant(self.progress.judged_rows)
        self.tally.go_on(Counts(*header["tally"]))
        metrics = self.folder / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True) if metrics.is_file() else []
        whole = [(line, json.loads(line)) for line in lines if line.endswith("\n")]
        kept = [line for line, it in whole if it["step"] <= self.step and not it.get("last")]
        write_atomically(metrics, "".join(kept).encode())
        for name, (was, is_now) in differences(self.folder, self.config).items():
            self.view.note(f"{name} was {was} and is now {is_now}: the run goes on, but its bits may differ.")
