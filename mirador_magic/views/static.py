"""The static twin: an answer as HTML, Markdown and plain text, for a notebook without a kernel.

Inline styles only: a notebook that is not trusted loses style tags and the rules of classes. A
model's text is made safe in each form; in Markdown it stands in a fence that it cannot close.
Buttons are there and hidden: the controls show them where a kernel hears them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, Missing, StageAnswer
from mirador_magic.answer.compare import Comparison, compare, comparison_html
from mirador_magic.confidence import RED
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.views import frame, markdown

QUIET = "opacity:.7;font-size:13px"
FAINT = "#80808055"
_STANDS_OUT = ";font-weight:600;border-width:2px;border-color:currentcolor"
_PLAIN_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"


def bundle(answer: Answer, run: str = "", deeper: str | None = None) -> dict[str, str]:
    """The MIME bundle of an answer.

    `run` is the name under which the controls know it, `deeper` the stage that could go on from it.
    """
    named = [f"mirador-run-{run}"] if run else []
    page = _html(answer, run, deeper)
    return frame.bundle(page, plain(answer), *named, markdown=_markdown(answer))


def header_html(text: str, buttons: str = "") -> str:
    """The panel's first line."""
    quiet = f'<span style="{QUIET}">{html.escape(text)}</span>'
    return (
        f'<div style="margin:2px 0 8px">{buttons}{quiet}</div>'  # they float beside its first line
    )


def stage_html(stage: StageAnswer, earlier: StageAnswer | None = None) -> str:
    """One stage as it stands: its bar, its line and its text."""
    return _barred(stage, f"<div>{head_html(stage)}</div>{_body(stage, earlier)}")


def head_html(stage: StageAnswer, buttons: str = "") -> str:
    """A stage's line: its name, how it is and how it went; the confidence at the right end."""
    name, line = map(html.escape, (stage.name, words.stage_line(stage)))
    named = f'<b role="heading" aria-level="2">{name}</b>'
    return f'{_trust(stage)}{buttons}{named} <span style="{QUIET}">&nbsp;{line}</span>'


def foot_html(stage: StageAnswer, earlier: StageAnswer | None = None) -> str:
    """What there is to say below a stage's text, and what it changed in the earlier one's."""
    lines = [f'<div style="{QUIET}">{html.escape(note)}</div>' for note in words.notes(stage)]
    if weakest := words.weakest(stage):
        lines.append(_weakest_html(weakest, stage.weakest_at))
    if earlier and (comparison := _compared(stage, earlier)):
        lines.append(comparison_html(comparison, earlier.name))
    return "".join(lines)


def _weakest_html(sentence: str, least: float | None) -> str:
    number = "" if least is None else f": {words.percent(least)}"
    summary = f'<summary style="cursor:pointer">least sure of one sentence{number}</summary>'
    shown = f'<div style="padding:0 0 0 16px">{html.escape(sentence)}</div>'
    return f'<details style="{QUIET}">{summary}{shown}</details>'


def thinking_html(text: str) -> str:
    """A model's thinking, or a piece of it."""
    shown = html.escape(words.clean(words.saved(text)))
    return f'<div dir="auto" style="{QUIET};{_PLAIN_TEXT}">{shown}</div>'


def text_html(stage: StageAnswer) -> str:
    """A stage's text as the twin has it; made once."""
    return markdown.render(words.saved(stage.text.strip()))


def bar(stage: StageAnswer) -> str:
    """The border that carries the confidence; without a colour it takes the text's."""
    if stage.status == "failed":
        return f"3px solid {RED}"
    look = words.look(stage)
    if look is None:
        return f"3px solid {FAINT}"
    return f"3px {'dashed' if look.dashed else 'solid'} {look.colour or ''}".rstrip()


