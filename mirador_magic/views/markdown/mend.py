"""What is held back of a source that is being written, and what is closed for the drawing."""

from __future__ import annotations

import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned

from mirador_magic.views.markdown.inline import ADDRESS, LABEL, WEB, sides_of
from mirador_magic.views.markdown.maths import FORMULA

SHORT = 200  # characters that may be held back until a formula or a link is whole

_INTO = r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*"
_MARKS = re.compile(r"(?:[ \t>#*+\-|`=_~:]|\d{1,9}[.)](?=[ \t]|\Z))*+(?:\d{1,9})?")
_INFO = re.compile(_INTO + "(?:```+[^`]*|~~~.*)")
_ROW = re.compile(_INTO + r"\|")


def settled(source: str) -> str:
    """The source without last lines that may yet become something else."""
    begin = source.rfind("\n") + 1
    last = source[begin:]
    if _MARKS.fullmatch(last) or _INFO.fullmatch(last) or _ROW.match(last):
        source = source[:begin]
    before, _, header = source[:-1].rpartition("\n")
    # a row that no row stands above may be a header: it waits for the line below it
    first = _ROW.match(header) and not _ROW.match(before.rpartition("\n")[2])
    return (before and before + "\n") if first and source.endswith("\n") else source


_PARTS = re.compile(
    rf"""(?=[`\\$<!&\[*_~]|(?<![^\W_])http) (?: {ADDRESS}
    | (?P<ticks>`++) (?: .+? (?<!`)(?P=ticks)(?!`) | (?P<code>.*) )
    | {FORMULA} | (?P<tex>\\[(\[] | \\begin\{{ | \$)
    | (?P<half>[\\!~]\Z | \\b[egin]{{0,4}}\Z | <(?:[^\s<>]{{0,200}}|br\s*/?)\Z | &\#?\w{{0,31}}\Z)
    | \\. | <[^\s<>]+>
    | !?\[{LABEL}\] \( (?: [^()\s] | \([^()\s]*\) | \s+"[^"]*" )*+ \)
    | (?P<link>(?P<image>!?) \[(?P<label>{LABEL})\] \( (?P<to>[^()]* (?:\([^()]*\)?[^()]*)?)\Z)
    | (?P<bracket>!?\[{LABEL}\]?\Z)
    | (?P<run>\*+ | _+ | ~~+))""",
    re.DOTALL | re.VERBOSE,
)
_PRICE = re.compile(r"\$\d[\d.,]*[A-Za-z]?[\s.,;:!?)]+[A-Za-z]")


class _Run(NamedTuple):
    """Emphasis that is open: its marks, and where they stand."""

    begin: int
    end: int
    marks: str


def mended(text: str, parser: MarkdownIt) -> str:
    """An unfinished paragraph, its open marks closed and what may yet change left out."""
    runs: list[_Run] = []
    inline, ticks = StateInline(text, parser, {}, []), ""
    for part in _PARTS.finditer(text):
        if part["run"] and part.end() < len(text):
            _emphasis(runs, part, sides_of(inline, part.start()))
        elif (kept := _kept(part)) is not None:
            text = text[: part.start()] + kept
            ticks = part["ticks"] or "" if kept else ""
            break
    text = text.rstrip()
    while runs and runs[-1].end >= len(text):
        text = text[: runs.pop().begin].rstrip()
    return text + ticks + "".join(run.marks for run in reversed(runs))


def _kept(part: re.Match[str]) -> str | None:
    """What to draw of a part that is not whole; None where it is, or never will be."""
    short = len(part.string) - part.start() < SHORT
    if part["code"] is not None:
        code = part["code"].rstrip("`")
        return part["ticks"] + code if code.strip() else ""
    if part["link"]:
        return _kept_link(part)
    if part["tex"]:
        price = _PRICE.match(part.string, part.start())
        later = part["tex"] == "$" and "$" in part.string[part.end() + 1 :]
        return "" if short and not price and not later else None
    return "" if part["half"] or part["run"] or (part["bracket"] and short) else None


def _kept_link(part: re.Match[str]) -> str | None:
    """The text of a link whose address has begun; nothing until it is sure to be one."""
    if re.match(WEB, part["to"], re.IGNORECASE):
        return ("image: " if part["image"] else "") + part["label"]
    begun = any(scheme.startswith(part["to"].lower()) for scheme in ("http:", "https:", "mailto:"))
    return "" if begun else None


def _emphasis(runs: list[_Run], part: re.Match[str], sides: Scanned) -> None:
    """Close the open runs that these marks can, and open one with the marks that are left."""
    marks = part["run"]
    while sides.can_close and marks and any(run.marks[0] == marks[0] for run in runs):
        while runs[-1].marks[0] != marks[0]:
            runs.pop()
        run = runs.pop()
        used = min(len(run.marks), len(marks))
        if left := run.marks[used:]:
            runs.append(run._replace(marks=left))
        marks = marks[used:]
    if sides.can_open and marks and len(runs) < 50:
        runs.append(_Run(part.start(), part.end(), marks))
