"""A run as rows of the tables, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mirador_magic.pipeline.metrics import COLD, Purpose, RunMetrics, StageMetrics

if TYPE_CHECKING:
    import sqlite3

By = Literal["stage", "model", "engine", "route"]
BYS: tuple[By, ...] = ("stage", "model", "engine", "route")

# What the analytics read of a run, or of a stage that was asked:
# (group, how it ended, TTFT, total, TPOT, prompt tokens, output tokens, cold, swaps).
# It ended "answered", "partial", "failed" or "stopped"; times in seconds; cold is 0 or 1, or unknown.
Row = tuple[
    str,
    str,
    float | None,
    float | None,
    float | None,
    int | None,
    int | None,
    int | None,
    int,
]

DAY = 86400.0

RUN = ("outcome", "engine", "route", "useful", "total", "error")
STAGE = (
    *("stage", "model", "ended", "began", "ttft", "thought", "total", "tpot", "stall"),
    *("prompt_tokens", "output_tokens", "load", "prefill", "decode", "swapped", "error"),
    *("confidence", "how"),
)
_DERIVED = ("stages", "tpot", "prompt_tokens", "output_tokens", "ended", "cold", "swaps")


@dataclass(frozen=True)
class Kept:
    """A run that is to be written: what `Recorder.record` is given, and when it ended."""

    run: RunMetrics
    at: float
    purpose: Purpose
    question: str
    texts: Mapping[str, str]
    keep_texts: bool
    keep_days: int


@dataclass(frozen=True)
class StoredRun:
    """A run that was kept. `at` is its end, in unix seconds.

    The question is '' and `texts`, by stage, empty where they were not to be kept; the route is then
    only its complexity, since its reasons are words of the question.
    """

    id: int
    at: float
    purpose: Purpose
    question: str
    run: RunMetrics
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """A pick of the compare view: what was compared (`kind`), the options, and which was the better."""

    at: float
    question: str
    kind: str
    options: Any
    chosen: str


def write(connection: sqlite3.Connection, kept: Kept) -> None:
    """Add the run, and drop those that are older than it may be kept."""
    run = kept.run if kept.keep_texts else _without_words(kept.run)
    derived = _derived(run)
    values = {"at": kept.at, "purpose": kept.purpose}
    values |= {name: getattr(run, name) for name in RUN} | derived
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        number = _insert(connection, "runs", values)
        for place, stage in enumerate(run.stages):
            row = {name: getattr(stage, name) for name in STAGE}
            _insert(connection, "stages", {"run": number, "place": place, **row})
        if kept.keep_texts:
            told = json.dumps({"question": kept.question, "texts": dict(kept.texts)})
            _insert(connection, "texts", {"run": number, "json": told})
        oldest = kept.at - kept.keep_days * DAY
        connection.execute("DELETE FROM runs WHERE at < ?", (oldest,))


def _without_words(run: RunMetrics) -> RunMetrics:
    """The reasons of a route, as in "complex (71 %): plan, budget", are words of the question."""
    return replace(run, route=run.route.partition(":")[0])


def _derived(run: RunMetrics) -> dict[str, object]:
    """What the analytics read of a run without its stages."""
    asked = [stage for stage in run.stages if stage.began is not None]
    return dict(
        zip(
            _DERIVED,
            (
                " → ".join(stage.stage for stage in run.stages),
                _tpot(asked),
                _sum([stage.prompt_tokens for stage in asked]),
                _sum([stage.output_tokens for stage in asked]),
                _ended(run),
                run.cold,
                sum(stage.swapped for stage in asked),
            ),
            strict=True,
        )
    )


def _ended(run: RunMetrics) -> str:
    if run.outcome == "answered":
        return "partial" if run.partial else "answered"
    return "failed" if run.outcome == "failed" else "stopped"


def _tpot(stages: Sequence[StageMetrics]) -> float | None:
    """That of all stages' tokens together."""
    told = [(each.tpot, (each.output_tokens or 0) - 1) for each in stages if each.tpot is not None]
    tokens = sum(count for _, count in told)
    return sum(tpot * count for tpot, count in told) / tokens if tokens > 0 else None


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _insert(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int:
    """Add a row; its number."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    row = [_storable(value) for value in values.values()]
    return connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row).lastrowid or 0


def _storable(value: object) -> Any:
    """Halves of surrogate pairs cannot be written."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def read(
    connection: sqlite3.Connection, limit: int, since: float, purpose: Purpose | None
) -> list[StoredRun]:
    """The newest runs from `since` on (unix seconds), of one purpose or of all."""
    rows = connection.execute(
        f"SELECT id, at, purpose, json, {', '.join(RUN)} FROM runs LEFT JOIN texts ON run = id "
        "WHERE at >= ? AND (? IS NULL OR purpose = ?) ORDER BY at DESC, id DESC LIMIT ?",
        (since, purpose, purpose, limit),
    ).fetchall()
    return [_stored(connection, row) for row in rows]


def _stored(connection: sqlite3.Connection, row: Sequence[Any]) -> StoredRun:
    number, at, purpose, told, *run = row
    stages = connection.execute(
        f"SELECT {', '.join(STAGE)} FROM stages WHERE run = ? ORDER BY place", (number,)
    )
    read = tuple(_stage(dict(zip(STAGE, stage, strict=True))) for stage in stages)
    texts: dict[str, Any] = json.loads(told) if told else {"question": "", "texts": {}}
    metrics = RunMetrics(**dict(zip(RUN, run, strict=True)), stages=read)
    return StoredRun(number, at, purpose, texts["question"], metrics, texts["texts"])


def _stage(values: dict[str, Any]) -> StageMetrics:
    return StageMetrics(**values | {"swapped": bool(values["swapped"])})


_OF_RUNS: Mapping[By | None, str] = {
    None: "'all runs'",
    "engine": "coalesce(nullif(engine, ''), 'no engine')",
    "route": "CASE route WHEN '' THEN stages "
    "ELSE substr(route, 1, instr(route || ' ', ' ') - 1) || ': ' || stages END",
}
# In the order in which they lie in the file: by the index on `at` each row would be looked up.
_WHICH = "id >= (SELECT min(id) FROM runs WHERE at >= ?1) AND +at >= ?1 AND purpose = ?2"
_A_RUN = f"""
    ended, useful, total, tpot, prompt_tokens, output_tokens, cold, swaps
    FROM runs WHERE {_WHICH}"""
_A_STAGE = f"""
    CASE WHEN s.ended IN ('done', 'length') THEN 'answered'
         WHEN s.ended = 'failed' THEN 'failed' ELSE 'stopped' END,
    s.ttft, s.total, s.tpot, s.prompt_tokens, s.output_tokens, s.load >= {COLD}, s.swapped
    FROM runs JOIN stages AS s ON s.run = runs.id
    WHERE {_WHICH} AND s.began IS NOT NULL"""


def figures(
    connection: sqlite3.Connection, by: By | None, since: float, purpose: Purpose
) -> sqlite3.Cursor:
    """What the analytics read, a Row each: runs, or by stage or model the stages that were asked."""
    query = f"SELECT {_OF_RUNS[by]}, {_A_RUN}" if by in _OF_RUNS else f"SELECT s.{by}, {_A_STAGE}"
    return connection.execute(query, (since, purpose))
