"""Asks the phrase book what it was not trained on, as a run of Mirador does, and counts.

    python -m training.phrasebook.evaluate tuning            to choose the recipe by
    python -m training.phrasebook.evaluate tuning --calibrate  also fits models/calibration.json
    python -m training.phrasebook.evaluate held_out          the figures of the model card

An answer is right when it is the one written for the question and the stage, word for word; a
refusal when it is a sentence of each slot; anything else is wrong. `--out` keeps every answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from mirador_magic import phrasebook
from mirador_magic.confidence import Gauge, logit, sigmoid
from mirador_magic.engines.embedded import EmbeddedEngine
from mirador_magic.events import ChunkReceived, Event
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.stages import DEFAULT_STAGES
from training.phrasebook import corpus as corpora
from training.phrasebook.corpus import STAGES, Corpus, Entry, Part

Kind = Literal["right", "refused", "wrong"]
CALIBRATION = phrasebook.FILE.with_name("calibration.json")
SURE = 0.9  # a wrong answer whose tokens' mean probability reaches this is confidently wrong
_DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Asked:
    """What one stage said to one question. `entry` is the question's name in the corpus, or none."""

    question: str
    entry: str | None
    stage: str
    text: str
    kind: Kind
    mean: float  # of the tokens' probabilities
    measured: float  # as the panel measures it, before calibration


async def ask(corpus: Corpus, part: Part, model: str) -> list[Asked]:
    """Every question of this part through all three stages, one after the other, greedily."""
    questions: list[tuple[str, Entry | None]] = [
        (question, entry) for entry in corpus.entries for question in entry.phrasings[part]
    ]
    questions += [(question, None) for question in corpus.unknown[part]]
    stages = [
        replace(stage, model=model, options=replace(stage.options, temperature=0.0))
        for stage in DEFAULT_STAGES
    ]
    asked = []
    async with StreamingOrchestrator(stages, EmbeddedEngine(pace=0)) as orchestrator:
        for question, entry in questions:
            events: list[Event] = []
            await orchestrator.run(question, events.append).execute()
            asked += [_heard(corpus, question, entry, stage, events) for stage in STAGES]
    return asked


def _heard(
    corpus: Corpus, question: str, entry: Entry | None, stage: str, events: Sequence[Event]
) -> Asked:
    said = [e for e in events if isinstance(e, ChunkReceived) and e.stage == stage]
    gauge, text = Gauge(), "".join(chunk.text for chunk in said)
    logs = [log for chunk in said for log in chunk.logprobs]
    gauge.add(logs)
    kind: Kind = "refused" if corpus.is_refusal(stage, text) else "wrong"
    if entry and text == entry.answers[stage]:
        kind = "right"
    mean = sum(map(math.exp, logs)) / len(logs)
    name = entry.name if entry else None
    return Asked(question, name, stage, text, kind, mean, gauge.measured or 0.0)


def figures(asked: Sequence[Asked]) -> Iterator[str]:
    """The table of the model card, a row for each stage."""
    yield "| stage | right | refused | wrong | unknown refused | confidently wrong | AUROC |"
    yield "|---|---|---|---|---|---|---|"
    for stage in STAGES:
        here = [one for one in asked if one.stage == stage]
        known = [one for one in here if one.entry]
        unknown = [one for one in here if not one.entry]
        kinds = Counter(one.kind for one in known)
        sure = sum(one.kind == "wrong" and one.mean >= SURE for one in here)
        row = [
            *(share(kinds[kind], len(known)) for kind in ("right", "refused", "wrong")),
            share(sum(one.kind == "refused" for one in unknown), len(unknown)),
            share(sure, len(here)),
            _spread(here, auroc),
        ]
        yield f"| {stage} | {' | '.join(row)} |"


def share(count: int, of: int) -> str:
    """A share with its 95 % interval after Wilson."""
    z, p = 1.96, count / of
    middle, width = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * width) / (1 + z * z / of) for sign in (-1, 1))
    return f"{count}/{of}, {100 * p:.1f} % ({100 * max(low, 0):.1f}-{100 * high:.1f})"


def auroc(asked: Sequence[Asked]) -> float:
    """How often a right answer is measured surer than one that is not; ties count half."""
    ranked = sorted(asked, key=lambda one: one.measured)
    ranks: dict[float, list[int]] = {}
    for rank, one in enumerate(ranked, 1):
        ranks.setdefault(one.measured, []).append(rank)
    right = [one for one in asked if one.kind == "right"]
    others = len(asked) - len(right)
    if not right or not others:
        return math.nan
    total = sum(sum(ranks[one.measured]) / len(ranks[one.measured]) for one in right)
    return (total - len(right) * (len(right) + 1) / 2) / (len(right) * others)


def _spread(asked: Sequence[Asked], figure: Callable[[Sequence[Asked]], float]) -> str:
    """A figure with the 95 % interval of a bootstrap over the questions."""
    chance = random.Random(0)
    drawn = sorted(figure(chance.choices(asked, k=len(asked))) for _ in range(_DRAWS))
    low, high = drawn[int(0.025 * _DRAWS)], drawn[int(0.975 * _DRAWS)]
    return f"{figure(asked):.3f} ({low:.3f}-{high:.3f})"


def platt(asked: Sequence[Asked]) -> dict[str, float | int]:
    """Slope and intercept of Platt's line, by Newton's method on his smoothed targets.

    The inputs are standardised for the search, and its steps are bounded, so that it converges.
    """
    right = sum(one.kind == "right" for one in asked)
    aims = {True: (right + 1) / (right + 2), False: 1 / (len(asked) - right + 2)}
    inputs = [logit(one.measured) for one in asked]
    middle, scale = statistics.mean(inputs), statistics.stdev(inputs)
    points = [
        ((x - middle) / scale, aims[one.kind == "right"])
        for x, one in zip(inputs, asked, strict=True)
    ]
    slope = intercept = 0.0
    for _ in range(200):
        a = b = ab = 0.0
        aa = bb = 1e-3
        for x, aim in points:
            p = sigmoid(slope * x + intercept)
            weight = p * (1 - p)
            a, b = a + (p - aim) * x, b + (p - aim)
            aa, ab, bb = aa + weight * x * x, ab + weight * x, bb + weight
        down = aa * bb - ab * ab
        slope -= max(min((bb * a - ab * b) / down, 1.0), -1.0)
        intercept -= max(min((aa * b - ab * a) / down, 1.0), -1.0)
    return {
        "slope": round(slope / scale, 4),
        "intercept": round(intercept - slope * middle / scale, 4),
        "answers": len(asked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("tuning", "held_out"))
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--model", default=phrasebook.NAME, help="another GGUF file to ask")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    asked = asyncio.run(ask(corpora.load(), given.part, given.model))
    print(*figures(asked), sep="\n")
    if given.out:
        given.out.write_text("".join(json.dumps(asdict(one)) + "\n" for one in asked))
    if given.calibrate and given.part == "tuning":
        lines = {stage: platt([one for one in asked if one.stage == stage]) for stage in STAGES}
        CALIBRATION.write_text(json.dumps({phrasebook.NAME: lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
