"""The measured confidence of an answer while it is written; constant time a token."""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Iterable

WINDOW = 32  # tokens; about a sentence
_LEAST_LOG = -10.0
_BINS = 64
_LINE = 200  # characters of a line that are looked at for a fence

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")


class Gauge:
    """Measures an answer's prose, and its fenced code apart: code is nearly always written surely.

    With p a token's probability and G the geometric mean of p over the last WINDOW tokens:

        measured = 0.5 * the lowest G so far + 0.3 * the 10 % quantile of p + 0.2 * the last G

    The first tokens count too. A plain mean hides one bad sentence in a long answer; the lowest group finds it (DeepConf,
    arXiv 2508.15260), quantiles do not depend on the length (Gupta et al., ICLR 2024).

    A chunk counts as a whole, for prose or for code: its entries are no characters of its text.
    """

    def __init__(self) -> None:
        self._prose, self._code = _Tally(), _Tally()
        self._fences = _Fences()
        self._at = 0

    def add(self, logprobs: Iterable[float], text: str = "") -> None:
        """Count these tokens: natural logarithms of their probabilities; `text` is what they made."""
        began, self._at = self._at, self._at + len(text)
        tally = self._code if self._fences.feed(text) else self._prose
        for value in logprobs:
            # some Ollamas say 0 or more, or no number, where they mean certainty
            log = max(value, _LEAST_LOG) if value < 0.0 else 0.0
            tally.count(log, began, self._at)

    @property
    def measured(self) -> float | None:
        """In 0..1, of the prose, or of the code where there is no prose; None until a token counts."""
        return self._code.measured if self._prose.measured is None else self._prose.measured

    @property
    def code(self) -> float | None:
        """In 0..1, of the fenced code alone; None where there is none."""
        return self._code.measured

    def weakest(self, text: str) -> str:
        """The sentence of the whole `text` in which its least sure WINDOW of tokens lies.

        '' for an answer of one sentence, or one too short to have a weaker part.
        """
        began, ended = self._prose.weakest
        spans = [span for span in _sentences(text) if any(map(str.isalnum, text[slice(*span)]))]
        if began == ended or len(spans) < 2:
            return ""
        within = max(spans, key=lambda span: min(span[1], ended) - max(span[0], began))
        return text[slice(*within)].strip()


class _Tally:
    """The figures of the tokens that were counted."""

    def __init__(self) -> None:
        self._seen = 0
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._begins: deque[int] = deque(maxlen=WINDOW)
        self._sum = 0.0
        self._least = math.inf  # the lowest sum of a whole window
        self._bins = [0] * _BINS
        self.weakest = (0, 0)  # the characters of the lowest group, from and to

    def count(self, log: float, began: int, ended: int) -> None:
        """One token, whose chunk has the characters from `began` to `ended`."""
        self._seen += 1
        last = self._last
        if len(last) == WINDOW:
            self._sum -= last[0]
        last.append(log)
        self._begins.append(began)
        self._sum += log
        self._bins[min(int(math.exp(log) * _BINS), _BINS - 1)] += 1
        if len(last) == WINDOW and self._sum < self._least:
            self._least, self.weakest = self._sum, (self._begins[0], ended)

    @property
    def measured(self) -> float | None:
        if not self._last:
            return None
        group = math.exp(min(self._sum / len(self._last), 0.0))
        lowest = math.exp(min(self._least / WINDOW, 0.0)) if self._least < math.inf else group
        return min(0.5 * lowest + 0.3 * self._quantile() + 0.2 * group, 1.0)

    def _quantile(self) -> float:
        """The upper edge of the bin that holds the 10 % quantile."""
        rank = math.ceil(0.1 * self._seen)
        below = itertools.accumulate(self._bins)
        return (1 + sum(count < rank for count in below)) / _BINS


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
