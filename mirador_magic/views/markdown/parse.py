"""The parser: CommonMark, tables and maths, with bounds for texts that are meant to take long."""

from __future__ import annotations

import functools
import itertools
import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from mirador_magic.views.markdown.cut import MOST
from mirador_magic.views.markdown.mend import LINK, SHORT, TEX, WEB, mended


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        return re.match(WEB, url, re.IGNORECASE) is not None


@functools.cache
def _parser() -> MarkdownIt:
    # references are off: a definition would change what is final
    parser = _Parser("commonmark", {"html": False, "maxNesting": 100})
    parser.enable(["table", "strikethrough"]).disable(["reference", "html_block", "html_inline"])
    block, inline = parser.block.ruler, parser.inline.ruler
    block.at("table", _small_table, {"alt": ["paragraph"]})
    block.before("table", "deep", _deep)
    block.before("fence", "math", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    inline.before("escape", "math", _math_inline)
    inline.before("link", "no_link", _no_link)
    parser.core.ruler.before("inline", "mend", _mend)
    return parser


def parsed(source: str, live: bool) -> list[Token]:
    return _parser().parse(source, {"live": live})


def _mend(state: StateCore) -> None:
    """Mend the last paragraph or heading of a source that is still being written."""
    opened = [n for n, token in enumerate(state.tokens) if token.nesting >= 0]
    if state.env["live"] and len(opened) > 1:
        last = state.tokens[opened[-1]]
        if last.type == "inline" and state.tokens[opened[-2]].tag not in ("th", "td"):
            last.content = mended(last.content, state.md)


def _paragraph(state: StateBlock, begin: int, end: int) -> int:
    """The line where what begins here ends at the latest."""
    lines = range(begin + 1, min(end, begin + 60))
    inside = (not state.isEmpty(n) and state.sCount[n] >= state.blkIndent for n in lines)
    return begin + 1 + len(list(itertools.takewhile(bool, inside)))


def _deep(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Below 30 levels everything is plain text: the parser would drop it."""
    if state.level < 30:
        return False
    state.line = _paragraph(state, begin, end)
    state.push("paragraph_open", "p", 1).map = [begin, state.line]
    state.push("text", "", 0).content = state.getLines(begin, state.line, state.blkIndent, False)
    state.push("paragraph_close", "p", -1)
    return True


def _small_table(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """Rows are filled up to the header's columns: a few characters could ask for a million."""
    columns = state.src.count("|", state.bMarks[begin], state.eMarks[begin])
    return columns * (end - begin) < 2 * MOST and table(state, begin, end, silent)


def _math_block(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A formula on its own lines. It ends a paragraph even before it is sure to be one."""
    at = state.bMarks[begin] + state.tShift[begin]
    closer = {"$$": "$$", "\\[": "\\]"}.get(state.src[at : at + 2])
    if closer is None or state.is_code_block(begin):
        return False
    if silent:
        return True
    stop = _paragraph(state, begin, end)
    text = state.getLines(begin, stop, state.blkIndent, False).lstrip()[2:]
    tex, found, after = text.partition(closer)
    last = state.eMarks[stop - 1] + 1 >= len(state.src)
    waits = state.env["live"] and last and len(text) < SHORT and not found
    if not waits and (not found or not tex.strip() or after.partition("\n")[0].strip()):
        return False
    state.line = begin + tex.count("\n") + 1 if found else stop
    token = state.push("math_block" if found else "math_wait", "", 0)
    token.content, token.map = tex, [begin, state.line]
    return True


def _math_inline(state: StateInline, silent: bool) -> bool:
    found = TEX.match(state.src, state.pos)
    if found is None or found.end() > state.posMax:
        return False
    if not silent:
        display = found["dollars"] or found["display"]
        token = state.push("math_display" if display else "math_inline", "", 0)
        token.content = display or found["dollar"] or found["inline"]
    state.pos = found.end()
    return True


def _no_link(state: StateInline, silent: bool) -> bool:
    """A bracket that begins no link is text: the parser would seek its end again and again."""
    begin = re.compile(r"!?\[").match(state.src, state.pos)
    if begin is None or LINK.match(state.src, state.pos):
        return False
    if not silent:
        state.append_pending(begin[0])
    state.pos = begin.end()
    return True
