"""Write the tables of the documents from the files in bench/results/; with --check, fail where they disagree.

python bench/report.py [--check]
"""

import json
import sys
from pathlib import Path

from peers import peers_table
from training import training_table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def machine_words(machine):
    """A machine and its versions in a few words."""
    v = machine["versions"]
    threads = f"{machine['threads']} thread" + "s" * (machine["threads"] > 1)
    return f"{machine['cpu']}, {threads}, Python {v['python']}, torch {v['torch']}, Numba {v['numba']}"


def seeds_table(results):
    """Time and exam of every seed."""
    lines = [
        "| seed | trained in | steps | updates | says it is | exam: mean pipes | fewest | alive at 200 |",
        "|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for row in results["rows"]:
        e = row["exam"]
        run = f"{row['seed']} | {row['seconds']:.0f} s | {row['steps']:,} | {row['updates']:,}"
        said = row["reached"] or "not done"
        lines.append(f"| {run} | {said} | {e['mean']:.1f} | {e['min']} | {e['survived']:.0%} |")
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}."])


def mastered_table(results):
    """Time and exams of the birds that had ten minutes."""
    lines = [
        "| | trained in | steps | updates | says it is | kept | past 1,000 pipes | past 200 |",
        "|---|---:|---:|---:|---|---|---:|---:|",
    ]
    for row in results["rows"]:
        bird, exams = row["bird"], row["exams"].values()
        run = f"{row['rules']} | {row['seconds']:.0f} s | {row['steps']:,} | {row['updates']:,}"
        kept = f"of step {bird['step']:,}: {bird['deaths']} deaths, {bird['pipes_per_death']:,.0f} pipes each"
        came = " | ".join(f"{round(e['survived'] * e['games']):,} of {e['games']:,}" for e in exams)
        lines.append(f"| {run} | {row['reached'] or 'not done'} | {kept} | {came} |")
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}."])


def article_table(results):
    """When birds of the article's network came to pass so many pipes a death."""
    lines = [
        "| | seed | a pipe a death | 10 | 100 | best | in all | says it is |",
        "|---|---:|---|---|---|---:|---:|---|",
    ]
    for row in results["rows"]:

        def first(pipes, curve=row["curve"]):
            point = next((p for p in curve if p["pipes_per_death"] >= pipes), None)
            return f"{point['step']:,} steps, {point['seconds'] / 60:.0f} min" if point else "-"

        best = max(p["pipes_per_death"] for p in row["curve"])
        took = f"{row['steps']:,} steps, {row['seconds'] / 60:.0f} min"
        came = f"{first(1)} | {first(10)} | {first(100)} | {best:,.1f} | {took}"
        lines.append(f"| {row['variant']} | {row['seed']} | {came} | {row['reached'] or 'not done'} |")
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}."])


def margins_table(results):
    """How often birds die that play by exact values with errors."""
    errors = list(results["rows"][0]["deaths"])
    lines = [
        f"| deaths in {results['pipes']:,} pipes, by exact values with errors of | "
        + " | ".join(f"{float(error):.0%}" for error in errors)
        + " |",
        "|---|" + "---:|" * len(errors),
    ]
    lines += [
        f"| {row['values']} | " + " | ".join(str(row["deaths"][error]) for error in errors) + " |"
        for row in results["rows"]
    ]
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}."])


def exams_table(results):
    """Every exam of a bird."""
    lines = [
        "| exam | games | limit | mean | median | fewest | reach it | lost, at most, at 95 % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for e in results["exams"]:
        asked = f"{e['exam']} | {e['games']:,} | {e['pipes']:,}"
        came = f"{e['mean']:,.1f} | {e['median']:,.0f} | {e['min']:,}"
        lines.append(f"| {asked} | {came} | {e['survived']:.0%} | {e['lost_at_most']:.1%} |")
    command = f"python bench/exams.py {results['bird']}"
    made = f"the bird is of `{results['made']}`, by the defaults of its time, which its file holds"
    return "\n".join([*lines, "", f"`{command}` on {machine_words(results['machine'])}; {made}."])


def difficulty_table(results):
    """Birds of some variants, playing all; between floor and ceiling."""
    columns = results["columns"]
    lines = ["| | " + " | ".join(columns) + " |", "|---" + "|---:" * len(columns) + "|"]
    for row in results["rows"]:
        cells = ("-" if mean is None else f"{mean:,.1f}" for mean in row["means"])
        took = f", {row['seconds']:.0f} s: {row['reached'] or 'not solved'}" if "seconds" in row else ""
        lines.append(f"| {row['who']}{took} | " + " | ".join(cells) + " |")
    games = results["rows"][0]["games"], results["rows"][-1]["games"]
    about = f"mean pipes of {games[0]} games to 200, of the planner's {games[1]}"
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}: {about}."])


KEY = ("rules", "envs", "threads", "in_step")


