"""How long an engine may be silent: a limit in seconds of a free loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from mirador_magic.errors import EngineSilent

# How late the loop may be before its lateness counts as the notebook's silence, not the engine's.
_LATE = 0.05
_LIVES = 30  # times its limit in which one that only gives signs of life says a word, or never


class Silence:
    """Cancels the current task when nothing was heard for `limit` seconds of a free loop.

    A cell that computes for a minute blocks the loop, and the engine's words wait unread: a timer
    that fires late because of that starts again, so that only the engine's own silence counts.
    Before its first word the silence may have an `excuse`: where that says so, it starts again too. So it
    does at a sign of life, for `_LIVES` times the limit: `lives_on` is told of it once, with the seconds.
    """

    def __init__(
        self,
        limit: float,
        excuse: Callable[[], Awaitable[bool]] | None = None,
        lives_on: Callable[[float], None] | None = None,
    ) -> None:
        self.limit = limit
        self._excuse = excuse
        self._lives_on = lives_on
        self._asking: asyncio.Task[None] | None = None
        self.over = False
        self._loop = asyncio.get_running_loop()
        self._heard = self._spoke = self._loop.time()
        self._excuses = 0

    def heard(self) -> None:
        """The engine said something."""
        self._heard = self._spoke = self._loop.time()
        self._excuse = None
        self._excuses = 0

    def lives(self) -> None:
        """The engine gave a sign of life, and said nothing."""
        wordless = self._loop.time() - self._spoke
        if wordless >= _LIVES * self.limit:
            return
        self._heard = self._loop.time()
        self._excuses += 1
        if wordless >= self.limit and self._lives_on:
            self._lives_on(round(wordless, 1))
            self._lives_on = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._wait_until(self._heard + self.limit)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._asking:
            self._asking.cancel()
        # As asyncio.timeout does: only our own cancel becomes our error, another's goes through.
        ours = self.over and self._task is not None and self._task.uncancel() <= 0
        if ours and kind is asyncio.CancelledError:
            raise EngineSilent(
                f"the engine was silent for {self._waited():g} s",
                "ask again, give the stage a longer timeout, or a smaller model: --model NAME",
            ) from error

    def _waited(self) -> float:
        """What is told as the limit, and all of the time where it was excused before."""
        return round(self._loop.time() - self._spoke) if self._excuses else self.limit

    def _wait_until(self, when: float) -> None:
        self._due = when
        self._timer = self._loop.call_at(when, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._due > _LATE:
            self._heard = now
        if self._heard + self.limit > now:
            self._wait_until(self._heard + self.limit)
        elif self._excuse:
            self._asking = self._loop.create_task(self._ask(self._excuse))
        else:
            self._end()

    async def _ask(self, excuse: Callable[[], Awaitable[bool]]) -> None:
        """One more time where there is an excuse, and where it was heard meanwhile."""
        excused = await excuse()
        if excused:
            self._heard = self._loop.time()
            self._excuses += 1
        if excused or self._excuse is None:
            self._wait_until(self._heard + self.limit)
        else:
            self._end()

    def _end(self) -> None:
        if self._task:
            self.over = True
            self._task.cancel()
