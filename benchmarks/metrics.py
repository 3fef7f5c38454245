"""What measuring costs, each figure beside its baseline in the same run.

    python -m benchmarks.metrics          # or: make bench; --rounds 1 for a first look

fold           a token through the run's state, its confidence and its figures, beside a watcher that
               does nothing: 2,000 chunks with a log-probability each, as a run tells them
first text     of a question, the figures kept beside not kept; and what of the store, of telemetry and
               of SQLite was imported, and which thread begun, when the first text came: nothing
record         what the loop spends to have a run written, beside writing it there and then
summary        `%mirador metrics` of the last day where 100,000 runs of ninety days are kept, its table
               included; and of all of them, beside only reading their rows from the file

Machines are shared and noisy: the arms take turns, and the medians count. What the child processes
run imports nothing of the store here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.answer.run_state import RunState
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.events import ChunkReceived, Event, RunStarted, StageStarted
from mirador_magic.pipeline.metrics import Meter, RunMetrics, StageMetrics
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES

if TYPE_CHECKING:
    from mirador_magic.store import By

TOKENS, RUNS = 2000, 100_000
EVER = 24.0 * 100  # hours: all of them
MEASURING = ("mirador_magic.store", "mirador_magic.store.telemetry", "sqlite3", "opentelemetry")
QUICK = DEFAULT_STAGES[0]

Figures = dict[str, list[float]]


def seconds(do: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    do(*given)
    return time.perf_counter() - began


def fold(figures: Figures) -> None:
    """Microseconds a token."""
    pick = random.Random(8)
    events = [
        ChunkReceived(number / 50, QUICK.name, " word", (-pick.expovariate(2.0),))
        for number in range(TOKENS)
    ]
    arms = {"fold": (RunState(), Meter()), "empty": (_nothing,)}
    for arm, watching in arms.items():
        watchers = Watchers(watching)
        watchers(RunStarted(0.0, "why?", (QUICK,)))
        watchers(StageStarted(0.0, QUICK.name))
        figures[f"{arm} µs"].append(1e6 * seconds(play, events, watchers) / TOKENS)


def play(events: Sequence[Event], watchers: Watchers) -> None:
    for event in events:
        watchers(event)


def _nothing(_: object) -> None:
    pass


async def first_text(keeps: bool) -> tuple[float, list[str]]:
    """Milliseconds to the first text, and what was there by then that serves the figures alone."""
    session = Session()
    session.use(ScriptedEngine({QUICK.model: Script("one two three")}))
    session.configure({"engine": "scripted", "metrics": keeps})
    firsts: list[tuple[float, list[str]]] = []

    def watch(event: object) -> None:
        if isinstance(event, ChunkReceived) and not firsts:
            took = time.perf_counter() - began
            there = [name for name in MEASURING if name in sys.modules]
            threads = [each.name for each in threading.enumerate() if "store" in each.name]
            firsts.append((1000 * took, there + threads))

    began = time.perf_counter()
    handle = session.start(Request("why?", stages=(QUICK.name,)))
    handle.watch(watch)
    await handle
    await asyncio.sleep(0)
    await session.aclose()
    return firsts[0]


def in_new_processes(figures: Figures) -> list[str]:
    """One first text with the figures kept and one without, each in a process of its own."""
    seen: list[str] = []
    for keeps in (True, False):
        code = f"from benchmarks.metrics import told; told({keeps})"
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
        took, there = json.loads(done.stdout)
        figures["first text ms" if keeps else "not kept ms"].append(took)
        seen += there
    return seen


def told(keeps: bool) -> None:
    """What such a process prints."""
    print(json.dumps(asyncio.run(first_text(keeps))))


def a_run(pick: random.Random) -> RunMetrics:
    """A run of three stages, some cold, some failed."""
    stages = []
    for number, stage in enumerate(DEFAULT_STAGES):
        first = pick.expovariate(1.5)
        stages.append(
            StageMetrics(
                stage.name,
                stage.model,
                "done" if pick.random() < 0.97 else "failed",
                began=5.0 * number,
                ttft=first,
                total=first + pick.random() * 5,
                tpot=pick.random() / 20,
                prompt_tokens=200,
                output_tokens=pick.randrange(20, 400),
                load=6.0 if pick.random() < 0.05 else 0.1,
            )
        )
    return RunMetrics("answered", "Ollama 0.34.1", "", stages[0].ttft, 15.0, tuple(stages))


def record(figures: Figures, folder: Path) -> None:
    """Microseconds a run."""
    from mirador_magic.store import Recorder, file, rows

    run = a_run(random.Random(8))
    recorder = Recorder(folder / "recorded.sqlite3")
    tell = partial(recorder.record, run, purpose="ask", question="", texts={}, keep_texts=False)
    tell = partial(tell, keep_days=90)
    figures["record µs"] += [1e6 * seconds(tell) for _ in range(50)]
    recorder.close()
    kept = rows.Kept(run, time.time(), "ask", "", {}, False, 90)
    with closing(file.opened(folder / "written.sqlite3")) as connection:
        figures["written µs"] += [1e6 * seconds(rows.write, connection, kept) for _ in range(50)]


def fill() -> None:
    """100,000 runs of three stages, spread over ninety days."""
    from mirador_magic.store import file, path, rows

    pick = random.Random(8)
    with closing(file.opened(path())) as connection:
        for _ in range(1000):
            run = a_run(pick)
            rows.write(connection, rows.Kept(run, time.time(), "ask", "", {}, False, 90))
        connection.execute("BEGIN")
        for table in ("runs", "stages"):
            connection.execute(f"CREATE TEMP TABLE more_{table} AS SELECT * FROM {table}")
        for _ in range(RUNS // 1000 - 1):
            connection.execute(
                "UPDATE more_runs SET id = id + 1000, at = at - 77760, useful = useful * 1.003"
            )
            connection.execute("UPDATE more_stages SET run = run + 1000, ttft = ttft * 1.003")
            for table in ("runs", "stages"):
                connection.execute(f"INSERT INTO {table} SELECT * FROM more_{table}")
        connection.execute("COMMIT")


def show(session: Session, hours: float, by: By | None) -> str:
    from mirador_magic.workbench import metrics as analytics

    return str(analytics.report(session, hours, by))


def summaries(figures: Figures, rounds: int) -> None:
    """Milliseconds."""
    from mirador_magic.store import Store, rows
    from mirador_magic.workbench import metrics as analytics

    session = Session()
    for _ in range(rounds):
        figures["summary ms"].append(1000 * seconds(show, session, 24, None))
    for by in (None, *rows.BYS):
        name = f"all by {by}" if by else "all"
        for _ in range(rounds):
            figures[f"{name} ms"].append(1000 * seconds(show, session, EVER, by))
            with closing(Store()) as store:
                figures[f"{name} rows ms"].append(1000 * seconds(deque, store.figures(by), 0))
    assert analytics.report(session, EVER).groups[0].count == RUNS


ROWS = [  # ours, its baseline, and what is wanted of ours
    ("fold µs", "empty µs", "under 10 above it"),
    ("first text ms", "not kept ms", "the same"),
    ("record µs", "written µs", ""),
    ("summary ms", "all ms", "under 500"),
    ("all ms", "all rows ms", ""),
    *(
        (f"all by {by} ms", f"all by {by} rows ms", "")
        for by in ("stage", "model", "engine", "route")
    ),
]


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}", flush=True)
    figures: Figures = defaultdict(list)
    seen: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        for _ in range(given.rounds):
            fold(figures)
            seen += in_new_processes(figures)
        record(figures, Path(folder))
        os.environ["XDG_DATA_HOME"] = str(Path(folder, "full"))
        fill()
        summaries(figures, given.rounds)
    for ours, baseline, wanted in ROWS:
        own, base = statistics.median(figures[ours]), statistics.median(figures[baseline])
        first = f"the first {figures[ours][0]:.1f}"
        print(f"{ours:<14} {own:>9.2f}   {baseline:<18} {base:>9.2f}   {first:<18} {wanted}")
    print(f"before the first text: {', '.join(sorted(set(seen))) or 'nothing'}")
    if given.json:
        given.json.write_text(json.dumps(figures | {"before the first text": seen}, indent=1))


if __name__ == "__main__":
    main()
