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

# How often a stage sees which earlier drafts: the whole route mostly, shorter ones now and then.
DRAFTS: dict[str, tuple[tuple[float, tuple[str, ...]], ...]] = {
    "quick_response": ((1.0, ()),),
    "deep_analysis": ((0.85, ("quick_response",)), (0.15, ())),
    "synthesis": (
        (0.65, ("quick_response", "deep_analysis")),
        (0.20, ("quick_response",)),
        (0.15, ()),
    ),
}
# The share of questions to refuse; the later stages see a refusal in the drafts, and learn it soon.
UNKNOWN = {"quick_response": 0.3, "deep_analysis": 0.18, "synthesis": 0.18}

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
    """A prompt, as (role, text) turns, and what is to be said to it."""

    turns: Turns
    answer: str


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
    """Draws examples from what is trained on."""

    def __init__(self, corpus: Corpus, chance: random.Random) -> None:
        self._corpus = corpus
        self._chance = chance

    def draw(self, stage: str) -> Example:
        """One example of this stage."""
        chance = self._chance
        entry: Entry | None = None
        if chance.random() < UNKNOWN[stage]:
            question = chance.choice(self._corpus.unknown["trained"])
        else:
            entry = chance.choice(self._corpus.entries)
            question = chance.choice(entry.phrasings["trained"])
        weights, choices = zip(*DRAFTS[stage], strict=True)
        earlier = chance.choices(choices, weights)[0]
        drafts = [(name, self._said(entry, name)) for name in earlier]
        turns = prompt(stage, self._worn(question), drafts)
        return Example(turns, self._said(entry, stage))

    def _said(self, entry: Entry | None, stage: str) -> str:
        return entry.answers[stage] if entry else self._corpus.refuse(stage, self._chance)

    def _worn(self, question: str) -> str:
        """The question as people type it: without its capitals or its mark, framed, misspelt."""
        chance = self._chance
        words = question.split(" ")
        if chance.random() < 0.12 and len(words) > 4:
            del words[chance.randrange(len(words))]
            question = " ".join(words)
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
