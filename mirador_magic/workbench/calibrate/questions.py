"""Questions with labels: how they are read, and how an answer to one is graded.

A line of JSON for each question, with one of these beside it:

    {"question": "Capital of France?", "exact": "Paris"}       or a list of what is right
    {"question": "17 * 23?", "number": 391, "within": 0.5}     `within` is absolute; without, exactly
    {"question": "Who wrote Faust?", "pattern": "goethe"}      a regular expression, in any case
    {"question": "Is this text clear? …", "thumbs": true}      you are asked what you think of it
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mirador_magic.errors import UsageError

How = Literal["exact", "number", "pattern", "thumbs"]

WAYS: tuple[How, ...] = ("exact", "number", "pattern", "thumbs")
_EXAMPLE = '{"question": "17 * 23?", "number": 391}'
_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ENDS = " \t.,;:!?。！？*_`\"'“”"


@dataclass(frozen=True)
class Labelled:
    """A question and what makes an answer to it right."""

    question: str
    how: How
    expected: tuple[str, ...] = ()
    number: float = 0.0
    within: float = 0.0

    def grade(self, text: str) -> bool | None:
        """Whether this answer is right; None where somebody has to be asked."""
        match self.how:
            case "exact":
                return _plain(text) in map(_plain, self.expected)
            case "number":
                return _is_number(text, self.number, self.within)
            case "pattern":
                flags = re.IGNORECASE | re.MULTILINE
                return any(re.search(pattern, text, flags) for pattern in self.expected)
            case "thumbs":
                return None


def read(questions: str | Path | Iterable[object]) -> list[Labelled]:
    """From a file of JSON lines, or as values of the same shape. Raises UsageError, with the place."""
    if isinstance(questions, str | Path):
        return [_line(text, place) for text, place in _lines(Path(questions))]
    found = [
        each if isinstance(each, Labelled) else _labelled(each, f"question {number}")
        for number, each in enumerate(_rows(questions), 1)
    ]
    if not found:
        raise UsageError("there are no questions", f"calibrate([{_EXAMPLE}])")
    return found


def _rows(questions: Iterable[object]) -> Iterable[object]:
    """A DataFrame's are its rows, without the columns that are empty in them."""
    records = getattr(questions, "to_dict", None)
    if records is None or isinstance(questions, Mapping):
        return questions
    return [
        {k: v for k, v in row.items() if v is not None and not _is_nan(v)}
        for row in records("records")
    ]


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _lines(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{file} cannot be read: {error}", f"write a line for each question: {_EXAMPLE}"
        ) from error
    found = [(line, f"{file.name}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise UsageError(f"{file} has no questions", f"write a line for each: {_EXAMPLE}")
    return found


def _line(text: str, place: str) -> Labelled:
    try:
        return _labelled(json.loads(text), place)
    except ValueError as error:
        raise UsageError(f"{place} is no JSON: {error}", f"write {_EXAMPLE}") from error


def _labelled(told: object, place: str) -> Labelled:
    if not isinstance(told, Mapping) or not str(told.get("question") or "").strip():
        raise UsageError(f"{place} has no question", f"write {_EXAMPLE}")
    ways = [way for way in WAYS if told.get(way) is not None]
    if len(ways) != 1:
        raise UsageError(
            f"{place} has {len(ways) or 'no'} labels; one of these is needed: {', '.join(WAYS)}",
            f"write {_EXAMPLE}",
        )
    (way,) = ways
    value = told[way]
    question = str(told["question"])
    if way == "number":
        number, within = (_float(each, place) for each in (value, told.get("within", 0.0)))
        return Labelled(question, way, number=number, within=within)
    texts = tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
    for pattern in texts if way == "pattern" else ():
        _compile(pattern, place)
    return Labelled(question, way, () if way == "thumbs" else texts)


def _float(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{place}: {value!r} is not a number", f"write {_EXAMPLE}")
    return float(value)


def _compile(pattern: str, place: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"{place}: {pattern!r} is no regular expression: {error}",
            'put a \\\\ before each sign that stands for itself: "3\\\\.5"',
        ) from error


def _plain(text: str) -> str:
    """Without case, spacing, marks of emphasis and punctuation at its ends."""
    return " ".join(text.casefold().split()).strip(_ENDS)


def _is_number(text: str, number: float, within: float) -> bool:
    """Whether the last number of the answer is this one: what stands before it is the working."""
    found = _NUMBER.findall(text)
    if not found:
        return False
    last = float(found[-1].replace(",", "").replace("−", "-"))
    return abs(last - number) <= max(within, 1e-9 * abs(number))
