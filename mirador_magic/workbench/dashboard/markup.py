"""The board as HTML with inline styles alone, so that it is legible in a saved notebook too."""

from __future__ import annotations

import html
import time
from itertools import groupby

from mirador_magic.answer import words
from mirador_magic.views import frame
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.dashboard.board import (
    IDLE,
    NO_RUN,
    TITLE,
    Board,
    going_line,
    memory_line,
    notes,
    plain,
    spark_parts,
    when,
)
from mirador_magic.workbench.dashboard.figures import WINDOW, Figures, Past, tiles
from mirador_magic.workbench.dashboard.going import Going

_AGAIN = "to have it live: %mirador dashboard"
_CELL = "padding:1px 16px 1px 0;text-align:left;vertical-align:top;border:0;background:none"
_TILE = "display:inline-block;padding:0 18px 6px 0"
_BARS = "font-family:monospace;font-size:18px;line-height:1.2"


def going_html(board: Board) -> str:
    """What runs now."""
    if not board.going:
        return f'<div style="{QUIET};margin:0 0 8px">{IDLE}</div>'
    return "".join(map(_going, board.going))


def past_html(figures: Figures, now: float) -> str:
    """What the last runs were like; `now` is in seconds since 1970."""
    if not figures.runs:
        return f'<div style="{QUIET};margin:0 0 8px">{html.escape(NO_RUN)}</div>'
    shown = "".join(f'<span style="{_TILE}">{_tile(*each)}</span>' for each in tiles(figures))
    return f"<div>{shown}</div>{_spark(figures)}{_last(figures, now)}"


def foot_html(board: Board) -> str:
    """What is in memory, and what there is to say."""
    lines = [*filter(None, [memory_line(board)]), *notes(board.notes)]
    return "".join(f'<div style="{QUIET}">{html.escape(line)}</div>' for line in lines)


def twin(board: Board, now: float) -> dict[str, str]:
    """The board without what runs, as it is saved."""
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    head = f"as of {at}; {_AGAIN}"
    quiet = f'<div style="{QUIET};margin:2px 0 8px">{TITLE} · {head}</div>'
    inside = f"{quiet}{past_html(board.figures, now)}{foot_html(board)}"
    return frame.bundle(inside, f"{plain(board, now)}\n{head}")


def _going(going: Going) -> str:
    line, question = html.escape(going_line(going)), html.escape(words.one_line(going.question))
    style = "border-left:3px solid;padding:0 0 0 12px;margin:0 0 8px;overflow-wrap:anywhere"
    return f'<div style="{style}"><div>{line}</div><div style="{QUIET}">{question}</div></div>'


def _tile(value: str, what: str) -> str:
    return f'<b style="font-size:17px">{value}</b> <span style="{QUIET}">{html.escape(what)}</span>'


def _spark(figures: Figures) -> str:
    """Bars of the first tokens: cyan within a second, red for a failure."""
    before, bars, after = spark_parts(figures, 2 * WINDOW)
    colours = [past.colour for past in figures.runs[-len(bars) :]]
    runs = groupby(zip(colours, bars, strict=True), lambda each: each[0])
    shown = "".join(_coloured("".join(bar for _, bar in same), colour) for colour, same in runs)
    label = html.escape(f"first token of {before.strip()}, the oldest first:{after}")
    quiet = f'<span style="{QUIET}">{label}</span>'
    return f'<div style="margin:0 0 8px">{quiet}<div style="{_BARS}">{shown}</div></div>'


def _coloured(text: str, colour: str | None) -> str:
    return f'<span style="color:{colour}">{text}</span>' if colour else text


def _last(figures: Figures, now: float) -> str:
    """The last runs as a table."""
    head = _row("th", ["last runs", "first token", "total", "tokens", "", ""], QUIET)
    rows = "".join(_row("td", _cells(past, now)) for past in figures.last)
    return f'<table style="border:0;margin:0 0 8px;font-size:13px">{head}{rows}</table>'


def _cells(past: Past, now: float) -> list[str]:
    useful = past.run.useful
    first = "—" if useful is None else words.seconds(useful)
    tokens = "—" if past.tokens is None else f"{past.tokens:,}"
    return [
        *(when(past.at, now), first, words.seconds(past.run.total), tokens),
        *(past.ended, past.asked[:80] + "…" * (len(past.asked) > 80)),
    ]


def _row(kind: str, cells: list[str], style: str = "") -> str:
    style = f"{_CELL};font-weight:normal;{style}".rstrip(";")
    return (
        "<tr>"
        + "".join(f'<{kind} style="{style}">{html.escape(cell)}</{kind}>' for cell in cells)
        + "</tr>"
    )
