"""A benchmark as it is shown: its tables as HTML and as text, while it runs and at its end.

Inline styles only, so that a notebook that is not trusted shows the same; all text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from mirador_magic.answer.words import one_line, seconds
from mirador_magic.confidence import CYAN
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.benchmark import figures
from mirador_magic.workbench.benchmark.figures import MEASURES, Estimate, Ratio, Row
from mirador_magic.workbench.benchmark.measured import Measured
from mirador_magic.workbench.benchmark.plot import dots, text_plot

HEAD = ("", "runs", MEASURES["useful"], MEASURES["total"], "tokens/s")
RATIO_HEAD = ("", "pairs", MEASURES["useful"], MEASURES["total"], "")

_CELL = "padding:2px 18px 2px 0;text-align:left;vertical-align:top"
_FAINT = "#80808040"

Table = Sequence[Sequence[str]]


def left(value: float | None) -> str:
    """A time that is left, for people."""
    if value is None:
        return "time left: not known yet"
    if value < 100:
        return f"about {max(round(value), 1)} s left"
    minutes = round(value / 60)
    return f"about {minutes} min left" if minutes < 100 else f"about {minutes / 60:.1f} h left"


def live(result: Measured, seconds_left: float | None, doing: str) -> str:
    """While it runs: how far it is, the medians so far, and every point."""
    share = 100 * len(result.points) / max(result.planned, 1)
    bar = (
        f'<div style="height:6px;max-width:560px;background-color:{_FAINT};margin:4px 0">'
        f'<div style="height:6px;width:{share:.1f}%;background-color:{CYAN}"></div></div>'
    )
    told = f"{len(result.points)} of {result.planned} runs · {left(seconds_left)}"
    rows = figures.rows(result)
    parts = (
        _quiet(_head(result), extra="padding-right:80px"),
        bar,
        _quiet(f"{told} · {_short(doing)}" if doing else told),
        _html_table(HEAD, _cells(rows), _lengths(rows)),
        dots(result),
    )
    return "".join(parts)


def page(result: Measured, *, plotted: bool) -> str:
    """At its end, as HTML. `plotted`: the points as text too, where no picture shows them."""
    rows = figures.rows(result)
    parts = [_quiet(_head(result)), f'<p style="margin:6px 0">{_escaped(_told(result))}</p>']
    parts.append(_html_table(HEAD, _cells(rows), _lengths(rows)))
    for title, ratios in _ratio_tables(result):
        if ratios:
            table = _html_table((title, *RATIO_HEAD[1:]), _ratio_cells(ratios), [])
            parts.append(table)
    if plotted:
        plot = html.escape(text_plot(result))
        parts.append(f'<pre style="line-height:1.25;overflow:auto">{plot}</pre>')
    parts += [_quiet(line) for line in _foot(result)]
    return "".join(parts)


def text(result: Measured) -> str:
    """The same as plain text."""
    blocks = [one_line(_head(result)), one_line(_told(result))]
    blocks.append(_text_table(HEAD, _cells(figures.rows(result))))
    for title, ratios in _ratio_tables(result):
        if ratios:
            blocks.append(_text_table((title, *RATIO_HEAD[1:]), _ratio_cells(ratios)))
    blocks += [text_plot(result), "\n".join(map(one_line, _foot(result)))]
    return "\n\n".join(blocks)


def _head(result: Measured) -> str:
    many = len(result.questions)
    asked = f"{many} question{'s' * (many != 1)}"
    engine = result.machine.get("engine", "")
    parts = ["mirador benchmark", result.title, asked, f"{len(result.points)} runs", engine]
    return " · ".join(filter(None, parts))


def _told(result: Measured) -> str:
    """The sentence, and the one of what changed."""
    return " ".join(filter(None, (figures.sentence(result), figures.change_sentence(result))))


def _cells(rows: Sequence[Row]) -> Table:
    return [
        (
            f"{row.arm}, {'cold' if row.cold else 'warm'}",
            f"{row.runs - row.failed} of {row.runs}" if row.failed else str(row.runs),
            _time(row.useful),
            _time(row.total),
            _rate(row.rate),
        )
        for row in rows
    ]


def _time(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    told, interval = seconds(estimate.value), estimate.interval
    return f"{told} ({seconds(interval.low)} to {seconds(interval.high)})" if interval else told


def _rate(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    told, interval = f"{estimate.value:.0f}", estimate.interval
    return f"{told} ({interval.low:.0f} to {interval.high:.0f})" if interval else told


def _ratio_tables(result: Measured) -> list[tuple[str, list[Ratio]]]:
    tables = [("ratio", figures.ratios(result))]
    if result.earlier:
        name = result.earlier_name
        tables.append(("ratio to then", figures.changes(result, result.earlier, name)))
    return tables


def _ratio_cells(ratios: Sequence[Ratio]) -> Table:
    """A row for each pair of arms, warm or cold, with the ratio in each measure."""
    found: dict[tuple[str, str, bool], dict[str, Estimate]] = {}
    for ratio in ratios:
        own = found.setdefault((ratio.arm, ratio.against, ratio.cold), {})
        own[ratio.measure] = ratio.estimate
    return [
        (
            f"{arm} / {against}, {'cold' if cold else 'warm'}",
            str(own["total"].count),
            _ratio(own.get("useful")),
            _ratio(own.get("total")),
            "",
        )
        for (arm, against, cold), own in found.items()
    ]


def _ratio(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    told, interval = _share(estimate.value), estimate.interval
    if interval is None:
        return f"{told}, too few to tell"
    return f"{told} ({_share(interval.low)} to {_share(interval.high)})"


def _share(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _foot(result: Measured) -> list[str]:
    """What was measured where, and what is to be known about it."""
    told = [f"{name} {value}" for name, value in result.machine.items() if value]
    lines = [" · ".join([*told, result.began]), *filter(None, [_models(result)])]
    if any(arm.at_end for arm in result.arms):
        lines.append(
            "traditional: its first useful text comes with its end, since all is shown then"
        )
    if any(row.total and row.total.interval for row in figures.rows(result)):
        lines.append("medians; in parentheses: 95 % intervals; ratios: medians over the pairs")
    failed = sum(not each.counts for each in result.points)
    if failed:
        kinds = sorted({each.error or each.outcome for each in result.points if not each.counts})
        lines.append(f"{failed} not counted, which failed wholly or in part: {', '.join(kinds)}")
    if loads := sum((each.load or 0) >= 0.5 and not each.cold for each in result.points):
        lines.append(f"{loads} warm runs loaded a model on the way")
    return [*lines, *_since(result), *result.notes]


def _models(result: Measured) -> str:
    """Which model answered in which stage."""
    answered = [zip(each.stages, each.models, strict=True) for each in result.points]
    return ", ".join(dict.fromkeys(f"{stage} {model}" for run in answered for stage, model in run))


def _since(result: Measured) -> list[str]:
    """The earlier one, and what was different there."""
    then = result.earlier
    if then is None:
        return []
    others = [
        f"{name} {then.machine[name]}"
        for name, value in result.machine.items()
        if then.machine.get(name, value) != value
    ]
    others += [_models(then)] if _models(then) != _models(result) else []
    different = f"; there it was {', '.join(others)}" if others else ""
    return [f"compared with {result.earlier_name}, of {then.began}{different}"]


def _lengths(rows: Sequence[Row]) -> list[tuple[int, float]]:
    """For each row the column of its bar and the bar's share of the longest."""
    values = [row.useful.value if row.useful else 0.0 for row in rows]
    most = max(values, default=0.0)
    return [(2, value / most) for value in values] if most else []


def _quiet(text: str, extra: str = "") -> str:
    return f'<div style="{QUIET};{extra}">{_escaped(text)}</div>'


def _escaped(text: str) -> str:
    return html.escape(one_line(text))


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 90 else f"{text[:89]}…"


def _html_table(head: Sequence[str], table: Table, bars: Sequence[tuple[int, float]]) -> str:
    if not table:
        return ""
    titles = "".join(f'<th style="{_CELL};{QUIET}">{_escaped(each)}</th>' for each in head)
    lines = [f"<tr>{titles}</tr>"]
    for number, row in enumerate(table):
        column, share = bars[number] if bars else (-1, 0.0)
        cells = [
            f'<td style="{_CELL}">{_escaped(cell)}{_bar(share) if at == column else ""}</td>'
            for at, cell in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    style = "border-collapse:collapse;margin:6px 0;font-size:13px"
    return f'<table style="{style}">{"".join(lines)}</table>'


def _bar(share: float) -> str:
    return (
        f'<div style="height:3px;width:{max(100 * share, 1):.0f}%;background-color:{CYAN}"></div>'
    )


def _text_table(head: Sequence[str], table: Table) -> str:
    rows = [tuple(map(one_line, row)) for row in (head, *table)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
