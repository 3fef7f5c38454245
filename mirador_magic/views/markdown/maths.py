"""Formulas: between dollars, in brackets with a backslash, or an environment of their own."""

from __future__ import annotations

import itertools
import re

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from mirador_magic.views.markdown.tex import ENVIRONMENT

LINES = 60  # of a formula, at the most
HELD = 1000  # characters of a formula on its own lines that may be held back until it is whole

FORMULA = (
    r"\$\$(?!\$)(?P<dollars>.{1,1000}?)\$\$|\\\[(?P<display>.{1,1000}?)\\\]"
    r"|(?<!\d)\$(?![\s$])(?P<dollar>(?:\\.|[^\\$]){1,1000}?)(?<!\s)\$(?!\d)"
    r"|\\\((?P<inline>.{1,1000}?)\\\)"
    rf"|(?P<whole>\\begin\{{(?P<name>{ENVIRONMENT})\}}.{{0,1000}}?\\end\{{(?P=name)\}})"
)
_TEX = re.compile(FORMULA, re.DOTALL)
_OPENER = re.compile(r"\$\$|\\\[|\\begin\{([A-Za-z]+\*?)\}")
_MARK = re.compile(r"\\[()\[\]]")
_MATHS = re.compile(ENVIRONMENT)


def paragraph(state: StateBlock, begin: int, end: int) -> int:
    """The line where what begins here ends at the latest."""
    lines = range(begin + 1, min(end, begin + LINES))
    inside = (not state.isEmpty(n) and state.sCount[n] >= state.blkIndent for n in lines)
    return begin + 1 + len(list(itertools.takewhile(bool, inside)))


def _section(state: StateBlock, begin: int, end: int) -> int:
    """The same of what may have empty lines in it."""
    lines = range(begin + 1, min(end, begin + LINES))
    inside = (state.isEmpty(n) or state.sCount[n] >= state.blkIndent for n in lines)
    return begin + 1 + len(list(itertools.takewhile(bool, inside)))


def math_block(state: StateBlock, begin: int, end: int, silent: bool) -> bool:
    """A formula on its own lines. It ends a paragraph even before it is sure to be one.

    Empty lines belong to it, but not behind a line such as `$$ is a number`. An environment that is
    no formula, such as `tabular`, is shown as it was written.
    """
    at = state.bMarks[begin] + state.tShift[begin]
    opener = _OPENER.match(state.src, at, state.eMarks[begin])
    if opener is None or state.is_code_block(begin):
        return False
    if silent:
        return True
    closer = {"$$": "$$", "\\[": "\\]"}.get(opener[0], f"\\end{{{opener[1]}}}")
    last_line = state.eMarks[min(end, begin + LINES) - 1]
    if not state.env["live"] and state.src.find(closer, opener.end(), last_line) < 0:
        return False
    is_alone = not state.src[opener.end() : state.eMarks[begin]].strip() or opener[0] != "$$"
    stop = (_section if is_alone else paragraph)(state, begin, end)
    text = state.getLines(begin, stop, state.blkIndent, False).lstrip()[len(opener[0]) :]
    tex, found, after = text.partition(closer)
    last = state.eMarks[stop - 1] + 1 >= len(state.src)
    waits = state.env["live"] and last and len(text) < HELD and not found
    if not waits and (not found or not tex.strip() or after.partition("\n")[0].strip()):
        return False
    state.line = begin + tex.count("\n") + 1 if found else stop
    kind = "math_block" if not opener[1] or _MATHS.fullmatch(opener[1]) else "code_block"
    token = state.push(kind if found else "math_wait", "", 0)
    token.content, token.map = tex, [begin, state.line]
    token.markup, token.info = opener[0], closer
    if opener[1]:
        token.content = f"{opener[0]}{tex}{closer}"
    return True


def math_inline(state: StateInline, silent: bool) -> bool:
    """A formula within a line. The marks of one that has no other end stay as they were written."""
    found = _TEX.match(state.src, state.pos)
    if found is None or found.end() > state.posMax:
        if not (mark := _MARK.match(state.src, state.pos, state.posMax)):
            return False
        if not silent:
            state.append_pending(mark[0])
        state.pos = mark.end()
        return True
    if not silent:
        display = found["dollars"] or found["display"] or found["whole"]
        token = state.push("math_display" if display else "math_inline", "", 0)
        token.content = display or found["dollar"] or found["inline"]
        token.markup = found[0]
    state.pos = found.end()
    return True


def written(content: str, markup: str, closer: str) -> str:
    """A block's formula as it was written."""
    return content if markup.startswith("\\begin") else f"{markup}{content}{closer}"
