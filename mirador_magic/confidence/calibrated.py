"""What labelled answers say of a measured confidence: kept by model and stage, in the user's data folder.

Of SmolLM2 in the default stages it comes with the package (`shipped.json`, made by `training/confidence`);
the user's own labelled answers go before it. A file or a line that cannot be read is as good as none.
"""

from __future__ import annotations

import bisect
import functools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path

from mirador_magic.confidence.curves import logit, sigmoid
from mirador_magic.confidence.gauge import Features
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, plain

log = logging.getLogger(__name__)

MEASURE = "words"  # how it was measured; what another measure told is of no use to this one
SHIPPED = Path(__file__).with_name("shipped.json")


@dataclass(frozen=True)
class Calibration:
    """From what was measured of an answer to how often such answers were right.

    A logistic regression on the answer's features where there are `weights`, one for each; else the
    isotonic curve through the `steps`, points (measured, share right) in order; else Platt's line,
    `slope` over the logarithm of the odds. These two keep the order of what was measured. `answers` is
    the number of labelled answers that it was fitted to.
    """

    slope: float
    intercept: float
    answers: int
    steps: tuple[tuple[float, float], ...] = ()
    weights: tuple[float, ...] = ()

    def __call__(self, measured: float, features: Sequence[float] = ()) -> float:
        """P(right) in 0..1 for a measured confidence in 0..1 and the answer's features."""
        if self.weights:
            return sigmoid(self.intercept + sum(map(mul, self.weights, features)))
        if not self.steps:
            return sigmoid(self.slope * logit(measured) + self.intercept)
        at = bisect.bisect_left(self.steps, (measured, -1.0))
        if at in (0, len(self.steps)):
            return self.steps[min(at, len(self.steps) - 1)][1]
        (x0, y0), (x1, y1) = self.steps[at - 1], self.steps[at]
        return y0 + (y1 - y0) * (measured - x0) / (x1 - x0) if x1 > x0 else y1


def calibration_of(model: str, stage: ModelStage) -> Calibration | None:
    """The one for this model in this stage; None where no labelled answers stand behind it."""
    own = _known().get(plain(model), {}).get(stage.name)
    return own or (_shipped().get(model, {}).get(stage.name) if _is_default(stage) else None)


def _is_default(stage: ModelStage) -> bool:
    """Whether it is asked as a default stage is: what is shipped was measured so."""
    told = (stage.system_prompt, stage.order, stage.options.temperature, stage.options.top_p)
    return any(
        each.name == stage.name
        and (each.system_prompt, each.order, each.options.temperature, each.options.top_p) == told
        for each in DEFAULT_STAGES
    )


def user_file() -> Path:
    """Where the user's own are kept."""
    import platformdirs

    return Path(platformdirs.user_data_dir("mirador", appauthor=False)) / "calibration.json"


def forget() -> None:
    """Read the file again when one is next asked for."""
    _known.cache_clear()


@functools.cache
def _known() -> Mapping[str, Mapping[str, Calibration]]:
    """The user's own, by model and stage."""
    return _of(_read(user_file()))


@functools.cache
def _shipped() -> Mapping[str, Mapping[str, Calibration]]:
    """Those that come with the package."""
    return _of(_read(SHIPPED))


def _of(told: Mapping[str, object]) -> dict[str, dict[str, Calibration]]:
    known: dict[str, dict[str, Calibration]] = {}
    for model, stages in told.items():
        for stage, fit in (stages if isinstance(stages, dict) else {}).items():
            if line := _line(fit):
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
    if not isinstance(told, dict) or "slope" not in told or told.get("measure") != MEASURE:
        return None
    try:
        weights = tuple(map(float, told.get("weights", ())))
        if len(weights) not in (0, len(Features._fields)):
            return None
        steps = tuple((float(x), float(y)) for x, y in told.get("steps", ()))
        slope, intercept = float(told["slope"]), float(told["intercept"])
        return Calibration(slope, intercept, int(told["answers"]), steps, weights)
    except (KeyError, TypeError, ValueError):
        return None
