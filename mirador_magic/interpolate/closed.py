"""Where a text's braces are none of ours: in fences, backticks, literals, formulas and brackets.

All takes time linear in the text, which may be a paste of a million characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Spans = Iterator[tuple[int, int]]

_BRACKETS = 300_000  # of a text; behind so many all is data
_QUOTATIONS = 50_000  # so too of fences, of literals, of formulas

# Each begins with what is rare, so that the search for it is fast
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_BEFORE_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d+[.)][ \t]+)?")
_TICKS = re.compile(r"`+|\n(?:[ \t\r]*\n)+")
_FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
# A literal that braces may be code in: an f-string, one in triple quotes, "…".format
_LITERAL = re.compile(
    "|".join(
        rf"{q}(?:(?:(?<=[fF]{q})|(?<=[fF][rR]{q}))(?:{q}{q}.*?{q}{{3}}|(?:[^{q}\\\n]|\\.)*{q})"
        rf"|{q}{q}.*?{q}{{3}}|[^{q}\n]*{q}\s*\.format\b)"
        for q in "'\""
    ),
    re.DOTALL,
)
_F_BEFORE = re.compile(r"[fF][rR]?\Z")
# Elsewhere triple quotes set a text apart, as prompts do
_CODE_BEFORE = re.compile(r"(?:[=(,\[{+]|\breturn)\s*[rRbBuU]{0,2}\Z")
# A group without braces in it is of no interest, and one step instead of two
_BRACKET = re.compile(r"\{[^(){}\[\]\n]*\}|\([^(){}\[\]]*\)|\[[^(){}\[\]]*\]|[(){}\[\]]")
_OPENER = {")": "(", "]": "[", "}": "{"}


def closed_in(text: str) -> bytearray:
    """For each character of the text 1 where braces are not looked at, else 0."""
    closed = bytearray(len(text))
    for find in (_fenced, _ticked, _literals, _formulas, _bracketed):
        for start, end in find(text, closed):
            closed[start:end] = b"\1" * (end - start)
    return closed


def _fenced(text: str, closed: bytearray) -> Spans:
    """Blocks in fences; one that is not closed goes on to the end."""
    opened, fence = -1, ""
    for number, found in enumerate(_FENCE.finditer(text)):
        if number == _QUOTATIONS:
            opened = found.start() if opened < 0 else opened
            break
        line = text.rfind("\n", max(found.start() - 100, 0), found.start()) + 1
        if not _BEFORE_FENCE.fullmatch(text, line, found.start()):
            continue
        if opened < 0 and (found[1][0] == "~" or "`" not in found[2]):
            opened, fence = line, found[1]
        elif opened >= 0 and found[1].startswith(fence) and not found[2].strip():
            yield opened, found.end()
            opened = -1
    if opened >= 0:
        yield opened, len(text)


def _ticked(text: str, closed: bytearray) -> Spans:
    """`Inline code`: from a run of backticks to the next of its length in the paragraph."""
    runs: list[tuple[int, int]] = []
    for found in _TICKS.finditer(text):
        if found[0][0] == "\n" or closed[found.start()]:
            yield from _paired(runs)
            runs = []
        else:
            runs.append(found.span())
    yield from _paired(runs)


def _paired(runs: list[tuple[int, int]]) -> Spans:
    following: dict[int, int] = {}
    partners: list[int | None] = [None] * len(runs)
    for place in reversed(range(len(runs))):
        length = runs[place][1] - runs[place][0]
        partners[place] = following.get(length)
        following[length] = place
    place = 0
    while place < len(runs):
        partner = partners[place]
        if partner is not None:
            yield runs[place][0], runs[partner][1]
        place = 1 + (place if partner is None else partner)


def _literals(text: str, closed: bytearray) -> Spans:
    at = 0
    for _ in range(_QUOTATIONS):
        found = _LITERAL.search(text, at)
        if not found:
            return
        start = found.start()
        triple = found[0].startswith(("'''", '"""'))
        before = text[max(start - 20, 0) : start]
        if closed[start]:
            at = start + 1
        elif _F_BEFORE.search(before) or (
            _CODE_BEFORE.search(before) if triple else found[0][-1] == "t"
        ):
            yield start, found.end()
            at = found.end()
        else:
            at = start + (3 if triple else 1)
    yield at, len(text)


def _formulas(text: str, closed: bytearray) -> Spans:
    """TeX between dollars, which otherwise are money."""
    for number, found in enumerate(_FORMULA.finditer(text)):
        if number == _QUOTATIONS:
            yield found.start(), len(text)
            return
        if found[0].startswith("$$") or any(sign in found[0] for sign in "\\^") or "_{" in found[0]:
            yield found.span()


def _bracketed(text: str, closed: bytearray) -> Spans:
    """What brackets make code: nested braces, braces over lines, arguments and subscripts.

    Prose in parentheses may go over lines too: those of code open at a line's end or behind a word.
    """
    spans: list[tuple[int, int]] = []
    opened: list[tuple[str, int, int]] = []  # the bracket, its place, the braces before it
    count = {"(": 0, "[": 0, "{": 0}
    braces = 0
    for number, found in enumerate(_BRACKET.finditer(text)):
        at, sign = found.start(), found[0]
        if number == _BRACKETS:
            spans.append((at, len(text)))
            break
        if closed[at]:
            continue
        if len(sign) > 1:
            braces += sign[0] == "{"
        elif sign in count:
            opened.append((sign, at, braces))
            count[sign] += 1
        elif count[_OPENER[sign]]:
            kind, start, earlier = "", 0, 0
            while kind != _OPENER[sign]:
                kind, start, earlier = opened.pop()
                count[kind] -= 1
            if braces > earlier and (kind == "{" or _is_of_code(text, start, at)):
                spans.append((start, at + 1))
            braces += kind == "{"
    yield from _outermost(spans)


def _is_of_code(text: str, start: int, end: int) -> bool:
    before = text[max(start - 1, 0) : start]
    if before.isalnum() or before in frozenset("_)]\\"):
        return True
    if text[start] == "[" and text.find("\n", start, end) >= 0:
        return True
    return text[start + 1 : start + 100].lstrip(" \t\r").startswith("\n")


def _outermost(spans: list[tuple[int, int]]) -> Spans:
    reached = 0
    for start, end in sorted(spans):
        if end > reached:
            yield max(start, reached), end
            reached = end
