"""What may come next on a magic's line: verbs, options, stages, models and other values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mirador_magic.commands.command import Values
from mirador_magic.commands.line import VERBS

_LINE = re.compile(r"(?s)(?:.*\n)?\s*(?:\w+\s*=\s*)?(%%?)mirador\s+([^\n]*)$")


def complete(
    before: str, stages: Sequence[str], models: Sequence[str]
) -> tuple[str, list[str]] | None:
    """The fragment at the cursor and what may stand in its place; None where the line is none of ours.

    `before` is the text before the cursor, `stages` and `models` the names that are known.
    """

    def known(values: Values) -> Sequence[str]:
        return {"stages": stages, "models": models}[values] if isinstance(values, str) else values

    line = _LINE.match(before)
    if line is None or (line[1] == "%%" and "\n" in before.strip()):
        return None
    *words, fragment = re.split(r"\s+", line[2].lstrip())
    verbs = [each.name for each in VERBS.values() if line[1] == "%" or each.in_cell]
    verb = next((word for word in words if word in verbs), "")
    options = VERBS[verb or "ask"].known("notebook")
    if words and (option := options.get(words[-1])) and option.value:
        taken: list[str] = []
        if option.several:
            *taken, fragment = fragment.split(",")
        return fragment, _starting(fragment, [e for e in known(option.values) if e not in taken])
    if fragment.startswith("-"):
        return fragment, _starting(fragment, [each for each in options if each not in words])
    if verb:
        return fragment, _starting(fragment, known(VERBS[verb].values))
    begun = any(not word.startswith("-") for word in words)
    return fragment, [] if begun else _starting(fragment, verbs)


def _starting(fragment: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(fragment)]
