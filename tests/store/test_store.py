"""What is kept of runs, by how many kernels at once, and what a broken disk costs: one warning."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic import store as stores
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineLost, UsageError
from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.store import Choice, Recorder, Store, rows
from mirador_magic.store import file as files

DONE = StageMetrics(
    "quick_response",
    "tiny:1b",
    "done",
    began=0.0,
    ttft=0.5,
    total=2.5,
    tpot=0.25,
    stall=0.75,
    prompt_tokens=20,
    output_tokens=9,
    load=6.0,
    confidence=0.8,
    how="measured",
)
FAILED = StageMetrics("synthesis", "big:7b", "failed", began=3.0, total=1.0, error="EngineLost")
RUN = RunMetrics(
    "answered", "Ollama 0.34.1", "medium (64 %): plan, budget", 0.5, 4.0, (DONE, FAILED)
)


class Clock:
    """The unix time of a test, in seconds."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "runs.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with closing(Store(file, Clock())) as opened:
        yield opened


def record(recorder: Recorder, run: RunMetrics = RUN, **given: object) -> None:
    usual: dict[str, object] = {
        "purpose": "ask",
        "question": "why so \ud800?",
        "texts": {"quick_response": "because"},
        "keep_texts": False,
        "keep_days": 90,
    }
    recorder.record(run, **usual | given)  # type: ignore[arg-type]


def recorded(file: Path, *runs: RunMetrics, **given: object) -> None:
    """Have these runs written."""
    recorder = Recorder(file, Clock())
    for each in runs:
        record(recorder, each, **given)
    recorder.close()


def test_a_run_is_read_as_it_was_recorded(file: Path, store: Store) -> None:
    recorded(file, RUN, keep_texts=True)
    (stored,) = store.runs()
    assert stored.run == RUN
    assert (stored.at, stored.purpose) == (Clock.now, "ask")
    assert (stored.question, stored.texts) == ("why so \ud800?", {"quick_response": "because"})


def test_words_are_not_kept_unasked(file: Path, store: Store) -> None:
    recorded(file, RUN)
    (stored,) = store.runs()
    assert (stored.question, stored.texts) == ("", {})
    assert stored.run == replace(RUN, route="medium (64 %)")
    store.close()
    left = b"".join(each.read_bytes() for each in file.parent.iterdir())
    for word in (b"because", b"why so", b"budget"):
        assert word not in left


def test_the_file_is_its_owners_alone(file: Path) -> None:
    recorded(file, RUN, keep_texts=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_figure_is_kept() -> None:
    assert {each.name for each in fields(StageMetrics)} == set(rows.STAGE)
    assert {each.name for each in fields(RunMetrics)} == {*rows.RUN, "stages"}


seconds = st.none() | st.floats(0, 1e9)
counts = st.none() | st.integers(0, 2**40)
stages = st.builds(
    StageMetrics,
    stage=st.text(),
    model=st.text(),
    ended=st.sampled_from(["done", "length", "failed", "stopped", "skipped"]),
    began=seconds,
    ttft=seconds,
    thought=seconds,
    total=seconds,
    tpot=seconds,
    stall=seconds,
    prompt_tokens=counts,
    output_tokens=counts,
    load=seconds,
    prefill=seconds,
    decode=seconds,
    swapped=st.booleans(),
    error=st.text(),
    confidence=st.none() | st.floats(0, 1),
    how=st.sampled_from(["declared", "measured", "calibrated"]),
)
runs = st.builds(
    RunMetrics,
    outcome=st.sampled_from(["answered", "stopped", "interrupted", "failed"]),
    engine=st.text(),
    route=st.text(),
    useful=seconds,
    total=st.floats(0, 1e9),
    stages=st.lists(stages, max_size=3).map(tuple),
)


@settings(max_examples=40)
@given(runs, st.text(), st.dictionaries(st.text(), st.text()))
def test_any_run_comes_back(run: RunMetrics, question: str, texts: dict[str, str]) -> None:
    kept = rows.Kept(run, 5.0, "ask", question, texts, True, 90)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        files.migrate(connection)
        rows.write(connection, kept)
        (stored,) = rows.read(connection, 1, 0.0, None)
        for by in (None, *rows.BYS):
            assert rows.figures(connection, by, 0.0, "ask").fetchall() is not None
    assert (stored.run, stored.question, stored.texts) == (run, question, texts)


def test_the_newest_runs_come_first(file: Path, store: Store) -> None:
    clock = Clock()
    recorder = Recorder(file, clock)
    for number in range(5):
        clock.now += 10
        purpose = "benchmark" if number == 3 else "ask"
        record(recorder, replace(RUN, total=float(number)), purpose=purpose)
    recorder.close()
    assert [each.run.total for each in store.runs()] == [4, 3, 2, 1, 0]
    assert [each.run.total for each in store.runs(limit=2, purpose="ask")] == [4, 2]
    assert [each.run.total for each in store.runs(since=clock.now - 10)] == [4, 3]


def test_what_is_older_than_it_may_be_goes(file: Path, store: Store) -> None:
    clock = Clock()
    recorder = Recorder(file, clock)
    record(recorder, keep_texts=True, keep_days=2)
    clock.now += 1.9 * rows.DAY
    record(recorder, keep_days=2)
    assert recorder.flush()
    assert len(store.runs()) == 2
    clock.now += 0.2 * rows.DAY
    record(recorder, keep_days=2)
    recorder.close()
    assert len(store.runs()) == 2
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        left = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("runs", "stages", "texts")
        ]
    assert left == [2, 4, 0]  # what belongs to a run goes with it


