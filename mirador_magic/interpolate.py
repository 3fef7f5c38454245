"""`{name}` in a cell's question, filled with the notebook's value of it.

The text may be a paste from elsewhere. So what stands in braces is read, never run: names,
attributes, subscripts, sums, and calls of a known list of methods and builtins, on values whose
code is known not to act (`_READ`). Of the notebook's own classes only stored attributes are read,
no properties and no methods; that they write themselves (`__repr__`) is all that runs of them.
Everything else stays byte for byte, and so do braces in code, fenced or not.

Four rooms: the filling, what of a text is code (`_Page`), the reading of an expression (`_read`), and
how a value reads in a prompt (`shown`).
"""

from __future__ import annotations

import ast
import bisect
import datetime
import inspect
import itertools
import logging
import pathlib
import re
import reprlib
import traceback
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

log = logging.getLogger(__name__)

Namespace = Mapping[str, object]

# Bounds, so that a paste of any kind takes no time; in characters, where no other unit stands
_MOST = 10_000  # braces of a text: with more of them that name something, it is a paste
_BRACKETS = 300_000  # of a text; behind so many all is data
_QUOTATIONS = 50_000  # so too of fences, of literals, of formulas
_LONGEST_LINE = 5000  # a longer one is a paste
_TESTED = 50_000  # of a text, put to Python's own parser, which takes 5 µs for each
_FILLED = 1_000_000  # of values in one text
_DEEPEST = 10  # brackets in one expression: more than that costs the parser milliseconds


@dataclass(frozen=True)
class Filled:
    """A text with its values; `names` are the expressions that were replaced, in order, once each."""

    text: str
    names: tuple[str, ...]


_BRACES = re.compile(r"\{([^{}\n]{1,200})\}")
_WORD = re.compile(r"[^\W\d]\w*")
_ENTRY = re.compile(r"[^(\[]*:\s")  # of a dict


def fill(text: str, namespace: Namespace) -> Filled:
    """The text with every `{expression}` that the namespace resolves; all else as it was."""
    hits = (hit for hit in _BRACES.finditer(text) if _names(hit[1], namespace))
    found = list(itertools.islice(hits, _MOST + 1))
    if not found or len(found) > _MOST:
        return Filled(text, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser about pasted code, of empty means
        return _fill(text, found, namespace)


def _names(inner: str, namespace: Namespace) -> bool:
    if inner[0].isspace() or inner[-1].isspace() or _ENTRY.match(inner):
        return False
    return any(word in namespace for word in _WORD.findall(inner))


def _fill(text: str, found: Sequence[re.Match[str]], namespace: Namespace) -> Filled:
    page = _Page(text, [hit.start() for hit in found])
    values: dict[str, str | None] = {}
    replaced: dict[str, None] = {}
    pieces: list[str] = []
    at, room, at_start = 0, _FILLED, True
    for hit in found:
        start, end = hit.span()
        if not page.takes(start, end, at):
            continue
        if hit[1] not in values:
            values[hit[1]] = _written(hit[1], namespace) if page.affords(hit[1]) else None
        value = values[hit[1]]
        if value is None or len(value) > room:
            continue
        lead = text[at:start]
        begun = not (lead.endswith("\n") if lead else at_start)
        laid = _laid(value, begun, page.rest_of_line(end))
        pieces += [lead, laid]
        replaced[hit[1]] = None
        at, room, at_start = end, room - len(value), laid.endswith("\n")
    return Filled("".join([*pieces, text[at:]]), tuple(replaced))


def _laid(value: str, begun: bool, rest: str) -> str:
    """The value as it stands in its line: one of several lines stands on lines of its own."""
    if "\n" not in value:
        return value
    before = "\n" if begun else ""
    after = "\n" if rest.strip() and not value.endswith("\n") else ""
    return before + value + after


# ── What of a text is code ────────────────────────────────────────────────────────────────────────

# Each begins with what is rare, so that the search for it is fast
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_BEFORE_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d+[.)][ \t]+)?")
_TICKS = re.compile(r"`+|\n(?:[ \t\r]*\n)+")
_FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
# A literal that braces may be code in: an f-string, one in triple quotes, "…".format
_LITERAL = re.compile(
    "|".join(
        rf"{q}(?:(?:(?<=[fF]{q})|(?<=[fF][rR]{q}))(?:{q}{q}.*?{q}{{3}}|(?:[^{q}\\\n]|\\.)*{q})"
        rf"|{q}{q}.*?{q}{{3}}|[^{q}\n]*{q}\s*\.format\b)"
        for q in "'\""
    ),
    re.DOTALL,
)
_F_BEFORE = re.compile(r"[fF][rR]?\Z")
# Elsewhere triple quotes set a text apart, as prompts do
_CODE_BEFORE = re.compile(r"(?:[=(,\[{+]|\breturn)\s*[rRbBuU]{0,2}\Z")
# A group without braces in it is of no interest, and one step instead of two
_BRACKET = re.compile(r"\{[^(){}\[\]\n]*\}|\([^(){}\[\]]*\)|\[[^(){}\[\]]*\]|[(){}\[\]]")
_OPENER = {")": "(", "]": "[", "}": "{"}
_BEFORE = frozenset("\\$#%@_^])&{")
_AFTER = frozenset("}_^")
_STARRED = re.compile(r"\\[A-Za-z]+\*\Z")
# What may stand before code or prose: marks of lists, quotations, diffs and tracebacks
_MARKS = re.compile(r"\s*(?:[>|]\s*)*(?:-+>\s*\d+\s+|[-+*]\s*|\d+[.)]?\s+)?")
# Code of any kind by its looks: prompts, JavaScript and its kin, entries of JSON
_FOREIGN = re.compile(
    r"""(?:\}|//|/\*|>>>|\.\.\.\s|!|%|\$\s|\#include\b|import\b|export\b)"""
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
    "elif": "if 1: pass\n§ pass",
    "else": "if 1: pass\n§ pass",
    "try": "§ pass\nfinally: pass",
    "except": "try: pass\n§ pass",
    "finally": "try: pass\n§ pass",
    "match": "§\n case _: pass",
    "case": "match 1:\n §\n  pass",
}
_MIXED, _BARE, _CODE = 0, 1, 2  # prose; Python that prose may be too; Python


