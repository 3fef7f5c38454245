"""How far a stage may be trusted: measured from its tokens' probabilities, in words and colours.

The bands are those of the panel: gray under 70 %, the text's own colour from 70 %, cyan from 90 %,
and a dashed, weaker look under 60 %.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

How = Literal["declared", "measured", "calibrated"]

WINDOW = 32  # tokens; about a sentence
UNCALIBRATED_MOST = 0.89  # a number that no labelled answer stands behind is never cyan
_LEAST_LOG = -10.0
_BINS = 64


@dataclass(frozen=True)
class Band:
    """A range of confidence: its word and its bar; no colour means the text's own."""

    word: str
    colour: str | None
    dashed: bool = False


GRAY, CYAN, RED = "#808080", "#0891b2", "#d0453a"

UNSURE = Band("unsure", GRAY, dashed=True)
LOW = Band("low", GRAY)
FAIR = Band("fair", None)
SURE = Band("sure", CYAN)


def band(confidence: float) -> Band:
    """The band of a confidence in 0..1."""
    if confidence < 0.60:
        return UNSURE
    if confidence < 0.70:
        return LOW
    return FAIR if confidence < 0.90 else SURE


@dataclass(frozen=True)
class Calibration:
    """Platt's line from a measured confidence to how often such answers were right.

    `answers` is the number of labelled answers that it was fitted to.
    """

    slope: float
    intercept: float
    answers: int

    def __call__(self, measured: float) -> float:
        """P(right) in 0..1 for a measured confidence in 0..1."""
        return sigmoid(self.slope * logit(measured) + self.intercept)


class Gauge:
    """The measured confidence of an answer while it is written; constant time a token.

    With p a token's probability and G the geometric mean of p over the last WINDOW tokens:

        measured = 0.5 * the lowest G so far + 0.3 * the 10 % quantile of p + 0.2 * the last G

    The first tokens count too: on the phrase book they choose the answer. A plain mean hides one
    bad sentence in a long answer; the lowest group finds it (DeepConf,
    arXiv 2508.15260), quantiles do not depend on the length (Gupta et al., ICLR 2024).
    """

    def __init__(self) -> None:
        self._seen = 0
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._sum = 0.0
        self._lowest = 1.0
        self._bins = [0] * _BINS

    def add(self, logprobs: Iterable[float]) -> None:
        """Count these tokens: natural logarithms of their probabilities."""
        for value in logprobs:
            self._seen += 1
            # some Ollamas say 0 or more, or no number, where they mean certainty
            self._count(0.0 if math.isnan(value) else max(min(value, 0.0), _LEAST_LOG))

    def _count(self, log: float) -> None:
        if len(self._last) == WINDOW:
            self._sum -= self._last[0]
        self._last.append(log)
        self._sum += log
        self._bins[min(int(math.exp(log) * _BINS), _BINS - 1)] += 1
        if len(self._last) == WINDOW:
            self._lowest = min(self._lowest, self._group())

    @property
    def measured(self) -> float | None:
        """In 0..1; None until a token counts."""
        if not self._last:
            return None
        group = self._group()
        lowest = self._lowest if len(self._last) == WINDOW else group
        return min(0.5 * lowest + 0.3 * self._quantile() + 0.2 * group, 1.0)

    def _group(self) -> float:
        return min(math.exp(self._sum / len(self._last)), 1.0)

    def _quantile(self) -> float:
        """The upper edge of the bin that holds the 10 % quantile."""
        rank = math.ceil(0.1 * self._seen)
        below = itertools.accumulate(self._bins)
        return (1 + sum(count < rank for count in below)) / _BINS


def judged(gauge: Gauge, declared: float, model: str, stage: str) -> tuple[float, How]:
    """The confidence to show, and how it was had: calibrated, else measured, else declared."""
    measured = gauge.measured
    if measured is None:
        return declared, "declared"
    if known := _calibrations().get(model.removesuffix(":latest"), {}).get(stage):
        return known(measured), "calibrated"
    return min(measured, UNCALIBRATED_MOST), "measured"


def logit(p: float) -> float:
    """log(p / (1 - p)), kept finite."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), which does not overflow."""
    return 0.5 * (1 + math.tanh(x / 2))


@functools.cache
def _calibrations() -> dict[str, dict[str, Calibration]]:
    """By model and stage, as they come with the package."""
    told = json.loads((Path(__file__).parent / "models" / "calibration.json").read_text())
    return {
        model: {stage: Calibration(**line) for stage, line in stages.items()}
        for model, stages in told.items()
    }
