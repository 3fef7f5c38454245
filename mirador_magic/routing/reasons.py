"""Why a question was routed as it was, in words that its reader can check against it."""

from __future__ import annotations

from collections.abc import Callable

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
_IN_FEW_WORDS = ("a word or two", "a subject in few words", "a large matter in few words")
_ELSE = (
    "nothing in it asks for more",
    "nothing in it asks for less or more",
    "reads like a large matter",
)


def reasons(read: Features, place: int, lead: Callable[[str], float]) -> tuple[str, ...]:
    """What spoke most for the complexity at this place: signs, then marks, then words; never none.

    `lead` tells how much more a feature spoke for it than for the others.
    """
    signs = [
        (name, _quoted(CUES[name[1:]].told, seen))
        for name, seen in read.cues.items()
        if CUES[name[1:]].of == place
    ]
    marks = [(name, _MARKS[name][0]) for name in read.marks if place in _MARKS.get(name, ("", ()))[1]]
    # The little words count, and tell a reader nothing.
    words = [(word, f"“{word}”") for word in read.said if word.isalpha() and len(word) > 3]
    told = [
        text
        for kind in (signs, marks, words)
        for weight, text in sorted(((lead(name), text) for name, text in kind), reverse=True)
        if weight > _LEAST
    ]
    if len(read.said) <= _FEW and not signs:
        told = [_IN_FEW_WORDS[place], *told]
    return tuple(dict.fromkeys(told or [_ELSE[place]]))[:_TOLD]


def unsure(shares: dict[str, float]) -> tuple[str, ...]:
    """Why the middle was taken though another was likelier."""
    likely = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return (f"the middle, as it is unsure: {likely}",)


def _quoted(told: str, seen: str) -> str:
    seen = " ".join(seen.split())
    return f"{told} (“{seen if len(seen) <= _QUOTED else seen[: _QUOTED - 1] + '…'}”)"
