"""From measured confidences and labels to a calibration: Platt's line, or the isotonic curve."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mirador_magic.confidence import Calibration, logit, sigmoid
from mirador_magic.workbench.calibrate.figures import Pair, brier

Kind = Literal["Platt's line", "the isotonic curve"]
Fit = Callable[[Sequence[Pair]], Calibration]

LEAST = 50  # labelled answers for Platt's line
LEAST_ISOTONIC = 500  # and for the isotonic curve
LEAST_OF_EACH = 5  # right ones, and wrong ones
_FOLDS = 10
_STEPS = 200


@dataclass(frozen=True)
class Point:
    """One labelled answer: its measured confidence in 0..1, whether it was right, its characters."""

    measured: float
    right: bool
    length: int = 0


@dataclass(frozen=True)
class Fitted:
    """A calibration, and what it says of each answer where it was fitted without that answer."""

    calibration: Calibration
    kind: Kind
    cross_validated: tuple[Pair, ...]


def lacks(points: Sequence[Point]) -> str:
    """What there is too little of for a calibration, in words; '' where there is enough."""
    right = sum(point.right for point in points)
    wrong = len(points) - right
    if len(points) < LEAST:
        missing = LEAST - len(points)
        more = "answer is" if missing == 1 else "answers are"
        return f"{missing} more labelled {more} needed for a calibration"
    if min(right, wrong) < LEAST_OF_EACH:
        few = f"only {right} are right" if right < wrong else f"only {wrong} are wrong"
        return f"{few}; a calibration needs {LEAST_OF_EACH} of each"
    return ""


def fitted(points: Sequence[Point]) -> Fitted | None:
    """The calibration that does best on answers it was not fitted to; None where too few there are."""
    if lacks(points):
        return None
    pairs = [(point.measured, point.right) for point in points]
    line = Fitted(platt(pairs), "Platt's line", cross_validated(pairs, platt))
    if len(pairs) < LEAST_ISOTONIC:
        return line
    curve = Fitted(isotonic(pairs), "the isotonic curve", cross_validated(pairs, isotonic))
    return min(line, curve, key=lambda each: brier(each.cross_validated))


def cross_validated(pairs: Sequence[Pair], fit: Fit) -> tuple[Pair, ...]:
    """Each answer's calibrated confidence, from a fit to the other nine tenths of the answers."""
    order = list(range(len(pairs)))
    random.Random(7).shuffle(order)
    found: dict[int, Pair] = {}
    for fold in range(_FOLDS):
        held = set(order[fold::_FOLDS])
        rest = fit([pair for i, pair in enumerate(pairs) if i not in held])
        found |= {i: (rest(pairs[i][0]), pairs[i][1]) for i in held}
    return tuple(found[i] for i in range(len(pairs)))


def platt(pairs: Sequence[Pair]) -> Calibration:
    """Slope and intercept of Platt's line, by Newton's method on his smoothed targets.

    The inputs are standardised for the search, and its steps are bounded, so that it converges. A line
    that fell would call surer answers worse: there the measured number says nothing, and the line
    is flat.
    """
    right = sum(y for _, y in pairs)
    aims = {True: (right + 1) / (right + 2), False: 1 / (len(pairs) - right + 2)}
    odds = [logit(p) for p, _ in pairs]
    middle, scale = statistics.fmean(odds), statistics.pstdev(odds) or 1.0
    points = [((x - middle) / scale, aims[y]) for x, (_, y) in zip(odds, pairs, strict=True)]
    slope, intercept = _newton(points)
    if slope < 0:
        slope, intercept = 0.0, logit(statistics.fmean(aim for _, aim in points))
    return Calibration(
        round(slope / scale, 4), round(intercept - slope * middle / scale, 4), len(pairs)
    )


def _newton(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    slope = intercept = 0.0
    for _ in range(_STEPS):
        a = b = ab = 0.0
        aa = bb = 1e-3
        for x, aim in points:
            p = sigmoid(slope * x + intercept)
            weight = p * (1 - p)
            a, b = a + (p - aim) * x, b + (p - aim)
            aa, ab, bb = aa + weight * x * x, ab + weight * x, bb + weight
        down = aa * bb - ab * ab
        by = [max(min(step / down, 1.0), -1.0) for step in (bb * a - ab * b, aa * b - ab * a)]
        slope, intercept = slope - by[0], intercept - by[1]
        if max(map(abs, by)) < 1e-9:
            break
    return slope, intercept


def isotonic(pairs: Sequence[Pair]) -> Calibration:
    """The rising curve of least squares, by pooling neighbours that fall (Ayer et al., 1955).

    Its ends stay off 0 and 1: n answers cannot show more than 1 / (n + 2).
    """
    blocks: list[tuple[float, float, int]] = []  # sums of measured and of right, answers
    for p, y in sorted(pairs):
        x, right, count = p, float(y), 1
        while blocks and blocks[-1][1] * count >= right * blocks[-1][2]:
            before = blocks.pop()
            x, right, count = x + before[0], right + before[1], count + before[2]
        blocks.append((x, right, count))
    least = 1 / (len(pairs) + 2)
    steps = tuple((x / n, min(max(right / n, least), 1 - least)) for x, right, n in blocks)
    return Calibration(0.0, 0.0, len(pairs), steps)
