"""The turns of requests to one place that takes only so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirador_magic.engines.base import ChatRequest


class Limiter:
    """How many requests go on at once; of those that wait, the one that came first is next."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free = asyncio.Semaphore(limit)
        self._waited: dict[int, bool] = {}  # by id, those that had to: whether they still do

    @asynccontextmanager
    async def taken(self, request: ChatRequest) -> AsyncIterator[None]:
        """While the request goes on. Each event loop has turns of its own."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._free = loop, asyncio.Semaphore(self._limit)
        free, waited = self._free, self._free.locked()
        if waited:
            self._waited[id(request)] = True
        try:
            async with free:
                if waited:
                    self._waited[id(request)] = False
                yield
        finally:
            self._waited.pop(id(request), None)

    def awaits(self, request: ChatRequest) -> bool:
        """Whether this request waits for its turn, or did since this was asked the last time."""
        still = self._waited.get(id(request))
        if still is False:
            del self._waited[id(request)]
        return still is not None
