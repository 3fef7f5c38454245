"""Tries as a sheet of rows: as HTML for a saved notebook, and as text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from mirador_magic.answer import words
from mirador_magic.views import frame
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.tune.tries import Try, changed, short

Row = Sequence[str]

_CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;white-space:{};background:none"
_LONG = 60  # characters of a question or an answer in a row
MOST = 50  # tries in a sheet, the newest

HEADS = ("try", "changed", "question", "answer", "first token", "total", "tok/s", "trust", "rating")


def rows_of(tries: Sequence[Try]) -> list[Row]:
    """A row of HEADS for each try, as against the one before it."""
    before = [None, *tries]
    return [
        (str(tried.number), changed(last, tried), *_what(tried), *figures(tried))
        for last, tried in zip(before, tries, strict=False)
    ]


def figures(tried: Try) -> tuple[str, str, str, str, str]:
    """First token, total, pace, confidence and rating of a try, for people."""
    told = tried.figures
    return (
        seconds(told.ttft),
        seconds(told.total),
        "" if told.rate is None else f"{told.rate:.0f}",
        "" if told.confidence is None or tried.why else words.trusted(told.confidence, told.how),
        "" if tried.rating is None else f"{tried.rating} of 5",
    )


def seconds(value: float | None) -> str:
    """A time for people, '' where there is none."""
    return "" if value is None else words.seconds(value)


def html_of(heads: Sequence[str], rows: Sequence[Row], title: str = "") -> str:
    """The rows as an HTML table with a small title above it; empty columns are left out."""
    heads, *rows = _filled(heads, rows)
    head = "".join(
        f'<th style="{_CELL.format("nowrap")};font-weight:600">{html.escape(name)}</th>'
        for name in heads
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    above = f'<div style="{QUIET}">{html.escape(title)}</div>' if title else ""
    style = "border-collapse:collapse;margin:4px 0;font-size:13px"
    return (
        f'{above}<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def text_of(heads: Sequence[str], rows: Sequence[Row], title: str = "") -> str:
    """The same as text, in columns."""
    table = [[words.one_line(cell) for cell in row] for row in _filled(heads, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([title, *lines] if title else lines)


def bundle(
    stage: str, tries: Sequence[Try], more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A stage's newest tries as a MIME bundle; `more` stands below, a heading and a text each."""
    title = f"mirador tuner · {stage} · {len(tries)} tr{'y' if len(tries) == 1 else 'ies'}"
    page, text = f'<div style="{QUIET}">{html.escape(title)}</div>', title
    if tries:
        rows = rows_of(tries)[-MOST:]
        page += html_of(HEADS, rows) + answers_html(tries[-MOST:])
        text += f"\n{text_of(HEADS, rows)}"
    for heading, each in (more or {}).items():
        page += code_html(heading, each)
        text += f"\n\n{heading}\n{each}"
    return frame.bundle(page, text)


def answers_html(tries: Sequence[Try]) -> str:
    """Every answer in full, in a fold."""
    parts = [
        f'<div style="{QUIET};margin-top:8px">{html.escape(_heading(tried))}</div>'
        f'<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere">'
        f"{html.escape(words.clean(tried.answer or tried.why).strip())}</div>"
        for tried in tries
    ]
    summary = f'<summary style="{QUIET};cursor:pointer">answers</summary>'
    return f"<details>{summary}{''.join(parts)}</details>"


def code_html(heading: str, code: str) -> str:
    """A few lines of code below a small heading."""
    shown = f'<pre style="margin:2px 0 8px;white-space:pre-wrap">{html.escape(code)}</pre>'
    return f'<div style="{QUIET}">{html.escape(heading)}</div>{shown}'


def _filled(heads: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """The heads and the rows, without the columns in which nothing stands."""
    columns = [each for each in zip(heads, *rows, strict=True) if any(each[1:])]
    return list(zip(*columns, strict=True))


def _cell(text: str) -> str:
    space = "normal" if len(text) > 24 else "nowrap"
    return f'<td style="{_CELL.format(space)}">{html.escape(words.one_line(text))}</td>'


def _what(tried: Try) -> tuple[str, str]:
    answer = tried.answer or (f"{tried.figures.ended}: {tried.why}" if tried.why else "(not kept)")
    return short(tried.question, _LONG) or "(not kept)", short(answer, _LONG)


def _heading(tried: Try) -> str:
    name = tried.name or f"try {tried.number}"
    return " · ".join(filter(None, [name, words.one_line(tried.question)]))