def speed_table(results):
    """Frames per second of the simulator."""
    rows = {tuple((b["params"] | b["extra_info"])[key] for key in KEY): b for b in results["benchmarks"]}

    def rate(*key):
        b = rows.get(key)
        return b["extra_info"]["items"] / b["stats"]["median"] / 1e6 if b else None

    lines = [
        "| | games | 1 thread | out of step | 2 threads | out of step | only writing 512 bytes |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for rules in ("flap7", "flap9"):
        for envs in (1, 64, 1024, 4096, 65_536):
            played = [rate(rules, envs, threads, in_step) for threads in (1, 2) for in_step in (True, False)]
            cells = [*played, rate(rules, envs, 0, True)]
            texts = ["-" if cell is None else f"{cell:.1f} M/s" for cell in cells]
            lines.append(f"| {rules} | {envs:,} | " + " | ".join(texts) + " |")
    cpu = results["machine_info"]["cpu"]["brand_raw"]
    command = "pytest bench/bench_sim.py --benchmark-only --benchmark-json bench/results/sim.json"
    return "\n".join([*lines, "", f"`{command}` on {cpu}, medians."])


def command_and_machine(name, results):
    """How pytest-benchmark's results were made, and on what."""
    machine = results["machine_info"]
    versions = "".join(f", {name} {version}" for name, version in machine["packages"].items())
    command = f"pytest bench/bench_{name}.py --benchmark-only --benchmark-json bench/results/{name}.json"
    return f"`{command}` on {machine['cpu']['brand_raw']}, Python {machine['python_version']}{versions}"


def ns_an_item(benchmark, statistic):
    """Nanoseconds."""
    return benchmark["stats"][statistic] / benchmark["extra_info"]["items"] * 1e9


def parts_table(results):
    """Nanoseconds of the parts of a step, in the shortest round: the machine's speed changes between."""
    best = {
        (b["extra_info"]["part"], b["extra_info"]["in_step"]): ns_an_item(b, "min")
        for b in results["benchmarks"]
    }
    words = {
        "writing": "only writing 512 bytes",
        "rules": "rules",
        "planning": "planning the pictures",
        "drawing": "planning and drawing them",
        "step": "a step",
    }
    lines = ["| ns a frame | in step | out of step |", "|---|---:|---:|"]
    lines += [
        f"| {text} | {best[part, True]:.1f} | {best[part, False]:.1f} |" for part, text in words.items()
    ]
    return "\n".join([*lines, "", f"{command_and_machine('parts', results)}; the shortest of 300 rounds."])


def views_table(results):
    """Nanoseconds of other views of a game."""
    words = {
        "test_packed_stacks": "packed stack of 4, moved on by a frame",
        "test_features": "features, 12 numbers",
        "test_step_and_unpacked_stacks": "a step, and an unpacked stack of 4, 16 KiB",
        "test_floor_fill_unpacked_stacks": "only filling those 16 KiB",
    }
    times = {b["name"]: ns_an_item(b, "median") for b in results["benchmarks"]}
    lines = ["| ns a game | 64 games | 1,024 games |", "|---|---:|---:|"]
    lines += [
        f"| {text} | {times[f'{n}[64]']:.0f} | {times[f'{n}[1024]']:.0f} |" for n, text in words.items()
    ]
    return "\n".join([*lines, "", f"{command_and_machine('views', results)}, medians."])


def gym_table(results):
    """The vector environment beside the simulator."""
    keys = ("envs", "careful", "who")
    times = {
        tuple(b["extra_info"][key] for key in keys): b["stats"]["median"] * 1e6 for b in results["benchmarks"]
    }
    lines = ["| games | player | simulator | vector environment | speed kept |", "|---:|---|---:|---:|---:|"]
    for envs, careful in ((64, True), (64, False), (4096, True), (4096, False)):
        bare, env = times[envs, careful, "simulator"], times[envs, careful, "gymnasium"]
        player = "careful, no bird dies" if careful else "flaps in 10 % of the steps, birds die"
        lines.append(f"| {envs:,} | {player} | {bare:.1f} us | {env:.1f} us | {bare / env:.0%} |")
    return "\n".join([*lines, "", f"{command_and_machine('gym', results)}, medians of a call."])


TABLES = {
    "seeds-flap7": seeds_table,
    "seeds-flap9": seeds_table,
    "mastered": mastered_table,
    "article": article_table,
    "margins-flap9": margins_table,
    "exam-flap7": exams_table,
    "exam-flap9": exams_table,
    "sim": speed_table,
    "peers": peers_table,
    "parts": parts_table,
    "views": views_table,
    "gym": gym_table,
    "difficulty": difficulty_table,
    "training": training_table,
}


def with_tables(text):
    """A document with every table between its marks written anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin in text:
            before, rest = text.split(begin)
            _, after = rest.split(end)
            results = json.loads((RESULTS / f"{name}.json").read_text())
            text = f"{before}{begin}{table(results)}\n{end}{after}"
    return text


def main():
    """Write, or check."""
    for document in DOCUMENTS:
        text = document.read_text()
        fresh = with_tables(text)
        if "--check" not in sys.argv:
            document.write_text(fresh)
        elif fresh != text:
            sys.exit(f"{document.name} disagrees with bench/results/: run python bench/report.py")


if __name__ == "__main__":
    main()
