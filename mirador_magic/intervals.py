"""What a figure may be worth: intervals of medians, ratios and shares, at 95 %.

Medians and their ratios by the percentile bootstrap (Efron 1979) with a fixed seed, so that the same
measurements always tell the same; shares by Wilson's score interval (1927).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    """The median of measurements, one at least."""
    return _bootstrap(lambda draw: statistics.median(draw[0]), values)


def of_ratio(values: Sequence[float], baseline: Sequence[float]) -> Interval:
    """The median of `values` as a share of the baseline's, which is above 0."""
    return _bootstrap(
        lambda draw: statistics.median(draw[0]) / statistics.median(draw[1]), values, baseline
    )


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
