"""Asks SmolLM2 the questions of `questions.jsonl` in all three stages, and keeps what was measured.

    python -m training.confidence.ask          # about 40 minutes on two cores

The engine is the embedded one, the seed 7. `answers.jsonl` gets a line for each question: its kind, and of
each stage whether it was right, what was measured, the answer's characters and features, whether it was
cut off, and the means of its tokens' log-probabilities, of all and of the lowest three. The answers
themselves are not kept. A second call goes on where the first one ended.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from mirador_magic.answer.answer import StageAnswer
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.events import ChunkReceived, Event
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.calibrate import questions
from mirador_magic.workbench.calibrate.questions import Labelled

HERE = Path(__file__).parent
QUESTIONS, ANSWERS = HERE / "questions.jsonl", HERE / "answers.jsonl"
SEED = 7

Row = dict[str, Any]


def main() -> None:
    """Ask what is not answered yet, and write a line for each."""
    known = {row["question"] for row in read(ANSWERS)} if ANSWERS.exists() else set()
    left = [(kind, each) for kind, each in labelled() if each.question not in known]
    with ANSWERS.open("a", encoding="utf-8") as file:
        asyncio.run(ask(left, file))


async def ask(left: Iterable[tuple[str, Labelled]], out: TextIO) -> None:
    """Ask these, and write a line for each."""
    session = Session()
    session.configure({"engine": "embedded", "model": SMOLLM2.name, "seed": SEED, "metrics": False})
    stages = tuple(stage.name for stage in DEFAULT_STAGES)
    try:
        for kind, each in left:
            logs = Logs()
            handle = session.start(Request(each.question, stages, purpose="tuning"))
            handle.watch(logs)
            told = row(kind, each, (await handle).stages, logs)
            print(json.dumps(told, ensure_ascii=False), file=out, flush=True)
    finally:
        await session.aclose()


class Logs(dict[str, list[float]]):
    """The tokens' log-probabilities by stage: a watcher."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, ChunkReceived):
            self.setdefault(event.stage, []).extend(event.logprobs)


def labelled() -> list[tuple[str, Labelled]]:
    """The questions, each with its kind."""
    kinds = [row["kind"] for row in read(QUESTIONS)]
    return list(zip(map(str, kinds), questions.read(QUESTIONS), strict=True))


def row(kind: str, each: Labelled, stages: Iterable[StageAnswer], logs: Logs) -> Row:
    """What is kept of the answers to a question."""
    told = {
        stage.name: {
            "right": each.grade(stage.text),
            "measured": round(stage.measured, 5),
            "length": len(stage.text),
            "cut": stage.is_cut,
            "features": [round(feature, 4) for feature in stage.features],
            "mean": round(statistics.fmean(logs[stage.name]), 4),
            "lowest": round(statistics.fmean(sorted(logs[stage.name])[:3]), 4),
        }
        for stage in stages
        if stage.status == "done" and stage.measured is not None and stage.features
    }
    return {"kind": kind, "question": each.question, "stages": told}


def read(file: Path) -> list[Row]:
    """A file of JSON lines."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
