"""Text that others wrote, made fit to be shown: it steers no terminal, hides nothing, turns no line round.

What a server names is cleaned where it is read (`ModelInfo`, an engine's label, `MiradorError`), a
model's text where it is shown.
"""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Unicode's Default_Ignorable_Code_Point, but what turns the direction, which is told, and what words
# and emoji are written with: joiners, marks of direction and the two usual selectors.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_RUN = re.compile("([\u061c\u200c-\u200f\ufe0e\ufe0f]{4})[\u061c\u200c-\u200f\ufe0e\ufe0f]+")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """A text without the control characters that could steer a terminal or a page.

    Halves of surrogate pairs, which no page can be made of, become the replacement character;
    characters that hide are left out, and those that turn the direction of the text are told.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n")
    text = _CONTROLS.sub("", text)
    if text.isascii():
        return text
    text = _SURROGATES.sub("\ufffd", _RUN.sub(r"\1", _HIDDEN.sub("", text)))
    return _TURNING.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", text)


def one_line(text: str) -> str:
    """The same on a single line, for names and notes."""
    return " ".join(clean(text).split())
