"""How much of an answer is drawn as Markdown: bounds of work, which the length of a text is not.

A sign that Markdown may take for its own costs as much as several letters, whatever it turns out to be.
"""

from __future__ import annotations

import re

from mirador_magic.views.markdown.cut import MOST

MARKDOWN = 36_000  # characters that are drawn as Markdown, by weight
SIGN = 12  # characters, beside itself, that a sign weighs
TOKENS = 8000  # of the parser's; prose has some 75 in a thousand characters
LEXED = 10_000  # characters of code that have colours

_SIGNS = re.compile(r"[`*_\[\]<>~$\\|{}!&-]")


def weight(text: str) -> int:
    """Its characters, and its signs more than once."""
    return len(text) + SIGN * len(_SIGNS.findall(text))


def size_of(source: str) -> int:
    """How much of an open source is to be cut off by force: less where it is dense; 0 where it is short."""
    if weight(source[:MOST]) > 3 * MOST:
        return MOST // 4
    return MOST if len(source) > MOST else 0
