"""Reads what was kept, and keeps picks and tries beside it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirador_magic.pipeline.metrics import Purpose
from mirador_magic.store import file as files
from mirador_magic.store import rows
from mirador_magic.store.rows import By, Choice, Row, StoredRun

if TYPE_CHECKING:
    import sqlite3


class Store:
    """The file of runs, opened when it is first needed. Any thread may use it; see the package."""

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.file = file or files.path()
        self._shelf = files.Database(self.file)
        self._clock = clock
        self._lock = threading.RLock()

    def runs(
        self, limit: int = 100, since: float | None = None, purpose: Purpose | None = None
    ) -> list[StoredRun]:
        """The newest runs, the newest first: those that ended from `since` on, in unix seconds."""
        with self._transaction("BEGIN") as connection:
            return rows.read(connection, limit, since or 0.0, purpose)

    def figures(
        self, by: By | None = None, since: float = 0.0, purpose: Purpose = "ask"
    ) -> Iterator[Row]:
        """What the analytics read of each run, or by stage or model of each stage that was asked.

        To be read to its end: until then the store is its own.
        """
        with self._transaction("BEGIN") as connection:
            yield from rows.figures(connection, by, since, purpose)

    def version(self) -> tuple[int, int]:
        """Cheap; another value once anything was written, by any kernel."""
        with self._transaction("BEGIN") as connection:
            (others,) = connection.execute("PRAGMA data_version").fetchone()
            return others, connection.total_changes

    def clear(self) -> int:
        """Forget the runs and their texts; how many runs they were. A damaged file is made anew.

        Picks and tries stay, where the file can be read.
        """
        with self._lock:
            try:
                connection = self._shelf.open()
                (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
                for statement in ("DELETE FROM runs", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.execute(statement)
                return int(count)
            except self._errors() as error:
                self._shelf.close()
                if not files.is_broken(error):
                    raise files.told(self.file, error) from None
                files.remove(self.file)
                return 0

    def add_choice(self, question: str, kind: str, options: object, chosen: str) -> None:
        """Keep a pick; `options` is any JSON. The question is '' where texts are not to be kept."""
        row = (self._clock(), json.dumps(question), kind, json.dumps(options), chosen)
        self._write(
            "INSERT INTO choices (at, question, kind, options, chosen) VALUES (?, ?, ?, ?, ?)", row
        )

    def choices(self) -> list[Choice]:
        """The picks, the oldest first."""
        query = "SELECT at, question, kind, options, chosen FROM choices ORDER BY id"
        with self._transaction("BEGIN") as connection:
            return [
                Choice(at, json.loads(question), kind, json.loads(options), chosen)
                for at, question, kind, options, chosen in connection.execute(query)
            ]

    def add_try(self, stage: str, record: Mapping[str, Any]) -> int:
        """Keep a try of the tuner, any JSON by name; its id."""
        row = (self._clock(), stage, json.dumps(dict(record)))
        return self._write("INSERT INTO tries (at, stage, json) VALUES (?, ?, ?)", row)

    def change_try(self, id: int, record: Mapping[str, Any]) -> None:
        """Put this in the place of the try, such as the same with a rating."""
        self._write("UPDATE tries SET json = ? WHERE id = ?", (json.dumps(dict(record)), id))

    def tries(self, stage: str) -> list[dict[str, Any]]:
        """The tries of a stage as they were given, the oldest first, with their `id` and `at`."""
        query = "SELECT id, at, json FROM tries WHERE stage = ? ORDER BY id"
        with self._transaction("BEGIN") as connection:
            return [
                {"at": at, **json.loads(told), "id": number}
                for number, at, told in connection.execute(query, (stage,))
            ]

    def close(self) -> None:
        """Let the file go; the next call opens it again."""
        with self._lock:
            self._shelf.close()

    def _write(self, statement: str, row: tuple[object, ...]) -> int:
        with self._transaction("BEGIN IMMEDIATE") as connection:
            return connection.execute(statement, row).lastrowid or 0

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """One at a time; what goes wrong is a UsageError, and the next one opens the file again."""
        with self._lock:
            try:
                connection = self._shelf.open()
                connection.execute(begin)
                with connection:
                    yield connection
            except self._errors() as error:
                self._shelf.close()
                raise files.told(self.file, error) from None

    def _errors(self) -> tuple[type[Exception], ...]:
        import sqlite3

        return sqlite3.Error, OSError
