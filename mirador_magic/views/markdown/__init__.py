"""A model's Markdown as safe HTML, while it streams.

    text as it comes -> open source --parse--> tokens --cut--> final: sent once
                                                          '--> the rest: drawn again next time

Only the open source is parsed, and it is never longer than MOST, so the work of a draw does not
depend on how much was written before. All top-level blocks but the last are final, and so are all
items but the last of a list, and the lines of a long fence.

What is drawn does not vanish again. Lines that may yet become something else are held back
(`_settled`), and what a paragraph has not closed yet is closed for the drawing (`_mended`).

What is drawn of a whole answer is bounded too (`work`): the rest of a long text is plain.

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
    PIECE,
    Cut,
    by_force,
    everything,
    finished,
    go_on,
    is_code,
    leaf,
    window,
)
from mirador_magic.views.markdown.draw import MATH, html_of, plain
from mirador_magic.views.markdown.mend import settled
from mirador_magic.views.markdown.parse import parsed
from mirador_magic.views.markdown.work import LEXED, MARKDOWN, TOKENS, size_of, weight

__all__ = ["MATH", "STYLE", "LiveMarkdown", "render"]


class LiveMarkdown:
    """One answer's Markdown: fed as it comes, drawn when there is time."""

    def __init__(self) -> None:
        self._fed: list[str] = []
        self._open = ""
        self._fences = 0  # that are final
        self._drawn = self._tokens = self._lexed = 0  # that are final
        self._is_plain = False  # from here on
        self._lead = ""  # of the open source, set before it by us
        self._number = 0  # of the next item or piece, when the open source goes on with a block

    def feed(self, text: str) -> None:
        """Take raw text as it comes."""
        self._fed.append(text)

    def draw(self, *, ended: bool = False) -> tuple[str, str]:
        """HTML of the pieces that were finished since the last draw, and of the open rest."""
        self._take(ended)
        done = []
        while (size := size_of(self._open)) and not self._is_full():
            part = window(self._open, size)
            done.append(self._freeze(by_force(self._parse(part), part), part))
        if self._is_full():
            finished_part, rest = self._plainly(ended)
            return "".join([*done, finished_part]), rest
        source = self._open if ended else settled(self._open)
        tokens = self._parse(source, live=not ended)
        cut = everything(tokens, source) if ended else finished(tokens)
        done.append(self._freeze(cut, source))
        return "".join(done), html_of(cut.rest)

    def _is_full(self) -> bool:
        return self._is_plain or self._drawn >= MARKDOWN or self._tokens >= TOKENS

    def _plainly(self, ended: bool) -> tuple[str, str]:
        """The open source as it was written: what is finished of it, and the rest."""
        begins, self._is_plain = not self._is_plain, True
        if begins:
            self._open = self._open[len(self._lead) :]
        cut = len(self._open) if ended else self._open.rfind("\n") + 1
        if cut < len(self._open) and len(self._open) > MOST // 2:
            cut = max(cut, self._open.rfind(" ") + 1) or len(self._open)
        if cut < PIECE and not (ended or begins):
            return "", plain(self._open)
        part, self._open = self._open[:cut], self._open[cut:]
        return plain(part, begins=begins), plain(self._open)

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
        lexed = self._lexed
        for number, token in enumerate(filter(is_code, tokens), self._fences):
            lexed += len(token.content)
            token.meta |= {"fence": number, "plain": lexed > LEXED}
        return tokens

    def _freeze(self, cut: Cut, source: str) -> str:
        """Take what is final from the open source, and draw it."""
        if cut.line:
            begin = sum(len(line) + 1 for line in source.split("\n")[: cut.line])
            self._drawn += weight(source[len(self._lead) : begin])
            self._open, self._lead = cut.lead + self._open[min(begin, len(source)) :], cut.lead
            self._number = cut.number
            self._tokens += sum(1 + len(token.children or ()) for token in cut.done)
            self._lexed += sum(len(token.content) for token in filter(is_code, cut.done))
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
