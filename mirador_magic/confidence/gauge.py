"""The measured confidence of an answer while it is written; constant time a token."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, MutableMapping, Sequence
from typing import NamedTuple

from mirador_magic.confidence.said import Said

WINDOW = 32  # tokens; about a sentence
_LEAST_LOG = -10.0
_NOTHING = -2.5  # of an answer all of whose words are little ones or were copied
_FIRST = 3  # words
_AROUND = 2000  # characters beside the weakest words in which their sentence is looked for
_LINE = 200  # characters of a line that are looked at for a fence

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


class Features(NamedTuple):
    """What there is to tell of an answer, for a calibration: see `confidence.calibrated`.

    The first three are means of logarithms of probabilities: of the words that the answer brings, of
    the names and numbers among these, of the first three. `length` is ln(1 + the words that it brings),
    `brings` whether there is one; `keeps` is the share of the question's words that it has, `fresh` that
    of the words it brings which no stage before has said. `before` is the logarithm of the run's first
    measured confidence; 0 in the first stage.
    """

    words: float
    names: float
    first: float
    length: float
    brings: float
    keeps: float
    fresh: float
    before: float


class Gauge:
    """Measures an answer's prose, and its fenced code apart: code is nearly always written surely.

    With the words that it brings (`Said`), and p of a word the product of its tokens' probabilities:

        measured = sqrt(geometric mean of p over all these words * over the names and numbers of them)

    Where it brings none, the words that it chose of the question's stand in for them; an answer that
    only copies has 0.08. Over 800 labelled answers this parts right from wrong better than the mean of
    the tokens' log-probabilities, or of their lowest three (`training/confidence`).

    `known` is what the run's stages have said, each word with the logarithm of its probability.

    A chunk counts as a whole, for prose or for code: its entries are no characters of its text.
    """

    def __init__(self, question: str = "", known: MutableMapping[str, float] | None = None) -> None:
        self._said = Said(question, known)
        self._prose, self._code = _Tally(), _Tally()
        self._fences = _Fences()
        self._at = 0
        self._is_over = False

    def add(self, logprobs: Iterable[float], text: str = "") -> None:
        """Count these tokens: natural logarithms of their probabilities; `text` is what they made."""
        began, self._at = self._at, self._at + len(text)
        is_code = self._fences.feed(text)
        tally = self._code if is_code else self._prose
        total = None
        for value in logprobs:
            # some Ollamas say 0 or more, or no number, where they mean certainty
            log = max(value, _LEAST_LOG) if value < 0.0 else 0.0
            tally.count(log, began, self._at)
            total = (total or 0.0) + log
        if not is_code:
            self._said.add(text, total)

    def end(self) -> None:
        """The answer is over, and so is its last word."""
        self._said.end()
        self._is_over = True

    @property
    def measured(self) -> float | None:
        """In 0..1, of the prose, or of the code where there is no prose; None until a word counts.

        Of prose without any word, as of a lone sign, its tokens.
        """
        said = self._said
        if not said.has_words and self._code.seen:
            return self._code.mean
        if not self._prose.seen or not (said.brought or said.chosen or self._is_over):
            return None
        if not said.has_words:
            return self._prose.mean
        words, names = self._means()
        return math.exp((words + names) / 2)

    @property
    def code(self) -> float | None:
        """In 0..1, the geometric mean of its tokens' probabilities; None where there is none."""
        return self._code.mean

    def features(self, before: float | None = None) -> Features:
        """Of the prose; `before` is the first measured confidence of the run, where another stage had it."""
        said = self._said
        words, names = self._means()
        return Features(
            words=words,
            names=names,
            first=_mean(said.brought[:_FIRST], words),
            length=math.log1p(len(said.brought)),
            brings=float(bool(said.brought)),
            keeps=said.keeps,
            fresh=said.fresh / max(len(said.brought), 1),
            before=0.0 if before is None else math.log(max(before, 1e-6)),
        )

    def _means(self) -> tuple[float, float]:
        """Of the words' logarithms, and of the names' and numbers'; the former where there are none."""
        said = self._said
        words = _mean(said.brought or [*said.chosen.values()], _NOTHING)
        return words, _mean(said.names, words)

    def weakest(self, text: str) -> str:
        """The sentence of the whole `text` in which its least sure WINDOW of tokens lies.

        '' for an answer of one sentence, or one too short to have a weaker part.
        """
        began, ended = self._prose.weakest
        base = max(0, began - _AROUND)
        text = text[base : ended + _AROUND]
        began, ended = began - base, ended - base
        spans = [span for span in _sentences(text) if any(map(str.isalnum, text[slice(*span)]))]
        if began == ended or len(spans) < 2:
            return ""
        within = max(spans, key=lambda span: min(span[1], ended) - max(span[0], began))
        return text[slice(*within)].strip()

    @property
    def least(self) -> float | None:
        """The geometric mean, in 0..1, of the probabilities of its least sure WINDOW of tokens."""
        return self._prose.least


def _mean(values: Sequence[float], none: float) -> float:
    return sum(values) / len(values) if values else none


class _Tally:
    """The figures of the tokens that were counted."""

    def __init__(self) -> None:
        self.seen = 0
        self._all = 0.0
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._begins: deque[int] = deque(maxlen=WINDOW)
        self._sum = 0.0  # of the last window
        self._least = math.inf  # the lowest sum of a whole window
        self.weakest = (0, 0)  # the characters of the lowest group, from and to

    def count(self, log: float, began: int, ended: int) -> None:
        """One token, whose chunk has the characters from `began` to `ended`."""
        self.seen += 1
        self._all += log
        last = self._last
        if len(last) == WINDOW:
            self._sum -= last[0]
        last.append(log)
        self._begins.append(began)
        self._sum += log
        if len(last) == WINDOW and self._sum < self._least:
            self._least, self.weakest = self._sum, (self._begins[0], ended)

    @property
    def least(self) -> float | None:
        """The lowest geometric mean of a whole window; None where there is none."""
        return math.exp(min(self._least / WINDOW, 0.0)) if self._least < math.inf else None

    @property
    def mean(self) -> float | None:
        """The geometric mean of their probabilities; None where there are none."""
        return math.exp(min(self._all / self.seen, 0.0)) if self.seen else None


class _Fences:
    """Follows a text as it comes, and tells what of it is fenced code."""

    def __init__(self) -> None:
        self._line = ""
        self._mark = ""  # of the fence that is open
        self._is_inside = False

    def feed(self, text: str) -> bool:
        """Whether this piece, or its end, is code; the fences themselves are."""
        was_inside = self._is_inside
        may_change = "\n" in text or "`" in text or "~" in text
        if "\n" in text:
            first, *others, text = text.split("\n")
            self._end(self._line + first)
            for line in others:
                self._end(line)
            self._line = ""
        if len(self._line) < _LINE:
            self._line += text
        if may_change:
            self._is_inside = bool(self._mark or _opening(self._line))
        return was_inside or self._is_inside

    def _end(self, line: str) -> None:
        if not self._mark:
            self._mark = _opening(line)
        elif (found := _FENCE.fullmatch(line.rstrip())) and found[1].startswith(self._mark):
            self._mark = ""


def _opening(line: str) -> str:
    """The mark of the fence that this line opens, or ''."""
    if "```" not in line and "~~~" not in line:
        return ""
    found = _FENCE.match(line)
    return found[1] if found and "`" not in line[found.end() :] else ""


def _sentences(text: str) -> Iterable[tuple[int, int]]:
    began = 0
    for between in _SENTENCE.finditer(text):
        yield began, between.start()
        began = between.end()
    yield began, len(text)
