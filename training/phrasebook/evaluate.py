"""Asks the phrase book what it was not trained on, as a run of Mirador does, and counts.

    python -m training.phrasebook.evaluate tuning            to choose the recipe by
    python -m training.phrasebook.evaluate tuning --calibrate  also fits models/calibration.json
    python -m training.phrasebook.evaluate held_out          the figures of the model card

An answer is right when it is the one written for the question and the stage, word for word; a
refusal when it is a sentence of each slot; anything else is wrong. `--out` keeps every answer, and
`--read` counts what was kept so, without asking again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from mirador_magic import phrasebook
from mirador_magic.calibration.figures import Pair, auroc, brier, ece, spread
from mirador_magic.calibration.fit import platt
from mirador_magic.confidence import Calibration, Gauge
from mirador_magic.engines.embedded import EmbeddedEngine
from mirador_magic.events import ChunkReceived, Event
from mirador_magic.intervals import Interval, of_share
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.stages import DEFAULT_STAGES
from training.phrasebook import corpus as corpora
from training.phrasebook.corpus import STAGES, Corpus, Entry, Part

Kind = Literal["right", "refused", "wrong"]
CALIBRATION = phrasebook.FILE.with_name("calibration.json")
SURE = 0.9  # a wrong answer whose tokens' mean probability reaches this is confidently wrong


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
    for chunk in said:
        gauge.add(chunk.logprobs, chunk.text)
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
            interval(spread(auroc, pairs(here))),
        ]
        yield f"| {stage} | {' | '.join(row)} |"


def share(count: int, of: int) -> str:
    """A share with its 95 % interval after Wilson."""
    found = of_share(count, of)
    told = f"{100 * found.value:.1f} % ({100 * found.low:.1f}-{100 * found.high:.1f})"
    return f"{count}/{of}, {told}"


def confidences(asked: Sequence[Asked]) -> Iterator[str]:
    """What the confidence is worth, a row for each stage, kind of question and state of confidence.

    Of the unknown questions no answer is right, so there is no AUROC among them alone.
    """
    yield "| stage | questions | confidence | AUROC | Brier | ECE |"
    yield "|---|---|---|---|---|---|"
    lines = json.loads(CALIBRATION.read_text())[phrasebook.NAME]
    for stage in STAGES:
        here = [one for one in asked if one.stage == stage]
        known, unknown = ([one for one in here if bool(one.entry) is it] for it in (True, False))
        line = Calibration(**lines[stage])
        for name, part in (("known", known), ("unknown", unknown), ("all", here)):
            measured = pairs(part)
            calibrated = [(line(p), right) for p, right in measured]
            for how, found in (("measured", measured), ("calibrated", calibrated)):
                cells = [interval(spread(figure, found)) for figure in (auroc, brier, ece)]
                yield f"| {stage} | {name}, {len(part)} | {how} | {' | '.join(cells)} |"
        by_length: list[Pair] = [(-len(one.text), one.kind == "right") for one in here]
        cell = interval(spread(auroc, by_length))
        yield f"| {stage} | all, {len(here)} | length, shorter is surer | {cell} | | |"


def pairs(asked: Sequence[Asked]) -> list[Pair]:
    """What was measured, and whether the answer was right."""
    return [(one.measured, one.kind == "right") for one in asked]


def interval(found: Interval) -> str:
    """A figure with its 95 % interval, for a table."""
    if math.isnan(found.value):
        return "-"
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})"


def line_of(asked: Sequence[Asked]) -> dict[str, float | int]:
    """Platt's line, as calibration.json has it."""
    found = platt(pairs(asked))
    return {"slope": found.slope, "intercept": found.intercept, "answers": found.answers}


def _kept(file: Path) -> list[Asked]:
    return [Asked(**json.loads(line)) for line in file.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("tuning", "held_out"))
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--model", default=phrasebook.NAME, help="another GGUF file to ask")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    given = parser.parse_args()
    if given.read:
        asked = _kept(given.read)
    else:
        asked = asyncio.run(ask(corpora.load(), given.part, given.model))
    print(*figures(asked), sep="\n")
    if given.out:
        given.out.write_text("".join(json.dumps(asdict(one)) + "\n" for one in asked))
    if given.calibrate and given.part == "tuning":
        lines = {stage: line_of([one for one in asked if one.stage == stage]) for stage in STAGES}
        CALIBRATION.write_text(json.dumps({phrasebook.NAME: lines}, indent=1) + "\n")
    print("", *confidences(asked), sep="\n")


if __name__ == "__main__":
    main()
