"""A comparison as HTML and as plain text, each with all that there is to see without a kernel.

A column is a stage as the answers draw it, under its variant's name: the bar and the number of its
confidence, its state, seconds and pace in the head, its first token and its tokens below the text, and
what differs from the first column folded below that. Columns that find no room side by side wrap.
"""

from __future__ import annotations

from dataclasses import replace

from mirador_magic.answer import words
from mirador_magic.answer.answer import StageAnswer
from mirador_magic.answer.compare import compare
from mirador_magic.pipeline.metrics import StageMetrics
from mirador_magic.views import frame, static
from mirador_magic.workbench.compare.columns import Column, Columns

NARROWEST = 280  # px of a column; narrower ones stand below each other
GAP = 20  # px

_SIDES = f"display:flex;flex-wrap:wrap;gap:0 {GAP}px;align-items:flex-start"
_SIDE = f"flex-grow:1;flex-shrink:1;flex-basis:{NARROWEST}px;min-width:0"
_QUESTION = 70  # characters of it that are told


def bundle(result: Columns, run: str = "") -> dict[str, str]:
    """The MIME bundle. `run` is the name under which the controls know it, '' without buttons."""
    named = [f"mirador-run-{run}"] if run else []
    return frame.bundle(_html(result, run), plain(result), *named)


def plain(result: Columns) -> str:
    """All of it as text, the columns one below the other."""
    return "\n\n".join([header(result), *(block(result, each) for each in result.columns)])


def block(result: Columns, column: Column) -> str:
    """One column as text: its head, its answer, and a line for all there is to say of it."""
    stage = drawn(result, column)
    lines = [" · ".join(filter(None, (stage.name, words.stage_line(stage), words.trust(stage))))]
    lines += [words.clean(stage.text).strip()]
    lines += [f"({note})" for note in words.notes(stage)]
    if (first := _first(result, column)) and stage.status == "done":
        lines.append(f"(↺ {compare(first.text, stage.text).line(first.name)})")
    return "\n".join(filter(None, lines))


def header(result: Columns) -> str:
    """The first line: what is compared, and where it stands."""
    question = words.one_line(result.question)
    shown = f"{question[:_QUESTION]}{'…' if len(question) > _QUESTION else ''}"
    kind = {"systems": "system prompts"}.get(result.kind, result.kind)
    answers = list(result.answers.values())
    engines = dict.fromkeys(words.one_line(each.engine) for each in answers if each.engine)
    parts = ["mirador", f"compares {len(result.columns)} {kind}", shown, *engines]
    return " · ".join(parts)


def drawn(result: Columns, column: Column) -> StageAnswer:
    """The column's answer as it is drawn: under its variant's name, with its figures below it."""
    stage, figures = column.stage, column.figures
    notes = [*([told(figures)] if figures else []), *stage.notes]
    if result.chosen == column.name:
        notes.append(" · ".join(filter(None, ["✓ this one", result.trouble])))
    own = stage.name if stage.model == column.name else stage.model  # a name is not told twice
    name = words.one_line(column.name)
    return replace(stage, name=name, model=own, notes=tuple(filter(None, notes)))


def told(figures: StageMetrics) -> str:
    """The figures that are not in the head: "first token 0.08 s · 42 tokens"; '' without any.

    A model that had to be loaded says how much of the first token's time that took.
    """
    parts = []
    if figures.ttft is not None:
        load = figures.load if figures.cold else None
        loading = f", {words.seconds(load)} of it loading" if load else ""
        parts.append(f"first token {words.seconds(figures.ttft)}{loading}")
    if (tokens := figures.output_tokens) is not None:
        parts.append(f"{tokens} token{'' if tokens == 1 else 's'}")
    return " · ".join(parts)


def side(result: Columns, column: Column) -> str:
    """One column as HTML."""
    return static.stage_html(drawn(result, column), _first(result, column))


def _html(result: Columns, run: str) -> str:
    columns = "".join(
        f'<div style="{_SIDE}">{side(result, each)}{_button(result, place) if run else ""}</div>'
        for place, each in enumerate(result.columns)
    )
    return f'{static.header_html(header(result))}<div style="{_SIDES}">{columns}</div>'


def _button(result: Columns, place: int) -> str:
    """What picks the column of this place, where it has a text and is not picked already."""
    column = result.columns[place]
    if not column.stage.text or result.chosen == column.name:
        return ""
    title = f"Keep {words.one_line(column.name)} as the best"
    shown = static.button("run", "This one", title, str(place))
    return f'<div style="margin:0 0 10px 15px">{shown}</div>'


def _first(result: Columns, column: Column) -> StageAnswer | None:
    """The first column, which this one is compared with; None where there is nothing to compare."""
    first = result.columns[0]
    if column is first or first.stage.status != "done":
        return None
    return drawn(result, first)
