"""The words that an answer brings, and how sure the model was of each when it first said it.

A model is sure of what it copies, from the question, from a draft or from itself, whatever that is
worth. So little words and those of the question are left out, and any other word counts once, with the
probability that it had where it was first said: in this answer, or in that of a stage before.
"""

from __future__ import annotations

import math
import re
from collections.abc import MutableMapping

# Chinese, Japanese and Korean put no space between words: there a character is one.
_WORD = re.compile(r"[\u2e80-\U0010ffff]|[^\W\u2e80-\U0010ffff]+")
_HAN = "\u2e80"  # from here on
_LEAST = -12.0  # of a word; the logarithm of its probability
_MOST = 20_000  # characters of a text that are looked at
_LONGEST = 64  # characters of a word that are looked at
_RUN = 3  # words in a row that were taken over, not chosen
_ENDS = '.!?:;\n"“”([*#-'  # before a sentence's first word, whose capital letter tells nothing
_LITTLE_WORDS = """
a about also am an and are as at be been being but by called can could did do does for from had has have
he her his how i if in into is it its known like many may might more most must of on one or our s she
should so some such t than that the their them then there these they this those to too very was we were
what when where which while who whom whose why will with would you your
aber als am an auch auf aus bei das dass dem den der des die du ein eine einem einen einer eines er es
für hat ihr im in ist man mit nach oder sich sie sind so über um und von vor war was wer wie wir zu zum zur
al como con de del e el en era es esta está este esto ha la las le les lo los más o para pero por que qué
se son su sus un una uno y
au aux avec ce ces cette dans des du elle en est et il ils je le leur mais ne nous on ou où par pas pour
qui sa ses si sont sur une vous
"""
_LITTLE = frozenset(_LITTLE_WORDS.split())


class Said:
    """Follows an answer as it is written. `known` holds what the run has said, and is added to."""

    def __init__(self, question: str = "", known: MutableMapping[str, float] | None = None) -> None:
        asked = [word.casefold() for word in _WORD.findall(question)]
        self._asked = {form for word in asked for form in _forms(word)}
        self._content = set(asked) - _LITTLE
        self._runs = {tuple(asked[at : at + _RUN]) for at in range(len(asked) - _RUN + 1)}
        self._known = {} if known is None else known
        self._mine: set[str] = set()
        self._last: tuple[str, ...] = ()
        self._taken: set[str] = set()
        self._open = ""  # the word that is being written
        self._log: float | None = None
        self._is_start = self._began_so = True  # of a sentence: here, and where the open word began
        self._kept: set[str] = set()
        self.has_words = False
        self.brought: list[float] = []  # the words that it brings, in order
        self.names: list[float] = []  # of those, the names and numbers
        self.fresh = 0  # of those, how many no stage before has said
        self.chosen: dict[str, float] = {}  # the question's words, but those that were taken over

    def add(self, text: str, log: float | None) -> None:
        """A piece of the answer, and the logarithm of its probability; None where it is not known."""
        found = [*_WORD.finditer(text)]
        share = log / len(found) if found and log is not None else None
        at = 0
        for word in found:
            if word.start() or not self._open or word[0] >= _HAN:
                self._pass(text[at : word.start()])
                self._began_so = self._is_start
            self._open = (self._open + word[0])[:_LONGEST]
            self._is_start = False
            if share is not None:
                self._log = (self._log or 0.0) + share
            at = word.end()
            if word[0] >= _HAN:
                self.end()
        if text[at:]:
            self._pass(text[at:])

    @property
    def keeps(self) -> float:
        """The share of the question's words, little ones aside, that the answer has; 1 where it has none."""
        return len(self._content & self._kept) / len(self._content) if self._content else 1.0

    def end(self) -> None:
        """The word that is being written is over."""
        word, log = self._open, self._log
        self._open, self._log = "", None
        if word:
            self.has_words = True
            self._count(word.casefold(), log, word[0].isdigit() or self._is_name(word))

    def _is_name(self, word: str) -> bool:
        return word[0].isupper() and not self._began_so

    def _count(self, word: str, log: float | None, is_name: bool) -> None:
        if word in self._asked:
            self._kept.add(word)
        self._last = (*self._last, word)[-_RUN:]
        if self._last in self._runs:
            self._taken.update(self._last)
            for each in self._last:
                self.chosen.pop(each, None)
        if log is None or word in _LITTLE or word in self._mine:
            return
        log = max(log, _LEAST)
        if word in self._asked:
            if word not in self._taken:
                self.chosen.setdefault(word, log)
            return
        self._mine.add(word)
        self.fresh += word not in self._known
        log = self._known.setdefault(word, log)
        self.brought.append(log)
        if is_name:
            self.names.append(log)

    def _pass(self, between: str) -> None:
        """What stands between two words."""
        self.end()
        for sign in between:
            if not sign.isspace() or sign == "\n":
                self._is_start = sign in _ENDS


def content(text: str) -> set[str]:
    """The text's words, little ones left out, English plurals as their singulars."""
    words = {word.casefold() for word in _WORD.findall(text[:_MOST])}
    return {word.removesuffix("s") for word in words - _LITTLE}


def recalled(text: str, measured: float) -> dict[str, float]:
    """What an answer said that is not at hand word by word: each as sure as the whole, in 0..1, was."""
    log = math.log(max(measured, math.exp(_LEAST)))
    return {word.casefold(): log for word in _WORD.findall(text)}


def _forms(word: str) -> tuple[str, ...]:
    """The word, and it in singular and plural where it is an English one."""
    return (word, f"{word}s", word.removesuffix("s"))
