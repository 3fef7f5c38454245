"""A word that was meant to be a verb, and would be asked as a question."""

from __future__ import annotations

from collections.abc import Sequence

from mirador_magic.commands import table
from mirador_magic.commands.command import Place
from mirador_magic.errors import UsageError
from mirador_magic.stages import nearest

_CLOSE = 0.75  # "stats" and "laste" are; "water" and "state" are none


def meant(words: Sequence[str], place: Place) -> str:
    """The verb that stands `alone` there, or is said as an option; "" where it is none."""
    if len(words) != 1:
        return ""
    verbs = table.offered(place).values()
    return next((verb.name for verb in verbs if words[0] in (verb.name, *verb.also)), "")


def check(text: str, place: Place) -> None:
    """Raises UsageError where a question of one word is close to a verb, or is one of the other place."""
    verbs = table.offered(place)
    other = {each.name for each in table.COMMANDS} - set(verbs)
    if text in other:
        where = "a shell" if place == "notebook" else "a notebook"
        raise UsageError(f"{text} is a verb of {where}", f"to ask it: %mirador ask {text}")
    if text not in verbs and (near := nearest(text, verbs, cutoff=_CLOSE)):
        verb = near.removeprefix("did you mean ")
        raise UsageError(
            f"there is no verb {text}",
            f"did you mean %mirador {verb} To ask it: %mirador ask {text}",
        )
