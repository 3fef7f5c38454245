"""Text of a model's as the page may have it."""

from __future__ import annotations

import html
import re

from mirador_magic.views import words


def visible(text: str) -> str:
    """Text without characters that hide, and with those shown that turn its direction."""
    if text.isascii():
        return text
    text = re.sub("[\u00ad\u200b\u2060\ufeff\U000e0000-\U000e007f]", "", text)
    return re.sub("[\u202a-\u202e\u2066-\u2069]", lambda m: f"[U+{ord(m[0]):04X}]", text)


def escaped(text: str) -> str:
    """The same as HTML. An entity of Markdown's may have brought control characters back."""
    return html.escape(visible(words.clean(text)), quote=False)
