"""How large an answer a question needs: simple, medium or complex, within a millisecond.

A ridge regression in plain Python over words, character n-grams, a few counts, signs such as "asks
why", and what the words mean. Its weights lie in `models/router.json`, which `training.router` makes from
queries that were written for it. Meaning carries over to words that are in none of them: that of 24,939
words is had from the token embeddings of SmolLM2, and since it is only summed up, `models/router-words.json`
keeps of each word what its vector comes to in the fit, a byte for each complexity.

What is pasted (code, logs, tables) is told from what is asked, and the ask alone is read, its beginning and
its end where it is long. To take simple for complex or the reverse costs most, so the answer with the least
expected cost is taken, and the middle one where nothing is likely enough.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mirador_magic.routing.features import Features

Complexity = Literal["simple", "medium", "complex"]

CLASSES: tuple[Complexity, ...] = ("simple", "medium", "complex")
STAGES: Mapping[Complexity, tuple[str, ...]] = {
    "simple": ("quick_response",),
    "medium": ("quick_response", "synthesis"),
    "complex": ("quick_response", "deep_analysis", "synthesis"),
}
FIRST = ("quick_response",)  # what every route begins with
WEIGHTS = Path(__file__).parent.parent / "models" / "router.json"
MEANINGS = WEIGHTS.with_name("router-words.json")

# COSTS[truth][answer]: a complex question cut short loses the answer, the other way costs two stages' time.
COSTS = ((0.0, 1.0, 2.2), (1.0, 0.0, 1.0), (2.5, 1.1, 0.0))
UNSURE = 0.4  # a likelihood under which nothing is likely enough


@dataclass(frozen=True)
class Route:
    """Which stages a question needs. `probabilities` are of each complexity, and sum to 1.

    `reasons` are what in the question spoke most for it, the strongest first; or that it is unsure.
    """

    complexity: Complexity
    probabilities: Mapping[Complexity, float]
    stages: tuple[str, ...]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        share = f"{self.complexity} ({100 * self.probabilities[self.complexity]:.0f} %)"
        return f"{share}: {', '.join(self.reasons)}"


Row = Sequence[float]  # for simple, medium and complex


@dataclass(frozen=True)
class Weights:
    """What all questions begin with, of each feature, and of each word's meaning, in steps of `step`."""

    bias: Row
    features: Mapping[str, Row]
    meanings: Mapping[str, tuple[int, int, int]]
    step: float


def route(query: str) -> Route:
    """How large an answer this needs, and so which stages."""
    # These compile patterns: not before a question is asked.
    from mirador_magic.routing.features import features
    from mirador_magic.routing.reasons import reasons, unsure

    weights = load()
    read = features(query)
    likely = _likely(_scores(read, weights))
    place = decide(likely)
    shares: dict[Complexity, float] = dict(zip(CLASSES, likely, strict=True))

    def lead(name: str) -> float:
        row = weights.features.get(name, (0.0, 0.0, 0.0))
        meant = weights.meanings.get(name, (0, 0, 0))
        return row[place] - sum(row) / 3 + weights.step * (meant[place] - sum(meant) / 3)

    doubtful = place == 1 and likely[1] < max(likely)
    why = unsure(CLASSES, likely) if doubtful else reasons(read, place, lead)
    return Route(CLASSES[place], shares, STAGES[CLASSES[place]], why)


def decide(likely: Sequence[float]) -> int:
    """The place of the complexity to act on: the least expected cost, the middle where unsure."""
    if max(likely) < UNSURE:
        return 1
    costs = [sum(p * COSTS[truth][place] for truth, p in enumerate(likely)) for place in range(3)]
    return costs.index(min(costs))


@functools.cache
def load() -> Weights:
    """What `training.router` wrote: weights as numbers, those of words as a byte each."""
    fitted = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    table = json.loads(MEANINGS.read_text(encoding="utf-8"))
    rows = struct.iter_unpack("3b", base64.b64decode(table["rows"]))
    words = dict(zip(table["words"].split(" "), rows, strict=True))
    return Weights(fitted["bias"], fitted["weights"], words, table["step"])


def _scores(read: Features, weights: Weights) -> list[float]:
    simple, medium, complex_ = weights.bias
    groups: list[tuple[Mapping[str, Row], Sequence[str], float]]
    groups = [(weights.features, *group) for group in read.weighed()]
    groups.append((weights.meanings, read.said, weights.step * read.meaning()))
    for table, names, share in groups:
        for name in names:
            if row := table.get(name):
                simple += share * row[0]
                medium += share * row[1]
                complex_ += share * row[2]
    return [simple, medium, complex_]


def _likely(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    odds = [math.exp(score - top) for score in scores]
    return [each / sum(odds) for each in odds]
