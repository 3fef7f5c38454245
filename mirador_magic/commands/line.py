"""The magic's line: `[verb] [--options] [NAME <<] text`, taken apart.

Options stand before the text, so that a question may hold dashes, quotes and apostrophes as it
likes. A value with spaces stands in quotes; `deep_analysis.temperature=0.3` is an option too. What
cannot be read is an error that names the nearest right word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mirador_magic.commands import slips, table
from mirador_magic.commands.command import Command, Option
from mirador_magic.errors import UsageError
from mirador_magic.routing.router import Complexity
from mirador_magic.settings import settings
from mirador_magic.settings.keys import OF_A_STAGE, as_option
from mirador_magic.settings.values import OPTIONS
from mirador_magic.stages import DEFAULT_STAGES, nearest

Known = Mapping[str, Option]
Options = Mapping[str, str]

VERBS = table.offered("notebook")
_ASK = VERBS["ask"].known("notebook")
_SET = {each.name: each.key for each in table.ASK if each.key}
_STAGE_OPTION = re.compile(
    rf"\s*([A-Za-z_]\w*)\.({'|'.join(OF_A_STAGE)})="
    rf"|\s*({'|'.join(stage.name for stage in DEFAULT_STAGES)})\.(\w+)="
    rf"|\s*([A-Za-z_]\w*)\.{OPTIONS}\.(\w+)="
)
_ENGINE_OPTION = re.compile(rf"\s*{OPTIONS}\.(\w+)=")
_OPTION = re.compile(r"\s*(--?[A-Za-z][\w-]*)")
_VALUE = re.compile(r"""(?:=|\s+)("[^"]*"|'[^']*'|[^\s"'-]\S*|-?\.?\d\S*)""")
_NAME = re.compile(r"\s*([^\W\d]\w*)\s*<<(?=\s|$)")
_WORD = re.compile(r"\s*(\S+)")


@dataclass(frozen=True)
class Line:
    """A line that was read. `options` are by their first names; one without a value holds ''.

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
    if cell is None and (verb := slips.meant(line.split(), "notebook")):
        return Line(verb, "")
    options: dict[str, str] = {}
    name, rest = _head(line, _ASK, options)
    word = _WORD.match(rest)
    command = VERBS["ask"]
    if word and _is_verb(word[1], rest[word.end() :], cell):
        command = VERBS[word[1]]
        late, rest = _behind(command, rest[word.end() :], options)
        name = name or late
    text = "\n".join(filter(None, (rest.strip(), (cell or "").strip())))
    if text and not (command.words or command.in_cell):
        verb = command.name
        raise UsageError(f"%mirador {verb} takes no text", f"to ask it: %mirador ask {verb} {text}")
    if cell is None and not (word and word[1] == "ask"):
        slips.check(text, "notebook")
    return Line(command.name, text, name, options)


def _is_verb(word: str, rest: str, cell: str | None) -> bool:
    if word not in VERBS or (VERBS[word].alone and rest.strip()):
        return False
    if cell is None:
        return True
    return VERBS[word].in_cell and (not rest.strip() or rest.strip().startswith("--"))


def _behind(command: Command, text: str, options: dict[str, str]) -> tuple[str | None, str]:
    """Read what stands behind the verb's name: a `NAME <<` and the rest, without the options."""
    known = command.known("notebook")
    name, rest = _head(text, known, options)
    if command.one_word and (word := _WORD.match(rest)):
        rest = word[0] + _head(rest[word.end() :], known, options)[1]
    return name, rest


def _head(text: str, known: Known, options: dict[str, str]) -> tuple[str | None, str]:
    """Read options and a `NAME <<` from the front into `options`; the name and the rest."""
    name: str | None = None
    while True:
        if found := _NAME.match(text):
            name = found[1]
            text = text[found.end() :]
        elif found := _set(text, known):
            text = _value(found[0].strip().rstrip("="), text[found.end() - 1 :], "VALUE", options)
        elif found := _OPTION.match(text):
            text = _option(found[1], text[found.end() :], known, options)
        else:
            return name, text


def _set(text: str, known: Known) -> re.Match[str] | None:
    """A `deep_analysis.temperature=` or `options.top_k=` at the front, where the line may set that."""
    found = _STAGE_OPTION.match(text) if known is _ASK else None
    return found or (_ENGINE_OPTION.match(text) if "--num-ctx" in known else None)


def _option(word: str, rest: str, known: Known, options: dict[str, str]) -> str:
    """Read one option and its value into `options`; what is left of the line."""
    if word not in known:
        there = f"there are: {', '.join(known)}" if known else "it takes none"
        meant = as_option(word) if "--num-ctx" in known else ""
        near = f"write {meant}=VALUE" if meant else nearest(word, known)
        raise UsageError(f"there is no option {word} here; {there}", near)
    option = known[word]
    if not option.value:
        options[option.name] = ""
        return rest
    return _value(word, rest, option.example or option.value, options, option.name)


def _value(word: str, rest: str, example: str, options: dict[str, str], name: str = "") -> str:
    """Read the value that stands behind an option; what is left of the line."""
    value = _VALUE.match(rest)
    if not value:
        raise UsageError(f"{word} has no value", f"write {word} {example}")
    given = value[1]
    options[name or word] = given[1:-1] if given[0] in "\"'" else given
    return rest[value.end() :]


def names_of(text: str) -> tuple[str, ...]:
    """The names of a list such as `a,b`."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def stages_of(read: Line) -> tuple[str, ...] | None:
    """The stages that the line names; None where it names none."""
    named = read.options.get("--stages")
    return None if named is None else names_of(named)


def depth_of(read: Line) -> Complexity | None:
    """How far the line lets the question go; None where that is left open."""
    depths = [table.DEPTHS[option] for option in read.options if option in table.DEPTHS]
    return depths[-1] if depths else None


def layer_of(read: Line, source: str = "the line") -> settings.Layer:
    """What the line sets: a layer of the settings."""
    values = {
        _SET.get(option, option): value
        for option, value in read.options.items()
        if option in _SET or not option.startswith("-")
    }
    return settings.layer(values, source)
