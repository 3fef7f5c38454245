"""The report's tables, as text and as HTML with inline styles alone.

A bar is the median, and behind it, fainter, the 95th percentile, or the largest of fewer than twenty
values, on the scale of its table.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mirador_magic.answer import words
from mirador_magic.confidence import GRAY
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.metrics.figures import Figures
from mirador_magic.workbench.metrics.summary import Group, Spread

_TEXT_BAR = 10  # characters
_HTML_BAR = 120  # pixels
_FAINT = f"{GRAY}55"


@dataclass(frozen=True)
class Line:
    """A line of a table: its name, its cells, and its bar's median and 95th percentile in 0..1."""

    name: str
    cells: tuple[str, ...]
    bar: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """A table: what it is about, the heads of its cells, its lines."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]


def as_text(report: Figures) -> str:
    """The report for a terminal, or a notebook without HTML."""
    return "\n\n".join([_title(report), *map(_text, _tables(report))])


def as_html(report: Figures) -> str:
    """The report for a notebook, which needs no kernel, no script and no style sheet."""
    title = f'<div style="{QUIET};margin:2px 0 8px">{html.escape(_title(report))}</div>'
    return f"{title}{''.join(map(_html, _tables(report)))}"


def _title(report: Figures) -> str:
    hours = f"{report.hours:g} hour{'' if report.hours == 1 else 's'}"
    if report.groups:
        return f"mirador · what was asked in the last {hours}"
    more = f"%mirador metrics --hours {max(report.hours * 7, 24):g}"
    return f"mirador · no figures of the last {hours} → {more}"


def _tables(report: Figures) -> list[Table]:
    if not report.groups:
        return []
    own = report.by in ("stage", "model")
    since = "the stage's request" if own else "the question"
    tables = [
        _counts(report),
        _times(f"first text, from {since}", report.groups, _firsts, words.seconds),
        _times("total, of what answered", report.groups, _totals, words.seconds),
        _times("per token after the first", report.groups, _tpots, _milliseconds),
    ]
    return [table for table in tables if table.lines]


def _counts(report: Figures) -> Table:
    groups = report.groups
    columns: dict[str, list[str]] = {
        "stages" if report.by in ("stage", "model") else "runs": [f"{g.count:,}" for g in groups],
        "answered": [_percent(g.success) for g in groups],
        "partly": [f"{g.partial:,}" for g in groups],
        "failed": [f"{g.failed:,}" for g in groups],
        "stopped": [f"{g.stopped:,}" for g in groups],
        "< 1 s": [_percent(g.under_1s) for g in groups],
        "tokens in": [_count(g.prompt_tokens) for g in groups],
        "out": [_count(g.output_tokens) for g in groups],
        "cold": [f"{g.colds:,}" for g in groups],
        "swaps": [f"{g.swaps:,}" for g in groups],
    }
    for head in ("partly", "failed", "stopped"):
        if set(columns[head]) <= {"0"}:
            del columns[head]
    cells = zip(*columns.values(), strict=True)
    lines = [Line(words.one_line(g.name), each) for g, each in zip(groups, cells, strict=True)]
    return Table("", tuple(columns), tuple(lines))


Spreads = Iterator[tuple[str, Spread | None]]


def _firsts(group: Group) -> Spreads:
    yield group.name, group.first
    if group.cold:
        yield "· warm", group.warm
        yield "· cold", group.cold


def _totals(group: Group) -> Spreads:
    yield group.name, group.total


def _tpots(group: Group) -> Spreads:
    yield group.name, group.tpot


def _times(
    title: str,
    groups: Sequence[Group],
    of: Callable[[Group], Spreads],
    told: Callable[[float], str],
) -> Table:
    spreads = [(name, spread) for group in groups for name, spread in of(group) if spread]
    longest = max((_long(spread) for _, spread in spreads), default=0.0) or 1.0
    lines = [
        Line(
            words.one_line(name),
            (
                f"{each.count:,}",
                *("too few" if value is None else told(value) for value in _shown(each)),
            ),
            (min(each.median / longest, 1.0), min(_long(each) / longest, 1.0)),
        )
        for name, each in spreads
    ]
    return Table(title, ("n", "mean", "median", "p95", "p99", "min", "max"), tuple(lines))


def _long(spread: Spread) -> float:
    """Where its fainter bar ends."""
    return spread.high if spread.p95 is None else spread.p95


def _shown(spread: Spread) -> tuple[float | None, ...]:
    return spread.mean, spread.median, spread.p95, spread.p99, spread.low, spread.high


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.1f} ms"


def _percent(share: float) -> str:
    """Rounded down, so that one failure of a thousand runs shows."""
    return f"{math.floor(100 * share + 1e-9)} %"


def _count(tokens: int | None) -> str:
    return "–" if tokens is None else f"{tokens:,}"


def _text(table: Table) -> str:
    rows = [(table.title, *table.heads), *((line.name, *line.cells) for line in table.lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    bars = [None, *(line.bar for line in table.lines)]
    shown = []
    for (name, *cells), bar in zip(rows, bars, strict=True):
        padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        shown.append("  ".join([f"{name:{widths[0]}}", *padded, _text_bar(bar)]).rstrip())
    return "\n".join(shown)


def _text_bar(bar: tuple[float, float] | None) -> str:
    if bar is None:
        return ""
    median, p95 = (max(round(share * _TEXT_BAR), 1) for share in bar)
    return "█" * median + "░" * max(p95 - median, 0)


def _html(table: Table) -> str:
    heads = "".join(_cell(f'<span style="{QUIET}">{html.escape(h)}</span>') for h in table.heads)
    title = _cell(f'<span style="{QUIET}">{html.escape(table.title)}</span>', "left")
    lines = "".join(_html_line(line) for line in table.lines)
    return f'<table style="margin:0 0 12px"><tr>{title}{heads}<td></td></tr>{lines}</table>'


def _html_line(line: Line) -> str:
    cells = "".join(_cell(html.escape(cell)) for cell in line.cells)
    bar = _cell(_html_bar(line.bar), "left")
    return f"<tr>{_cell(html.escape(line.name), 'left')}{cells}{bar}</tr>"


def _cell(inner: str, align: str = "right") -> str:
    return f'<td style="text-align:{align};padding:1px 10px 1px 0">{inner}</td>'


def _html_bar(bar: tuple[float, float] | None) -> str:
    if bar is None:
        return ""
    median, p95 = (max(round(share * _HTML_BAR), 1) for share in bar)
    parts = [(median, GRAY), (max(p95 - median, 0), _FAINT)]
    spans = "".join(
        f'<span style="display:inline-block;width:{width}px;height:9px;background-color:{colour}">'
        "</span>"
        for width, colour in parts
        if width
    )
    return f'<span style="white-space:nowrap">{spans}</span>'