class _Page:
    """A text, and which of the braces at these places are to be filled. Time is linear in the text."""

    def __init__(self, text: str, places: Sequence[int]) -> None:
        self._text = text
        self._lines = text.split("\n")
        lengths = (len(line) + 1 for line in self._lines)
        self._starts = list(itertools.accumulate(lengths, initial=0))
        self._closed = bytearray(len(text))  # 1 where braces are not looked at
        self._left = _TESTED
        self._kinds: dict[str, int] = {}
        self._code: dict[int, bool] = {}
        for find in (_fenced, _ticked, _literals, _formulas, _bracketed):
            for start, end in find(text, self._closed):
                self._closed[start:end] = b"\1" * (end - start)
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

    def rest_of_line(self, at: int) -> str:
        return self._text[at : self._starts[self._line_of(at) + 1] - 1]

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
        return (
            found[1] in ")]}" or self.affords(line) and _parses(around.replace("§", line.strip()))
        )


Spans = Iterator[tuple[int, int]]


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


def _fenced(text: str, closed: bytearray) -> Spans:
    """Blocks in fences; one that is not closed goes on to the end."""
    opened, fence = -1, ""
    for number, found in enumerate(_FENCE.finditer(text)):
        if number == _QUOTATIONS:
            opened = found.start() if opened < 0 else opened
            break
        line = max(text.rfind("\n", max(found.start() - 100, 0), found.start()) + 1, 0)
        if not _BEFORE_FENCE.fullmatch(text, line, found.start()):
            continue
        if opened < 0 and (found[1][0] == "~" or "`" not in found[2]):
            opened, fence = line, found[1]
        elif opened >= 0 and found[1].startswith(fence) and not found[2].strip():
            yield opened, found.end()
            opened = -1
    if opened >= 0:
        yield opened, len(text)


def _ticked(text: str, closed: bytearray) -> Spans:
    """`Inline code`: from a run of backticks to the next of its length in the paragraph."""
    runs: list[tuple[int, int]] = []
    for found in _TICKS.finditer(text):
        if found[0][0] == "\n" or closed[found.start()]:
            yield from _paired(runs)
            runs = []
        else:
            runs.append(found.span())
    yield from _paired(runs)