def test_clear_forgets_the_runs_and_leaves_picks_and_tries(file: Path, store: Store) -> None:
    recorded(file, RUN, RUN, keep_texts=True)
    store.add_choice("", "models", ["a", "b"], "a")
    store.add_try("deep_analysis", {"model": "a"})
    assert store.clear() == 2
    assert (store.runs(), len(store.choices()), len(store.tries("deep_analysis"))) == ([], 1, 1)
    left = b"".join(each.read_bytes() for each in file.parent.iterdir())
    assert b"because" not in left


def test_picks_are_kept(file: Path, store: Store) -> None:
    store.add_choice("why \ud800?", "models", ["a", {"b": 1}], "a")
    store.add_choice("", "system", [], "")
    with closing(Store(file)) as other:
        assert other.choices() == [
            Choice(Clock.now, "why \ud800?", "models", ["a", {"b": 1}], "a"),
            Choice(Clock.now, "", "system", [], ""),
        ]


def test_tries_are_kept_by_stage_and_may_change(store: Store) -> None:
    first = store.add_try("deep_analysis", {"model": "a", "options": {"temperature": 0.3}})
    second = store.add_try("deep_analysis", {"model": "b"})
    store.add_try("synthesis", {"model": "c"})
    store.change_try(second, {"model": "b", "rating": 4})
    assert store.tries("deep_analysis") == [
        {"id": first, "at": Clock.now, "model": "a", "options": {"temperature": 0.3}},
        {"id": second, "at": Clock.now, "model": "b", "rating": 4},
    ]
    assert store.tries("quick_response") == []


def test_the_version_tells_what_anybody_wrote(file: Path, store: Store) -> None:
    versions = [store.version(), store.version()]
    recorded(file, RUN)
    versions.append(store.version())
    with closing(Store(file)) as other:
        other.add_try("deep_analysis", {})
    versions.append(store.version())
    store.add_try("deep_analysis", {})
    versions += [store.version(), store.version()]
    assert versions[0] == versions[1] and versions[4] == versions[5]
    assert len(set(versions)) == 4


