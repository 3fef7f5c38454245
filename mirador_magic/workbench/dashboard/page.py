"""The board as the lines of a terminal's page, of any size from 40×10."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from rich.text import Text

from mirador_magic.answer import words
from mirador_magic.confidence import CYAN, RED
from mirador_magic.workbench.dashboard.board import (
    IDLE,
    TITLE,
    Board,
    figure_lines,
    going_line,
    memory_line,
    notes,
    past_line,
    spark_parts,
)
from mirador_magic.workbench.dashboard.figures import Figures, Past
from mirador_magic.workbench.dashboard.going import Going

KEYS = "q quit · t test question"

# By name: the terminal's own, which its theme makes legible.
_COLOURS = {CYAN: "cyan", RED: "red", None: ""}

Block = tuple[Sequence[Text], int]  # its lines, and how many of them are wanted at the least


def page(
    board: Board, width: int, height: int, now: float, told: Callable[[str], str] = str
) -> list[Text]:
    """At most `height` lines of at most `width` cells; `now` is in seconds since 1970.

    `told` has the lines that name commands as the place has them.
    """
    room = max(height - 2, 0)
    going = [line for each in board.going for line in _going(each)] or [Text(IDLE, "dim")]
    last = [_past(past, now) for past in board.figures.last]
    foot = [line for note in notes(board.notes) for line in textwrap.wrap(told(note), width)]
    least = 2 if foot else 1
    foot += filter(None, [memory_line(board)])
    blocks: list[Block] = [
        (going[: max(2, room // 2)], 2),
        (_figures(board.figures, width, told), 4),
        (last, 1),
        ([Text(line, "dim") for line in foot], least),
    ]
    lines = [Text(TITLE, "bold"), *_fitted(blocks, room), Text(KEYS, "dim")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _fitted(blocks: Sequence[Block], room: int) -> list[Text]:
    """The first lines of each block, in `room` lines: what is wanted least of all, then the rest.

    What is left over at the end stands empty between the blocks and below them.
    """
    taken = []
    left = room
    for lines, least in blocks:
        taken.append(min(least, len(lines), left))
        left -= taken[-1]
    for place, (lines, _) in enumerate(blocks):
        more = min(len(lines) - taken[place], left)
        taken[place] += more
        left -= more
    shown = [list(lines[:take]) for (lines, _), take in zip(blocks, taken, strict=True) if take]
    fitted: list[Text] = []
    for number, lines in enumerate(shown):
        if number and left:
            left -= 1
            fitted.append(Text())
        fitted += lines
    return [*fitted, *(Text() for _ in range(left))]


def _going(going: Going) -> list[Text]:
    asked = Text(f"  {words.one_line(going.question)}", "dim")
    return [Text.assemble("▌ ", going_line(going)), asked]


def _figures(figures: Figures, width: int, told: Callable[[str], str]) -> list[Text]:
    lines = [Text(told(line)) for line in figure_lines(figures, width)]
    return [*lines, _spark(figures, width)] if figures.runs else lines


def _spark(figures: Figures, width: int) -> Text:
    before, bars, after = spark_parts(figures, width)
    text = Text(before, "dim")
    for past, bar in zip(figures.runs[-len(bars) :], bars, strict=True):
        text.append(bar, _COLOURS[past.colour])
    return text.append(after, "dim")


def _past(past: Past, now: float) -> Text:
    return Text.assemble(("● ", _COLOURS[past.colour]), past_line(past, now))
