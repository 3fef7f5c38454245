"""Writes runs on a thread of its own, so that no answer waits for a disk."""

from __future__ import annotations

import atexit
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue

from mirador_magic.errors import MiradorError
from mirador_magic.pipeline.metrics import Purpose, RunMetrics
from mirador_magic.store import file as files
from mirador_magic.store import rows, telemetry
from mirador_magic.store.rows import Kept

log = logging.getLogger(__name__)

_Task = Callable[[], None]


class Recorder:
    """Writes runs to the file, and tells OpenTelemetry of them. Any thread may call it.

    What goes wrong costs the figures of a run and one warning, never an answer; the file is opened
    again for the next run.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._warned: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="mirador store", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def record(
        self,
        run: RunMetrics,
        *,
        purpose: Purpose,
        question: str,
        texts: Mapping[str, str],
        keep_texts: bool,
        keep_days: int,
    ) -> None:
        """Have a run that has just ended written; returns at once.

        `texts` are the answers by stage. Runs that are older than `keep_days` days go.
        """
        at = self._clock()
        kept = Kept(run, at, purpose, question, texts, keep_texts, keep_days)
        self._queue.put(partial(self._guarded, "figures of runs are not kept", self._write, kept))
        told = telemetry.Ended(run, at, purpose, question, texts)
        # A span of the user's that is open now is the parent of the run's.
        tell = partial(contextvars.copy_context().run, telemetry.export, told)
        self._queue.put(partial(self._guarded, "OpenTelemetry is not told of runs", tell))

    def flush(self, patience: float = 5.0) -> bool:
        """Wait until what was recorded so far is written; False where that takes longer, in seconds."""
        written = threading.Event()
        self._queue.put(written.set)
        return written.wait(patience)

    def close(self, patience: float = 5.0) -> None:
        """Write what was recorded, and end the thread; nothing is recorded after that."""
        atexit.unregister(self.close)
        self._queue.put(None)
        self._thread.join(patience)

    @cached_property
    def _shelf(self) -> files.Database:
        """The thread's own: whose folder it is in takes 10 ms to find out."""
        return files.Database(self._file or files.path())

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            task()
        self._shelf.close()

    def _guarded(self, loss: str, do: Callable[..., object], *given: object) -> None:
        """Do it. Whatever goes wrong is told in one line, once."""
        try:
            do(*given)
        except Exception as error:  # noqa: BLE001  (told; the next run may fare better)
            self._shelf.close()
            why = MiradorError(f"{type(error).__name__} {error}")
            if do == self._write:
                why = files.told(self._shelf.file, error)
            log.log(logging.DEBUG if loss in self._warned else logging.WARNING, "%s: %s", loss, why)
            self._warned.add(loss)

    def _write(self, kept: Kept) -> None:
        rows.write(self._shelf.open(), kept)
