"""The page "Commands and settings" in Markdown, docs/commands.md: `make docs` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mirador_magic.commands import table
from mirador_magic.commands.command import Command, Option
from mirador_magic.settings.keys import OF_A_STAGE, OWN, Key
from mirador_magic.settings.settings import Settings, rows
from mirador_magic.stages import DEFAULT_STAGES

_INTRO = """\
# Commands and settings

In a notebook `%%mirador` asks what stands in the cell below it and `%mirador` what stands behind it,
where that does not begin with a verb. In a shell `mirador` does the same. `%%mirador?`,
`mirador --help` and `mirador VERB --help` say what this page says.
"""
_QUESTION = """\
`NAME <<` in front of a question binds the answer to that name. Options stand before a question, in a
shell also behind it.
"""
_SETTINGS = """\
From the weakest to the strongest: a stage's own values, `[tool.mirador]` in the nearest
`pyproject.toml`, `config.toml` in the user's configuration folder, the environment, the notebook
(`%config MiradorMagics.temperature = 0.2`, `configure(temperature=0.2)`, `%mirador controls`), the
line. `%mirador settings` tells which value is in force, and where it came from.
"""
_OF_STAGES = """\
For all stages (`temperature`) or for one (`deep_analysis.temperature`); each is an option of a
question as well.

`options.NAME = value` (or `deep_analysis.options.NAME`) is any other option of the engine, such as
`options.top_k = 20`, `options.min_p = 0.05`, `options.repeat_penalty = 1.1`, `options.num_gpu = 0` or
`options.stop = ["END"]`; a stage says so where its engine does not know it. In a question's line it
is `options.top_k=20`, in a shell `--set options.top_k=20`, in the environment
`MIRADOR_OPTIONS_TOP_K=20`; in TOML and `%config MiradorMagics` `options` is a table.
"""


def page() -> str:
    """The whole page, of the table of commands and of what may be set."""
    parts = [
        _INTRO,
        "## Verbs\n",
        *map(_command, table.COMMANDS),
        "## Options of a question\n",
        _QUESTION,
        _options(table.ASK),
        "## Settings\n",
        _SETTINGS,
        _table(("setting", "", "default", "such as", "environment"), _own()),
        "### Settings of the stages\n",
        _OF_STAGES,
        _table(
            ("setting", "", *(stage.name for stage in DEFAULT_STAGES), "such as", "environment"),
            _of_stages(),
        ),
    ]
    return "\n".join(parts)


def _command(command: Command) -> str:
    only = f" (in a {command.places[0]} only)" if len(command.places) == 1 else ""
    there = [("In a notebook", command.in_notebook), ("In a shell", command.in_shell)]
    told = [
        f"{command.what[0].upper()}{_prose(command.what[1:])}{only}.",
        *(f"{where}: {_prose(what)}." for where, what in there if what),
    ]
    own = [each for each in command.options if not each.group and not each.key]
    parts = [f"### `{command.name}`", " ".join(told), _usage(command)]
    parts += [f"{_prose(command.more)}."] if command.more else []
    parts += [_options(own).rstrip()] if own else []
    return "\n\n".join(parts) + "\n"


def _usage(command: Command) -> str:
    lines = []
    if "notebook" in command.places:
        lines.append(f"%mirador {command.name} {command.signature('notebook')}")
    if command.in_cell:
        lines.append(f"%%mirador {command.name} …")
    if "shell" in command.places:
        lines.append(f"mirador {command.name} {command.signature('shell')}")
    return "\n".join(["```text", *map(str.rstrip, lines), "```"])


def _options(options: Iterable[Option]) -> str:
    body = (
        [
            ", ".join(map(_code, (*each.names[:-1], f"{each.names[-1]} {each.value}".rstrip()))),
            _prose(each.what),
            " and ".join(each.places),
        ]
        for each in options
    )
    return _table(("option", "", "in"), body)


def _own() -> Iterator[list[str]]:
    defaults = {row.name: row.value for row in rows(Settings(), ())}
    for name, key in OWN.items():
        yield [_code(name), _prose(key.what), _code(defaults[name]), *_typed(key)]


def _of_stages() -> Iterator[list[str]]:
    defaults = {row.name: row.value for row in rows(Settings())}
    for name, key in OF_A_STAGE.items():
        own = [_code(defaults.get(f"{stage.name}.{name}", "")) for stage in DEFAULT_STAGES]
        told = ["its own"] * len(own) if name == "system" else own
        yield [_code(name), _prose(key.what), *told, *_typed(key)]


def _typed(key: Key) -> tuple[str, str]:
    """What it may be, and the environment's name for it."""
    return ", ".join(map(_code, key.values or (key.example,))), _code(key.variable)


def _table(head: Iterable[str], body: Iterable[list[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _code(text: str) -> str:
    """As code in a cell of a table; nothing for what is not there."""
    return f"`{text.replace('|', chr(92) + '|')}`" if text not in ("", "–") else ""


def _prose(text: str) -> str:
    """A sentence, its options and its JSON as code."""
    return re.sub(r"(?<!\S)--?[a-z][\w-]*|\{.*\}", lambda found: f"`{found[0]}`", text)
