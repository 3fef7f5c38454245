"""What a grid found: the tries, each variant's figures, and whether one of them is better."""

from __future__ import annotations

import dataclasses
import html
import importlib
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mirador_magic.answer import words
from mirador_magic.errors import UsageError
from mirador_magic.views import frame
from mirador_magic.workbench.intervals import Interval
from mirador_magic.workbench.tune import sheet
from mirador_magic.workbench.tune.plan import Plan
from mirador_magic.workbench.tune.record import Record
from mirador_magic.workbench.tune.tries import RATINGS, Try, short
from mirador_magic.workbench.tune.verdict import By, Verdict, mean_of, values_of, verdict

if TYPE_CHECKING:
    from mirador_magic.workbench.tune.blind import Blind

HEADS = (
    *("variant", "answers", "score", "rating", "first token", "total"),
    *("tok/s", "tokens", "trust", "model"),
)
_CELLS = 10  # of a bar
_FEW = 6  # means under which a bootstrap tells nothing


class Table:
    """The tries of a grid, in the order of its plan. In a notebook it shows itself.

    `rows()` are plain dictionaries, `frame` is a DataFrame of them; `winner` names the better variant,
    None where no difference is shown. `blind()` gives the answers to rate, without names.
    """

    def __init__(self, plan: Plan, record: Record, tries: Iterable[Try]) -> None:
        place = {step.identity: at for at, step in enumerate(plan.steps)}
        names = {step.identity: step.variant.name for step in plan.steps}
        found = {each.identity: each for each in tries if each.identity in place}
        self.plan = plan
        self._record = record
        self.tries = [
            dataclasses.replace(found[identity], name=names[identity])
            for identity in sorted(found, key=lambda identity: place[identity])
        ]

    @property
    def missing(self) -> int:
        """How many steps of the plan were not tried yet."""
        return len(self.plan.steps) - len(self.tries)

    @property
    def winner(self) -> str | None:
        """The better variant, by the scores, or else by the ratings; None where none is shown."""
        return next((each.winner for each in self.verdicts().values()), None)

    def verdicts(self) -> dict[By, Verdict]:
        """What the scores show, and what the ratings do, where there are some."""
        kinds: tuple[By, By] = ("score", "rating")
        values = {by: values_of(self._done(), by) for by in kinds}
        return {by: verdict(each, by) for by, each in values.items() if each}

    def rows(self) -> list[dict[str, object]]:
        """One dictionary for each try; times are in seconds."""
        return [_row(tried) for tried in self.tries]

    @property
    def frame(self) -> Any:
        """The rows as a pandas DataFrame. Raises UsageError where pandas is not installed."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise UsageError("there is no pandas here", "pip install pandas, or .rows()") from None
        return pandas.DataFrame(self.rows())

    def rate(self, number: int, rating: int) -> None:
        """Give the try of this number a rating, 1 to 5; the record keeps it."""
        if rating not in RATINGS:
            raise UsageError(f"the rating {rating!r} is not in 1..5", "rate(4)")
        self._record.rate(number, rating)
        self.tries = [
            dataclasses.replace(each, rating=rating) if each.number == number else each
            for each in self.tries
        ]

    def blind(self, seed: int | None = None) -> Blind:
        """The answers to rate, shuffled, the variants' names hidden until the end."""
        from mirador_magic.workbench.tune.blind import Blind

        return Blind(self, random.Random(seed))

    def told(self) -> list[str]:
        """What came of it, in a few sentences."""
        lines = [each.text for each in self.verdicts().values()]
        if not lines:
            lines = ["no score: give tune() score= or expect=, or rate the answers: .blind()"]
        if self.missing:
            made, all_ = len(self.tries), len(self.plan.steps)
            lines.append(
                f"{made} of {all_} tries were made → the same tune() again goes on from here"
            )
        return [words.one_line(line) for line in lines]

    def __str__(self) -> str:
        rows = self._summary()
        return "\n".join([sheet.text_of(HEADS, rows, self.title), *self.told()])

    def __repr__(self) -> str:
        return f"<Table of {self.title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        table = sheet.html_of(HEADS, self._summary(), self.title)
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self.told())
        page = f"{table}{lines}{sheet.answers_html(self.tries)}"
        return frame.bundle(page, str(self))

    @property
    def title(self) -> str:
        """What was asked."""
        plan = self.plan
        counts = f"{len(plan.variants)} variants × {len(plan.questions)} questions"
        return f"tuning {plan.stage}: {counts}{f' × {plan.repeats}' if plan.repeats > 1 else ''}"

    def _done(self) -> list[Try]:
        return [each for each in self.tries if each.is_done]

    def _summary(self) -> list[sheet.Row]:
        """A row of HEADS for each variant."""
        values = {by: values_of(self._done(), by) for by in ("score", "rating")}
        return [
            (
                variant.name,
                *_figures(
                    [each for each in self.tries if each.name == variant.name],
                    *(values[by].get(variant.name, {}) for by in ("score", "rating")),
                ),
            )
            for variant in self.plan.variants
        ]


def _figures(
    tries: Sequence[Try], scores: Mapping[str, float], ratings: Mapping[str, float]
) -> sheet.Row:
    done = [each for each in tries if each.is_done]
    failed = len(tries) - len(done)
    told = [each.figures for each in done]
    tokens = _median([each.output_tokens for each in told])
    rate = _median([each.rate for each in told])
    trust = _median([each.confidence for each in told])
    hows = {each.how for each in told}
    return (
        f"{len(done)}{f', {failed} failed' if failed else ''}",
        _mean(scores),
        _mean(ratings),
        sheet.seconds(_median([each.ttft for each in told])),
        sheet.seconds(_median([each.total for each in told])),
        "" if rate is None else f"{rate:.0f}",
        "" if tokens is None else f"{tokens:.0f}",
        "" if trust is None or len(hows) > 1 else words.trusted(trust, told[0].how),
        ", ".join(sorted({short(each.model, 40) for each in told})),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _mean(values: Mapping[str, float]) -> str:
    """The mean over the questions with its interval, and a bar where it is a share."""
    known = list(values.values())
    if not known:
        return ""
    mean = mean_of(known)
    bar = f"{_bar(mean.value)} " if all(0 <= value <= 1 for value in known) else ""
    return f"{bar}{mean.value:.2f}{_range(mean, known)}"


def _range(mean: Interval, values: Sequence[float]) -> str:
    if len(values) < _FEW and not set(values) <= {0.0, 1.0}:
        return ""
    return f" ({mean.low:.2f}–{mean.high:.2f})"


def _bar(share: float) -> str:
    full = round(share * _CELLS)
    return "█" * full + "░" * (_CELLS - full)


def _row(tried: Try) -> dict[str, object]:
    told = tried.figures
    return {
        "variant": tried.name,
        "question": tried.question,
        "repeat": tried.repeat,
        "answer": tried.answer,
        "score": tried.score,
        "rating": tried.rating,
        "confidence": told.confidence,
        "how": told.how,
        "ttft": told.ttft,
        "total": told.total,
        "tpot": told.tpot,
        "tokens": told.output_tokens,
        "model": told.model,
        "ended": told.ended,
        "error": tried.why,
    }
