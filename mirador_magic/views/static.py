"""The static twin: an answer as HTML, Markdown and plain text, for a notebook without a kernel.

Inline styles only: a notebook that is not trusted loses style tags and the rules of classes. A
model's text is escaped in each form; in Markdown it stands in a fence that it cannot close.
"""

from __future__ import annotations

import html
import re

from mirador_magic.confidence import GRAY, RED, band
from mirador_magic.views import words
from mirador_magic.views.answer import Answer, StageAnswer

_QUIET = "opacity:.62;font-size:13px"
_FAINT = "#80808055"


def bundle(answer: Answer) -> dict[str, str]:
    """The MIME bundle of an answer."""
    return {
        "text/html": _html(answer),
        "text/markdown": _markdown(answer),
        "text/plain": plain(answer),
    }


def stage_html(stage: StageAnswer, caret: str = "") -> str:
    """One stage: its bar, its line and its text. `caret` is markup for the end of the text."""
    return _barred(stage, f"<div>{_head(stage)}</div>{_body(stage, caret)}")


def header_html(text: str) -> str:
    """The panel's first line."""
    return f'<div style="{_QUIET};margin:2px 0 8px">{html.escape(text)}</div>'


def plain(answer: Answer) -> str:
    """The whole answer as plain text."""
    blocks = [words.header(answer)]
    for stage in answer.stages:
        lines = [_plain_head(stage), words.clean(stage.text).strip()]
        lines += [f"({note})" for note in words.notes(stage)]
        blocks.append("\n".join(line for line in lines if line))
    return "\n\n".join(blocks)


def _html(answer: Answer) -> str:
    begun = [stage for stage in answer.stages if stage.text or stage.status != "skipped"]
    open_one = _shown(answer)
    stages = [
        stage_html(stage) if stage is open_one or not stage.text else _folded(stage)
        for stage in begun
    ]
    return f"<div>{header_html(words.header(answer))}{''.join(stages)}</div>"


def _shown(answer: Answer) -> StageAnswer | None:
    """The stage that stands open in the twin: the one whose text the answer's is."""
    for stage in reversed(answer.stages):
        if stage.text and stage.text == answer.text:
            return stage
    return None


def _folded(stage: StageAnswer) -> str:
    summary = f'<summary style="cursor:pointer">{_head(stage)}</summary>'
    return _barred(stage, f"<details>{summary}{_body(stage)}</details>")


def _barred(stage: StageAnswer, inner: str) -> str:
    style = f"border-left:{bar(stage)};padding:0 0 0 12px;margin:0 0 10px"
    return f'<div style="{style}">{inner}</div>'


def bar(stage: StageAnswer) -> str:
    """The border that carries the confidence; without a colour it takes the text's."""
    if stage.status == "failed":
        return f"3px solid {RED}"
    if stage.status in ("waiting", "skipped"):
        return f"3px solid {_FAINT}"
    look = band(stage.confidence)
    return f"3px {'dashed' if look.dashed else 'solid'} {look.colour or ''}".rstrip()


def _head(stage: StageAnswer) -> str:
    name, line = map(html.escape, (stage.name, words.stage_line(stage)))
    return f'{_trust(stage)}<b>{name}</b> <span style="{_QUIET}">&nbsp;{line}</span>'


def _trust(stage: StageAnswer) -> str:
    """The confidence at the line's right end; its dot has the bar's colour."""
    dot, _, rest = map(html.escape, words.trust(stage).partition(" "))
    if not dot:
        return ""
    colour = GRAY if stage.status == "waiting" else band(stage.confidence).colour
    tinted = f'<span style="color:{colour}">{dot}</span>' if colour else dot
    quiet = f'<span style="opacity:.62">{rest}</span>'
    return f'<span style="float:right;font-size:13px;margin-top:1px">{tinted} {quiet}</span>'


def _body(stage: StageAnswer, caret: str = "") -> str:
    parts = []
    if stage.text or caret:
        text = html.escape(words.clean(stage.text).strip())
        parts.append(f'<div style="white-space:pre-wrap;margin:6px 0">{text}{caret}</div>')
    parts += [f'<div style="{_QUIET}">{html.escape(note)}</div>' for note in words.notes(stage)]
    return "".join(parts)


def _plain_head(stage: StageAnswer) -> str:
    return " · ".join(filter(None, (stage.name, words.stage_line(stage), words.trust(stage))))


def _markdown(answer: Answer) -> str:
    blocks = [_escaped(words.header(answer))]
    for stage in answer.stages:
        blocks.append(
            f"**{_escaped(stage.name)}**{_escaped(_plain_head(stage)[len(stage.name) :])}"
        )
        if stage.text:
            blocks.append(_fenced(words.clean(stage.text).strip()))
        blocks += [f"({_escaped(note)})" for note in words.notes(stage)]
    return "\n\n".join(blocks)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>&!|~#])", r"\\\1", text)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
