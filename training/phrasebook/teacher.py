"""Questions made of others, and how sure one may be of them: labelled by a linear model.

A question in words that were not trained is either recognised for sure or to be refused. What the
corpus has are questions that are surely known, and some that are surely not; what lies between has
no label there. So questions are made by mixing and thinning out trained ones, and a linear model
(tf-idf of words and of letters, logistic regression) tells which answer they still ask for, if any.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from training.phrasebook.corpus import Corpus, Entry, plain

SURE = 0.5  # from this probability on, an answer is asked for
THINNED = 0.45  # the share that are one entry's phrasings, thinned out or spliced
MIXED = 0.35  # the share that mix two entries; the rest mix one with an unknown question
NEAR = 0.6  # how often the second entry is one of the same field


def made(corpus: Corpus, size: int, seed: int) -> list[tuple[str, Entry | None]]:
    """So many questions, each with the entry that answers it, or none."""
    chance = random.Random(seed)
    questions = [*_Sources(corpus, chance).draw(size)]
    sure = _taught(corpus).predict_proba([question for question, _ in questions])
    taught = {plain(text): entry for entry in corpus.entries for text in entry.phrasings["trained"]}
    labelled: list[tuple[str, Entry | None]] = []
    for (question, meant), shares in zip(questions, sure, strict=True):
        if entry := taught.get(plain(question)):  # made anew as it was written
            labelled.append((question, entry))
            continue
        best = int(shares.argmax())
        known = shares[best] >= SURE and best < len(corpus.entries)
        entry = corpus.entries[best] if known else None
        labelled.append((question, entry if meant in (None, entry) else None))
    return labelled


class _Sources:
    """The trained phrasings, and questions made of them."""

    def __init__(self, corpus: Corpus, chance: random.Random) -> None:
        self._chance = chance
        self._entries = corpus.entries
        self._unknown = corpus.unknown["trained"]

    def draw(self, size: int) -> Iterator[tuple[str, Entry | None]]:
        """Questions, each with the only entry that it can ask for, if there is one."""
        chance = self._chance
        for _ in range(size):
            entry, kind = chance.choice(self._entries), chance.random()
            words = self._words(entry)
            if kind < THINNED:
                if chance.random() < 0.5:
                    words = self._mixed(words, self._words(entry))
                yield self._thinned(words), entry
            elif kind < THINNED + MIXED:
                near = [e for e in self._entries if e.field == entry.field and e is not entry]
                other = chance.choice(near if chance.random() < NEAR else self._entries)
                yield self._thinned(self._mixed(words, self._words(other))), None
            else:
                yield self._thinned(self._mixed(words, chance.choice(self._unknown).split())), None

    def _words(self, entry: Entry) -> list[str]:
        return self._chance.choice(entry.phrasings["trained"]).split()

    def _mixed(self, one: list[str], other: list[str]) -> list[str]:
        """The beginning of one and the end of the other, or the words of both in their order."""
        share = self._chance.uniform(0.2, 0.8)
        if self._chance.random() < 0.6:
            return one[: max(1, round(len(one) * share))] + other[round(len(other) * share) :]
        return [w for w in one if self._chance.random() < share] + [
            w for w in other if self._chance.random() > share
        ]

    def _thinned(self, words: list[str]) -> str:
        lost = self._chance.uniform(0, 0.45)
        return " ".join([word for word in words if self._chance.random() > lost] or words)


def _taught(corpus: Corpus) -> Pipeline:
    asked: list[tuple[str, int]] = []
    for number, entry in enumerate(corpus.entries):
        asked += [(phrasing, number) for phrasing in entry.phrasings["trained"]]
    asked += [(question, len(corpus.entries)) for question in corpus.unknown["trained"]]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True)
    model = make_pipeline(make_union(words, letters), LogisticRegression(C=30, max_iter=50))
    return model.fit([text for text, _ in asked], [number for _, number in asked])
