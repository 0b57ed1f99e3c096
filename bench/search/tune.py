"""Search for better numbers of the recipe, with Optuna.

python bench/search/tune.py --rules flap9 --trials 60 [--steps 1024000] [--jobs 2]

A trial trains with other numbers and a seed of its own, and is judged every so many steps, as by ablate.py;
what comes of it is log10 of the pipes a death, the mean of the last two judgements. Trials behind the median
are given up. The first three are the recipe as it is. All is kept in runs/tune-RULES.db, Optuna's storage, so
that the same command goes on where it was stopped. In the end: the ten best, all trials in
results/tune-RULES.json, and how it went and how much each number matters, results/tune-RULES.png.
Needs Optuna: pip install -e '.[search]'.
"""

import argparse
import json
import math
import sys
from contextlib import closing
from pathlib import Path
from statistics import mean

import optuna
from judged import curve, per_death

from vecflap.config import Config
from vecflap.folder import manifest

RESULTS = Path(__file__).parents[1] / "results"
SPACE = {  # field: lowest, highest, and whether by its logarithm
    "lr": (3e-3, 3e-2, True),
    "lr_end": (1e-4, 1e-3, True),
    "gamma": (0.95, 0.98, False),
    "n_step": (4, 16, False),
    "target_rate": (0.003, 0.03, True),
    "priority": (0.0, 0.8, False),
    "caution": (0.0, 0.3, False),
    "clearance": (2, 8, False),
    "missed": (0.1, 0.3, False),
    "slipped": (0.0, 0.1, False),
    "eps_end": (0.002, 0.03, True),
    "clumsy": (0.2, 0.6, False),
    "practice": (0.1, 0.4, False),
    "displaced": (0.0, 0.8, False),
    "otherwise": (0.0, 1.0, False),
}
AS_IT_IS = 3
"""Trials with the recipe's own numbers, to compare with."""
LAST = 2
"""Judgements that count."""


def ask(trial):
    """The numbers of a trial."""
    found = {}
    for name, (low, high, by_log) in SPACE.items():
        draw = trial.suggest_int if isinstance(low, int) else trial.suggest_float
        found[name] = draw(name, low, high, log=by_log)
    return found


def objective(trial, rules, steps, every):
    """How well a trial's bird plays."""
    fields = {"rules": rules, "seed": trial.number, "steps": steps, "threads": 1} | ask(trial)
    found = []
    with closing(curve(every, **fields)) as points:
        for point in points:
            found.append(math.log10(max(per_death(point), 1.0)))
            trial.report(found[-1], point["step"])
            if trial.should_prune():
                raise optuna.TrialPruned
    return mean(found[-LAST:])


def draw(study, path):
    """A picture of the search: how it went, and what matters."""
    import matplotlib.pyplot as plt

    importances = optuna.importance.get_param_importances(study)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    ours = [trial.number < AS_IT_IS for trial in done]
    for wanted, colour, label in ((True, "tab:orange", "the recipe as it is"), (False, "tab:blue", "others")):
        these = [trial for trial, own in zip(done, ours, strict=True) if own == wanted]
        left.scatter([t.number for t in these], [10**t.value for t in these], c=colour, label=label)
    left.set(xlabel="trial", ylabel="pipes a death", yscale="log")
    left.legend()
    right.barh(list(importances)[::-1], list(importances.values())[::-1])
    right.set(xlabel="importance, as Optuna estimates it; 1 in all")
    figure.savefig(path, dpi=110)


def main():
    """Search, `--jobs` trials at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", default="flap9")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1_024_000)
    parser.add_argument("--every", type=int, default=128_000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    path = RESULTS / f"tune-{arguments.rules}"
    Path("runs").mkdir(exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///runs/{path.name}.db", study_name=f"{arguments.rules}, {arguments.steps} steps",
        direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=arguments.steps // 2),
    )  # fmt: skip
    done = sum(trial.state.is_finished() for trial in study.trials)
    if not study.trials:
        for _ in range(AS_IT_IS):
            study.enqueue_trial({name: getattr(Config(), name) for name in SPACE})
    study.optimize(
        lambda trial: objective(trial, arguments.rules, arguments.steps, arguments.every),
        n_trials=max(arguments.trials - done, 0),
        n_jobs=arguments.jobs,
    )
    command = "python bench/search/tune.py " + " ".join(sys.argv[1:])
    rows = [{"number": t.number, "state": t.state.name, "value": t.value, **t.params} for t in study.trials]
    about = {"command": command, "machine": manifest(Config()), "best": study.best_trial.number}
    path.with_suffix(".json").write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    draw(study, path.with_suffix(".png"))
    for row in sorted(rows, key=lambda row: -(row["value"] or -1))[:10]:
        print(row)


if __name__ == "__main__":
    main()
