"""The magic's line: `[verb] [--options] [NAME <<] text`, taken apart.

Options stand before the text, so that a question may hold dashes, quotes and apostrophes as it
likes. A value with spaces stands in quotes; `deep_analysis.temperature=0.3` is an option too. What
cannot be read is an error that names the nearest right word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mirador_magic.errors import UsageError
from mirador_magic.routing.router import Complexity
from mirador_magic.settings import settings
from mirador_magic.settings.keys import OF_A_STAGE
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, nearest

# option → the word for its value in the manual; None: the option takes no value
Known = Mapping[str, str | None]
Options = Mapping[str, str]

DEPTHS: Mapping[str, Complexity] = {"--fast": "simple", "--balanced": "medium", "--deep": "complex"}
_OF_A_STAGE: Known = {
    f"--{name.replace('_', '-')}": key.example for name, key in OF_A_STAGE.items()
}
ASK: Known = {
    "--stages": "a,b",
    **dict.fromkeys(DEPTHS),
    "--engine": "ENGINE",
    "--host": "ADDRESS",
    "--bg": None,
    "--traditional": None,
    "--v2": None,
    "--no-stream": None,
    "--quiet": None,
    "--raw": None,
    "--show-prompt": None,
    "--context": "CELLS",
    "--continue": None,
    "-c": None,
    "--as": "text|markdown|json|code",
    **_OF_A_STAGE,
}
VERBS: Mapping[str, Known] = {
    "ask": ASK,
    "last": {},
    "status": {},
    "stage": _OF_A_STAGE,
    "route": {},
    "settings": {},
    "pull": {},
    "warm": {"--status": None},
    "provision": {"--yes": None, "--context": "FILE"},
    "doctor": {"--json": None},
    "endpoints": {},
    "history": {},
    "reset": {},
    "controls": {},
    "metrics": {
        "--hours": "24",
        "--by": "stage|model|engine|route",
        "--json": None,
        "--csv": None,
        "--clear": None,
    },
    "dashboard": {},
    "benchmark": {
        "--models": "a,b",
        "--stages": "a,b",
        "--questions": "FILE",
        "--repeats": "3",
        "--json": "FILE",
        "--against": "FILE|last",
    },
    "compare": {"--models": "a,b,c", "--stages": "a,b", "--system": "one.md,two.md"},
    "tune": {},
    "calibrate": {"--stages": "a,b", "--show": None, "--clear": None},
}
_WITH_TEXT = (
    *("ask", "stage", "pull", "warm", "route", "provision"),
    *("benchmark", "compare", "tune", "calibrate"),
)
_IN_CELLS = ("benchmark", "compare")  # whose text may be a cell

_STAGE_OPTION = re.compile(
    rf"\s*([A-Za-z_]\w*)\.({'|'.join(OF_A_STAGE)})="
    rf"|\s*({'|'.join(stage.name for stage in DEFAULT_STAGES)})\.(\w+)="
)
_OPTION = re.compile(r"\s*(--?[A-Za-z][\w-]*)")
_VALUE = re.compile(r"""(?:=|\s+)("[^"]*"|'[^']*'|[^\s"'-]\S*|-?\.?\d\S*)""")
_NAME = re.compile(r"\s*([^\W\d]\w*)\s*<<(?=\s|$)")
_WORD = re.compile(r"\s*(\S+)")


@dataclass(frozen=True)
class Line:
    """A line that was read. `options` keep their dashes; one without a value holds ''.

    Where its cell is `awaited` on the notebook's own loop, clicks arrive while it runs.
    """

    verb: str
    text: str
    name: str | None = None
    options: Options = field(default_factory=dict)
    awaited: bool = False


def read(line: str, cell: str | None = None) -> Line:
    """Take a line apart, and the cell below it, which is the end of its text.

    Above a cell the first word is a verb only where a cell may stand for its text, and nothing but
    options come after it: else the line asks.
    """
    options: dict[str, str] = {}
    name, rest = _head(line, ASK, options)
    word = _WORD.match(rest)
    verb = "ask"
    if word and _is_verb(word[1], rest[word.end() :], cell):
        verb = word[1]
        rest = rest[word.end() :]
        if verb == "stage":
            return _stage(rest)
        late, rest = _head(rest, VERBS[verb], options)
        name = name or late
        if verb == "calibrate" and (file := _WORD.match(rest)):
            rest = file[0] + _head(rest[file.end() :], VERBS[verb], options)[1]
    text = "\n".join(filter(None, (rest.strip(), (cell or "").strip())))
    if verb not in _WITH_TEXT and text:
        raise UsageError(f"%mirador {verb} takes no text", f"to ask it: %mirador ask {verb} {text}")
    return Line(verb, text, name, options)


def _is_verb(word: str, rest: str, cell: str | None) -> bool:
    if cell is None:
        return word in VERBS
    return word in _IN_CELLS and (not rest.strip() or rest.strip().startswith("--"))


def _stage(rest: str) -> Line:
    word = _WORD.match(rest)
    if not word or word[1].startswith("-"):
        raise UsageError(
            "the stage has no name", "%mirador stage critic --model MODEL --system '…'"
        )
    options: dict[str, str] = {}
    _, left = _head(rest[word.end() :], VERBS["stage"], options)
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
        elif known is ASK and (found := _STAGE_OPTION.match(text)):
            text = _value(found[0].strip().rstrip("="), text[found.end() - 1 :], "VALUE", options)
        elif found := _OPTION.match(text):
            text = _option(found[1], text[found.end() :], known, options)
        else:
            return name, text


def _option(word: str, rest: str, known: Known, options: dict[str, str]) -> str:
    """Read one option and its value into `options`; what is left of the line."""
    if word not in known:
        there = f"there are: {', '.join(known)}" if known else "it takes none"
        raise UsageError(f"there is no option {word} here; {there}", nearest(word, known))
    example = known[word]
    if example is None:
        options[word] = ""
        return rest
    return _value(word, rest, example, options)


def _value(word: str, rest: str, example: str, options: dict[str, str]) -> str:
    """Read the value that stands behind an option; what is left of the line."""
    value = _VALUE.match(rest)
    if not value:
        raise UsageError(f"{word} has no value", f"write {word} {example}")
    given = value[1]
    options[word] = given[1:-1] if given[0] in "\"'" else given
    return rest[value.end() :]


def layer_of(read: Line) -> settings.Layer:
    """What the line sets: a layer of the settings."""
    values: dict[str, object] = {}
    for option, value in read.options.items():
        name = option.lstrip("-").replace("-", "_") if option.startswith("-") else option
        if name in OF_A_STAGE or name in ("engine", "host") or "." in name:
            values[name] = value
    return settings.layer(values, "the line")


def stage_of(read: Line) -> ModelStage:
    """The stage that a `stage` line makes."""
    if "--model" not in read.options:
        raise UsageError(
            f"stage {read.text} has no model", f"%mirador stage {read.text} --model NAME"
        )
    own = ModelStage(read.text, read.options["--model"], 0.5, 30.0, "")
    return settings.Settings(layer_of(read)).stage(own)
