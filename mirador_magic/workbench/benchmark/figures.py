"""The figures of a benchmark: medians, ratios, and what may be said of them.

    median   of an arm's runs, warm and cold apart
    ratio    the median of run / run of the baseline, over the pairs: the same question in the same
             round, warm or cold both. By pairs, since questions differ more than arms do.

Their intervals are of 95 %, from one value to another: the k-th least and the k-th greatest lie on the
same side of the true median with a likelihood of 2 · P(Bin(n, ½) < k), which k keeps under 0.05 (the
sign test's interval: exact, however the values are spread). Fewer than FEWEST values have none.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mirador_magic.workbench.benchmark.measured import Measured, Point, hashed
from mirador_magic.workbench.intervals import FEWEST, Interval, of_median

Measure = Literal["useful", "total"]
MEASURES: dict[Measure, str] = {"useful": "first useful text", "total": "total time"}

_SHARP = (
    3.0  # how many times its low end an interval's high one is, before its middle tells nothing
)

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Estimate:
    """A median of `count` values; `interval` is None where they are too few."""

    value: float
    count: int
    interval: Interval | None = None


@dataclass(frozen=True)
class Row:
    """An arm, warm or cold: medians in seconds, in `rate` tokens a second; `failed` runs aside."""

    arm: str
    cold: bool
    runs: int
    failed: int
    useful: Estimate | None
    total: Estimate | None
    rate: Estimate | None


@dataclass(frozen=True)
class Ratio:
    """How an arm's measure stands to that of `against`: 0.5 is half the time.

    `questions` is how many different ones the pairs are of.
    """

    arm: str
    against: str
    cold: bool
    measure: Measure
    estimate: Estimate
    questions: int


def rows(result: Measured) -> list[Row]:
    """A row for each arm, warm and cold, that has runs."""
    found = []
    for cold in (False, True):
        for arm in result.arms:
            own = [p for p in result.points if p.arm == arm.name and p.cold == cold]
            if own:
                found.append(_row(arm.name, cold, own))
    return found


def ratios(result: Measured) -> list[Ratio]:
    """Each arm but the first against the first, warm and cold, in both measures."""
    base, *others = (arm.name for arm in result.arms)
    return [
        ratio
        for cold in (False, True)
        for arm in others
        for ratio in _compared(result, arm, result, base, base, cold)
    ]


def changes(now: Measured, then: Measured, name: str) -> list[Ratio]:
    """Each arm against itself in an earlier benchmark, on the questions that both asked."""
    there = {arm.name for arm in then.arms}
    return [
        ratio
        for cold in (False, True)
        for arm in now.arms
        if arm.name in there
        for ratio in _compared(now, arm.name, then, arm.name, name, cold)
    ]


def sentence(result: Measured) -> str:
    """What was shown, in one sentence: of the warm runs, or of the cold ones where these are all."""
    found = _first_to_tell(ratios(result))
    if not found:
        return "No two runs that could be compared came to their end: nothing is shown."
    asked = max(ratio.questions for ratio in found)
    many = "this question" if asked == 1 else f"these {asked} questions"
    return f"On {many}, {'cold' if found[0].cold else 'warm'}: {'; '.join(_verdicts(found))}."


def change_sentence(result: Measured) -> str:
    """What became of it since the earlier one, in one sentence; '' where there is none."""
    if result.earlier is None:
        return ""
    found = _first_to_tell(changes(result, result.earlier, result.earlier_name))
    if not found:
        return f"Nothing in {result.earlier_name} is of the same arms on the same questions."
    return f"{'Cold' if found[0].cold else 'Warm'}: {'; '.join(_verdicts(found))}."


def _first_to_tell(found: Sequence[Ratio]) -> list[Ratio]:
    cold = all(ratio.cold for ratio in found)
    return [ratio for ratio in found if ratio.cold == cold]


def _verdicts(found: Iterable[Ratio]) -> list[str]:
    """What may be said of each arm."""
    arms: dict[tuple[str, str], list[Ratio]] = {}
    for ratio in found:
        arms.setdefault((ratio.arm, ratio.against), []).append(ratio)
    return [f"{arm} against {base}, {_verdict(own)}" for (arm, base), own in arms.items()]


def _verdict(own: Sequence[Ratio]) -> str:
    pairs = own[0].estimate
    if pairs.interval is None:
        many = "1 pair is" if pairs.count == 1 else f"{pairs.count} pairs are"
        return f"{many} too few to tell, {FEWEST} are the fewest (--repeats)"
    alike = [MEASURES[ratio.measure] for ratio in own if not _differs(ratio)]
    told = [_difference(ratio) for ratio in own if _differs(ratio)]
    if alike:
        told.append(f"no difference is shown in the {' nor in the '.join(alike)}")
    return ", and ".join(told)


def _differs(ratio: Ratio) -> bool:
    interval = ratio.estimate.interval
    return interval is not None and interval.excludes(1.0)


def _difference(ratio: Ratio) -> str:
    """Such as: the first useful text comes 12 times sooner (10 to 15).

    Where the interval is so wide that its middle tells nothing, its nearer end alone is told.
    """
    interval = ratio.estimate.interval
    assert interval
    what = {"useful": "the first useful text comes", "total": "the whole answer is there"}
    value, low, high, when = interval.value, interval.low, interval.high, "later"
    if high < 1:
        value, low, high = (1 / max(each, 1e-9) for each in (value, high, low))
        when = "sooner"
    if high > _SHARP * low:
        return f"{what[ratio.measure]} at least {times(low)} times {when}"
    return f"{what[ratio.measure]} {times(value)} times {when} ({times(low)} to {times(high)})"


def times(value: float) -> str:
    """A ratio with the digits that it is worth."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _row(arm: str, cold: bool, own: Sequence[Point]) -> Row:
    good = [each for each in own if each.counts]
    rates = [each.rate for each in good if each.rate is not None]
    return Row(
        arm,
        cold,
        len(own),
        len(own) - len(good),
        _estimate([each.useful for each in good if each.useful is not None]),
        _estimate([each.total for each in good]),
        _estimate(rates),
    )


def _compared(
    result: Measured, arm: str, base: Measured, base_arm: str, against: str, cold: bool
) -> list[Ratio]:
    pairs = _pairs(_keyed(result, arm, cold), _keyed(base, base_arm, cold))
    asked = len({one.question for one, _ in pairs})
    found = []
    for measure in MEASURES:
        values = [_of(one, measure) / _of(other, measure) for one, other in pairs]
        if estimate := _estimate(values):
            found.append(Ratio(arm, against, cold, measure, estimate, asked))
    return found


def _keyed(result: Measured, arm: str, cold: bool) -> dict[_Key, Point]:
    """An arm's runs that came to their end, by question and round."""
    own = [each for each in result.points if (each.arm, each.cold) == (arm, cold) and each.counts]
    return {(hashed(result.questions[each.question]), each.number): each for each in own}


def _pairs(one: dict[_Key, Point], other: dict[_Key, Point]) -> list[tuple[Point, Point]]:
    """What both have; where nothing took any time there is no ratio."""
    both = [(one[key], other[key]) for key in one if key in other]
    return [(a, b) for a, b in both if _of(b, "useful") > 0 and _of(b, "total") > 0]


def _of(point: Point, measure: Measure) -> float:
    value = point.useful if measure == "useful" else point.total
    return value if value is not None else 0.0


def _estimate(values: Sequence[float]) -> Estimate | None:
    if not values:
        return None
    interval = of_median(values) if len(values) >= FEWEST else None
    return Estimate(statistics.median(values), len(values), interval)
