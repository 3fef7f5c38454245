"""Which braces of a text are to be filled: those in prose, not those in code."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
from collections.abc import Sequence

from mirador_magic.interpolate.closed import Spans, closed_in

_LONGEST_LINE = 5000  # characters; a longer one is a paste
_TESTED = 50_000  # characters of a text, put to Python's own parser, which takes 5 µs for each

# Beside braces that are of another kind: TeX, shells, templates, regular expressions
_BEFORE = frozenset("\\$#%@_^])&{")
_AFTER = frozenset("}_^")
_STARRED = re.compile(r"\\[A-Za-z]+\*\Z")
# What may stand before code or prose: marks of lists, quotations, diffs and tracebacks
_MARKS = re.compile(r"\s*(?:[>|]\s*)*(?:-+>\s*\d+\s+|[-+*]\s*|\d+[.)]?\s+)?")
# Code of any kind by its looks: prompts, JavaScript and its kin, entries of JSON
_FOREIGN = re.compile(
    r"""(?:\}|//|/\*|>>>|\.\.\.\s|!|%|\$\s|import\b|export\b)"""
    r"""|(?:In|Out)\s?\[\d*\]:|(?:else|try|finally)\s*:"""
    r"""|(?:(?:const|let|var|my|local|auto|static|final|val)\s+)?[\w.$\[\]'"]+\s*"""
    r"""(?:[-+*/|&%]?=|:=|<-)\s*\{"""
    r"""|(?:'[^'\n]*'|"[^"\n]*")\s*:"""
)
_HEADER = re.compile(
    r"\s*(?:async\s+)?(def|class|if|elif|else|for|while|with|try|except|finally|match|case|[)\]}])"
    r"(?!\w).*:\s*(?:\#.*)?"
)
_AROUND = {
    **dict.fromkeys(["elif", "else"], "if 1: pass\n§ pass"),
    **dict.fromkeys(["except", "finally"], "try: pass\n§ pass"),
    "try": "§ pass\nfinally: pass",
    "match": "§\n case _: pass",
    "case": "match 1:\n §\n  pass",
}
_MIXED, _BARE, _CODE = 0, 1, 2  # prose; Python that prose may be too; Python


class Page:
    """A text, and which of the braces at these places are to be filled. Time is linear in the text."""

    def __init__(self, text: str, places: Sequence[int]) -> None:
        self._text = text
        self._lines = text.split("\n")
        lengths = (len(line) + 1 for line in self._lines)
        self._starts = list(itertools.accumulate(lengths, initial=0))
        self._closed = closed_in(text)
        self._left = _TESTED
        self._kinds: dict[str, int] = {}
        self._code: dict[int, bool] = {}
        self._bodies = self._below_headers(sorted({self._line_of(place) for place in places}))

    def takes(self, start: int, end: int, filled: int) -> bool:
        """Whether braces there may be filled; `filled` is where the last filled ones ended."""
        before, after = self._text[max(start - 1, 0) : start], self._text[end : end + 1]
        if self._closed[start] or before in _BEFORE or after in _AFTER:
            return False
        if before == "}" and start != filled or before.isascii() and before.isalnum():
            return False
        if before == "*" and _STARRED.search(self._text, max(start - 40, 0), start):
            return False
        return not self._in_code(self._line_of(start))

    def affords(self, source: str) -> bool:
        """Whether there is room left to parse this; it is taken."""
        self._left -= len(source) + 10
        return self._left >= 0

    def _line_of(self, at: int) -> int:
        return bisect.bisect_right(self._starts, at) - 1

    def _in_code(self, number: int) -> bool:
        if number not in self._code:
            self._code[number] = self._is_code(number)
        return self._code[number]

    def _is_code(self, number: int) -> bool:
        line = self._lines[number]
        if len(line) > _LONGEST_LINE or self._bodies[number]:
            return True
        if number and self._lines[number - 1].rstrip().endswith("\\"):
            return True
        unmarked = line[_MARKS.match(line).end() :].strip()  # type: ignore[union-attr]
        kinds = [self._kind(source) for source in {line.strip(), unmarked}]
        if _CODE in kinds:
            return True
        alone = line.lstrip().startswith("{") and _BARE in kinds
        return alone and any(self._is_statement(at) for at in (number - 1, number + 1))

    def _kind(self, line: str) -> int:
        """What a line is without the space around it. Past the room there is, code."""
        if line not in self._kinds:
            looks = _FOREIGN.match(line) or line.endswith((";", "{")) or not self.affords(line)
            self._kinds[line] = _CODE if looks else _python(line)
        return self._kinds[line]

    def _is_statement(self, number: int) -> bool:
        """Whether a neighbouring line is code that no word of prose could be."""
        if not 0 <= number < len(self._lines) or len(self._lines[number]) > _LONGEST_LINE:
            return False
        line = self._lines[number].strip()
        return any(sign in line for sign in "(=") and self._kind(line) == _CODE

    def _below_headers(self, wanted: Sequence[int]) -> bytearray:
        """1 for lines that are a header of Python's, or below one and further in; the wanted ones."""
        inside = bytearray(len(self._lines))
        for first, end in _blocks(self._lines):
            at = bisect.bisect_left(wanted, first)
            if at < len(wanted) and wanted[at] < end and self._heads(self._lines[first]):
                inside[first:end] = b"\1" * (end - first)
        return inside

    def _heads(self, line: str) -> bool:
        found = _HEADER.fullmatch(line)
        if not found or len(line) > _LONGEST_LINE:
            return False
        around = _AROUND.get(found[1], "§ pass")
        if found[1] in ")]}":
            return True
        return self.affords(line) and _python(around.replace("§", line.strip())) != _MIXED


def _blocks(lines: Sequence[str]) -> Spans:
    """From each line that looks like a header to the next one that is not further in, by number."""
    opened: list[tuple[int, int]] = []  # the header's number, and how far in it is
    for number, line in enumerate(lines):
        bare = line.lstrip()
        depth = len(line) - len(bare)
        while bare and opened and depth <= opened[-1][1]:
            yield opened.pop()[0], number
        if ":" in bare and _HEADER.fullmatch(line):
            opened.append((number, depth))
    for first, _ in opened:
        yield first, len(lines)


def _python(source: str) -> int:
    """What a source is: no Python (_MIXED), Python that a line of prose may be too, or code."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _MIXED
    trailing = source.endswith(",")
    return _BARE if all(_is_bare(each) for each in body) and not trailing else _CODE


def _parses(source: str) -> bool:
    return _python(source) != _MIXED


def _is_bare(node: ast.AST) -> bool:
    """Whether prose may read so: `{a}`, `- {a}`, `Rows: {a}`, `{a} and {b}`, `{a} is big`."""
    match node:
        case ast.Set() | ast.Name() | ast.Constant() | ast.Attribute():
            return True
        case ast.Expr(value=inner) | ast.Starred(value=inner):
            return _is_bare(inner)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            return _is_bare(inner)
        case ast.AnnAssign(annotation=ast.Set(), value=None):
            return True
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            return all(_is_bare(part) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=others):
            words = all(isinstance(op, ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in ops)
            return words and all(_is_bare(part) for part in (left, *others))
    return False
