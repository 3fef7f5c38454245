"""What labelled answers say of a measured confidence: kept by model and stage, in the user's data folder.

A file or a line that cannot be read is as good as none.
"""

from __future__ import annotations

import bisect
import functools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mirador_magic.confidence.curves import logit, sigmoid
from mirador_magic.stages import plain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """From a measured confidence to how often such answers were right; it keeps their order.

    Platt's line (`slope` over the logarithm of the odds, and `intercept`), or where there are `steps`
    the isotonic curve through these points (measured, share right), in order. `answers` is the
    number of labelled answers that it was fitted to.
    """

    slope: float
    intercept: float
    answers: int
    steps: tuple[tuple[float, float], ...] = ()

    def __call__(self, measured: float) -> float:
        """P(right) in 0..1 for a measured confidence in 0..1."""
        if not self.steps:
            return sigmoid(self.slope * logit(measured) + self.intercept)
        at = bisect.bisect_left(self.steps, (measured, -1.0))
        if at in (0, len(self.steps)):
            return self.steps[min(at, len(self.steps) - 1)][1]
        (x0, y0), (x1, y1) = self.steps[at - 1], self.steps[at]
        return y0 + (y1 - y0) * (measured - x0) / (x1 - x0) if x1 > x0 else y1


def calibration_of(model: str, stage: str) -> Calibration | None:
    """The one for this model in this stage; None where no labelled answers stand behind it."""
    return _known().get(plain(model), {}).get(stage)


def user_file() -> Path:
    """Where the user's own are kept."""
    import platformdirs

    return Path(platformdirs.user_data_dir("mirador", appauthor=False)) / "calibration.json"


def forget() -> None:
    """Read the file again when one is next asked for."""
    _known.cache_clear()


@functools.cache
def _known() -> Mapping[str, Mapping[str, Calibration]]:
    """By model and stage."""
    known: dict[str, dict[str, Calibration]] = {}
    for model, stages in _read(user_file()).items():
        for stage, told in (stages if isinstance(stages, dict) else {}).items():
            if line := _line(told):
                known.setdefault(plain(model), {})[stage] = line
    return known


def _read(file: Path) -> dict[str, object]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if file.exists():
            log.warning("%s cannot be read and is left out: %s", file, error)
        return {}
    return told if isinstance(told, dict) else {}


def _line(told: object) -> Calibration | None:
    """None for what is none: labelled answers that do not suffice yet, or somebody's edit."""
    if not isinstance(told, dict) or "slope" not in told:
        return None
    try:
        steps = tuple((float(x), float(y)) for x, y in told.get("steps", ()))
        slope, intercept = float(told["slope"]), float(told["intercept"])
        return Calibration(slope, intercept, int(told["answers"]), steps)
    except (KeyError, TypeError, ValueError):
        return None
