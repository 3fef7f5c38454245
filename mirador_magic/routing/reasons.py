"""Why a question was routed as it was, in words that its reader can check against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mirador_magic.routing.cues import CUES
from mirador_magic.routing.features import Features

_FEW = 3  # words
_QUOTED = 30  # characters of a question in a reason
_LEAST = 0.05  # by which a feature has to have spoken more for this complexity than for the others
_TOLD = 3

# Marks that a reader would take for a reason, and the places of the complexities that they speak for.
_MARKS = {
    "#commas3": ("has several parts", (2,)),
    "#commas4": ("has several parts", (2,)),
    "#sentences3": ("takes several sentences to ask", (2,)),
    "#sentences4": ("takes several sentences to ask", (2,)),
    "#questions2": ("asks several questions", (2,)),
    "#pasted": ("something is pasted", (1, 2)),
    "#error": ("an error is pasted", (1, 2)),
}
_IN_FEW_WORDS = ("a few plain words", "a subject in few words", "a large matter in few words")
_ELSE = (
    "nothing in it asks for more",
    "nothing in it asks for less or more",
    "reads like a large matter",
)
# They count, and tell a reader nothing; nor does a word of three letters.
_LITTLE_TEXT = """
about after also another back been before being between both came come could does doing done
down each else even ever every from gets getting give goes going good have here hers into
just keep know last like made make many more most much must need next none only other over
please really right same says should some still such take than that their them then there
these they thing things this those through time under until very want were what when where
which while whom whose will with without would your yours aber alle auch beim damit dann
dass deine denn dies diese doch eine einem einen einer eines haben habe hier ihre immer kann
kein keine mehr mich mein meine muss nach nicht noch oder ohne sein seine sich sind über
unser unsere unter viel vom wird wenn wieder zum zwei algo ante años como cuando desde donde
ella ellos entre eres esta este esto estos hace hacia hasta hay mucho nada nuestra para pero
porque puede qué sobre solo somos también tengo tiene todo todos unos
"""
_LITTLE = frozenset(_LITTLE_TEXT.split())


def reasons(read: Features, place: int, lead: Callable[[str], float]) -> tuple[str, ...]:
    """What spoke for the complexity at this place, the strongest first: signs and marks, else words.

    `lead` tells how much more a feature spoke for it than for the others. One reason at least.
    """
    seen = {
        name: (CUES[name[1:]].told, f" (“{_cut(words)}”)")
        for name, words in read.cues.items()
        if CUES[name[1:]].of == place
    }
    seen |= {
        name: (_MARKS[name][0], "") for name in read.marks if place in _MARKS.get(name, ("", ()))[1]
    }
    spoke = sorted(((lead(name), name) for name in seen), reverse=True)
    told = dict(seen[name] for weight, name in reversed(spoke) if weight > _LEAST)
    if told:
        return tuple(f"{what}{where}" for what, where in reversed(told.items()))[:_TOLD]
    if len(read.said) <= _FEW:
        return (_IN_FEW_WORDS[place],)
    words = sorted(((lead(word), word) for word in read.said if _tells(word)), reverse=True)
    return tuple(f"“{word}”" for weight, word in words if weight > _LEAST)[:_TOLD] or (
        _ELSE[place],
    )


def unsure(names: Sequence[str], likely: Sequence[float]) -> tuple[str, ...]:
    """Why the middle was taken though another was likelier."""
    told = ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in zip(names, likely, strict=True)
    )
    return (f"the middle, as it is unsure: {told}",)


def _tells(word: str) -> bool:
    return word.isalpha() and len(word) > 3 and word not in _LITTLE


def _cut(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= _QUOTED else f"{words[: _QUOTED - 1]}…"