def button(act: str, label: str, title: str, stage: str = "", look: str = "") -> str:
    """A button that the controls show and hear. JupyterLab's sanitiser drops `hidden`."""
    act, label, title, stage = map(html.escape, (act, label, title, stage))
    return (
        f'<button type="button" class="mirador-act" data-act="{act}" data-stage="{stage}" '
        f'title="{title}" style="display:none{look}">{label}</button>'
    )


def missing_html(missing: Missing) -> str:
    """What there is to say where there is no model; the bar of one that is being fetched."""
    why, *ways = map(html.escape, words.missing(missing))
    if missing.done is not None:
        bar = html.escape(words.progress(SMOLLM2.name, missing.done, missing.total))
        return f'<pre style="margin:0 0 8px">{bar}</pre>'
    items = "".join(f"<li>{way}</li>" for way in ways)
    return f'<div style="margin:0 0 8px">{why}<ul style="margin:4px 0 0">{items}</ul></div>'


def plain(answer: Answer) -> str:
    """The whole answer as plain text."""
    blocks = [words.header(answer)]
    if answer.missing:
        return "\n\n".join([*blocks, "\n".join(words.missing(answer.missing))])
    for stage in answer.stages:
        lines = [_plain_head(stage), _shown_text(stage)]
        lines += [f"({note})" for note in told(stage, answer)]
        blocks.append("\n".join(line for line in lines if line))
    blocks += filter(None, [stands(answer), doubt(answer), words.basis(answer)])
    return "\n\n".join(blocks)


def stands(answer: Answer) -> str:
    """Whose answer stands, where it is not the last one's; then its text, since the last is what is read."""
    why = words.standing(answer)
    return f"{why}\n{words.clean(words.saved(answer.text.strip()))}" if why else ""


def doubt(answer: Answer) -> str:
    """Why a deeper stage may be worth its time, as text with what to type; or ''."""
    return words.doubt(answer, "ask it again with --deep")


def as_written(answer: Answer) -> str:
    """The answer's Markdown as the model wrote it, for a copy: no more hides in it than on the page."""
    return words.clean(answer.text).strip()


def earlier_than(stage: str, answer: Answer) -> StageAnswer | None:
    """The finished stage before this one, which its text is compared with."""
    return next(earlier for each, earlier in _with_earlier(answer) if each.name == stage)


def _with_earlier(answer: Answer) -> Iterator[tuple[StageAnswer, StageAnswer | None]]:
    """Each stage with the finished one before it, which its text is compared with."""
    earlier = None
    for stage in answer.stages:
        yield stage, earlier
        if stage.status == "done":
            earlier = stage


def _compared(stage: StageAnswer, earlier: StageAnswer | None) -> Comparison | None:
    if earlier is None or stage.status != "done":
        return None
    return compare(earlier.text, stage.text)


def told(stage: StageAnswer, answer: Answer) -> list[str]:
    """The lines at a stage's foot, as text."""
    lines, earlier = words.notes(stage), earlier_than(stage.name, answer)
    if earlier and (comparison := _compared(stage, earlier)):
        lines.append(f"↺ {comparison.line(earlier.name)}")
    return lines


def _html(answer: Answer, run: str, deeper: str | None) -> str:
    if answer.missing:
        return f"{header_html(words.header(answer))}{missing_html(answer.missing)}"
    open_one = _shown(answer)
    stages = [
        _folding(stage, earlier, stage is open_one or stage.status == "failed", bool(run))
        for stage, earlier in _with_earlier(answer)
    ]
    buttons = _buttons(None if answer.doubt else deeper) if run else ""
    offer = f"{_standing_html(answer)}{_offer(answer, deeper if run else None)}"
    return f"{header_html(words.header(answer), buttons)}{''.join(stages)}{offer}"


def _standing_html(answer: Answer) -> str:
    """Why an earlier stage stands open, and not the last."""
    why = html.escape(words.standing(answer))
    return f'<div style="margin:0 0 8px;font-size:13px">{why}</div>' if why else ""


