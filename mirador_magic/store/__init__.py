"""What is kept of the runs: an SQLite file in the user's data folder, shared by all kernels.

    Recorder()      writes runs, on a thread of its own; what goes wrong costs one warning
        .record(run: RunMetrics, *, purpose, question, texts, keep_texts, keep_days) -> None
        .flush(patience=5.0) -> bool            until what was recorded is written
        .close(patience=5.0) -> None
    Store()         reads it, and keeps the picks of the compare view and the tries of the tuner
        .runs(limit=100, since=None, purpose=None) -> list[StoredRun]           the newest first
        .figures(by=None, since=0.0, purpose="ask") -> Iterator[Row] for the analytics: see `Row`
        .version() -> tuple[int, int]      cheap; another value once any kernel has written
        .clear() -> int                    forget the runs; how many they were
        .add_choice(question: str, kind: str, options: <JSON>, chosen: str) -> None
        .choices() -> list[Choice]         at, question, kind, options, chosen; the oldest first
        .add_try(stage: str, record: dict) -> int                                       its id
        .change_try(id: int, record: dict) -> None        such as once there is a rating for it
        .tries(stage: str) -> list[dict]   {"id": …, "at": …, **record}; the oldest first
        .close() -> None
    StoredRun       id, at (unix seconds, its end), purpose, question or '', run: RunMetrics, texts

A Store may be used from any thread; its methods block for the file's sake: about a millisecond, two
seconds where another kernel holds it. All raise UsageError, one line with its cure. Both take the
file's path first, where it is not `path()`. Question and answers are written only with `keep_texts`;
who calls `add_choice` gives '' for the question without.
"""

from mirador_magic.store.file import path
from mirador_magic.store.reading import Store
from mirador_magic.store.recorder import Recorder
from mirador_magic.store.rows import By, Choice, Row, StoredRun

__all__ = ["By", "Choice", "Recorder", "Row", "Store", "StoredRun", "path"]
