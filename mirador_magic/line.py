"""The magic's line: `[verb] [--options] [NAME <<] text`, taken apart.

Options stand before the text, so that a question may hold dashes, quotes and apostrophes as it
likes. A value with spaces stands in quotes. What cannot be read is an error that names the nearest
right word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mirador_magic.errors import UsageError
from mirador_magic.stages import ModelOptions, ModelStage, nearest

# option → the word for its value in the manual; None: the option takes no value
Known = Mapping[str, str | None]
Options = Mapping[str, str]

ASK: Known = {
    "--stages": "a,b",
    "--model": "MODEL",
    "--engine": "ENGINE",
    "--bg": None,
    "--traditional": None,
    "--v2": None,
}
STAGE: Known = {
    "--model": "MODEL",
    "--confidence": "0..1",
    "--timeout": "SECONDS",
    "--system": "PROMPT",
    "--temperature": "NUMBER",
    "--top-p": "NUMBER",
    "--num-predict": "TOKENS",
    "--num-ctx": "TOKENS",
}
VERBS: Mapping[str, Known] = {
    "ask": ASK,
    "last": {},
    "status": {},
    "stage": STAGE,
    "pull": {},
    "warm": {"--status": None},
    "provision": {"--phrasebook": None},
}

_OPTION = re.compile(r"\s*(--?[A-Za-z][\w-]*)")
_VALUE = re.compile(r"""(?:=|\s+)("[^"]*"|'[^']*'|[^\s"'-]\S*|-?\.?\d\S*)""")
_NAME = re.compile(r"\s*([^\W\d]\w*)\s*<<(?=\s|$)")
_WORD = re.compile(r"\s*(\S+)")


@dataclass(frozen=True)
class Line:
    """A line that was read. `options` keep their dashes; one without a value holds ''."""

    verb: str
    text: str
    name: str | None = None
    options: Options = field(default_factory=dict)


def read(line: str, *, verbs: bool = True) -> Line:
    """Take a line apart. Without `verbs` its first word is never a verb: the line asks."""
    options: dict[str, str] = {}
    name, rest = _head(line, ASK, options)
    word = _WORD.match(rest)
    verb = "ask"
    if verbs and word and word[1] in VERBS:
        verb = word[1]
        rest = rest[word.end() :]
        if verb == "stage":
            return _stage(rest)
        late, rest = _head(rest, VERBS[verb], options)
        name = name or late
    text = rest.strip()
    if verb not in ("ask", "stage", "pull", "warm") and text:
        raise UsageError(f"%mirador {verb} takes no text", f"to ask it: %mirador ask {verb} {text}")
    return Line(verb, text, name, options)


def _stage(rest: str) -> Line:
    word = _WORD.match(rest)
    if not word or word[1].startswith("-"):
        raise UsageError(
            "the stage has no name", "%mirador stage critic --model MODEL --system '…'"
        )
    options: dict[str, str] = {}
    _, left = _head(rest[word.end() :], STAGE, options)
    if left.strip():
        raise UsageError(f"cannot read {left.strip()!r}", "put a value with spaces in quotes")
    return Line("stage", word[1], None, options)


def _head(text: str, known: Known, options: dict[str, str]) -> tuple[str | None, str]:
    """Read options and a `NAME <<` from the front into `options`; the name and the rest."""
    name: str | None = None
    while True:
        if found := _NAME.match(text):
            name = found[1]
            text = text[found.end() :]
        elif found := _OPTION.match(text):
            text = _option(found[1], text[found.end() :], known, options)
        else:
            return name, text


def _option(word: str, rest: str, known: Known, options: dict[str, str]) -> str:
    """Read one option and its value into `options`; what is left of the line."""
    if word not in known:
        there = f"there are: {', '.join(known)}" if known else "it takes none"
        raise UsageError(f"there is no option {word} here; {there}", nearest(word, known))
    if known[word] is None:
        options[word] = ""
        return rest
    value = _VALUE.match(rest)
    if not value:
        raise UsageError(f"{word} has no value", f"write {word} {known[word]}")
    given = value[1]
    options[word] = given[1:-1] if given[0] in "\"'" else given
    return rest[value.end() :]


def stage_of(read: Line) -> ModelStage:
    """The stage that a `stage` line makes."""
    given = read.options
    if "--model" not in given:
        raise UsageError(
            f"stage {read.text} has no model", f"%mirador stage {read.text} --model NAME"
        )
    options = ModelOptions(
        temperature=_number(given, "--temperature"),
        top_p=_number(given, "--top-p"),
        num_predict=_whole(given, "--num-predict"),
        num_ctx=_whole(given, "--num-ctx") or ModelOptions.num_ctx,
    )
    confidence, timeout = _number(given, "--confidence"), _number(given, "--timeout")
    return ModelStage(
        name=read.text,
        model=given["--model"],
        confidence=0.5 if confidence is None else confidence,
        timeout=30.0 if timeout is None else timeout,
        system_prompt=given.get("--system", ""),
        options=options,
    )


def _number(given: Options, option: str) -> float | None:
    try:
        return float(given[option]) if option in given else None
    except ValueError:
        raise UsageError(f"{option} {given[option]!r} is not a number", f"{option} 0.5") from None


def _whole(given: Options, option: str) -> int | None:
    number = _number(given, option)
    if number is not None and (number < 1 or number != int(number)):
        raise UsageError(f"{option} {given[option]} is not a count of tokens", f"{option} 256")
    return None if number is None else int(number)
