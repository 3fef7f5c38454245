"""What a figure may be worth: intervals of medians, differences and shares, at 95 %.

Medians by the sign test's order statistics (Thompson 1936), whatever the values are spread like;
differences by the percentile bootstrap (Efron 1979) with a fixed seed, so that the same measurements
always tell the same; shares by Wilson's score interval (1927).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FEWEST = 6  # measurements that can tell where a median lies

_DRAWS = 1000
_Z = 1.959964  # of a normal distribution: 95 % lie within


@dataclass(frozen=True)
class Interval:
    """An estimate, and the range in which it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether this value lies outside of the range."""
        return not self.low <= value <= self.high


def of_median(values: Sequence[float]) -> Interval:
    """The median of measurements, one at least, between the ranks that the true one lies between.

    Of fewer than FEWEST no range is as sure as that: it is then all that was measured.
    """
    ranked, count = sorted(values), len(values)
    cut, outside = 0, 2 / 2**count
    while outside <= 0.05:
        cut += 1
        outside += 2 * math.comb(count, cut) / 2**count
    cut = max(cut, 1)
    return Interval(statistics.median(ranked), ranked[cut - 1], ranked[count - cut])


def of_difference(values: Sequence[float], baseline: Sequence[float]) -> Interval:
    """The mean of `values` less that of the baseline; by pairs where they are equally many."""
    if len(values) == len(baseline):
        pairs = [one - other for one, other in zip(values, baseline, strict=True)]
        return _bootstrap(lambda draw: statistics.fmean(draw[0]), pairs)
    return _bootstrap(
        lambda draw: statistics.fmean(draw[0]) - statistics.fmean(draw[1]), values, baseline
    )


def of_share(hits: int, count: int) -> Interval:
    """`hits` of `count`, which is above 0, as a share in 0..1."""
    share = hits / count
    across = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / across
    half = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)) / across
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


def _bootstrap(figure: Callable[[list[list[float]]], float], *samples: Sequence[float]) -> Interval:
    rng = random.Random(7)
    draws = sorted(
        figure([rng.choices(sample, k=len(sample)) for sample in samples]) for _ in range(_DRAWS)
    )
    value = figure([list(sample) for sample in samples])
    return Interval(value, draws[int(0.025 * _DRAWS)], draws[int(0.975 * _DRAWS) - 1])
