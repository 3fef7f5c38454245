"""Keeps a board up to date, on the running loop, from when it is opened until it is closed.

Runs under way come from the session, those that are over from the store: a read of it is due where a
kernel has written since the last one, and is done on another thread. The engine is asked what is in
memory after a run and once a minute, never beside a run; the asking ends where a run begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

from mirador_magic.engines.base import ModelInfo
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.events import Event, RunFinished
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.store import Store
from mirador_magic.workbench.dashboard.board import Board
from mirador_magic.workbench.dashboard.figures import WINDOW, Figures, fold
from mirador_magic.workbench.dashboard.going import Pace

QUESTION = "What are three things I should focus on?"

FRAME = 0.25  # seconds between two paints, at the least
IDLE = 1.0  # seconds between two looks while nothing runs
AGAIN = 60.0  # seconds after which the engine is asked once more
PATIENCE = 5.0  # seconds in which it answers

_FLUSH = 0.25  # seconds in which what has ended is written

_NOT_KEPT = "metrics is off: runs are not kept → %mirador settings tells where that is set"


class Feed:
    """Calls `paint` with the board, at most once in FRAME seconds.

    While nothing runs it looks every `idle` seconds. `clock` is that of the runs, in seconds.
    """

    def __init__(
        self,
        session: Session,
        paint: Callable[[Board], None],
        *,
        idle: float = IDLE,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._paint = paint
        self._idle = idle
        self._clock = clock
        self._store = Store()
        self._reading = threading.Lock()
        self._is_closed = False
        self._version: object = None
        self._figures = Figures()
        self._paces: dict[Handle, Pace] = {}
        self._resident: tuple[ModelInfo, ...] | None = None
        self._engine = self._said = self._trouble = self._unread = ""
        self._asked_at: float | None = None  # when the engine was asked last, after the last run
        self._asking: asyncio.Task[None] | None = None
        self._test: Handle | None = None
        self._woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin, on the running loop."""
        self._session.started.append(self._begins)
        for handle in self._session.going:
            self._follow(handle)
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self._go_on(), name="mirador dashboard")

    def close(self) -> list[asyncio.Task[None]]:
        """End all that was begun; the tasks that are ending. Closing it twice is fine."""
        with contextlib.suppress(ValueError):
            self._session.started.remove(self._begins)
        ending = [task for task in (self.task, self._asking) if task and not task.done()]
        for task in ending:
            task.cancel()
        if self._test:
            self._test.stop()
        self._paces.clear()
        with self._reading:
            self._is_closed = True
            self._store.close()
        return ending

    async def aclose(self) -> None:
        """Close it, and wait until all of it has ended."""
        test = self._test
        if ending := self.close():
            await asyncio.wait(ending)
        if test and not test.done:
            await test.interrupt()

    def ask(self) -> None:
        """Ask the test question, unless it is under way. Why it fails is told on the board."""
        if self._test and not self._test.done:
            return
        self._said = ""
        try:
            self._test = self._session.start(Request(QUESTION))
        except MiradorError as error:
            self._said = str(error)
            self._woken.set()
        else:
            self._test.watch(self._heard)

    async def look(self) -> Board:
        """The board as it is now, everything asked for."""
        await self._read()
        await self._ask_engine()
        return self.board()

    def settled(self) -> Board:
        """The board with every run that has ended; blocks for the file's sake."""
        if self._session.recorder:
            self._session.recorder.flush(_FLUSH)
        with contextlib.suppress(UsageError):  # which is told by the next look
            self._known(*self._news(self._version))
        return self.board()

    def board(self) -> Board:
        """The board as far as it is known."""
        now = self._clock()
        going = tuple(pace.going(now) for pace in self._paces.values())
        kept = "" if self._session.in_force["metrics"] else _NOT_KEPT
        notes = filter(None, (self._said, self._trouble, self._unread, kept))
        told = tuple(dict.fromkeys(notes))
        return Board(going, self._figures, self._resident, self._engine, told)

    def _begins(self, handle: Handle) -> None:
        """A run starts: nothing is asked beside it."""
        self._follow(handle)
        if self._asking:
            self._asking.cancel()
        self._woken.set()

    def _follow(self, handle: Handle) -> None:
        self._paces[handle] = pace = Pace(handle.answer, self._clock())
        handle.watch(pace)

    def _heard(self, event: Event) -> None:
        if isinstance(event, RunFinished) and event.error:
            self._said = str(event.error)

    async def _go_on(self) -> None:
        while True:
            await self._read()
            self._drop_ended()
            if self._is_due():
                self._asked_at = self._clock()
                self._asking = asyncio.create_task(self._ask_engine(), name="mirador dashboard")
            self._paint(self.board())
            await self._pause()

    async def _pause(self) -> None:
        """Until the next look. A run that starts meanwhile is left alone at first."""
        was_going = bool(self._session.going)
        self._woken.clear()
        await asyncio.sleep(FRAME)
        if was_going:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._idle - FRAME):
                await self._woken.wait()
        if self._session.going:
            await asyncio.sleep(FRAME)

    async def _read(self) -> None:
        """Read the store, where anything was written since. What cannot be read stays as it was."""
        try:
            self._known(*await asyncio.to_thread(self._news, self._version))
        except UsageError as error:
            self._unread = str(error)

    def _known(self, version: object, figures: Figures | None) -> None:
        self._version, self._unread = version, ""
        self._figures = figures or self._figures

    def _news(self, seen: object) -> tuple[object, Figures | None]:
        """The store's version, and its figures where that is another one. On any thread."""
        with self._reading:
            if self._is_closed or (version := self._store.version()) == seen:
                return seen, None
            return version, fold(self._store.runs(limit=WINDOW, purpose="ask"))

    def _drop_ended(self) -> None:
        ended = [handle for handle in self._paces if handle not in self._session.going]
        for handle in ended:
            del self._paces[handle]
            self._asked_at = None

    def _is_due(self) -> bool:
        """Whether the engine is to be asked now."""
        if self._session.going or (self._asking and not self._asking.done()):
            return False
        return self._asked_at is None or self._clock() - self._asked_at >= AGAIN

    async def _ask_engine(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                engine = await self._session.engine()
                self._resident = tuple(await engine.resident())
            self._engine, self._trouble = engine.label, ""
        except (MiradorError, TimeoutError) as error:
            self._resident = None
            self._trouble = str(error) or "the engine does not tell what is in memory"
        self._woken.set()
