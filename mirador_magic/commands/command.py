"""What a row of the table of commands holds: a verb, and an option of one."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Place = Literal["notebook", "shell"]
BOTH: tuple[Place, ...] = ("notebook", "shell")
NOTEBOOK: tuple[Place, ...] = ("notebook",)
SHELL: tuple[Place, ...] = ("shell",)
Values = tuple[str, ...] | Literal["stages", "models"]  # or those that are known when it is asked
Do = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Option:
    """An option: its name, what it is for, and the word for its `value`, '' where it takes none.

    `also` are its other names, `example` is a value as it may be typed, `values` are all that it may
    be, where they can be told, of which a line may name `several`. `group` is a heading in a manual,
    `key` the setting that it sets.
    """

    name: str
    what: str
    value: str = ""
    example: str = ""
    values: Values = ()
    several: bool = False
    also: tuple[str, ...] = ()
    group: str = ""
    key: str = ""
    places: tuple[Place, ...] = BOTH

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.also)

    @property
    def typed(self) -> str:
        """As it stands in a line: its name, and the word for its value."""
        return f"{self.name} {self.value}".rstrip()


@dataclass(frozen=True)
class Command:
    """A verb: what it is for, what does it, which words and options it reads, where it is offered.

    `do` is `module:function` below mirador_magic, imported when first asked for, an
    `async def verb(session, read: Line) -> object`, whose value is shown where it is not None.
    `shell` takes its place in a shell, where it differs, and returns the exit code. `in_notebook` and
    `in_shell` add to `what`, `more` is a sentence for manuals; `words` is '' where none are read. In
    a line options may stand behind a word where it reads `one_word`, and its text may be a cell's. One
    that stands `alone` is a verb where nothing follows it, and else a question's first word; `also` are
    the options that say the same.
    """

    name: str
    what: str
    do: str = ""
    shell: str = ""
    words: str = ""
    options: tuple[Option, ...] = ()
    values: Values = ()
    one_word: bool = False
    in_cell: bool = False
    alone: bool = False
    also: tuple[str, ...] = ()
    in_notebook: str = ""
    in_shell: str = ""
    more: str = ""
    places: tuple[Place, ...] = BOTH

    def what_in(self, place: Place) -> str:
        """What it does there, in one line."""
        return "; ".join(filter(None, [self.what, getattr(self, f"in_{place}")]))

    def known(self, place: Place) -> Mapping[str, Option]:
        """Its options there, by each of their names."""
        return known(self.options, place)

    def signature(self, place: Place) -> str:
        """What may stand behind the verb: its own options, and its words."""
        own = [each for each in self.options if place in each.places and not each.group + each.key]
        return " ".join(filter(None, [*(f"[{each.typed}]" for each in own), self.words]))

    def load(self, place: Place) -> Do:
        """What does it there."""
        module, _, name = ((place == "shell" and self.shell) or self.do).partition(":")
        found: Do = getattr(importlib.import_module(f"mirador_magic.{module}"), name)
        return found


def known(options: Iterable[Option], place: Place) -> Mapping[str, Option]:
    """Those that are offered there, by each of their names."""
    return {name: each for each in options if place in each.places for name in each.names}
