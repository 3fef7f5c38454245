"""Asks one question in several ways: at home one after the other, past this machine as many at once
as the endpoint takes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

from mirador_magic.pipeline import at_once
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.stages import plain
from mirador_magic.workbench.compare.columns import Column


class View(Protocol):
    """What shows a comparison; is told of each column that begins and ends."""

    def show(self) -> None: ...
    def began(self, column: Column, handle: Handle) -> None: ...
    def ended(self, column: Column) -> None: ...
    def close(self) -> None: ...


class Unseen:
    """Shows nothing."""

    def show(self) -> None:
        """There is nothing to show."""

    def began(self, column: Column, handle: Handle) -> None:
        """Nor now."""

    def ended(self, column: Column) -> None:
        """Nor now."""

    def close(self) -> None:
        """Nor at the end."""


class Contest:
    """The columns of one comparison on their way; belongs to the running loop.

    One that fails is left as it is, and the next one has its turn.
    """

    def __init__(self, session: Session, columns: Sequence[Column]) -> None:
        self._session = session
        self._columns = columns
        self._loop = asyncio.get_running_loop()
        self._going: list[Handle] = []
        self._is_stopped = False

    def stop(self) -> None:
        """Keep what was written and ask no more, from any thread."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._is_stopped = True
        for handle in self._going:
            handle.stop()

    async def run(self, view: View) -> None:
        """Ask all. A cancel ends those that are asked, which keep what they wrote, and goes on."""
        # Nothing is warmed in between: it could push the next model out of memory, or slow this one.
        warmup = self._session.readiness.of(self._session.stages)
        endpoints = self._session.endpoints()
        models = [column.variant.model for column in self._columns]

        async def ask(column: Column) -> None:
            if not self._is_stopped:
                await self._ask(column, view)

        try:
            async with warmup.held():
                resident = await at_once.resident(endpoints, models, self._session.engine)
                columns = swapping_least(self._columns, resident)
                await at_once.each(
                    columns, lambda each: at_once.place_of(endpoints, each.variant.model), ask
                )
        finally:
            for column in self._columns:
                column.is_skipped = column.handle is None

    async def _ask(self, column: Column, view: View) -> None:
        column.handle = handle = self._session.start(column.request)
        self._going.append(handle)
        view.began(column, handle)
        try:
            await handle.wait()
        except BaseException:
            await handle.interrupt()
            raise
        finally:
            self._going.remove(handle)
            view.ended(column)


def swapping_least(columns: Sequence[Column], resident: Collection[str]) -> list[Column]:
    """The columns in the order to ask them: a model in memory first, those of one model together.

    `resident` are plain names.
    """
    models = [plain(column.variant.model) for column in columns]
    places = {model: place for place, model in reversed([*enumerate(models)])}

    def turn(column: Column) -> tuple[bool, int]:
        model = plain(column.variant.model)
        return model not in resident, places[model]

    return sorted(columns, key=turn)
