"""Tables whose cells hold pipes: a row never loses what stands beyond its columns."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from markdown_it.rules_block import StateBlock, table

from mirador_magic.views.markdown.cut import MOST
from mirador_magic.views.markdown.maths import FORMULA

# Stands for a pipe that separates no cells; a text that was cleaned has no such character.
_BAR = "\x01"
_PIPE = re.compile(r"(?<!\\)\|")
_WHOLE = re.compile(rf"(?<!`)(?P<ticks>`++)[^`]+(?P=ticks)(?!`)|{FORMULA}")
_BELOW_HEADER = re.compile(r"[ \t|:]*-[ \t|:-]*")


def careful_table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A table, its rows' pipes looked at first.

    Rows are filled up to the header's columns: a few characters could ask for a million.
    """
    below = begin + 1 < end and _BELOW_HEADER.fullmatch(_line(state, begin + 1))
    if not below:
        return False
    rows = list(itertools.takewhile(lambda row: not state.isEmpty(row), range(begin, end)))
    if state.src.count("|", state.bMarks[begin], state.eMarks[begin]) * len(rows) >= 2 * MOST:
        return False
    source, made = state.src, len(state.tokens)
    state.src = _masked(state, rows, len(re.findall("-+", below[0])))
    try:
        found = table(state, begin, end, silent)
    finally:
        state.src = source
    for token in state.tokens[made:]:
        token.content = token.content.replace(_BAR, "|")
    return found


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _masked(state: StateBlock, rows: Sequence[int], columns: int) -> str:
    """The source, in each row no more pipes than separate its columns."""
    parts, end = [], 0
    for row in rows:
        begin = state.bMarks[row] + state.tShift[row]
        most = columns if row > rows[0] else MOST  # a header of other columns is none
        parts += [state.src[end:begin], _row(_line(state, row), columns, most)]
        end = state.eMarks[row]
    return "".join([*parts, state.src[end:]])


def _row(row: str, columns: int, most: int) -> str:
    """Where there are more cells than columns, what is in a formula or in code is no separator; beyond
    `most` cells the last one has the rest."""
    bars = _separators(row)
    if len(bars) < columns:
        return row
    whole = {at for part in _WHOLE.finditer(row) for at in range(*part.span())}
    kept = [at for at in bars if at not in whole][: most - 1]
    masked = {*bars} - {*kept}
    return "".join(_BAR if at in masked else mark for at, mark in enumerate(row))


def _separators(row: str) -> list[int]:
    """The pipes between two cells: not the one before the first, nor the one behind the last."""
    bars = [found.start() for found in _PIPE.finditer(row)]
    if bars and not row[: bars[0]].strip():
        bars = bars[1:]
    return bars[:-1] if bars and not row[bars[-1] + 1 :].strip() else bars
