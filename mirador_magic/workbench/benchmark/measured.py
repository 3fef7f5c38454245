"""What a benchmark measured: frozen, plain values, from which all figures are made."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mirador_magic.errors import UsageError
from mirador_magic.pipeline.metrics import RunMetrics
from mirador_magic.workbench.benchmark.plan import Arm, Trial

_HASH = "sha256:"


@dataclass(frozen=True)
class Point:
    """One run that was measured. Times in seconds, None where there is nothing to tell.

    `useful` is until the reader had the first useful text: where all is shown at the end, the end.
    `cold` is true where its models were unloaded before, or where its first one had left memory.
    `rate` is tokens a second of writing, `load` the seconds of loading on the way, over all stages.
    """

    arm: str
    question: int
    number: int
    cold: bool
    useful: float | None
    total: float
    rate: float | None = None
    tokens: int = 0
    load: float | None = None
    outcome: str = "answered"
    partial: bool = False
    error: str = ""
    stages: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it answered with all of its stages; what failed is counted, and no time."""
        return self.outcome == "answered" and not self.partial and self.useful is not None


def point(trial: Trial, metrics: RunMetrics) -> Point:
    """A run's figures as a point."""
    begun = [stage for stage in metrics.stages if stage.began is not None]
    timed = [(s.output_tokens, s.decode) for s in begun if s.output_tokens and s.decode]
    loads = [stage.load for stage in begun if stage.load is not None]
    return Point(
        trial.arm.name,
        trial.question,
        trial.number,
        trial.cold or metrics.cold is True,
        useful=metrics.total if trial.arm.at_end else metrics.useful,
        total=metrics.total,
        rate=sum(tokens for tokens, _ in timed) / sum(s for _, s in timed) if timed else None,
        tokens=metrics.output_tokens,
        load=sum(loads) if loads else None,
        outcome=metrics.outcome,
        partial=metrics.partial,
        error=metrics.error,
        stages=tuple(stage.stage for stage in begun),
        models=tuple(stage.model for stage in begun),
    )


@dataclass(frozen=True, repr=False)
class Measured:
    """A benchmark, whole or stopped before its end. The first of the `arms` is the baseline.

    `planned` is how many runs there were to be, `began` the time in UTC as ISO 8601 has it, `notes`
    for people. `earlier` is the one that it is compared with, `earlier_name` what that is called.
    """

    questions: tuple[str, ...]
    arms: tuple[Arm, ...]
    points: tuple[Point, ...]
    planned: int
    began: str
    machine: Mapping[str, str]
    notes: tuple[str, ...] = ()
    earlier: Measured | None = field(default=None, compare=False)
    earlier_name: str = ""

    @property
    def title(self) -> str:
        """What is compared."""
        first, *others = (arm.name for arm in self.arms)
        return f"{', '.join(others)} against {first}"

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row a run. Raises UsageError where pandas is not installed."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise UsageError("a DataFrame needs pandas", "pip install pandas") from None
        rows = [asdict(each) | {"question": self.questions[each.question]} for each in self.points]
        return pandas.DataFrame(rows)


def hashed(question: str) -> str:
    """What a question is known by where its text is not kept; of such a one, itself."""
    if question.startswith(_HASH):
        return question
    return _HASH + hashlib.sha256(question.encode()).hexdigest()[:16]


def machine(engine: str) -> dict[str, str]:
    """Where it was measured. `engine` is its name for people, with its version."""
    return {
        "engine": engine,
        "mirador": _version("mirador-magic"),
        "Python": platform.python_version(),
        "CPUs": str(os.cpu_count() or "?"),
        "platform": f"{platform.system()} {platform.machine()}",
    }


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "?"