def _paired(runs: list[tuple[int, int]]) -> Spans:
    following: dict[int, int] = {}
    partners: list[int | None] = [None] * len(runs)
    for place in reversed(range(len(runs))):
        length = runs[place][1] - runs[place][0]
        partners[place] = following.get(length)
        following[length] = place
    place = 0
    while place < len(runs):
        partner = partners[place]
        if partner is not None:
            yield runs[place][0], runs[partner][1]
        place = 1 + (place if partner is None else partner)


def _literals(text: str, closed: bytearray) -> Spans:
    at = 0
    for _ in range(_QUOTATIONS):
        found = _LITERAL.search(text, at)
        if not found:
            return
        start = found.start()
        triple = found[0].startswith(("'''", '"""'))
        before = text[max(start - 20, 0) : start]
        if closed[start]:
            at = start + 1
        elif _F_BEFORE.search(before) or (
            _CODE_BEFORE.search(before) if triple else found[0][-1] == "t"
        ):
            yield start, found.end()
            at = found.end()
        else:
            at = start + (3 if triple else 1)
    yield at, len(text)


def _formulas(text: str, closed: bytearray) -> Spans:
    """TeX between dollars, which otherwise are money."""
    for number, found in enumerate(_FORMULA.finditer(text)):
        if number == _QUOTATIONS:
            yield found.start(), len(text)
            return
        if found[0].startswith("$$") or any(sign in found[0] for sign in "\\^") or "_{" in found[0]:
            yield found.span()


def _bracketed(text: str, closed: bytearray) -> Spans:
    """What brackets make code: nested braces, braces over lines, arguments and subscripts.

    Prose in parentheses may go over lines too: those of code open at a line's end or behind a word.
    """
    spans: list[tuple[int, int]] = []
    opened: list[tuple[str, int, int]] = []  # the bracket, its place, the braces before it
    count = {"(": 0, "[": 0, "{": 0}
    braces = 0
    for number, found in enumerate(_BRACKET.finditer(text)):
        at, sign = found.start(), found[0]
        if number == _BRACKETS:
            spans.append((at, len(text)))
            break
        if closed[at]:
            continue
        if len(sign) > 1:
            braces += sign[0] == "{"
        elif sign in count:
            opened.append((sign, at, braces))
            count[sign] += 1
        elif count[_OPENER[sign]]:
            kind, start, earlier = "", 0, 0
            while kind != _OPENER[sign]:
                kind, start, earlier = opened.pop()
                count[kind] -= 1
            if braces > earlier and (kind == "{" or _is_of_code(text, start, at)):
                spans.append((start, at + 1))
            braces += kind == "{"
    yield from _outermost(spans)


def _is_of_code(text: str, start: int, end: int) -> bool:
    before = text[max(start - 1, 0) : start]
    if before.isalnum() or before in frozenset("_)]\\"):
        return True
    if text[start] == "[" and text.find("\n", start, end) >= 0:
        return True
    follows = text[start + 1 : start + 100].lstrip(" \t\r")
    return follows.startswith("\n")


def _outermost(spans: list[tuple[int, int]]) -> Spans:
    reached = 0
    for start, end in sorted(spans):
        if end > reached:
            yield max(start, reached), end
            reached = end


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


# ── The reading of an expression ──────────────────────────────────────────────────────────────────

