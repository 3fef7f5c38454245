"""The one table of commands, and that all who tell of a verb or an option read it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mirador_magic.cli import argv
from mirador_magic.commands.command import Command, Option, Place
from mirador_magic.commands.completion import complete
from mirador_magic.commands.line import read
from mirador_magic.commands.manual import manual
from mirador_magic.commands.page import page
from mirador_magic.commands.table import COMMANDS, WHERE, offered
from mirador_magic.settings.keys import KEYS
from mirador_magic.store.rows import BYS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
PLACES: tuple[Place, ...] = ("notebook", "shell")
KNOWN = {"stages": ["quick_response", "critic"], "models": ["gemma2:9b", "phi3:mini"]}
DONE = [
    pytest.param(command, place, id=f"{command.name}-{place}")
    for command in COMMANDS
    for place in command.places
    if (command.name, place) != ("ask", "notebook")  # which the magic itself does
]
TYPED = [
    pytest.param(command, option, name, id=f"{command.name}{name}-{'-'.join(option.places)}")
    for command in COMMANDS
    for option in command.options
    for name in option.names
    if option.name != "--set"
]


@pytest.mark.parametrize(("command", "place"), DONE)
def test_what_does_a_verb_is_there(command: Command, place: Place) -> None:
    do = command.load(place)
    assert inspect.iscoroutinefunction(do)
    assert list(inspect.signature(do).parameters) == ["session", "read"]


@pytest.mark.parametrize(("command", "option", "name"), TYPED)
def test_an_option_is_read_alike_in_a_line_and_in_a_shell(
    command: Command, option: Option, name: str
) -> None:
    value = (option.example or option.value) if option.value else ""
    expected = {option.name: value}
    quoted = f"'{value}'" if value else ""
    if "notebook" in command.places and "notebook" in option.places:
        assert read(f"{command.name} {name} {quoted}").options == expected
    if "shell" in command.places and "shell" in option.places:
        assert argv.read([command.name, name, *filter(None, [value])]).options == expected


def test_the_table_names_nothing_twice() -> None:
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        for place in PLACES:
            names = [n for each in command.options if place in each.places for n in each.names]
            assert sorted(names) == sorted(command.known(place))


def test_completion_offers_each() -> None:
    def words(before: str) -> list[str]:
        found = complete(before, KNOWN["stages"], KNOWN["models"])
        assert found
        return found[1]

    assert words("%mirador ") == [*offered("notebook")]
    assert words("%%mirador ") == ["benchmark", "compare"]
    for name, command in offered("notebook").items():
        options = command.known("notebook")
        assert words(f"%mirador {name} -") == [*options]
        values = [(name, command.values)]
        values += [(f"{name} {typed}", each.values) for typed, each in options.items()]
        for before, given in values:
            known = KNOWN[given] if isinstance(given, str) else [*given]
            assert words(f"%mirador {before} ") == known or not known


def test_the_manual_of_the_magic_has_each() -> None:
    text = manual()
    for name, command in offered("notebook").items():
        assert re.search(rf"^%mirador \[?{name}\b", text, re.MULTILINE)
        for typed in command.known("notebook"):
            assert re.search(rf"(?<![\w-]){typed}(?![\w-])", text), typed


@pytest.mark.parametrize("command", offered("shell").values(), ids=[*offered("shell")])
def test_the_help_of_a_verb_has_each(command: Command) -> None:
    told = argv.parser(command).format_help()
    assert f"  {command.name} " in argv.parser(offered("shell")["ask"]).format_help()
    for option in (*command.options, *WHERE):
        for typed in option.names if "shell" in option.places else ():
            assert re.search(rf"(?<![\w-]){typed}(?![\w-])", told), typed


def test_the_page_is_of_this_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs writes it anew"
    for command in COMMANDS:
        assert f"### `{command.name}`\n" in page()
    for key, each in KEYS.items():
        assert f"| `{key}` |" in page()
        assert f"`{each.variable}`" in page() or not each.variable


def test_the_table_repeats_the_stores_words_rightly() -> None:
    """They are not imported from there, since no help needs a database."""
    assert offered("notebook")["metrics"].known("notebook")["--by"].values == BYS
