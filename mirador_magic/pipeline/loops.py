"""Whether a model goes round in circles: it writes the same over and over, and would to its limit.

Of the words in a window each three in a row are a triple. In prose nearly all of them differ, also in lists
and where something counts up; a text of which no more than a quarter differ has become a loop, be it one
sentence again and again or a few that take turns. Rows of numbers are none. Fenced code and tables, whose
lines are alike for good reason, have four times the window. A word without an end that is made of the same
few signs is a loop too.
"""

from __future__ import annotations

import re
from collections import Counter, deque

_WINDOWS = (60, 240)  # words
_ALIKE = 4  # times as many, in code and tables
_DIFFER = 0.25  # of the triples in a window, at the most
_LETTERS = 0.15  # of the words in a window, at the least
_PIECE = 64  # characters of a word that are looked at in one
_SIGNS = 8  # different triples of signs in such a piece, at the most
_PIECES = 2  # in a row
_OPEN = re.compile(r"(?<![^\W\u2e80-\U0010ffff])[^\W\u2e80-\U0010ffff]++\Z|(?<![`~])[`~]++\Z")
_PART = re.compile(r"[\u2e80-\U0010ffff]|[^\W\u2e80-\U0010ffff]+|\n|```|~~~|\|")


class Loops:
    """Follows a text as it is written, in constant time a word."""

    def __init__(self) -> None:
        self._open = ""  # the word, or the mark, that may go on
        self._last = ("", "")  # words
        self._windows = [_Window(words * times) for times in (1, _ALIKE) for words in _WINDOWS]
        self._is_code = self._is_row = False
        self._begins = True  # a line
        self._pieces = 0

    def feed(self, text: str) -> bool:
        """Whether with this piece the text has become a loop."""
        text = self._open + text
        cut = _OPEN.search(text)
        end = cut.start() if cut else len(text)
        while len(text) - end > _PIECE:
            end += _PIECE
        self._open = text[end:]
        return any(self._take(part) for part in _PART.findall(text[:end]))

    def _take(self, part: str) -> bool:
        begins, self._begins = self._begins, part == "\n"
        if part == "\n":
            self._is_row = False
        elif part in ("```", "~~~"):
            self._is_code = self._is_code is not begins
        elif part == "|":
            self._is_row = self._is_row or begins
        else:
            return self._is_endless(part) or self._is_loop(part.casefold())
        return False

    def _is_endless(self, word: str) -> bool:
        triples = {word[at : at + 3] for at in range(len(word) - 2)}
        self._pieces = self._pieces + 1 if len(word) >= _PIECE and len(triples) <= _SIGNS else 0
        return self._pieces >= _PIECES

    def _is_loop(self, word: str) -> bool:
        triple = (*self._last, word)
        self._last = triple[1:]
        found = [window.add(triple, not word.isdigit()) for window in self._windows]
        plain, alike = found[: len(_WINDOWS)], found[len(_WINDOWS) :]
        return any(alike if self._is_code or self._is_row else plain)


class _Window:
    """The last words, as triples."""

    def __init__(self, words: int) -> None:
        self._triples: deque[tuple[tuple[str, ...], bool]] = deque()
        self._count: Counter[tuple[str, ...]] = Counter()
        self._letters = 0
        self._words = words

    def add(self, triple: tuple[str, ...], has_letters: bool) -> bool:
        """Whether the window is full, and a loop."""
        self._triples.append((triple, has_letters))
        self._count[triple] += 1
        self._letters += has_letters
        if len(self._triples) <= self._words:
            return False
        gone, had_letters = self._triples.popleft()
        self._letters -= had_letters
        self._count[gone] -= 1
        if not self._count[gone]:
            del self._count[gone]
        enough = self._letters >= _LETTERS * self._words
        return enough and len(self._count) <= _DIFFER * self._words
