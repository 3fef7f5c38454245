"""What a confidence is worth: does it part right answers from wrong ones, and is its number true?

With p the confidences of n answers, in 0..1, and y = 1 for a right one, 0 for another:

    AUROC = P(p of a right answer > p of another), ties count half     0.5 is chance
    Brier = mean((p - y)²)
    ECE   = sum over 10 bins of equal mass of n_bin / n * |mean p - mean y|

Intervals are those of a bootstrap over the answers, at 95 %, shifted by its bias: a draw has answers
twice, which makes its ECE larger.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mirador_magic.workbench.intervals import Interval

Pair = tuple[float, bool]  # a confidence, and whether the answer was right

BINS = 10
_DRAWS = 500


@dataclass(frozen=True)
class Bin:
    """So many answers whose confidence is about the same: its mean, and the share that was right."""

    confidence: float
    right: float
    answers: int


@dataclass(frozen=True)
class Figures:
    """How good a confidence is. The AUROC is NaN where all answers were right, or none."""

    auroc: Interval
    brier: Interval
    ece: Interval


def auroc(pairs: Sequence[Pair]) -> float:
    """See the module; NaN where all are right, or none."""
    right = sum(y for _, y in pairs)
    if not 0 < right < len(pairs):
        return math.nan
    rank = ranks = 0.0
    for _, group in groupby(sorted(pairs), key=lambda pair: pair[0]):
        ties = [y for _, y in group]
        ranks += sum(ties) * (rank + (len(ties) + 1) / 2)
        rank += len(ties)
    return (ranks - right * (right + 1) / 2) / (right * (len(pairs) - right))


def brier(pairs: Sequence[Pair]) -> float:
    """See the module; of one pair at least."""
    return sum((p - y) ** 2 for p, y in pairs) / len(pairs)


def ece(pairs: Sequence[Pair]) -> float:
    """See the module; of one pair at least."""
    gaps = (each.answers * abs(each.confidence - each.right) for each in bins(pairs))
    return sum(gaps) / len(pairs)


def bins(pairs: Sequence[Pair]) -> list[Bin]:
    """The answers by confidence, in BINS bins of about equally many; fewer where there are fewer."""
    return [
        Bin(statistics.fmean(p for p, _ in part), statistics.fmean(y for _, y in part), len(part))
        for part in _parts(_ordered(pairs))
    ]


def figures(pairs: Sequence[Pair]) -> Figures:
    """All of them, with their intervals."""
    return Figures(*(spread(figure, pairs) for figure in (auroc, brier, ece)))


def spread(figure: Callable[[Sequence[Pair]], float], pairs: Sequence[Pair]) -> Interval:
    """The figure with its interval. Draws of which it cannot be told are left out."""
    # In order, so that sorting a draw takes no time.
    ordered, chance = sorted(pairs), random.Random(7)
    draws = []
    for _ in range(_DRAWS):
        drawn = sorted(chance.choices(range(len(ordered)), k=len(ordered)))
        draws.append(figure([ordered[i] for i in drawn]))
    known = sorted(value for value in draws if not math.isnan(value))
    value = figure(ordered)
    if math.isnan(value) or not known:
        return Interval(math.nan, math.nan, math.nan)
    bias = statistics.median(known) - value
    low, high = (known[int(share * len(known))] - bias for share in (0.025, 0.975))
    return Interval(value, max(low, 0.0), min(high, 1.0))


def _ordered(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """By confidence; of the answers with the same one each has its part of those that were right."""
    ordered = []
    for p, group in groupby(sorted(pairs), key=lambda pair: pair[0]):
        right = [y for _, y in group]
        ordered += [(p, sum(right) / len(right))] * len(right)
    return ordered


def _parts(pairs: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    count = min(BINS, len(pairs))
    edges = [len(pairs) * i // count for i in range(count + 1)]
    for i in range(count):
        yield pairs[edges[i] : edges[i + 1]]
