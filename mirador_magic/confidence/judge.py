"""The confidence to show: calibrated, else measured, else declared."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mirador_magic.confidence.bands import HELD, UNCALIBRATED_MOST
from mirador_magic.confidence.calibrated import calibration_of
from mirador_magic.confidence.curves import logit, sigmoid
from mirador_magic.confidence.gauge import Gauge

How = Literal["declared", "measured", "calibrated"]

LEAST_PAST = 20  # answers of a model in a stage from which on they tell what is usual for it
_OWN, _OTHERS = 0.35, 0.5  # weights of what is unusual, and of the agreement
# Of two right answers to one question, by stages that follow each other: median and deviation, over
# 140 questions with written answers. Answers to different questions have 0.25.
_AGREES, _SPREAD = 0.35, 0.16


class Judged(NamedTuple):
    """A confidence in 0..1, how it was had, and the number of labelled answers behind it."""

    confidence: float
    how: How
    answers: int | None = None


def judged(
    gauge: Gauge,
    declared: float,
    model: str,
    stage: str,
    *,
    past: Sequence[float] = (),
    agrees: float | None = None,
    is_whole: bool = True,
) -> Judged:
    """The confidence in an answer.

    `past` are the measured confidences of the model's earlier answers in this stage, `agrees` is the
    agreement in 0..1 with the stage before. Where nothing is calibrated, with `declared` π:

        shown = sigmoid(base + 0.5 clip(za, -2, 2))
        base  = logit(π) + 0.35 clip(z, -2, 2)     from 20 past answers on
              = logit(measured)                    before

    z tells by how many deviations this answer is surer than the past ones (median and MAD), za by
    how many it agrees better than two stages usually do. An answer that is not whole stays gray.
    """
    found = _judged(gauge, declared, model, stage, past, agrees)
    return found if is_whole else found._replace(confidence=min(found.confidence, HELD))


def _judged(
    gauge: Gauge,
    declared: float,
    model: str,
    stage: str,
    past: Sequence[float],
    agrees: float | None,
) -> Judged:
    measured = gauge.measured
    if measured is None:
        return Judged(declared, "declared")
    if known := calibration_of(model, stage):
        return Judged(known(measured), "calibrated", known.answers)
    if len(past) < LEAST_PAST and agrees is None:
        return Judged(min(measured, UNCALIBRATED_MOST), "measured")
    base = logit(measured)
    if len(past) >= LEAST_PAST:
        base = logit(declared) + _OWN * _unusual(measured, past)
    others = 0.0 if agrees is None else _clipped((agrees - _AGREES) / _SPREAD)
    return Judged(min(sigmoid(base + _OTHERS * others), UNCALIBRATED_MOST), "measured")


def _unusual(measured: float, past: Sequence[float]) -> float:
    """By how many deviations it is surer than the past ones, in -2..2."""
    middle, spread = _usual(tuple(past))
    return _clipped((logit(measured) - middle) / spread) if spread else 0.0


@functools.lru_cache(maxsize=16)  # a panel asks ten times a second
def _usual(past: tuple[float, ...]) -> tuple[float, float]:
    """Median and deviation of their odds' logarithms."""
    import statistics  # some milliseconds: not before the first token

    odds = [logit(each) for each in past]
    middle = statistics.median(odds)
    return middle, 1.4826 * statistics.median(abs(each - middle) for each in odds)


def _clipped(deviations: float) -> float:
    return max(-2.0, min(deviations, 2.0))
