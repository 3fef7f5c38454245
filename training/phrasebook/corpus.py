"""The phrase book's corpus: what it knows, what it does not, and how it says so.

    corpus/FIELD.toml      [[entry]] with `trained`, `tuning` and `held_out` phrasings of one
                           question, and one answer a stage
    corpus/unknown.toml    questions that no entry answers: `trained`, `tuning`, `held_out`
    corpus/refusals.toml   for each stage slots of sentences; one of each slot makes a refusal

`tuning` phrasings choose the recipe and are never trained on; `held_out` ones are read by
`training.phrasebook.evaluate` alone.

    python -m training.phrasebook.corpus     says what is wrong with it, and counts it
"""

from __future__ import annotations

import itertools
import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).with_name("corpus")
FIELDS = ("notebooks", "analysis", "python", "models", "mirador", "everyday")
STAGES = ("quick_response", "deep_analysis", "synthesis")
Part = Literal["trained", "tuning", "held_out"]
PARTS: tuple[Part, ...] = ("trained", "tuning", "held_out")

_LEAST = {"trained": 4, "tuning": 1, "held_out": 2}  # phrasings of one question
_WORDS = {"quick_response": (8, 45), "deep_analysis": (35, 110), "synthesis": (50, 170)}


@dataclass(frozen=True)
class Entry:
    """One question with all its phrasings, and the answer of each stage."""

    field: str
    phrasings: dict[Part, tuple[str, ...]]
    answers: dict[str, str]

    @property
    def name(self) -> str:
        return self.phrasings["trained"][0]


@dataclass(frozen=True)
class Corpus:
    """All of it. `refusals` holds, for each stage, the slots and how their sentences are joined."""

    entries: tuple[Entry, ...]
    unknown: dict[Part, tuple[str, ...]]
    refusals: dict[str, tuple[tuple[str, ...], ...]]

    def refuse(self, stage: str, chance: random.Random) -> str:
        """One of the many refusals of this stage."""
        return _joined(stage, [chance.choice(slot) for slot in self.refusals[stage]])

    def is_refusal(self, stage: str, text: str) -> bool:
        """Whether this text is one sentence of each slot, in order and word for word."""
        rest = _spaced(text)
        for slot in self.refusals[stage]:
            for sentence in sorted(map(_spaced, slot), key=len, reverse=True):
                if rest.startswith(sentence):
                    rest = rest.removeprefix(sentence).strip()
                    break
            else:
                return False
        return not rest


def load(folder: Path = FOLDER) -> Corpus:
    entries = [
        Entry(
            field,
            {part: tuple(raw.get(part, ())) for part in PARTS},
            {stage: raw[stage].strip() for stage in STAGES},
        )
        for field in FIELDS
        if (folder / f"{field}.toml").exists()
        for raw in _read(folder / f"{field}.toml")["entry"]
    ]
    unknown = _read(folder / "unknown.toml")
    refusals = _read(folder / "refusals.toml")
    return Corpus(
        tuple(entries),
        {part: tuple(text.strip() for text in unknown[part]) for part in PARTS},
        {stage: tuple(map(tuple, refusals[stage])) for stage in STAGES},
    )


def faults(corpus: Corpus) -> Iterator[str]:
    """What keeps the corpus from being trained on, one line each."""
    for entry in corpus.entries:
        for part in PARTS:
            if len(entry.phrasings[part]) < _LEAST[part]:
                yield f"{entry.name}: only {len(entry.phrasings[part])} {part} phrasings"
        for stage, (least, most) in _WORDS.items():
            words = len(entry.answers[stage].split())
            if not least <= words <= most:
                yield f"{entry.name}: {words} words in {stage}, not {least} to {most}"
    everything = [
        *itertools.chain.from_iterable(e.phrasings[p] for e in corpus.entries for p in PARTS),
        *itertools.chain.from_iterable(corpus.unknown.values()),
    ]
    for text, count in Counter(map(plain, everything)).items():
        if count > 1:
            yield f"asked {count} times: {text}"
    texts = everything + [text for e in corpus.entries for text in e.answers.values()]
    for text in texts + [s for slots in corpus.refusals.values() for slot in slots for s in slot]:
        if strange := set(re.findall(r"[^\x20-\x7e\n]", text)):
            yield f"not plain ASCII, {strange}: {text[:60]}"


def plain(text: str) -> str:
    """A question without what does not matter: case, punctuation, runs of spaces."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _joined(stage: str, sentences: Sequence[str]) -> str:
    return ("\n" if stage == "synthesis" else " ").join(sentences)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _read(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        return tomllib.load(opened)


def main() -> int:
    corpus = load()
    wrong = list(faults(corpus))
    print(*wrong, sep="\n")
    for field in FIELDS:
        print(f"{field}: {sum(entry.field == field for entry in corpus.entries)} questions")
    for part in PARTS:
        phrasings = sum(len(entry.phrasings[part]) for entry in corpus.entries)
        print(f"{part}: {phrasings} phrasings, {len(corpus.unknown[part])} unknown questions")
    for stage in STAGES:
        words = sum(len(entry.answers[stage].split()) for entry in corpus.entries)
        print(f"{stage}: {words} words in answers")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
