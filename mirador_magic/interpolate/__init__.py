"""`{name}` in a cell's question, filled with the notebook's value of it.

The text may be a paste from elsewhere. So what stands in braces is read, never run: names,
attributes, subscripts, sums, and calls of a known list of methods and builtins, on values whose
code is known not to act (`reading`). Of the notebook's own classes only stored attributes are read,
no properties and no methods; what runs of them is how they write themselves (`__repr__`), and their
operators where they are elements of what is added, sorted or compared (`sum`, `any`, `.mean()`).
Everything else stays byte for byte, and so do braces in code, fenced or not (`page`, `closed`).
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from mirador_magic.interpolate.page import Page
from mirador_magic.interpolate.reading import Namespace, written
from mirador_magic.interpolate.shown import shown

__all__ = ["Filled", "fill", "shown"]

_MOST = 10_000  # braces of a text: with more of them that name something, it is a paste
_FILLED = 1_000_000  # characters of values in one text

_BRACES = re.compile(r"\{([^{}\n]{1,200})\}")
_WORD = re.compile(r"[^\W\d]\w*")
_ENTRY = re.compile(r"[^(\[]*:\s")  # of a dict
_MORE_ON_LINE = re.compile(r"[^\S\n]*\S")


@dataclass(frozen=True)
class Filled:
    """A text with its values; `names` are the expressions that were replaced, in order, once each."""

    text: str
    names: tuple[str, ...]


def fill(text: str, namespace: Namespace) -> Filled:
    """The text with every `{expression}` that the namespace resolves; all else as it was."""
    hits = (hit for hit in _BRACES.finditer(text) if _names(hit[1], namespace))
    found = list(itertools.islice(hits, _MOST + 1))
    if not found or len(found) > _MOST:
        return Filled(text, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser about pasted code, of empty means
        return _fill(text, found, namespace)


def _names(inner: str, namespace: Namespace) -> bool:
    if inner[0].isspace() or inner[-1].isspace() or _ENTRY.match(inner):
        return False
    return any(word in namespace for word in _WORD.findall(inner))


def _fill(text: str, found: Sequence[re.Match[str]], namespace: Namespace) -> Filled:
    page = Page(text, [hit.start() for hit in found])
    values: dict[str, str | None] = {}
    replaced: dict[str, None] = {}
    pieces: list[str] = []
    at, room, laid = 0, _FILLED, "\n"
    for hit in found:
        start, end = hit.span()
        if not page.takes(start, end, at):
            continue
        if hit[1] not in values:
            values[hit[1]] = written(hit[1], namespace) if page.affords(hit[1]) else None
        value = values[hit[1]]
        if value is None or len(value) > room:
            continue
        lead = text[at:start]
        begun = not (lead or laid).endswith("\n")
        laid = _laid(value, begun, _MORE_ON_LINE.match(text, end) is not None)
        pieces += [lead, laid]
        replaced[hit[1]] = None
        at, room = end, room - len(value)
    return Filled("".join([*pieces, text[at:]]), tuple(replaced))


def _laid(value: str, begun: bool, goes_on: bool) -> str:
    """The value as it stands in its line: one of several lines stands on lines of its own."""
    if "\n" not in value:
        return value
    before = "\n" if begun else ""
    after = "\n" if goes_on and not value.endswith("\n") else ""
    return before + value + after
