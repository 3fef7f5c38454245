"""Which variant is better, as far as the answers show it."""

from __future__ import annotations

import itertools
import math
import operator
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mirador_magic.workbench import intervals
from mirador_magic.workbench.intervals import Interval
from mirador_magic.workbench.tune.tries import Try

By = Literal["score", "rating"]
Values = Mapping[str, Mapping[str, float]]  # variant → question → mean of its repeats

_LEVEL = 0.05
_EXACT = 12  # questions up to which all signs are tried
_DRAWS = 4000


@dataclass(frozen=True)
class Verdict:
    """The variant that is better than each other one, or None; and that as a sentence.

    `lead` is what it has more than the next best, in the mean over the questions.
    """

    winner: str | None
    text: str
    lead: Interval | None = None


def values_of(tries: Iterable[Try], by: By) -> dict[str, dict[str, float]]:
    """The mean score or rating of each variant for each question; only what has one."""
    found: dict[str, dict[str, list[float]]] = {}
    for tried in tries:
        value = tried.score if by == "score" else tried.rating
        if value is not None:
            found.setdefault(tried.name, {}).setdefault(tried.question, []).append(value)
    return {
        name: {question: statistics.fmean(each) for question, each in questions.items()}
        for name, questions in found.items()
    }


def verdict(values: Values, by: By = "score") -> Verdict:
    """The winner, by pairs over the questions that both variants answered.

    A winner leads each other variant with an interval above 0, and with signs that chance would give
    in less than 5 % of cases (exact sign flips; under six questions no lead can show that).
    """
    ranked = sorted(values, key=lambda name: -statistics.fmean(values[name].values()))
    if len(ranked) < 2:
        return Verdict(None, f"no difference shown: fewer than two variants have a {by}")
    best, *others = ranked
    leads = [(name, _differences(values[best], values[name])) for name in others]
    for name, differences in leads:
        if not _is_shown(differences):
            return Verdict(None, _not_shown(best, name, differences, by))
    name, differences = leads[0]
    lead = _interval(differences)
    figures = f"{by} {_mean(values[best])} against {_mean(values[name])} of {name}"
    over = f"{_told(lead)} over {len(differences)} questions"
    return Verdict(best, f"{best} is better: {figures}, {over}", lead)


def mean_of(values: Sequence[float]) -> Interval:
    """The mean of scores, one at least; a share's own interval where they are hits and misses."""
    if set(values) <= {0.0, 1.0}:
        return intervals.of_share(round(sum(values)), len(values))
    return intervals.of_difference(values, [0.0] * len(values))


def _differences(one: Mapping[str, float], other: Mapping[str, float]) -> list[float]:
    return [one[question] - other[question] for question in one if question in other]


def _is_shown(differences: Sequence[float]) -> bool:
    return bool(differences) and _interval(differences).low > 0 and chance(differences) < _LEVEL


def chance(differences: Sequence[float]) -> float:
    """How often signs that fall at random give a mean as far from 0 as this one, in 0..1."""
    moved = [abs(each) for each in differences if each]
    seen = abs(sum(differences)) - 1e-9

    def as_far(signs: Sequence[int]) -> bool:
        return math.fabs(sum(map(operator.mul, signs, moved))) >= seen

    if len(moved) <= _EXACT:
        return statistics.fmean(map(as_far, itertools.product((1, -1), repeat=len(moved))))
    rng = random.Random(7)
    drawn = sum(as_far(rng.choices((1, -1), k=len(moved))) for _ in range(_DRAWS))
    return (drawn + 1) / (_DRAWS + 1)  # the signs that were seen are among them


def _interval(differences: Sequence[float]) -> Interval:
    return intervals.of_difference(differences, [0.0] * len(differences))


def _not_shown(best: str, name: str, differences: Sequence[float], by: By) -> str:
    if len(differences) < 6:
        count = f"{len(differences)} question{'' if len(differences) == 1 else 's'}"
        why = f"{count} that both have a {by} for; it takes six or more"
    else:
        lead = _told(_interval(differences))
        why = f"{best} against {name}: {by} {lead} over {len(differences)} questions"
    return f"no difference shown: {why}"


def _told(lead: Interval) -> str:
    return f"{lead.value:+.2f} (95 %: {lead.low:+.2f} to {lead.high:+.2f})"


def _mean(values: Mapping[str, float]) -> str:
    return f"{statistics.fmean(values.values()):.2f}"
