"""Whether a run is under way, on whichever event loop: runs from other threads have their own."""

from __future__ import annotations

import asyncio
import threading


class Idle:
    """Counts the runs; `wait` until there is none. From any thread and any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self) -> None:
        with self._lock:
            self._runs += 1

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            woken = [] if self._runs else self._waiters
            self._waiters = [each for each in self._waiters if each not in woken]
        for waiter in woken:
            if not waiter.done():  # else its loop may be closed by now
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    async def wait(self) -> None:
        while (waiter := self._waiter()) is not None:
            await waiter

    def _waiter(self) -> asyncio.Future[None] | None:
        """What the end of the last run wakes; None where there is none."""
        with self._lock:
            if not self._runs:
                return None
            self._waiters.append(waiter := asyncio.get_running_loop().create_future())
            return waiter


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
