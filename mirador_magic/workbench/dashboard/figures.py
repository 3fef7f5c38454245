"""The figures of the last runs, folded from what the store has of them. Times in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from mirador_magic.answer import words
from mirador_magic.confidence import CYAN, RED
from mirador_magic.pipeline.metrics import RunMetrics, percentile
from mirador_magic.store import StoredRun

WINDOW = 100  # runs
SOON = 1.0  # seconds within which a first word is wanted

_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING = "×"


@dataclass(frozen=True)
class Past:
    """One run that is over. `at` is when, in seconds since 1970; `question` '' where none is kept."""

    at: float
    question: str
    run: RunMetrics

    @property
    def ended(self) -> str:
        """How it ended, in words: "partial" where a stage failed; a failure has its kind."""
        how = "partial" if self.run.partial else str(self.run.outcome)
        if how == "failed" and self.run.error:
            how += f": {words.one_line(self.run.error)}"
        return f"{how}, cold" if self.run.cold else how

    @property
    def colour(self) -> str | None:
        """Of its bar: cyan with a first text within a second, red for a failure, else the text's."""
        if self.run.outcome == "failed":
            return RED
        return CYAN if self.run.useful is not None and self.run.useful < SOON else None

    @property
    def asked(self) -> str:
        """The question, on one line; where none is kept, the stages that were asked."""
        stages = [each.stage for each in self.run.stages if each.began is not None]
        return words.one_line(self.question or " → ".join(stages))

    @property
    def tokens(self) -> int | None:
        """The tokens that it wrote; None where the engine counted none."""
        counted = any(each.output_tokens is not None for each in self.run.stages)
        return self.run.output_tokens if counted else None


@dataclass(frozen=True)
class Figures:
    """The last runs, the oldest first. A figure that nothing was measured for is None."""

    runs: tuple[Past, ...] = ()

    @property
    def firsts(self) -> list[float]:
        """The times to the first answer text, of the runs that came to one."""
        return [each.run.useful for each in self.runs if each.run.useful is not None]

    @property
    def first(self) -> float | None:
        """Their mean."""
        return fmean(self.firsts) if self.firsts else None

    @property
    def slowest(self) -> tuple[float, str] | None:
        """The time within which 95 % of them came, or all where they are too few to tell; which it is."""
        if len(self.firsts) < 20:
            return (max(self.firsts), "slowest") if self.firsts else None
        return percentile(sorted(self.firsts), 0.95), "p95"

    @property
    def soon(self) -> int:
        """How many runs had their first answer text within a second: one that had none is not among."""
        return sum(first < SOON for first in self.firsts)

    @property
    def answered(self) -> int:
        """How many runs answered, those among them that are partial too."""
        return sum(each.run.outcome == "answered" for each in self.runs)

    @property
    def partial(self) -> int:
        return sum(each.run.partial for each in self.runs)

    @property
    def cold(self) -> int:
        """How many runs began with a model that had to be loaded."""
        return sum(each.run.cold is True for each in self.runs)

    @property
    def tokens(self) -> list[int]:
        """The tokens that each wrote, of the runs whose engine counted them."""
        return [each.tokens for each in self.runs if each.tokens is not None]

    @property
    def last(self) -> tuple[Past, ...]:
        """The last five, the newest first."""
        return self.runs[:-6:-1]


def fold(stored: Sequence[StoredRun]) -> Figures:
    """The figures of these runs, which come the newest first."""
    return Figures(tuple(Past(each.at, each.question, each.run) for each in reversed(stored)))


def tiles(figures: Figures) -> list[tuple[str, str]]:
    """Each figure and what it is, for people; [] where there was no run."""
    count = len(figures.runs)
    if not count:
        return []
    told = []
    if figures.first is not None and figures.slowest is not None:
        slowest, name = figures.slowest
        told += [
            (words.seconds(figures.first), "first token, mean"),
            (words.seconds(slowest), name),
        ]
    told.append((percent(figures.soon, count), "under 1 s"))
    told.append((percent(figures.answered, count), "answered"))
    told += [(str(figures.cold), "cold")] if figures.cold else []
    if tokens := figures.tokens:
        told += [(f"{sum(tokens):,}", "tokens"), (f"{fmean(tokens):,.0f}", "a run")]
    return told + ([(str(figures.partial), "partial")] if figures.partial else [])


def percent(hits: int, count: int) -> str:
    """A share of a count above 0, rounded, but never to all or to none where it is neither."""
    share = round(100 * hits / count)
    if 0 < hits < count:
        share = min(max(share, 1), 99)
    return f"{share} %"


def spark(firsts: Sequence[float | None]) -> str:
    """A bar for each time, as high as its share of the highest one; × for a run that had none."""
    highest = max((first for first in firsts if first is not None), default=0.0)
    return "".join(_NOTHING if first is None else _bar(first, highest) for first in firsts)


def _bar(first: float, highest: float) -> str:
    share = first / highest if highest > 0 else 0.0
    return _BLOCKS[max(math.ceil(share * len(_BLOCKS)) - 1, 0)]
