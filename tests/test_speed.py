"""`vecflap bench`: it measures what it says, in an order that must be so."""

import io
import time

from rich.console import Console

from vecflap import results, speed
from vecflap.speed import Speed


def test_what_must_be_slower_is():
    rates = {s.about: s.rate for s in speed.speeds("cpu", 1, seconds=0.3)}
    first = {about.split()[0]: rate for about, rate in reversed(rates.items())}
    playing, writing, acting, updates = (first[name] for name in ("playing", "only", "acting", "updates"))
    training = rates["training, by the default recipe"]
    assert writing > playing > acting > updates > 0
    assert 4 * updates > training > 0, (
        "a step takes half an update's transitions; twice, to be safe from noise"
    )
    slower = [rate for about, rate in rates.items() if "article" in about]
    assert max(slower) < acting


def test_a_call_is_timed_as_a_clock_would():
    assert 0.01 <= speed.median(lambda: time.sleep(0.01), 0.1) < 0.1


def test_rates_are_shown_in_units_people_read(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(results, "Console", lambda **options: Console(file=said, width=100, **options))
    speeds = Speed("a", 12_345_678, "frame"), Speed("b", 4_321, "state"), Speed("c", 9.5, "step")
    results.show_speeds(speeds)
    assert [line.split() for line in said.getvalue().splitlines()] == [
        ["a", "12.3", "M", "frames/s"],
        ["b", "4.32", "k", "states/s"],
        ["c", "9.5", "steps/s"],
    ]
