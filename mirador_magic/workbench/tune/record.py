"""The one record of a session's tries, by hand and by grid: in memory, and in the user's store.

The store keeps what other kernels can go back to: settings, figures and ratings, and questions and
answers where the setting `keep_texts` is on. It is written on threads, one after the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mirador_magic.errors import MiradorError
from mirador_magic.pipeline.metrics import StageMetrics
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.workbench.tune.tries import Settings, Try

if TYPE_CHECKING:
    from mirador_magic.store import Store

log = logging.getLogger(__name__)

_FIGURES = {field.name for field in dataclasses.fields(StageMetrics)}
_OF_A_TRY = {field.name for field in dataclasses.fields(Try)}


@dataclass
class _Kept:
    """Where the store has a try: its number there, None until it is written."""

    with_texts: bool
    id: int | None = None


class Record:
    """The tries of one session, oldest first; a stage's of earlier kernels come before its own."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.time) -> None:
        self._session = session
        self._clock = clock
        self._tries: list[Try] = []
        self._kept: list[_Kept] = []  # one for each try
        self._read: set[str] = set()  # stages
        self._writing: threading.Thread | None = None
        self._is_told = False  # that the store failed

    def of(self, stage: str) -> list[Try]:
        """A stage's tries, oldest first."""
        if stage not in self._read:
            self._read.add(stage)
            if self._session.settings()["metrics"]:
                self._with_store(lambda store: self._fetch(store, stage))
        return [each for each in self._tries if each.stage == stage]

    def keep(
        self, handle: Handle, settings: Settings, name: str = "", grid: str = "", repeat: int = 0
    ) -> Try:
        """Keep what came of a run of one stage that is over."""
        (answer,), (figures,) = handle.answer.stages, handle.metrics.stages
        self.of(answer.name)
        tried = Try(
            len(self._tries) + 1,
            self._clock(),
            answer.name,
            dict(settings),
            handle.answer.question,
            answer.text,
            figures,
            name,
            grid,
            repeat,
            why=answer.error or str(handle.error or ""),
        )
        self._tries.append(tried)
        self._kept.append(_Kept(self._session.settings()["keep_texts"]))
        self._write(tried.number)
        return tried

    def rate(self, number: int, rating: int) -> Try:
        """Give the try of this number a rating."""
        rated = dataclasses.replace(self._tries[number - 1], rating=rating)
        self._tries[number - 1] = rated
        self._write(number)
        return rated

    def flush(self) -> None:
        """Until what was kept is written."""
        if self._writing:
            self._writing.join()

    def _write(self, number: int) -> None:
        """Write this try as it is now, on a thread, after what is being written."""
        if not self._session.settings()["metrics"]:
            return
        before, tried, kept = self._writing, self._tries[number - 1], self._kept[number - 1]

        def write() -> None:
            if before:
                before.join()
            self._with_store(lambda store: _put(store, tried, kept))

        self._writing = threading.Thread(target=write, name="mirador tries")
        self._writing.start()

    def _fetch(self, store: Store, stage: str) -> None:
        for line in store.tries(stage):
            if tried := _try_of(line, len(self._tries) + 1):
                self._tries.append(tried)
                self._kept.append(_Kept(with_texts=True, id=line["id"]))

    def _with_store(self, do: Callable[[Store], object]) -> None:
        """Do it with the store; one that fails costs one warning, and no try."""
        from mirador_magic.store import Store

        try:
            with contextlib.closing(Store()) as store:
                do(store)
        except MiradorError as error:
            if not self._is_told:
                self._is_told = True
                log.warning("the tries are kept in this kernel alone: %s", error)


def _put(store: Store, tried: Try, kept: _Kept) -> None:
    told = dataclasses.asdict(tried)
    if not kept.with_texts:
        told |= {"question": "", "answer": ""}
    if kept.id is None:
        kept.id = store.add_try(tried.stage, told)
    else:
        store.change_try(kept.id, told)


def _try_of(line: Mapping[str, Any], number: int) -> Try | None:
    """The try that another kernel wrote; None where it was another version's that cannot be read."""
    known = {key: value for key, value in line.items() if key in _OF_A_TRY}
    try:
        figures = {key: value for key, value in line["figures"].items() if key in _FIGURES}
        known |= {"figures": StageMetrics(**figures), "number": number}
        return Try(**known)
    except (KeyError, TypeError, AttributeError) as error:
        log.info("a try of another version is left out: %s", error)
        return None


_records: dict[Session, Record] = {}


def record_of(session: Session) -> Record:
    """The record of this session."""
    if session not in _records:
        _records[session] = Record(session)
    return _records[session]
