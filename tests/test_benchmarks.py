"""What the page of results says: medians, what was missed and by how much, what could not be measured."""

import math

import pytest

from benchmarks.clock import Measured, Unavailable
from benchmarks.speed import Target


def test_works_take_turns_and_the_median_counts():
    order, seconds = [], iter([1.0, 9.0, 2.0])
    measured = Measured()
    measured.run({"a": lambda: order.append("a") or next(seconds), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 3
    assert measured["a"] == 2.0
    assert measured.spread("a") == "1.00-9.00"
    assert 0 <= measured["b"] < 0.1


def test_what_cannot_be_measured_is_said_and_asked_once():
    asked = []

    def work() -> None:
        asked.append(1)
        raise Unavailable("not installed")

    measured = Measured()
    measured.run({"a": work, "b": lambda: 1.5}, 3)
    assert asked == [1]
    assert measured.missing == {"a": "not installed"}
    assert math.isnan(measured["a"])
    assert measured["b"] == 1.5


@pytest.mark.parametrize(
    ("target", "measured", "least", "verdict"),
    [
        (0.25, 0.2, False, "| met |"),
        (0.25, 0.5, False, "| missed by a factor of 2.00: why |"),
        (100, 150, True, "| met |"),
        (100, 80, True, "| missed by a factor of 1.25: why |"),
        (100, math.nan, True, "| not measured | |"),
    ],
)
def test_a_target_is_met_or_missed_by_so_much(target, measured, least, verdict):
    row = Target("work", target, " x", measured, least, "why").row()
    assert row.endswith(verdict)
    assert ("at least" if least else "at most") in row
