"""From labelled answers to a calibration: a logistic regression, Platt's line, or the isotonic curve."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Literal

from mirador_magic.confidence import Calibration, Features, logit, sigmoid
from mirador_magic.workbench.calibrate.figures import Pair, brier

Kind = Literal["Platt's line", "the isotonic curve", "its features"]

LEAST = 50  # labelled answers for Platt's line
LEAST_REGRESSION = 150  # for the regression on features
LEAST_ISOTONIC = 500  # for the isotonic curve
LEAST_OF_EACH = 5  # right ones, and wrong ones
_FOLDS = 10
_RIDGE = 10.0
_STEPS = 200


@dataclass(frozen=True)
class Point:
    """One labelled answer: what was measured in 0..1, whether it was right, its characters, its features."""

    measured: float
    right: bool
    length: int = 0
    features: Features | None = None


Fit = Callable[[Sequence[Point]], Calibration]


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
    ways: list[tuple[Kind, Fit]] = [("Platt's line", platt)]
    if len(points) >= LEAST_REGRESSION and all(point.features for point in points):
        ways.append(("its features", regression))
    if len(points) >= LEAST_ISOTONIC:
        ways.append(("the isotonic curve", isotonic))
    found = [Fitted(fit(points), kind, cross_validated(points, fit)) for kind, fit in ways]
    return min(found, key=lambda each: brier(each.cross_validated))


def cross_validated(points: Sequence[Point], fit: Fit) -> tuple[Pair, ...]:
    """Each answer's calibrated confidence, from a fit to the other nine tenths of the answers."""
    order = list(range(len(points)))
    random.Random(7).shuffle(order)
    found: dict[int, Pair] = {}
    for fold in range(_FOLDS):
        held = set(order[fold::_FOLDS])
        rest = fit([point for i, point in enumerate(points) if i not in held])
        found |= {i: (said(rest, points[i]), points[i].right) for i in held}
    return tuple(found[i] for i in range(len(points)))


def said(calibration: Calibration, point: Point) -> float:
    """What the calibration says of this answer."""
    return calibration(point.measured, point.features or ())


def platt(points: Sequence[Point]) -> Calibration:
    """Slope and intercept of Platt's line, by Newton's method on his smoothed targets.

    The inputs are standardised for the search, and its steps are bounded, so that it converges. A line
    that fell would call surer answers worse: there the measured number says nothing, and the line
    is flat.
    """
    (slope,), intercept = _logistic([[logit(point.measured)] for point in points], _aims(points))
    if slope < 0:
        slope, intercept = 0.0, logit(statistics.fmean(_aims(points)))
    return Calibration(round(slope, 4), round(intercept, 4), len(points))


def regression(points: Sequence[Point]) -> Calibration:
    """A logistic regression on all of the features, the less sure of a weight the nearer to 0 it is kept."""
    weights, intercept = _logistic(
        [list(point.features or ()) for point in points], _aims(points), _RIDGE
    )
    return Calibration(
        0.0,
        round(intercept, 4),
        len(points),
        weights=tuple(round(weight, 4) for weight in weights),
    )


def _aims(points: Sequence[Point]) -> list[float]:
    """Platt's targets, which stay off 0 and 1 by what so many answers can show."""
    right = sum(point.right for point in points)
    aims = {True: (right + 1) / (right + 2), False: 1 / (len(points) - right + 2)}
    return [aims[point.right] for point in points]


def _logistic(
    rows: Sequence[Sequence[float]], aims: Sequence[float], ridge: float = 1e-3
) -> tuple[list[float], float]:
    """Weights and intercept by Newton's method; `ridge` draws the standardised weights towards 0.

    The columns are standardised for the search, and its steps are bounded, so that it converges.
    """
    columns = [*zip(*rows, strict=True)]
    middles = [statistics.fmean(column) for column in columns]
    scales = [statistics.pstdev(column) or 1.0 for column in columns]
    places = range(len(columns) + 1)
    points = [
        (
            1.0,
            *((x - middle) / scale for x, middle, scale in zip(row, middles, scales, strict=True)),
        )
        for row in rows
    ]
    found = [0.0 for _ in places]
    for _ in range(_STEPS):
        slope = [ridge * weight if place else 0.0 for place, weight in enumerate(found)]
        curve = [[ridge if i == j else 0.0 for j in places] for i in places]
        for point, aim in zip(points, aims, strict=True):
            p = sigmoid(sum(map(mul, found, point)))
            for i in places:
                slope[i] += (p - aim) * point[i]
                part = p * (1 - p) * point[i]
                for j in range(i + 1):
                    curve[i][j] += part * point[j]
        steps = [max(min(step, 1.0), -1.0) for step in _solved(curve, slope)]
        found = [weight - step for weight, step in zip(found, steps, strict=True)]
        if max(map(abs, steps)) < 1e-9:
            break
    weights = [weight / scale for weight, scale in zip(found[1:], scales, strict=True)]
    return weights, found[0] - sum(map(mul, weights, middles))


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """x of `matrix` x = `right`, by Cholesky's decomposition; of the matrix the lower half is read."""
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        lower.append([])
        for j in range(i + 1):
            rest = row[j] - sum(map(mul, lower[i][:j], lower[j][:j]))
            lower[i].append(math.sqrt(rest) if i == j else rest / lower[j][j])
    found: list[float] = []
    for i, value in enumerate(right):
        found.append((value - sum(map(mul, lower[i][:i], found))) / lower[i][i])
    for i in reversed(range(len(found))):
        below = sum(lower[j][i] * found[j] for j in range(i + 1, len(found)))
        found[i] = (found[i] - below) / lower[i][i]
    return found


def isotonic(points: Sequence[Point]) -> Calibration:
    """The rising curve of least squares, by pooling neighbours that fall (Ayer et al., 1955).

    Its ends stay off 0 and 1: n answers cannot show more than 1 / (n + 2).
    """
    blocks: list[tuple[float, float, int]] = []  # sums of measured and of right, answers
    for p, y in sorted((point.measured, point.right) for point in points):
        x, right, count = p, float(y), 1
        while blocks and blocks[-1][1] * count >= right * blocks[-1][2]:
            before = blocks.pop()
            x, right, count = x + before[0], right + before[1], count + before[2]
        blocks.append((x, right, count))
    least = 1 / (len(points) + 2)
    steps = tuple((x / n, min(max(right / n, least), 1 - least)) for x, right, n in blocks)
    return Calibration(0.0, 0.0, len(points), steps)
