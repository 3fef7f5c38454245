"""A stage as rich draws it in a terminal: its head, its live part.

What a model wrote, names included, only ever comes as a Text or as parsed Markdown: never as rich's
markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from mirador_magic.answer import words
from mirador_magic.answer.answer import StageAnswer
from mirador_magic.confidence import CYAN, GRAY, RED

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

# By name: the terminal's own, which its theme makes legible.
_COLOURS = {GRAY: "bright_black", CYAN: "cyan", RED: "red", None: ""}

# Colours are for bars and dots alone: rich's own ones of Markdown are not legible on every theme.
_STYLES = {
    "markdown.block_quote": "dim",
    "markdown.code": "bold",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.h4": "italic",
    "markdown.item.number": "bold",
    "markdown.link": "none",
    "markdown.link_url": "underline",
    "markdown.table.border": "dim",
    "markdown.table.header": "bold",
}


def safe(text: str) -> str:
    """Text that neither steers a terminal nor turns its lines round: such marks show as [U+202E]."""
    return words.clean(text)


def console_of(out: TextIO, *, coloured: bool) -> Console:
    from rich.console import Console
    from rich.theme import Theme

    return Console(
        file=out,
        force_terminal=True,
        force_interactive=True,
        force_jupyter=False,
        no_color=not coloured,
        markup=False,
        emoji=False,
        highlight=False,
        theme=Theme(_STYLES),
    )


def styled(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(safe(text), style)


def head_of(stage: StageAnswer) -> Text:
    """A stage's line: its bar and name, what stands beside it, how far it is to be trusted."""
    from rich.text import Text

    bar, colour = _bar(stage)
    head = Text.assemble((bar, colour), " ", (safe(stage.name), "bold"))
    head.append(f"  {safe(words.stage_line(stage))}", "dim")
    trust = words.trust(stage)
    return head.append(f"  {trust}", colour or "dim") if trust else head


def _bar(stage: StageAnswer) -> tuple[str, str]:
    """The bar that carries the confidence, and its colour."""
    if stage.status == "failed":
        return "▌", _COLOURS[RED]
    look = words.look(stage)
    if look is None:
        return "▌", "dim"
    return "┆" if look.dashed else "▌", _COLOURS[look.colour]


def picture(stage: StageAnswer, console: Console) -> Group:
    """The live part: the head, cut to one line, and the last lines that fit below it."""
    from rich.console import Group

    head = head_of(stage)
    head.no_wrap, head.overflow = True, "ellipsis"
    text = safe(stage.text).strip()
    return Group(head, _tail(text, console)) if text else Group(head)


def _tail(text: str, console: Console) -> Text:
    """The last lines, less two of the terminal's: one for the head, one for the cursor at the end.

    It is broken into lines from the start of a line of its own, so that they do not shift.
    """
    from rich.text import Text

    rows = max(1, console.height - 2)
    page = rows * console.width
    if len(text) > 4 * page:  # of a line without an end no more than so many pages are broken
        text = text[(len(text) - 4 * page) // page * page :]
    start = text.rfind("\n", 0, max(0, len(text) - page)) + 1
    lines = Text(text[start:]).wrap(console, console.width)[-rows:]
    return Text("\n", no_wrap=True, overflow="crop").join(lines)
