"""The questions of a benchmark: the nine of the first Mirador, or the user's own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from mirador_magic.errors import UsageError

Given = Iterable[object] | str | Path | None

# Three simple ones, three medium, three complex.
THE_NINE = (
    "List three things",
    "What are my top priorities?",
    "Give me three tips",
    "What should I focus on today?",
    "How can I be more productive?",
    "What's the best approach to learning?",
    "Analyze my career trajectory and provide recommendations",
    "Create a comprehensive plan for improving my skills",
    "Explain the implications of AI on my industry",
)


def read(given: Given = None) -> tuple[str, ...]:
    """The questions, each once, in their order: the nine where none are given.

    A text or a Path names a file: one question a line, or a JSON list of them. Anything else is
    gone through, such as a list or the column of a DataFrame; what is missing there (None, NaN) is
    left out. Raises UsageError where there is no question, or no such file.
    """
    if given is None:
        return THE_NINE
    if isinstance(given, (str, Path)):
        return _some(_of_file(Path(given).expanduser()), str(given))
    if hasattr(given, "columns"):
        raise UsageError("a table has many columns", 'give one: benchmark(df["question"])')
    return _some([str(each) for each in given if not _is_missing(each)], "the list")


def of_text(text: str) -> tuple[str, ...]:
    """One question a line."""
    return _some(text.splitlines(), "the text")


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _of_file(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the questions in {path} cannot be read: {error}", 'a list: benchmark(["why?"])'
        ) from None
    return _of_json(text, path) if text.lstrip().startswith("[") else text.splitlines()


def _of_json(text: str, path: Path) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}", "one question a line will do") from None
    if not all(isinstance(each, str) for each in found):
        raise UsageError(f"{path} holds other things than texts", 'such as ["why?", "how?"]')
    return [str(each) for each in found]


def _some(lines: Iterable[str], source: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not found:
        raise UsageError(f"there is no question in {source}", "one a line; or none, for the nine")
    return found
