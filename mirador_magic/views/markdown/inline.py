"""What models write within a line beside CommonMark: bare addresses, `<br>`, emphasis in Chinese."""

from __future__ import annotations

import re
import unicodedata

from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Delimiter, Scanned

WEB = r"<?(?:https?|mailto):"
LABEL = r"(?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.){0,200}+\]){0,1000}+"
_LINK = re.compile(rf"!?\[{LABEL}\]\([ \t\n]*+{WEB}", re.DOTALL | re.IGNORECASE)
_BRACKET = re.compile(r"!?\[")
_ENDS = "?!.,:;*_~'"
ADDRESS = rf"https?://[!#-;=?-Z_a-~]+(?<![{_ENDS}])"  # without the marks that end a sentence
_ADDRESS = re.compile(ADDRESS, re.IGNORECASE)
_SCHEME = re.compile(r"(?<![^\W_])https?\Z", re.IGNORECASE)
_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)


def no_link(state: StateInline, silent: bool) -> bool:
    """A bracket that begins no link is text: the parser would seek its end again and again."""
    begin = _BRACKET.match(state.src, state.pos)
    if begin is None or _LINK.match(state.src, state.pos):
        return False
    if not silent:
        state.append_pending(begin[0])
    state.pos = begin.end()
    return True


def address(state: StateInline, silent: bool) -> bool:
    """A bare address is a link."""
    if state.src[state.pos] != ":" or state.linkLevel:
        return False
    scheme = _SCHEME.search(state.pending)
    found = scheme and _ADDRESS.match(state.src, state.pos - len(scheme[0]), state.posMax)
    if not scheme or not found:
        return False
    shown = _without_closers(found[0])
    to = state.md.normalizeLink(shown)
    if len(shown) <= len(scheme[0]) + 3 or not state.md.validateLink(to):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        opened = state.push("link_open", "a", 1)
        opened.attrs, opened.markup = {"href": to}, "linkify"
        state.push("text", "", 0).content = shown
        state.push("link_close", "a", -1)
    state.pos += len(shown) - len(scheme[0])
    return True


def _without_closers(found: str) -> str:
    """Without the brackets at its end that open before it, and what ends a sentence before those."""
    end, surplus = len(found), found.count(")") - found.count("(")
    while found[end - 1] in _ENDS or (surplus > 0 and found[end - 1] == ")"):
        surplus -= found[end - 1] == ")"
        end -= 1
    return found[:end]


def line_break(state: StateInline, silent: bool) -> bool:
    """`<br>`: in a table's cell there is no other way to say it."""
    found = _BREAK.match(state.src, state.pos)
    if found is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def emphasis(state: StateInline, silent: bool) -> bool:
    """The marks of emphasis, each a token that the parser pairs later."""
    if silent or (mark := state.src[state.pos]) not in "*_":
        return False
    sides = sides_of(state, state.pos)
    for _ in range(sides.length):
        state.push("text", "", 0).content = mark
        place, (opens, closes, length) = len(state.tokens) - 1, sides
        state.delimiters.append(Delimiter(ord(mark), length, place, -1, opens, closes))
    state.pos += sides.length
    return True


def sides_of(state: StateInline, begin: int) -> Scanned:
    """Whether the marks here open and close. Beside wide letters, which no spaces part, a sign of
    punctuation keeps stars from neither: **“so”** within a Chinese sentence is bold."""
    mark = state.src[begin]
    sides = state.scanDelims(begin, mark != "_")
    end = begin + sides.length
    before, after = state.src[max(0, begin - 1) : begin], state.src[end : end + 1]
    if mark != "*" or not before + after or not (_is_wide(before) or _is_wide(after)):
        return sides
    opens = bool(after) and not after.isspace()
    closes = bool(before) and not before.isspace()
    return Scanned(sides.can_open or opens, sides.can_close or closes, sides.length)


def _is_wide(letter: str) -> bool:
    return letter != "" and unicodedata.east_asian_width(letter) in "WF"
