"""Labelled questions on their way through the stages, each answer graded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mirador_magic.answer import words
from mirador_magic.answer.answer import StageAnswer
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.session.session import Request, Session, current
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.calibrate import kept, questions
from mirador_magic.workbench.calibrate.fit import Point
from mirador_magic.workbench.calibrate.kept import Answered
from mirador_magic.workbench.calibrate.questions import Labelled
from mirador_magic.workbench.calibrate.report import Report, report

_DEFAULT = tuple(stage.name for stage in DEFAULT_STAGES)

Judge = Callable[[str, StageAnswer], bool | None]
Tell = Callable[[int, int, float], None]  # done, of how many, seconds so far


async def calibrate(
    questions: str | Path | Iterable[object], *, stages: Sequence[str] | None = None
) -> Report:
    """Ask labelled questions, grade the answers, and calibrate the confidence of each model in a stage.

    `questions` is a file of JSON lines, a list of such dicts, or a DataFrame with such columns (see
    calibration.questions); `stages` are those that are asked, the default three without. Raises
    UsageError for what cannot be read, and where the engine tells no log-probabilities.
    """
    return await calibrated(current(), questions, stages)


async def calibrated(
    session: Session,
    given: str | Path | Iterable[object],
    stages: Sequence[str] | None = None,
    tell: Tell = lambda done, total, seconds: None,
    judge: Judge | None = None,
) -> Report:
    """The same in this session. What was graded is kept, though the rest was stopped or failed."""
    asked = await asyncio.to_thread(questions.read, given)
    answers: list[Answered] = []
    try:
        await _ask_all(session, asked, stages, tell, judge or by_thumb, answers)
    finally:
        changed = kept.keep(answers)
    if not changed:
        raise UsageError(
            "no answer came with log-probabilities, so there is nothing to calibrate",
            "they come from Ollama 0.12.11 on, and from the embedded engine: %mirador doctor",
        )
    return await asyncio.to_thread(report, changed)


async def _ask_all(
    session: Session,
    asked: Sequence[Labelled],
    stages: Sequence[str] | None,
    tell: Tell,
    judge: Judge,
    answers: list[Answered],
) -> None:
    began = time.perf_counter()
    names = None if stages is None else tuple(stages)
    for number, each in enumerate(asked):
        tell(number, len(asked), time.perf_counter() - began)
        request = Request(each.question, names or _DEFAULT, purpose="tuning")
        try:
            done = (await session.start(request).result()).stages
        except MiradorError:
            if not answers:  # else one answer less
                raise
            continue
        answers += _graded(each, done, judge)
    tell(len(asked), len(asked), time.perf_counter() - began)


def _graded(each: Labelled, stages: Iterable[StageAnswer], judge: Judge) -> Iterator[Answered]:
    for stage in stages:
        if stage.status != "done" or stage.measured is None:
            continue
        right = each.grade(stage.text)
        if right is None:
            right = judge(each.question, stage)
        if right is not None:
            point = Point(stage.measured, right, len(stage.text), stage.features)
            yield Answered(stage.model, stage.name, each.question, point)


def by_thumb(question: str, stage: StageAnswer) -> bool | None:
    """What the user thinks of this answer; None where nothing is said. Raises UsageError in a batch."""
    print(f"\n{words.one_line(question)}\n{stage.name}: {words.clean(stage.text).strip()}")
    try:
        said = input("right? y, n, or nothing to pass over: ").strip().casefold()
    except (
        EOFError,
        RuntimeError,
    ) as error:  # ipykernel's StdinNotImplementedError is one of these
        raise UsageError(
            "thumbs need somebody to ask", 'label with "exact", "number" or "pattern" instead'
        ) from error
    return {"y": True, "n": False}.get(said[:1])


def thumb(session: Session, *, right: bool) -> Answered:
    """A thumb for the last answer: the stage whose answer stands was right, or not.

    Raises UsageError where there is none, or where it came without log-probabilities.
    """
    asked = session.asked[-1] if session.asked else None
    if not asked or not asked.standing:
        raise UsageError("there is no answer to judge", "ask something: %mirador your question")
    last = asked.standing.stage
    if last.measured is None:
        raise UsageError(
            f"the answer of {last.name} came without log-probabilities",
            "see what the engine tells: %mirador doctor",
        )
    point = Point(last.measured, right, len(last.text), last.features)
    return Answered(last.model, last.name, asked.question, point)
