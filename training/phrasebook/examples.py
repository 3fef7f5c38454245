"""What the phrase book is trained on: the stages' own prompts, with the answers written for them.

A prompt is literally what a run sends: `mirador_magic.prompts.request` makes it, and the earlier
drafts in it are the answers, or the refusals, that the earlier stages would have given.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from mirador_magic import prompts
from mirador_magic.stages import DEFAULT_STAGES
from training.phrasebook.corpus import Corpus, Entry

Turns = tuple[tuple[str, str], ...]
STAGES = {stage.name: stage for stage in DEFAULT_STAGES}

# The drafts that a stage finds on the whole route; now and then it finds fewer.
ROUTE: dict[str, tuple[str, ...]] = {
    "quick_response": (),
    "deep_analysis": ("quick_response",),
    "synthesis": ("quick_response", "deep_analysis"),
}
FEWER = 0.2  # how often only the first of them is there
ASTRAY = 0.2  # how often they answer another question, or none: the stage must read for itself
UNKNOWN = 0.4  # the share of questions to refuse
BLENDED = 0.25  # the share of these that are made of the words of two others
MADE = 0.5  # the share of questions that the teacher labelled (teacher.py)
PLAIN = 0.35  # the share of questions that are asked as they are written in the corpus
NAMED = 24  # how many times as often as another phrasing an entry's first one is asked
SPLICED = 0.3  # the share of known questions that are made of two of their phrasings

_BEFORE = (
    "please tell me: ",
    "Hi, ",
    "Hello! ",
    "Quick question: ",
    "a question: ",
    "I wonder, ",
    "Hey, ",
    "can you help? ",
    "So, ",
    "Ok, ",
    "In short: ",
)
_AFTER = (" please", " thanks", ", please", " ?", "??", "...", " Thank you.", " I need help", " :)")


@dataclass(frozen=True)
class Example:
    """A prompt, as (role, text) turns, and what is to be said to it.

    `question` is what the user's turn begins with; `entry` the number of its answer in the corpus,
    and that of no entry, the last one and one, where it is to be refused.
    """

    turns: Turns
    question: str
    answer: str
    entry: int


def prompt(stage: str, question: str, drafts: Sequence[tuple[str, str]]) -> Turns:
    """The turns that a run sends for this stage."""
    request = prompts.request(STAGES[stage], question, drafts)
    return tuple((message.role, message.content) for message in request.messages)


def prompts_digest() -> str:
    """What the prompts look like that it was trained on; another look asks for another training."""
    looks = [
        prompt("quick_response", "?", []),
        prompt("deep_analysis", "?", [("quick_response", "a\nb")]),
        prompt("synthesis", "?", [("quick_response", "a"), ("deep_analysis", "b")]),
    ]
    return hashlib.sha256(json.dumps(looks).encode()).hexdigest()


class Examples:
    """Draws examples from what is trained on, and from questions made of it."""

    def __init__(
        self,
        corpus: Corpus,
        chance: random.Random,
        made: Sequence[tuple[str, Entry | None]] = (),
    ) -> None:
        self._corpus = corpus
        self._made = made
        self._chance = chance
        self._numbers = {entry.name: number for number, entry in enumerate(corpus.entries)}

    def draw(self, stage: str, drafted: float) -> Example:
        """One example of this stage, with earlier drafts in such a share."""
        chance, entries = self._chance, self._corpus.entries
        question, entry = self.ask()
        earlier = ROUTE[stage] if chance.random() < drafted else ()
        if chance.random() < FEWER:
            earlier = earlier[:1]
        believed = entry
        if chance.random() < ASTRAY:
            believed = chance.choice(entries) if entry is None or chance.random() < 0.5 else None
        drafts = [(name, self._said(believed, name)) for name in earlier]
        number = self._numbers[entry.name] if entry else len(entries)
        return Example(prompt(stage, question, drafts), question, self._said(entry, stage), number)

    def ask(self) -> tuple[str, Entry | None]:
        """A question as it may be typed, and the entry that answers it."""
        chance = self._chance
        if self._made and chance.random() < MADE:
            question, entry = chance.choice(self._made)
            return self._worn(question), entry
        if chance.random() < UNKNOWN:
            entry, question = None, chance.choice(self._corpus.unknown["trained"])
            if chance.random() < PLAIN:
                return question, None
            if chance.random() < BLENDED:
                question = self._blended(question)
        else:
            entry = chance.choice(self._corpus.entries)
            phrasings = entry.phrasings["trained"]
            question = chance.choice((entry.name,) * (NAMED - 1) + phrasings)
            if chance.random() < PLAIN:
                return question, entry
            if chance.random() < SPLICED:
                other = chance.choice(entry.phrasings["trained"]).split()
                words = question.split()
                keep = max(1, round(len(words) * chance.uniform(0.3, 0.8)))
                question = " ".join(
                    words[:keep] + other[round(len(other) * chance.uniform(0.2, 0.7)) :]
                )
        return self._worn(question), entry

    def _blended(self, unknown: str) -> str:
        """A question that begins as a known one, and ends as an unknown or another known one."""
        chance, entries = self._chance, self._corpus.entries
        one, other = chance.sample(entries, 2)
        begin = chance.choice(one.phrasings["trained"]).split()
        if chance.random() < 0.5:
            words = unknown.split()
            keep = chance.randint(1, max(1, len(begin) // 3))
            return " ".join(begin[:keep] + words[min(keep, len(words) - 1) :])
        end = chance.choice(other.phrasings["trained"]).split()
        return " ".join(begin[: max(1, len(begin) // 2)] + end[len(end) // 2 :])

    def _said(self, entry: Entry | None, stage: str) -> str:
        return entry.answers[stage] if entry else self._corpus.refuse(stage, self._chance)

    def _worn(self, question: str) -> str:
        """The question as people type it: without its capitals or its mark, framed, misspelt."""
        chance = self._chance
        words = question.split(" ")
        lost = chance.uniform(0, 0.2)
        question = " ".join([word for word in words if chance.random() > lost] or words)
        if chance.random() < 0.3:
            question = question.rstrip("?.!")
        if chance.random() < 0.12:
            question += chance.choice(_AFTER)
        if chance.random() < 0.12:
            question = chance.choice(_BEFORE) + question
        if chance.random() < 0.3:
            question = question.lower()
        if chance.random() < 0.15 and len(question) > 12:
            at = chance.randrange(1, len(question) - 2)
            pair = question[at : at + 2]
            question = question[:at] + chance.choice((pair[::-1], pair[0])) + question[at + 2 :]
        return question
