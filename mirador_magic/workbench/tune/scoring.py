"""The score of an answer: by the user's function, or by a pattern that is expected in it."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from mirador_magic.errors import UsageError
from mirador_magic.workbench.tune.tries import Try

Score = Callable[[str, str], float | Awaitable[float]]  # of a question and the answer to it
Pattern = str | re.Pattern[str]
Expect = Pattern | Mapping[str, Pattern] | Sequence[Pattern]


def score_of(score: Score | None, expect: Expect | None, questions: Sequence[str]) -> Score | None:
    """How answers are scored; None where neither is given.

    `expect` is one pattern for all questions, one for each in their order, or one by question: 1 where
    it is found in the answer, whatever the case, else 0. Raises UsageError for what cannot be.
    """
    if expect is None:
        return score
    if score is not None:
        raise UsageError("score and expect are both given", "give one of them")
    wanted = _by_question(expect, questions)
    return lambda question, answer: float(bool(wanted[question].search(answer)))


async def scored(tried: Try, score: Score) -> float:
    """The score of a try. What the user's function raises goes through."""
    value = score(tried.question, tried.answer)
    if inspect.isawaitable(value):
        value = await value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"the score {value!r} is not a number", "return one, such as 0 or 1")
    return number


def _by_question(expect: Expect, questions: Sequence[str]) -> dict[str, re.Pattern[str]]:
    if isinstance(expect, str | re.Pattern):
        return dict.fromkeys(questions, _compiled(expect))
    if isinstance(expect, Mapping):
        given = {str(question).strip(): pattern for question, pattern in expect.items()}
        missing = [question for question in questions if question not in given]
        if missing:
            raise UsageError(f"expect has no pattern for {missing[0]!r}", "give one for each")
        return {question: _compiled(given[question]) for question in questions}
    if len(expect) != len(questions):
        raise UsageError(
            f"expect has {len(expect)} patterns for {len(questions)} questions", "give one for each"
        )
    return {one: _compiled(other) for one, other in zip(questions, expect, strict=True)}


def _compiled(pattern: Pattern) -> re.Pattern[str]:
    if isinstance(pattern, re.Pattern):
        return pattern
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise UsageError(
            f"expect = {pattern!r} is no pattern: {error}", "for plain text: re.escape(…)"
        ) from None
