"""What a run does where there is no model to ask: it says so, and waits for its reader.

The reader has a model fetched by a click, or starts Ollama, or puts a file into the models' folder: the
run goes on as soon as there is one. It is stopped and interrupted as at any other time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mirador_magic.engines.base import Engine
from mirador_magic.errors import MiradorError, NoModel
from mirador_magic.events import Event, ModelArriving, ModelAwaited

if TYPE_CHECKING:
    from mirador_magic.engines.pull.progress import Progress, Tell

LOOK_S = 2.0  # seconds between two looks for a model that came by another way


class Awaiting:
    """Opens the engine of one run, waiting for a model where there is none.

    `fetch` brings one, and tells how far it is; `emit` hears what happens.
    """

    def __init__(
        self,
        open_engine: Callable[[], Awaitable[Engine]],
        fetch: Callable[[Tell], Awaitable[object]],
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open = open_engine
        self._fetch = fetch
        self._emit = emit
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._agreed = asyncio.Event()

    def agree(self) -> None:
        """Have the model fetched, from any thread."""
        self._loop.call_soon_threadsafe(self._agreed.set)

    async def engine(self) -> Engine:
        """The engine, once it has a model. Raises what else keeps it from answering."""
        try:
            return await self._open()
        except NoModel as missing:
            self._await(missing)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._agreed.wait()
            if self._agreed.is_set():
                await self._bring()
            if engine := await self._look():
                return engine

    async def _bring(self) -> None:
        """Fetch the model. Where that fails it can be asked for once more."""
        try:
            await self._fetch(self._tell)
        except MiradorError as error:
            self._await(error)
        self._agreed.clear()

    async def _look(self) -> Engine | None:
        with contextlib.suppress(NoModel):
            engine = await self._open()
            if any(
                each.chats for each in await engine.models()
            ):  # an Ollama that was just started may have none yet
                return engine
        return None

    def _await(self, error: MiradorError) -> None:
        cure = "" if isinstance(error, NoModel) else error.cure
        self._emit(ModelAwaited(self._clock(), error.what, cure))

    def _tell(self, progress: Progress) -> None:
        self._emit(ModelArriving(self._clock(), progress.done, progress.total or progress.done))
