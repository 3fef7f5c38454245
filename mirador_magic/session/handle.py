"""The handle to a run that goes on: await it, stop it, read its answer so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.run_state import RunState
from mirador_magic.kernel.awake import awake
from mirador_magic.pipeline.metrics import Meter, RunMetrics
from mirador_magic.pipeline.run import Run
from mirador_magic.pipeline.watchers import Watchers


class Handle:
    """A run that goes on: await it for its Answer, stop it, read its answer so far.

    Awaiting raises the first cause where every stage failed. A cancel of whoever awaits it does not
    reach the run; `stop` and `interrupt` do, and keep what was written.
    """

    def __init__(
        self,
        run: Run,
        state: RunState,
        watchers: Watchers,
        meter: Meter,
        fetch: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._state = state
        self._meter = meter
        self._task = self._loop.create_task(run.execute(), name="mirador run")
        # Read the error once, so that a run that nobody awaits raises no complaint of asyncio's.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self.watch = watchers.add
        self.fetch = fetch  # a model, where the run waits for one; None where it does not wait

    def __await__(self) -> Generator[Any, None, Answer]:
        with awake():
            yield from asyncio.shield(self._task).__await__()
        return self.answer

    async def result(self) -> Answer:
        """The same; a cancel of whoever awaits it ends the run too."""
        try:
            return await self
        except asyncio.CancelledError:
            await self.interrupt()
            raise

    @property
    def answer(self) -> Answer:
        """The answer as it stands now."""
        return self._state.answer()

    @property
    def metrics(self) -> RunMetrics:
        """The run's figures so far; whole once it is over."""
        judge = [(stage.name, stage.confidence, stage.how) for stage in self.answer.stages]
        return self._meter.metrics().judged(judge)

    @property
    def measured(self) -> list[tuple[str, str, float]]:
        """(model, stage, measured confidence in 0..1) of the stages that it has finished."""
        return self._state.measured()

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self._task.done()

    @property
    def error(self) -> BaseException | None:
        """Why the run failed, None where it did not."""
        ended = self._task.done() and not self._task.cancelled()
        return self._task.exception() if ended else None

    def stop(self) -> None:
        """End the run well, from any thread.

        From the loop's own it holds at once: what has come already, but was not told yet, is no answer.
        """
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:  # no loop runs in this thread
            is_here = False
        if is_here:
            self._run.stop()
        else:
            self._loop.call_soon_threadsafe(self._run.stop)

    async def wait(self, patience: float | None = None) -> None:
        """Until the run is over, however it ends, or `patience` seconds have passed."""
        await asyncio.wait({self._task}, timeout=patience)

    async def interrupt(self, patience: float = 1.0) -> None:
        """Cancel the run and wait for its clean-up, `patience` seconds at most."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=patience)

    def __repr__(self) -> str:
        answer = self.answer
        return f"<mirador run, {answer.outcome or 'going on'}: {answer.question[:40]!r}>"
