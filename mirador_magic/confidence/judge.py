"""The confidence to show: calibrated, else measured, else declared."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mirador_magic.confidence.bands import UNCALIBRATED_MOST
from mirador_magic.confidence.calibrated import calibration_of
from mirador_magic.confidence.gauge import Gauge
from mirador_magic.stages import ModelStage

How = Literal["declared", "measured", "calibrated"]

LEAST_PAST = 20  # answers of a model in a stage from which on they tell what is usual for it


class Judged(NamedTuple):
    """A confidence in 0..1, how it was had, and the number of labelled answers behind it."""

    confidence: float
    how: How
    answers: int | None = None


def judged(
    gauge: Gauge,
    stage: ModelStage,
    model: str,
    *,
    before: float | None = None,
    most: float = 1.0,
) -> Judged:
    """The confidence in an answer that `model` wrote in this stage.

    `before` is the run's first measured confidence, where another stage had it; `most` is what is known
    against the answer: HELD of one that is not whole, LOOPED of one that repeats itself. A number that no
    labelled answer stands behind is never cyan.
    """
    found = _judged(gauge, stage, model, before)
    return found._replace(confidence=min(found.confidence, most))


def _judged(gauge: Gauge, stage: ModelStage, model: str, before: float | None) -> Judged:
    measured = gauge.measured
    if measured is None:
        return Judged(stage.confidence, "declared")
    if known := calibration_of(model, stage):
        return Judged(known(measured, gauge.features(before)), "calibrated", known.answers)
    return Judged(min(measured, UNCALIBRATED_MOST), "measured")