# Modules, and which of their types (None: all): to read these runs nothing of the notebook's
_READ: Mapping[str, frozenset[str] | None] = {
    "builtins": frozenset(
        _WORD.findall(
            "NoneType bool int float complex str bytes list tuple dict set frozenset range slice"
            " dict_keys dict_values dict_items"
        )
    ),
    "collections": frozenset(["deque", "Counter", "OrderedDict", "defaultdict"]),
    "torch": frozenset(["Tensor", "Parameter", "Size"]),
    "polars": frozenset(["DataFrame", "Series", "GroupBy"]),
    **dict.fromkeys(["datetime", "decimal", "fractions", "pathlib", "uuid"]),
    **dict.fromkeys(["numpy", "pandas", "geopandas", "scipy", "sklearn", "mirador_magic"]),
}
# Reading on every type of those above; what acts on an argument is kept off by `_method`
_METHODS = frozenset(
    _WORD.findall(
        "head tail describe sample mean sum min max median std var mode count quantile"
        " value_counts nunique n_unique unique corr cov isna isnull notna null_count any all"
        " nlargest nsmallest idxmax idxmin argmax argmin duplicated groupby group_by size first"
        " last sort_values sort_index select_dtypes memory_usage round abs item tolist to_list"
        " to_dict to_string keys values items get most_common strip lstrip rstrip lower upper"
        " title split splitlines join find startswith endswith date time isoformat weekday"
        " total_seconds detach cpu"
    )
)
_ACTING = frozenset(["inplace", "in_place", "out", "buf", "replace"])  # words of arguments
_SEEDS = {"pandas": "random_state", "geopandas": "random_state", "polars": "seed"}
_WHOLE: Mapping[str, Callable[..., object]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "sum": sum,
    "min": min,
    "max": max,
    "any": any,
    "all": all,
}
_OF_ONE: Mapping[str, Callable[[Any], object]] = {
    "len": len,
    "str": str,
    "repr": repr,
    "type": lambda value: type.__repr__(type(value)),
}
_LARGEST = 10_000_000  # items that a builtin goes through
_SUMS: Mapping[type[ast.operator], Callable[[Any, Any], object]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: lambda left, right: left % right,
}
_CONVERSIONS: Mapping[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_TAIL = re.compile(
    r"(?:!(?P<conversion>[rsa]))?"
    r"(?::(?:(?P<number>(?:[^{}\s]?[<>^])?[-+]?z?\#?0?\d{0,3}[_,]?(?:\.\d{1,3})?[bcdeEfFgGnosxX%]?)"
    r"|(?P<date>(?:%[aAbBdHIjmMpSyYzZ]|[-/:., T])+)))?"
)
# Such a spec may be a value in a dict without quotes: {a:1}, {a:b}
_VALUE_LIKE = re.compile(r"[-+]?\d+(?:\.\d*)?|\w?")


class _Unfit(Exception):
    """The expression is none that only reads."""


def _written(inner: str, namespace: Namespace) -> str | None:
    """How braces read when filled; None where they are to stay."""
    try:
        tree, tail = _taken_apart(inner)
        value = _read(tree, namespace)
        _check_value(value)
        return shown(_formatted(value, tail))
    except KeyboardInterrupt:
        raise
    except BaseException:  # also what is no Exception: a panic of polars, an exit in a __repr__
        log.debug("{%s} stays as it is", inner, exc_info=True)
        return None


def _taken_apart(inner: str) -> tuple[ast.expr, Mapping[str, str]]:
    """The expression, and its conversion and format: `!r`, `:.2f`."""
    depth, end = 0, len(inner)
    for at, sign in enumerate(inner):
        depth += (sign in "([") - (sign in ")]")
        if depth == 0 and sign in "!:":
            end = at
            break
    tail = _TAIL.fullmatch(inner, end)
    if not tail or inner.count("(") + inner.count("[") > _DEEPEST:
        raise _Unfit
    tree = ast.parse(inner[:end], mode="eval").body
    if isinstance(tree, ast.Tuple | ast.List | ast.Constant):
        raise _Unfit
    return tree, tail.groupdict("") | {"spec": inner[end:].partition(":")[2]}


def _formatted(value: object, tail: Mapping[str, str]) -> object:
    if tail["conversion"]:
        value = _CONVERSIONS[tail["conversion"]](value)
    spec = tail["spec"]
    if not spec:
        return value
    is_date = isinstance(value, datetime.date | datetime.time)
    if not (is_date or isinstance(value, str | Number)) or is_date != ("%" in spec[:-1]):
        raise _Unfit
    if _VALUE_LIKE.fullmatch(spec):
        raise _Unfit
    return format(value, spec)


def _check_value(value: object) -> None:
    """Raises _Unfit for a module, a class, a function, and for what a reading would use up.

    A neural network can be called as well, and is a value all the same.
    """
    kind = type(value)
    called = callable(value) and not hasattr(kind, "state_dict")
    if isinstance(value, types.ModuleType) or called or hasattr(kind, "__next__"):
        raise _Unfit


def _is_known(value: object) -> bool:
    """Whether to read it runs nothing of the notebook's, and uses nothing up."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    names = _READ.get(root, frozenset())
    return (names is None or kind.__name__ in names) and not hasattr(kind, "__next__")


def _is_plain(value: object) -> bool:
    """Whether it can be an argument: a constant, or some of them."""
    if isinstance(value, slice):
        return _is_plain((value.start, value.stop, value.step))
    if type(value) in (list, tuple):
        return all(_is_plain(each) for each in value)  # type: ignore[attr-defined]
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _read(node: ast.expr | None, namespace: Namespace) -> object:
    """The value of an expression. Raises _Unfit, or whatever its reading raises."""

    def read(part: ast.expr | None) -> object:
        return _read(part, namespace)

    match node:
        case None:
            return None
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name.strip("_") and not name.startswith("__"):
            return namespace[name]
        case ast.Attribute(value=owner, attr=name):
            return _attribute(read(owner), name)
        case ast.Subscript(value=owner, slice=key):
            return _item(read(owner), read(key))
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(read(lower), read(upper), read(step))
        case ast.Tuple(elts=parts):
            return tuple(read(part) for part in parts)
        case ast.List(elts=parts):
            return [read(part) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _sum(0, read(operand), ast.Sub)
        case ast.BinOp(left=left, op=op, right=right):
            return _sum(read(left), read(right), type(op))
        case ast.Call():
            return _called(node, namespace)
    raise _Unfit


def _sum(left: object, right: object, op: type[ast.operator]) -> object:
    if not (isinstance(left, Number) and isinstance(right, Number)):
        raise _Unfit
    return _SUMS[op](left, right)


def _attribute(owner: object, name: str) -> object:
    """An attribute; of what is not known, only one that is stored, and so no code of the notebook's."""
    if name.startswith("_"):
        raise _Unfit
    if isinstance(owner, types.ModuleType):
        value = types.ModuleType.__getattribute__(owner, "__dict__")[name]  # past a lazy loader
        if not isinstance(value, str | bytes | Number | tuple):
            raise _Unfit
        return value
    if _is_known(owner):
        return getattr(owner, name)
    stored: Any = inspect.getattr_static(owner, name)
    if _is_field(stored):
        return stored.__get__(owner)
    if hasattr(type(stored), "__get__"):
        raise _Unfit
    return stored


def _is_field(stored: object) -> bool:
    """Whether it is a field by Python's own means: a slot, one of a named tuple, `args` of an error."""
    if isinstance(stored, types.GetSetDescriptorType):
        return stored.__objclass__.__module__ == "builtins"
    return isinstance(stored, types.MemberDescriptorType) or (
        type(stored).__qualname__ == "_tuplegetter"
    )


def _item(owner: object, key: object) -> object:
    """An item. Nothing is put into a dict by asking for it, as a defaultdict's own reading does."""
    if not (_is_plain(key) or _is_known(key)):
        raise _Unfit
    if isinstance(owner, dict):
        if not _is_plain(key) or not dict.__contains__(owner, key):
            raise _Unfit
        return dict.__getitem__(owner, key)
    kinds: tuple[Any, ...] = (list, tuple, str)
    for kind in kinds:
        if isinstance(owner, kind):
            return kind.__getitem__(owner, key)
    if not _is_known(owner):
        raise _Unfit
    known: Any = owner
    return known[key]


def _called(node: ast.Call, namespace: Namespace) -> object:
    arguments = [_read(each, namespace) for each in node.args]
    keywords = {each.arg or "": _read(each.value, namespace) for each in node.keywords}
    match node.func:
        case ast.Name(id=name) if name not in namespace:
            return _builtin(name, arguments, keywords)
        case ast.Attribute(value=owner, attr=name) if name in _METHODS:
            return _method(_read(owner, namespace), name, arguments, keywords)
    raise _Unfit


def _builtin(name: str, arguments: list[Any], keywords: Mapping[str, Any]) -> object:
    """What a builtin gives. Nothing but `len`, `type` and writing asks a value that is not known."""
    if name in _OF_ONE and len(arguments) == 1 and not keywords:
        return _OF_ONE[name](arguments[0])
    if not all(_is_known(each) and _size(each) <= _LARGEST for each in arguments):
        raise _Unfit
    if name in ("abs", "round") and not keywords:
        if not all(_is_plain(each) and abs(each) <= 100 for each in arguments[1:]):
            raise _Unfit
        return abs(*arguments) if name == "abs" else round(*arguments)
    several = name in ("min", "max") or len(arguments) == 1
    if name not in _WHOLE or not several or keywords.keys() - {"reverse", "default"}:
        raise _Unfit
    return _WHOLE[name](*arguments, **keywords)


def _size(value: Any) -> int:
    return len(value) if hasattr(type(value), "__len__") and getattr(value, "shape", 1) != () else 0


def _method(owner: object, name: str, arguments: list[Any], keywords: dict[str, Any]) -> object:
    """What a method gives. A place to write to is a third argument at the least, or has a name."""
    most = 0 if name == "to_string" else 1 if name == "sample" else 2
    if not _is_known(owner) or len(arguments) > most or keywords.keys() & (_ACTING | {""}):
        raise _Unfit
    if name == "sample":
        # unseeded it would move the notebook's own random numbers on
        seed = _SEEDS[type(owner).__module__.partition(".")[0]]
        if not isinstance(keywords.setdefault(seed, 0), int):
            raise _Unfit
    if not all(_is_plain(each) for each in (*arguments, *keywords.values())):
        raise _Unfit
    return getattr(owner, name)(*arguments, **keywords)


# ── How a value reads in a prompt ─────────────────────────────────────────────────────────────────

_TEXT = 20_000
_TRACEBACK = 6000
_OTHER = 4000
_ITEMS = 50
_ALL_ROWS, _FIRST_ROWS = 30, 10  # a frame of up to 30 rows is shown whole
_COLUMNS, _LISTED = 16, 60  # in the table; by name and type
_CELL = 32
_ROW, _FIRST = 12, 20  # of an array: along its last axis, and the one before
_NUMERIC = re.compile(r"(?:torch\.)?(?:u?int|b?float)\d+")

_brief = reprlib.Repr()
_brief.maxlist = _brief.maxtuple = _brief.maxset = _brief.maxfrozenset = _brief.maxdeque = _ITEMS
_brief.maxdict = _ITEMS
_brief.maxlevel = 4
_brief.maxstring = _brief.maxother = _brief.maxlong = 1000


def shown(value: object) -> str:
    """How a value reads in a prompt: bounded, and with what was left out said.

    Raises whatever the value's own `__repr__` raises.
    """
    if isinstance(value, str):
        return _cut(str.__str__(value), _TEXT)
    if isinstance(value, BaseException):
        lines = traceback.format_exception(value, limit=-20)
        return _cut("".join(lines).rstrip(), _TRACEBACK, 0.3)
    if isinstance(value, Number | datetime.date | datetime.time | datetime.timedelta):
        return _cut(str(value), _OTHER)
    if isinstance(value, pathlib.PurePath):
        return str(value)
    for kind in type(value).__mro__:
        writer = _WRITERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if writer:
            try:
                return writer(value)
            except Exception:  # a kin of it that reads otherwise
                log.debug("no %s as we know it", kind.__name__, exc_info=True)
                break
    if isinstance(value, list | tuple | dict | set | frozenset | deque | bytes | bytearray):
        return _cut(_collection(value), _OTHER)
    return _cut(repr(value), _OTHER)


def _cut(text: str, most: int, head: float = 0.75) -> str:
    """A text of `most` characters at most, and a line that tells what is left out of its midst."""
    if len(text) <= most:
        return text
    first = int(most * head)
    last = len(text) - (most - first)
    return f"{text[:first]}\n[… {last - first:,} characters left out …]\n{text[last:]}"


def _collection(value: Any) -> str:
    many = _OTHER if isinstance(value, bytes | bytearray) else _ITEMS
    if len(value) <= many:
        return _whole(value)
    if isinstance(value, dict):
        part: Any = dict(itertools.islice(value.items(), many))
    elif isinstance(value, set | frozenset | deque):
        part = list(itertools.islice(value, many))
    else:
        part = value[:many]
    return f"{type(value).__name__} of {len(value):,}, the first {many:,}: {_whole(part)}"


def _whole(value: Any) -> str:
    if type(value) is dict:
        return _entries(value)
    exact = type(value) in (list, tuple, set, frozenset, deque)
    return _brief.repr(value) if exact else repr(value)


def _entries(value: dict[Any, Any]) -> str:
    # reprlib would sort the keys
    pairs = (f"{_brief.repr(key)}: {_brief.repr(item)}" for key, item in value.items())
    return f"{{{', '.join(pairs)}}}"


def _count(many: int, word: str) -> str:
    return f"{many:,} {word}" if many == 1 else f"{many:,} {word}s"


def _cell(value: object) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _sheet(kind: str, shape: tuple[int, int], listed: str, table: list[list[object]]) -> str:
    """A frame: its shape, its columns, and a table whose first line are names."""
    rows, columns = shape
    lines = [f"{kind}, {_count(rows, 'row')} × {_count(columns, 'column')}"]
    if columns > _LISTED:
        listed += f" [… {_count(columns - _LISTED, 'more column')} …]"
    lines += [f"columns: {listed}", *_drawn(table)]
    if columns > _COLUMNS:
        lines.append(f"[… {_count(columns - _COLUMNS, 'column')} left out of the table …]")
    return "\n".join(lines + _left_out(rows, len(table) - 1))


def _left_out(rows: int, told: int) -> list[str]:
    return [f"[… {_count(rows - told, 'row')} left out …]"] if rows > told else []


def _drawn(table: list[list[object]]) -> list[str]:
    cells = [[_cell(value) for value in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _rows_of(many: int) -> int:
    return many if many <= _ALL_ROWS else _FIRST_ROWS


def _listed(names: Sequence[object], kinds: Sequence[object]) -> str:
    pairs = zip(names[:_LISTED], kinds[:_LISTED], strict=True)
    return ", ".join(f"{_cell(name)} ({_cell(kind)})" for name, kind in pairs)


def _pandas_frame(frame: Any) -> str:
    part = frame.iloc[: _rows_of(len(frame)), :_COLUMNS]
    rows = zip(part.index, part.itertuples(index=False, name=None), strict=True)
    table = [["", *part.columns], *([label, *row] for label, row in rows)]
    listed = _listed(list(frame.columns), list(frame.dtypes))
    return _sheet("DataFrame", frame.shape, listed, table)


def _polars_frame(frame: Any) -> str:
    rows = frame.head(_rows_of(frame.shape[0])).rows()
    table = [list(row[:_COLUMNS]) for row in (frame.columns, *rows)]
    listed = _listed(frame.columns, frame.dtypes)
    return _sheet("polars DataFrame", frame.shape, listed, table)


def _pandas_series(series: Any) -> str:
    part = series.iloc[: _rows_of(len(series))]
    pairs: list[list[object]] = [list(pair) for pair in zip(part.index, part, strict=True)]
    return _column("Series", series, pairs)


def _polars_series(series: Any) -> str:
    part = series.head(_rows_of(len(series))).to_list()
    return _column("polars Series", series, [[value] for value in part])


def _column(kind: str, series: Any, table: list[list[object]]) -> str:
    named = "" if series.name in (None, "") else f" {_cell(series.name)}"
    head = f"{kind}{named}, {_count(len(series), 'value')}, {series.dtype}"
    return "\n".join([head, *_drawn(table), *_left_out(len(series), len(table))])


def _array(value: Any) -> str:
    """A numpy array or a torch tensor: shape, dtype, least, mean and greatest, its first values."""
    shape = tuple(int(size) for size in value.shape)
    most = (*[1] * (len(shape) - 2), _FIRST, _ROW)[-len(shape) :] if len(shape) > 1 else (100,)
    part = value[tuple(slice(size) for size in most)] if shape else value
    head = f"{type(value).__name__}, shape {shape}, {value.dtype}{_spread(value, shape)}"
    text = _cut(str(part), _OTHER)
    corner = tuple(int(size) for size in part.shape)
    return f"{head}\n{text}" if corner == shape else f"{head}; the first {corner} of it:\n{text}"


def _spread(value: Any, shape: tuple[int, ...]) -> str:
    if not _NUMERIC.fullmatch(str(value.dtype)) or 0 in shape:
        return ""
    # torch takes no mean of whole numbers
    whole = "int" in str(value.dtype) and hasattr(value, "double")
    mean = (value.double() if whole else value).mean()
    low, high = float(value.min()), float(value.max())
    return f", min {low:.6g}, mean {float(mean):.6g}, max {high:.6g}"


_WRITERS: Mapping[tuple[str, str], Callable[[Any], str]] = {
    ("pandas", "DataFrame"): _pandas_frame,
    ("pandas", "Series"): _pandas_series,
    ("polars", "DataFrame"): _polars_frame,
    ("polars", "Series"): _polars_series,
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): lambda value: _cut(str(value), _OTHER),
    ("torch", "Tensor"): _array,
    ("mirador_magic", "Answer"): lambda answer: _cut(answer.text, _TEXT),
}
