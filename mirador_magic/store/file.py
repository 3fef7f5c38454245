"""The file of runs: where it is, how it is opened, its schema, and what can go wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.errors import UsageError

if TYPE_CHECKING:
    import sqlite3

BUSY = 2.0  # seconds in which another kernel's write ends

# Never changed once released: what comes later is one more, and a file is as old as its user_version.
MIGRATIONS = (
    """
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
    )
    """,
    """
    CREATE TABLE choices (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, question TEXT NOT NULL, kind TEXT NOT NULL,
        options TEXT NOT NULL, chosen TEXT NOT NULL
    );
    CREATE TABLE tries (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, stage TEXT NOT NULL, json TEXT NOT NULL
    );
    CREATE INDEX tries_stage ON tries (stage)
    """,
)

_CURES = (  # by the beginning of SQLite's name of the error
    ("SQLITE_FULL", "make room on the disk"),
    ("SQLITE_IOERR", "make room on the disk"),
    ("SQLITE_READONLY", "make the file and its folder yours to write"),
    ("SQLITE_CANTOPEN", "make the file and its folder yours to write"),
    ("SQLITE_BUSY", "close the program that holds it"),
    ("SQLITE_CORRUPT", "%mirador metrics --clear makes it anew"),
    ("SQLITE_NOTADB", "%mirador metrics --clear makes it anew"),
)


def path() -> Path:
    """`runs.sqlite3` in the folder that the platform has for a user's data."""
    import platformdirs

    return platformdirs.user_data_path("mirador", appauthor=False) / "runs.sqlite3"


class Database:
    """The file, opened when it is first needed, and again where another has taken its place."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """The connection. Raises as `opened` does."""
        if self._connection and self._opened != _identity(self.file):
            self.close()
        if self._connection is None:
            self._connection = opened(self.file)
            self._opened = _identity(self.file)
        return self._connection

    def close(self) -> None:
        """Let the file go."""
        if self._connection:
            self._connection.close()
            self._connection = None


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells the file from another of its name; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def opened(file: Path) -> sqlite3.Connection:
    """A connection in autocommit, for any thread; a missing file is made, an old one brought up to date.

    Raises sqlite3.Error, OSError, and UsageError for a file of a newer Mirador.
    """
    import sqlite3

    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)  # questions may come to stand in it
    connection = sqlite3.connect(file, BUSY, isolation_level=None, check_same_thread=False)
    try:
        # Where another kernel does it just now, it is done; what else is wrong shows below.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the schema to the last of these, in one transaction; of two kernels only one does it."""
    if _version(connection) == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        version = _version(connection)
        if version > len(migrations):
            raise UsageError(
                f"the file of runs is of a newer Mirador (schema {version})",
                "pip install --upgrade mirador-magic",
            )
        for script in migrations[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def is_broken(error: BaseException) -> bool:
    """Whether the file is no database, or one that is damaged."""
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def told(file: Path, error: BaseException) -> UsageError:
    """What went wrong, in one line with its cure."""
    if isinstance(error, UsageError):
        return error
    cures = [cure for name, cure in _CURES if _name(error).startswith(name)]
    default = "make the file and its folder yours to write" if isinstance(error, OSError) else ""
    return UsageError(f"{file} fails: {error}", cures[0] if cures else default)


def remove(file: Path) -> None:
    """Take the file away, and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm"):
        file.with_name(f"{file.name}{end}").unlink(missing_ok=True)


def _name(error: BaseException) -> str:
    """SQLite's own name for the error, such as SQLITE_FULL; '' where it is none of SQLite's."""
    return getattr(error, "sqlite_errorname", "") or ""
