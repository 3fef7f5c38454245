"""The parser: CommonMark, tables, maths and what else models write, with bounds for texts that are meant to take long."""

from __future__ import annotations

import functools
import re

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from mirador_magic.views.markdown.fences import markdown_fence
from mirador_magic.views.markdown.inline import WEB, address, emphasis, line_break, no_link
from mirador_magic.views.markdown.maths import math_block, math_inline, paragraph
from mirador_magic.views.markdown.mend import mended
from mirador_magic.views.markdown.tables import careful_table

_BOX = re.compile(r"\[([ xX])\](?=\s|\Z)")


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return re.match(WEB, url, re.IGNORECASE) is not None


@functools.cache
def _parser() -> MarkdownIt:
    # references are off: a definition would change what is final
    parser = _Parser("commonmark", {"html": False, "maxNesting": 100})
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    block, inline = parser.block.ruler, parser.inline.ruler
    interrupts: RuleOptionsType = {"alt": ["paragraph", "blockquote", "list"]}
    block.at("table", careful_table, {"alt": ["paragraph"]})
    block.before("table", "deep", _deep)
    block.before("fence", "math", math_block, interrupts)
    block.before("fence", "markdown", markdown_fence, interrupts)
    inline.at("emphasis", emphasis)
    inline.before("escape", "math", math_inline)
    inline.before("escape", "address", address)
    inline.before("link", "no_link", no_link)
    inline.before("autolink", "line_break", line_break)
    parser.core.ruler.before("inline", "mend", _mend)
    parser.core.ruler.push("tasks", _tasks)
    return parser


def parsed(source: str, live: bool) -> list[Token]:
    return _parser().parse(source, {"live": live})


def _mend(state: StateCore) -> None:
    """Mend the last paragraph or heading of a source that is still being written."""
    opened = [n for n, token in enumerate(state.tokens) if token.nesting >= 0]
    if state.env["live"] and not state.src.endswith("\n\n") and len(opened) > 1:
        last = state.tokens[opened[-1]]
        if last.type == "inline" and state.tokens[opened[-2]].tag not in ("th", "td"):
            last.content = mended(last.content, state.md)


def _deep(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Below 30 levels everything is plain text: the parser would drop it."""
    if state.level < 30:
        return False
    state.line = paragraph(state, begin, end)
    state.push("paragraph_open", "p", 1).map = [begin, state.line]
    state.push("text", "", 0).content = state.getLines(begin, state.line, state.blkIndent, False)
    state.push("paragraph_close", "p", -1)
    return True


def _tasks(state: StateCore) -> None:
    """`[ ]` and `[x]` at the beginning of a list's item are boxes."""
    for item, opened, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        is_first = item.type == "list_item_open" and opened.type == "paragraph_open"
        if is_first and inline.children and (box := _BOX.match(inline.children[0].content)):
            text = inline.children[0]
            text.content = ("☐" if box[1] == " " else "☑") + text.content[box.end() :]
