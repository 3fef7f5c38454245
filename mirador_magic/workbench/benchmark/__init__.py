"""Benchmarks in the notebook: progressive against traditional, models, or routes, in the same run.

    result = await benchmark()                            the nine questions of the first Mirador
    result = await benchmark(df["question"], repeats=5)   your own
    result = await benchmark(models=["phi3:mini", "gemma2:9b"])
    result.to_dataframe()

*Traditional* is the same run with everything shown at its end: its first useful text is there when
its last stage is done. Both are run; neither is worked out from the other.

    questions   which are asked                      plan     what is compared, in which order
    suite       runs it                              measured what came of it
    figures     medians, ratios, what they tell      files    JSON, and an earlier benchmark
    sheet, plot as HTML, as text, as a picture       board    in a notebook
    result      all of it, as its reader holds it
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session, current
from mirador_magic.workbench.benchmark import files, plan, questions
from mirador_magic.workbench.benchmark.measured import Measured, Point
from mirador_magic.workbench.benchmark.questions import THE_NINE, Given
from mirador_magic.workbench.benchmark.result import Benchmark
from mirador_magic.workbench.benchmark.suite import Suite

__all__ = ["THE_NINE", "Benchmark", "Point", "benchmark", "load", "measure", "verb"]


def load(source: str | Path) -> Benchmark:
    """The benchmark in a file; `last` is the last one. Raises UsageError where there is none."""
    return Benchmark.of(files.load(source))


async def benchmark(
    questions: Given = None,
    *,
    models: Sequence[str] | None = None,
    stages: Sequence[str] | None = None,
    repeats: int = 3,
    file: str | Path | None = None,
    against: str | Path | None = None,
) -> Benchmark:
    """Measure progressive against traditional answers on the same models, and show it.

    `questions` are a list, the column of a DataFrame, or a file's name: one a line, or a JSON list;
    without, the nine of the first Mirador. Two or more `models` are compared instead, on the one of
    `stages`, or on quick_response; two or more `stages` are routes that are compared: "fast",
    "balanced", "deep", or stages such as "quick_response+synthesis". One of either is what all runs
    go by. Each question is asked in `repeats` warm rounds, and in a cold one where the engine lets
    go of its models. `file` is written as JSON; `against` is such a file, or "last".

    A stop or an interrupt keeps what was measured. Raises UsageError for what cannot be, and the
    EngineError of a first run that no further one would mend.
    """
    return await measure(
        current(),
        questions,
        models=models or (),
        stages=stages or (),
        repeats=repeats,
        file=file,
        against=against,
    )


async def verb(session: Session, read: Line) -> object:
    """`%mirador benchmark`; the questions of a cell below it stand one a line."""
    option = read.options.get
    repeats = option("--repeats", "3")
    if not repeats.isdecimal():
        raise UsageError(f"--repeats {repeats} is not a count", "--repeats 3")
    result = await measure(
        session,
        questions.of_text(read.text) if read.text else option("--questions"),
        models=_names(option("--models", "")),
        stages=_names(option("--stages", "")),
        repeats=int(repeats),
        file=option("--json"),
        against=option("--against"),
    )
    return None if session.in_notebook else result


async def measure(
    session: Session,
    asked: Given = None,
    *,
    models: Sequence[str] = (),
    stages: Sequence[str] = (),
    repeats: int = 3,
    file: str | Path | None = None,
    against: str | Path | None = None,
) -> Benchmark:
    """The same in a session of one's own."""
    if repeats < 1:
        raise UsageError(f"{repeats} repeats measure nothing", "repeats=3")
    then = files.load(against) if against else None
    suite = Suite(session, questions.read(asked), plan.arms(models, stages), repeats)
    close = _shown(session, suite)
    try:
        await suite.run()
    finally:
        result = dataclasses.replace(
            suite.result, earlier=then, earlier_name=str(against) if against else ""
        )
        result = _kept(session, result, file, as_last=suite.is_through)
        close(result)
    return Benchmark.of(result)


def _shown(session: Session, suite: Suite) -> Callable[[Measured], None]:
    """Show how far it is; what is to be called with the result, at its end."""
    if session.in_notebook:
        from mirador_magic.workbench.benchmark.board import Board

        return Board(suite).close
    from mirador_magic.workbench.benchmark.progress_line import ProgressLine

    ProgressLine(suite, sys.stdout)
    return lambda result: None


def _kept(
    session: Session, result: Measured, file: str | Path | None, *, as_last: bool
) -> Measured:
    """Written to its file, and as the last one. What cannot be written is told, nothing is lost."""
    if not result.points:
        return result
    notes = []
    try:
        if file:
            files.save(result, Path(file).expanduser())
            notes.append(f"written to {file}")
    except OSError as error:
        notes.append(f"{file} could not be written: {error.strerror} → result.to_json() has it")
    try:
        settings = session.settings()
        if as_last and settings["metrics"]:
            files.save_last(result, texts=settings["keep_texts"])
    except OSError as error:
        notes.append(f"not kept for --against last: {error.strerror}")
    return dataclasses.replace(result, notes=(*result.notes, *notes))


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))
