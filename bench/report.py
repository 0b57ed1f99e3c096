"""Write the tables of README.md from the files in bench/results/; with --check, fail where they disagree.

python bench/report.py [--check]
"""

import json
import sys
from pathlib import Path

from peers import peers_table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
README = ROOT / "README.md"


def machine_words(machine):
    """A machine and its versions in a few words."""
    v = machine["versions"]
    threads = f"{machine['threads']} thread" + "s" * (machine["threads"] > 1)
    return f"{machine['cpu']}, {threads}, Python {v['python']}, torch {v['torch']}, Numba {v['numba']}"


def seeds_table(results):
    """Time and exam of every seed."""
    lines = [
        "| seed | trained in | steps | updates | exam: mean pipes | median | fewest | alive at 200 |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in results["rows"]:
        e = row["exam"]
        run = f"{row['seed']} | {row['seconds']:.0f} s | {row['steps']:,} | {row['updates']:,}"
        lines.append(f"| {run} | {e['mean']:.1f} | {e['median']:g} | {e['min']} | {e['survived']:.0%} |")
    return "\n".join([*lines, "", f"`{results['command']}` on {machine_words(results['machine'])}."])


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


TABLES = {"seeds-flap7": seeds_table, "sim": speed_table, "peers": peers_table}


def with_tables(text):
    """The README with every table between its marks written anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        results = json.loads((RESULTS / f"{name}.json").read_text())
        text = f"{before}{begin}{table(results)}\n{end}{after}"
    return text


def main():
    """Write, or check."""
    text = README.read_text()
    fresh = with_tables(text)
    if "--check" in sys.argv:
        sys.exit(
            0 if fresh == text else "README.md disagrees with bench/results/: run python bench/report.py"
        )
    README.write_text(fresh)


if __name__ == "__main__":
    main()
