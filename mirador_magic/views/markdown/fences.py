"""A fence of Markdown, in which other fences may stand: each is closed by its own end."""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

# Stands, behind the language, for each fence that is open within when a source is cut there; a text
# that was cleaned has no such character.
_WITHIN = "\x01"
_OPENS = re.compile(r"(`{3,}|~{3,})([ \t]*(?:markdown|md|mdx|qmd|rmd)\b[^`\n]*)", re.IGNORECASE)
_MARKS = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*)")


def markdown_fence(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    at = state.bMarks[begin] + state.tShift[begin]
    opens = _OPENS.fullmatch(state.src, at, state.eMarks[begin])
    if opens is None or state.is_code_block(begin):
        return False
    if silent:
        return True
    markup, info = opens.groups()
    depth, line = _depth(info), begin + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        place = state.bMarks[line] + state.tShift[line]
        depth += _step(state.src[place : state.eMarks[line]], markup)
        if not depth:
            break
        line += 1
    state.line = line if depth else line + 1
    token = state.push("fence", "code", 0)
    token.info, token.markup, token.map = info, markup, [begin, state.line]
    token.content = state.getLines(begin + 1, line, state.sCount[begin], True)
    return True


def opener(fence: Token, content: str) -> str:
    """What must stand before the rest of a fence for it to parse alike, `content` being final."""
    within = _WITHIN * (open_fences(fence, content) - 1)
    return f"{fence.markup}{fence.info.rstrip(_WITHIN)}{within}\n"


def open_fences(fence: Token, content: str) -> int:
    """How many fences are open behind this content, the outer one among them."""
    if not _OPENS.fullmatch(f"{fence.markup}{fence.info}"):
        return 1
    return _depth(fence.info) + sum(_step(line, fence.markup) for line in content.split("\n"))


def _depth(info: str) -> int:
    return 1 + info.count(_WITHIN)


def _step(line: str, markup: str) -> int:
    """1 where a line opens a fence within, -1 where it closes one."""
    marks = _MARKS.fullmatch(line)
    if marks is None or not marks[1].startswith(markup):
        return 0
    return 1 if marks[2].strip() else -1
