"""How far two answers to one question say the same, by their words alone.

    alike      cosine of the counts of three characters in a row
    shared     of the numbers and names in the poorer answer: the share that the other has too
    polarity   of the words that one of them negates and the other has: the share that both negate

What neither answer has does not count; the rest have equal weight. Words are a weak witness of
what is meant, so this moves a confidence, and does not make one.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter

_MOST = 20_000  # characters that are looked at
_NUMBER = r"\d+(?:[.,]\d+)*"
_NAME = r"[A-Za-z_]\w*(?:[._]\w+|\d\w*)+|[a-z]+[A-Z]\w*|[A-Z]{2,}\w*"
_TOLD = re.compile(rf"{_NAME}|{_NUMBER}")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_HAN_NOT = re.compile(r"(?:不是|没有|不会|不能|不|没|無|无)([\u3400-\u9fff])")
_NOT = frozenset(
    [
        "not",
        "no",
        "never",
        "cannot",
        "without",
        "nor",
        "no",
        "nunca",
        "sin",
        "tampoco",
        "nicht",
        "kein",
        "keine",
        "keinen",
        "keiner",
        "nie",
        "ohne",
    ]
)
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "be",
        "is",
        "are",
        "was",
        "were",
        "been",
        "do",
        "does",
        "did",
        "to",
        "any",
        "it",
        "that",
        "this",
        "es",
        "un",
        "una",
        "el",
        "la",
        "lo",
        "se",
        "de",
        "ist",
        "sind",
        "ein",
        "eine",
        "einen",
        "der",
        "die",
        "das",
        "zu",
    ]
)


def agreement(one: str, other: str) -> float:
    """In 0..1; 1 for the same text, and for two empty ones."""
    one, other = one[:_MOST], other[:_MOST]
    told = _shared(_told(one), _told(other))
    polarity = _polarity(one, other)
    return statistics.fmean(
        part for part in (_alike(one, other), told, polarity) if part is not None
    )


def _alike(one: str, other: str) -> float:
    a, b = _grams(one), _grams(other)
    across = math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))
    if not across:
        return float(one.split() == other.split())
    return min(sum(n * b[gram] for gram, n in a.items()) / across, 1.0)


def _grams(text: str) -> Counter[str]:
    line = " ".join(text.casefold().split())
    return Counter(line[i : i + 3] for i in range(len(line) - 2))


def _told(text: str) -> set[str]:
    return {found.rstrip(".,").replace(",", "") for found in _TOLD.findall(text)}


def _shared(a: set[str], b: set[str]) -> float | None:
    return len(a & b) / min(len(a), len(b)) if a and b else None


def _polarity(one: str, other: str) -> float | None:
    (plain_a, negated_a), (plain_b, negated_b) = _words(one), _words(other)
    both = negated_a & negated_b
    against = (negated_a & (plain_b - negated_b)) | (negated_b & (plain_a - negated_a))
    return len(both) / len(both | against) if both or against else None


def _words(text: str) -> tuple[set[str], set[str]]:
    """All words, and those that a negation stands before."""
    negated, waits = set(_HAN_NOT.findall(text)), False
    plain = set(re.findall(r"[\u3400-\u9fff]", _HAN_NOT.sub("", text)))
    for word in _WORD.findall(text.casefold()):
        if word in _NOT or word.endswith(("n't", "n’t")):
            waits = True
        elif word not in _FILLERS:
            (negated if waits else plain).add(word)
            waits = False
    return plain | negated, negated