def _offer(answer: Answer, deeper: str | None) -> str:
    """The reason for a deeper stage, and its button, which stands out."""
    if not (why := html.escape(words.doubt(answer))):
        return ""
    shown = _go_deeper(deeper, _STANDS_OUT) if deeper else ""
    return f'<div style="margin:0 0 8px;font-size:13px">{why} &nbsp;{shown}</div>'


def _go_deeper(stage: str, look: str = "") -> str:
    return button("run", "Go deeper", f"Add the stage {stage}", stage, look)


def _buttons(deeper: str | None) -> str:
    buttons = [button("copy", "Copy", "Copy the answer as Markdown")]
    if deeper:
        buttons.append(_go_deeper(deeper))
    return f'<span style="float:right">{"".join(buttons)}</span>'


def _shown(answer: Answer) -> StageAnswer | None:
    """The stage that stands open in the twin: the one whose text the answer's is."""
    if answer.standing:
        return answer.standing.stage
    return next((stage for stage in reversed(answer.stages) if stage.text), None)


def _folding(
    stage: StageAnswer, earlier: StageAnswer | None, is_open: bool, has_buttons: bool
) -> str:
    again = button("run", "Run again", f"Ask {stage.name} once more", stage.name)
    if stage.status == "skipped":
        again = button("run", "Run", f"Ask {stage.name}", stage.name)
    head = head_html(stage, f'<span style="float:right">{again}</span>' if has_buttons else "")
    body = _body(stage, earlier)
    summary = f'<summary style="cursor:pointer">{head}</summary>'
    return _barred(stage, f"<details{' open' * is_open}>{summary}{body}</details>")


def _barred(stage: StageAnswer, inner: str) -> str:
    style = f"border-left:{bar(stage)};padding:0 0 0 12px;margin:0 0 10px"
    return f'<section aria-label="{html.escape(stage.name)}" style="{style}">{inner}</section>'


def _trust(stage: StageAnswer) -> str:
    """The confidence at the line's right end; how it was had comes where a pointer rests on it."""
    shown, told = html.escape(words.trust(stage)), html.escape(words.trust_told(stage))
    if not shown:
        return ""
    return f'<span style="float:right;margin-top:1px;{QUIET}" title="{told}">{shown}</span>'


def _body(stage: StageAnswer, earlier: StageAnswer | None) -> str:
    parts = []
    if stage.thinking:
        summary = f'<summary style="{QUIET};cursor:pointer">thinking</summary>'
        parts.append(f"<details>{summary}{thinking_html(stage.thinking)}</details>")
    if stage.text:
        parts.append(frame.text_box(text_html(stage)))
    return "".join(parts) + foot_html(stage, earlier)


def _plain_head(stage: StageAnswer) -> str:
    return " · ".join(filter(None, (stage.name, words.stage_line(stage), words.trust(stage))))


def _shown_text(stage: StageAnswer) -> str:
    return words.clean(words.saved(stage.text.strip())).strip()


def _markdown(answer: Answer) -> str:
    blocks = [_escaped(words.header(answer))]
    if answer.missing:
        return "\n\n".join([*blocks, *map(_escaped, words.missing(answer.missing))])
    for stage in answer.stages:
        blocks.append(
            f"**{_escaped(stage.name)}**{_escaped(_plain_head(stage)[len(stage.name) :])}"
        )
        if stage.text:
            blocks.append(_fenced(_shown_text(stage)))
        blocks += [f"({_escaped(note)})" for note in told(stage, answer)]
    lines = words.standing(answer), doubt(answer), words.basis(answer)
    blocks += map(_escaped, filter(None, lines))
    return "\n\n".join(blocks)


def _escaped(text: str) -> str:
    # a backslash before "<" is no help where bare addresses become links: they take it with them
    return re.sub(r"([\\`*_\[\]!|~#$])", r"\\\1", html.escape(text, quote=False))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
