"""What a figure may be worth: intervals of medians, ratios, differences and shares."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.workbench.intervals import Interval, of_difference, of_median, of_share

TIMES = st.lists(st.floats(0.001, 1000), min_size=1, max_size=12)


def test_values_that_are_all_the_same_leave_no_doubt() -> None:
    assert of_median([2.0] * 9) == Interval(2.0, 2.0, 2.0)
    assert of_difference([5.0] * 4, [3.0] * 6) == Interval(2.0, 2.0, 2.0)


@given(TIMES)
@settings(max_examples=8)
def test_a_median_lies_in_its_interval_and_that_within_the_values(values: list[float]) -> None:
    found = of_median(values)
    assert found.value == statistics.median(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_the_same_measurements_always_tell_the_same() -> None:
    values = [random.Random(3).random() for _ in range(20)]
    assert of_median(values) == of_median(list(values))


def test_more_measurements_tell_more() -> None:
    draw = random.Random(5)
    few, many = [[draw.gauss(10, 2) for _ in range(count)] for count in (8, 200)]
    assert of_median(many).high - of_median(many).low < of_median(few).high - of_median(few).low


def test_the_interval_of_a_median_holds_the_true_one_and_no_far_one() -> None:
    draw = random.Random(12)
    samples = [[draw.lognormvariate(0.0, 0.7) for _ in range(15)] for _ in range(40)]
    found = [of_median(sample) for sample in samples]
    assert sum(not each.excludes(1.0) for each in found) >= 36
    assert sum(not each.excludes(2.5) for each in found) <= 8


def test_pairs_tell_a_difference_that_lies_within_their_spread() -> None:
    spread = [1.0, 20.0, 3.0, 40.0, 5.0, 60.0, 7.0, 80.0]
    slower = [value + 1.0 for value in spread]
    assert of_difference(slower, spread) == Interval(1.0, 1.0, 1.0)
    apart = of_difference(slower, spread[:-1])
    assert apart.low < 0 < apart.high
    assert apart.value == pytest.approx(statistics.fmean(slower) - statistics.fmean(spread[:-1]))


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_a_share_has_wilsons_interval(hits: int, count: int, low: float, high: float) -> None:
    found = of_share(hits, count)
    assert found.value == hits / count
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)


def test_an_interval_excludes_what_lies_outside_and_no_end_of_its_own() -> None:
    interval = Interval(1.2, 1.0, 1.5)
    assert interval.excludes(0.99)
    assert interval.excludes(1.51)
    assert not interval.excludes(1.0)
    assert not interval.excludes(1.5)
