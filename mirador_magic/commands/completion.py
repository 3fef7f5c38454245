"""What may come next on a magic's line: verbs, options, stages, models and other values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mirador_magic.answer.answer import KINDS
from mirador_magic.commands.line import ASK, VERBS, Known
from mirador_magic.engines.known_models import KNOWN
from mirador_magic.settings.keys import ENGINES

_LINE = re.compile(r"(?s)(?:.*\n)?\s*(?:\w+\s*=\s*)?(%%?)mirador\s+([^\n]*)$")


def complete(
    before: str, stages: Sequence[str], models: Sequence[str]
) -> tuple[str, list[str]] | None:
    """The fragment at the cursor and what may stand in its place; None where the line is none of ours.

    `before` is the text before the cursor, `stages` and `models` the names that are known.
    """
    line = _LINE.match(before)
    if line is None or (line[1] == "%%" and "\n" in before.strip()):
        return None
    *words, fragment = re.split(r"\s+", line[2].lstrip())
    verb = next((word for word in words if line[1] == "%" and word in VERBS), "")
    known = VERBS[verb] if verb else ASK
    values = {
        "--stages": stages,
        "--model": models,
        "--engine": ENGINES,
        "--as": KINDS,
        "--think": ("on", "off"),
    }
    if words and words[-1] in values and words[-1] in known:
        taken: list[str] = []
        if words[-1] == "--stages":
            *taken, fragment = fragment.split(",")
        return fragment, _starting(fragment, [e for e in values[words[-1]] if e not in taken])
    if fragment.startswith("-"):
        return fragment, _starting(fragment, [each for each in known if each not in words])
    return fragment, _starting(fragment, _words(line[1], verb, words, known, stages, models))


def _words(
    percent: str,
    verb: str,
    words: Sequence[str],
    known: Known,
    stages: Sequence[str],
    models: Sequence[str],
) -> Iterable[str]:
    """What may stand where no option is begun."""
    if verb in ("warm", "pull"):
        return models if verb == "warm" else (*KNOWN, "hf:")
    if any(known.get(word) for word in words[-1:]):  # a value that nobody can know
        return ()
    if percent == "%" and not verb and all(word.startswith("-") for word in words):
        return VERBS
    return ()


def _starting(fragment: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(fragment)]
