"""A table of items per second after the benchmarks, with ratios to the alternative that each group names."""

from importlib.metadata import version

import pytest

import vecflap


def pytest_configure():
    """One thread, as training has by default. After vecflap, which says how long OpenMP's threads wait."""
    import torch

    assert vecflap
    torch.set_num_threads(1)


def pytest_benchmark_update_json(output_json):
    """Keep of --benchmark-json what a table needs: no single timings, and no names of this machine."""
    machine = output_json["machine_info"]
    machine["node"] = machine["release"] = ""
    machine["cpu"].pop("flags", None)
    machine["packages"] = {name: version(name) for name in ("numba", "numpy", "torch")}
    for name in ("project", "branch"):
        output_json["commit_info"].pop(name, None)
    for benchmark in output_json["benchmarks"]:
        benchmark["stats"].pop("data", None)


def pytest_terminal_summary(terminalreporter, config):
    """Print items/s of every benchmark; `alternative=True` in its extra_info marks what a group is
    compared with."""
    session = getattr(config, "_benchmarksession", None)
    measured = [b for b in session.benchmarks if b and "items" in b.extra_info] if session else []
    if not measured:
        return
    rate = {b.fullname: b.extra_info["items"] / b.stats.median for b in measured}
    base = {b.group: rate[b.fullname] for b in measured if b.extra_info.get("alternative")}
    terminalreporter.section("items per second (medians)")
    for b in sorted(measured, key=lambda b: (b.group or "", -rate[b.fullname])):
        ratio = f"{rate[b.fullname] / base[b.group]:10.2f} x" if b.group in base else ""
        item = b.extra_info["item"]
        terminalreporter.write_line(
            f"{b.group:<22} {b.name:<44} {rate[b.fullname]:>14,.0f} {item}s/s {ratio}"
        )


@pytest.fixture
def items(benchmark):
    """Say what a benchmark counts: items(64, "frame"), and what else its results should tell."""

    def say(count, item, alternative=False, **more):
        benchmark.extra_info.update(items=count, item=item, alternative=alternative, **more)

    return say
