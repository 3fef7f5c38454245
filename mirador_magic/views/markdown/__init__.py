"""A model's Markdown as safe HTML, while it streams.

    text as it comes -> open source --parse--> tokens --cut--> final: sent once
                                                          '--> the rest: drawn again next time

Only the open source is parsed, and it is never longer than MOST, so the work of a draw does not
depend on how much was written before. All top-level blocks but the last are final, and so are all
items but the last of a list, and the lines of a long fence.

What is drawn does not vanish again. Lines that may yet become something else are held back
(`_settled`), and what a paragraph has not closed yet is closed for the drawing (`_mended`).

The text is untrusted: tags, attributes and styles are those of this module, raw HTML shows as
text, links lead to the web or to mail alone, and nothing is ever loaded. Each search has a bound,
so that no text takes long.
"""

from __future__ import annotations

import functools

from markdown_it.token import Token

from mirador_magic.answer import words
from mirador_magic.views.markdown.colours import STYLE
from mirador_magic.views.markdown.cut import (
    MOST,
    Cut,
    by_force,
    everything,
    finished,
    go_on,
    is_code,
    leaf,
    window,
)
from mirador_magic.views.markdown.draw import MATH, html_of
from mirador_magic.views.markdown.mend import settled
from mirador_magic.views.markdown.parse import parsed

__all__ = ["MATH", "STYLE", "LiveMarkdown", "render"]


class LiveMarkdown:
    """One answer's Markdown: fed as it comes, drawn when there is time."""

    def __init__(self) -> None:
        self._fed: list[str] = []
        self._open = ""
        self._fences = 0  # that are final
        self._number = 0  # of the next item or piece, when the open source goes on with a block

    def feed(self, text: str) -> None:
        """Take raw text as it comes."""
        self._fed.append(text)

    def draw(self, *, ended: bool = False) -> tuple[str, str]:
        """HTML of the pieces that were finished since the last draw, and of the open rest."""
        self._take(ended)
        done = []
        while len(self._open) > MOST:
            part = window(self._open, MOST)
            done.append(self._freeze(by_force(self._parse(part), part), part))
        source = self._open if ended else settled(self._open)
        tokens = self._parse(source, live=not ended)
        cut = everything(tokens, source) if ended else finished(tokens)
        done.append(self._freeze(cut, source))
        return "".join(done), html_of(cut.rest)

    def _take(self, ended: bool) -> None:
        """Clean what was fed; a line's end of two characters may be cut between two feeds."""
        fed = "".join(self._fed)
        end = len(fed) - (fed.endswith("\r") and not ended)
        self._open += words.clean(fed[:end])
        self._fed = [fed[end:]]

    def _parse(self, source: str, *, live: bool = False) -> list[Token]:
        tokens = parsed(source, live)
        if self._number and tokens:
            go_on(tokens, self._number)
        for number, token in enumerate(filter(is_code, tokens), self._fences):
            token.meta["fence"] = number
        return tokens

    def _freeze(self, cut: Cut, source: str) -> str:
        """Take what is final from the open source, and draw it."""
        if cut.line:
            begin = sum(len(line) + 1 for line in source.split("\n")[: cut.line])
            self._open = cut.lead + self._open[min(begin, len(source)) :]
            self._number = cut.number
        fences = sum(map(is_code, cut.done))
        goes_on = fences and cut.lead and is_code(leaf(cut.done))
        self._fences += fences - 1 if goes_on else fences
        return html_of(cut.done)


@functools.lru_cache(maxsize=64)
def render(text: str) -> str:
    """The whole text at once as HTML."""
    whole = LiveMarkdown()
    whole.feed(text)
    return whole.draw(ended=True)[0]