# As the first release wrote it: never to be edited.
VERSION_1 = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, purpose TEXT NOT NULL, ended TEXT NOT NULL,
    useful REAL, total REAL NOT NULL, tpot REAL, prompt_tokens INTEGER, output_tokens INTEGER,
    cold INTEGER, swaps INTEGER NOT NULL, outcome TEXT NOT NULL, engine TEXT NOT NULL,
    route TEXT NOT NULL, stages TEXT NOT NULL, error TEXT NOT NULL
);
CREATE INDEX runs_at ON runs (at);
CREATE TABLE stages (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, place INTEGER NOT NULL,
    stage TEXT NOT NULL, model TEXT NOT NULL, ended TEXT NOT NULL, began REAL, ttft REAL,
    thought REAL, total REAL, tpot REAL, stall REAL, prompt_tokens INTEGER,
    output_tokens INTEGER, load REAL, prefill REAL, decode REAL, swapped INTEGER NOT NULL,
    error TEXT NOT NULL, confidence REAL, how TEXT NOT NULL,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;
CREATE TABLE texts (
    run INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE, json TEXT NOT NULL
);
INSERT INTO runs VALUES (7, 1.5, 'ask', 'answered', 0.5, 2.5, 0.25, 20, 9, 0, 1, 'answered',
    'e', 'simple (81 %)', 'quick_response', '');
INSERT INTO stages VALUES (7, 0, 'quick_response', 'tiny:1b', 'done', 0.0, 0.5, NULL, 2.5, 0.25,
    0.75, 20, 9, 0.0, 0.1, 2.0, 1, '', 0.8, 'measured');
INSERT INTO texts VALUES (7, '{"question": "why?", "texts": {"quick_response": "because"}}');
PRAGMA user_version = 1;
"""


def test_a_file_of_version_1_is_brought_up_to_date(file: Path, store: Store) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(VERSION_1)
    (stored,) = store.runs()
    assert (stored.id, stored.at, stored.question) == (7, 1.5, "why?")
    assert stored.run.stages[0].ttft == 0.5 and stored.run.stages[0].swapped is True
    store.add_try("deep_analysis", {"model": "a"})
    assert len(store.tries("deep_analysis")) == 1
    assert schema(file) == schema(None)


def schema(file: Path | None) -> tuple[object, ...]:
    """The version and every table and index; of a blank file where there is none."""
    with closing(sqlite3.connect(file or ":memory:", isolation_level=None)) as connection:
        if file is None:
            files.migrate(connection)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        made = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name")
        return version, *(" ".join(sql.split()) for (sql,) in made)


def test_a_migration_that_fails_changes_nothing(file: Path) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        files.migrate(connection, files.MIGRATIONS[:1])
        with pytest.raises(sqlite3.OperationalError):
            files.migrate(connection, [*files.MIGRATIONS[:1], "CREATE TABLE new (a); nonsense"])
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert "runs" in names and "new" not in names
        files.migrate(connection)


def test_a_file_of_a_newer_mirador_is_left_alone(
    file: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="schema 99.*pip install --upgrade mirador-magic"):
        store.runs()
    recorded(file, RUN)
    assert "pip install --upgrade mirador-magic" in warning(caplog)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_wal_is_on(file: Path, store: Store) -> None:
    store.runs()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


KERNEL = """
import sys
from pathlib import Path
from mirador_magic.pipeline.metrics import RunMetrics
from mirador_magic.store import Recorder
print("ready", flush=True)
sys.stdin.readline()
recorder = Recorder(Path(sys.argv[1]))
for number in range(40):
    run = RunMetrics("answered", sys.argv[2], "", None, float(number), ())
    recorder.record(
        run, purpose="ask", question="why?", texts={}, keep_texts=True, keep_days=90
    )
sys.exit()  # what is left to write is written then
"""


@pytest.mark.parametrize("attempt", range(2))
def test_two_kernels_write_at_once(file: Path, store: Store, attempt: int) -> None:
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", KERNEL, str(file), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "other")
    ]
    for each in kernels:
        assert each.stdout and each.stdout.readline() == "ready\n"
    for each in kernels:  # both open the blank file at the same moment
        assert each.stdin
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [each.communicate()[0] for each in kernels]
    assert told == ["", ""]
    stored = store.runs(limit=100)
    for name in ("one", "other"):
        totals = [each.run.total for each in stored if each.run.engine == name]
        assert sorted(totals) == list(range(40))


def test_threads_share_a_store(store: Store) -> None:
    def add() -> None:
        for _ in range(20):
            store.add_try("deep_analysis", {"model": "a"})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(store.tries("deep_analysis")) == 80


def warning(caplog: pytest.LogCaptureFixture) -> str:
    """The one warning that there is, on one line."""
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    text = record.getMessage()
    assert "\n" not in text
    return text


def test_a_file_that_is_no_database_costs_one_warning(
    file: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database " * 1000)
    recorded(file, RUN, RUN, RUN)
    assert "%mirador metrics --clear" in warning(caplog)
    with pytest.raises(UsageError, match="--clear makes it anew"):
        store.runs()


def test_a_damaged_file_costs_one_warning_and_is_made_anew(
    file: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(file, *[RUN] * 50)
    damaged = bytearray(file.read_bytes())
    damaged[4096:] = b"\xff" * (len(damaged) - 4096)  # the first page has the schema
    file.write_bytes(damaged)
    recorded(file, RUN, RUN)
    assert "--clear makes it anew" in warning(caplog)
    assert store.clear() == 0
    caplog.clear()
    recorded(file, RUN)
    assert len(store.runs()) == 1
    assert not caplog.records


def test_a_full_disk_costs_one_warning_until_there_is_room(
    file: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(file, RUN)
    opened = files.opened

    def on_a_full_disk(path: Path) -> sqlite3.Connection:
        connection = opened(path)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")  # then SQLite says SQLITE_FULL
        return connection

    recorder = Recorder(file, Clock())
    monkeypatch.setattr(files, "opened", on_a_full_disk)
    long = {"quick_response": "because " * 10_000}
    record(recorder, texts=long, keep_texts=True)
    record(recorder, texts=long, keep_texts=True)
    assert recorder.flush()
    monkeypatch.undo()
    record(recorder, texts=long, keep_texts=True)
    recorder.close()
    assert "make room on the disk" in warning(caplog)
    assert len(store.runs()) == 2


def test_a_read_only_file_costs_one_warning(
    file: Path, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(file, RUN)
    opened = files.opened

    def read_only(path: Path) -> sqlite3.Connection:
        connection = opened(path)
        connection.execute("PRAGMA query_only = ON")  # permissions do not bind every user
        return connection

    monkeypatch.setattr(files, "opened", read_only)
    recorded(file, RUN, RUN)
    assert "make the file and its folder yours to write" in warning(caplog)
    assert len(store.runs()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_is_not_ours_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o500)
    recorded(tmp_path / "data" / "runs.sqlite3", RUN, RUN)
    assert "yours to write" in warning(caplog)


def test_a_folder_that_is_a_file_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").write_text("no folder")
    recorded(tmp_path / "data" / "runs.sqlite3", RUN, RUN)
    assert "yours to write" in warning(caplog)


def test_a_held_file_costs_one_warning(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(file, RUN)
    monkeypatch.setattr(files, "BUSY", 0.01)
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        recorded(file, RUN, RUN)
    assert "close the program that holds it" in warning(caplog)


def test_a_file_that_was_taken_away_is_made_again(file: Path, store: Store) -> None:
    recorder = Recorder(file, Clock())
    record(recorder)
    assert recorder.flush() and len(store.runs()) == 1
    files.remove(file)
    record(recorder)
    record(recorder)
    recorder.close()
    assert len(store.runs()) == 2


def test_recording_does_not_wait_for_the_disk(file: Path, store: Store) -> None:
    recorded(file, RUN)
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        recorder = Recorder(file, Clock())
        record(recorder)
        assert not recorder.flush(patience=0.05)
        holder.execute("ROLLBACK")
        assert recorder.flush()
    recorder.close()
    assert len(store.runs()) == 2


def test_the_recorders_thread_ends_with_it(file: Path) -> None:
    before = set(threading.enumerate())
    recorder = Recorder(file, Clock())
    (begun,) = set(threading.enumerate()) - before
    assert begun.name == "mirador store"
    recorder.close()
    assert not begun.is_alive()


def asked(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    """Ask one question in a session of these settings; its second stage fails."""
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.delenv("MIRADOR_DEFAULT_STAGES", raising=False)
    quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
    scripts = {
        quick: Script("one two"),
        deep: Script([EngineLost("it fell")]),
        synthesis: Script("at last"),
    }

    async def main() -> None:
        session = Session()
        session.use(ScriptedEngine(scripts))
        session.configure(settings)
        names = tuple(stage.name for stage in DEFAULT_STAGES)
        await session.start(Request("why is that?", stages=names))
        await session.aclose()

    asyncio.run(main())


def test_a_session_records_what_was_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    asked(monkeypatch)
    asked(monkeypatch, keep_texts=True)
    asked(monkeypatch, metrics=False)
    with closing(Store()) as store:
        told, plain = store.runs()
    assert stores.path().is_relative_to(tmp_path)
    assert told.question == "why is that?"
    assert told.texts["synthesis"] == "at last" and plain.texts == {}
    assert plain.run.partial and plain.run.error == "EngineLost"
    assert [each.ended for each in plain.run.stages] == ["done", "failed", "done"]
