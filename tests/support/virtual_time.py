"""An event loop whose clock is the test's: it jumps to the next timer instead of waiting for it.

What a thread does for it takes none of its time, however long that takes.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Jumping(selectors.DefaultSelector):
    """A selector that lets `now` run ahead by what it was asked to wait, but for `threads`."""

    now = 0.0
    threads = 0  # at work for the loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.threads and timeout != 0:
            return super().select(None)
        if timeout is None:
            raise RuntimeError("the loop would wait for ever")
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is in seconds since the loop was made; `skip` is what a blocking cell does to it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._jumping.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self._jumping.threads -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._jumping.threads += 1
        await super().shutdown_default_executor(*args)
        self._jumping.threads -= 1

    def skip(self, seconds: float) -> None:
        """Block the loop for so long, as code that computes without an await does."""
        self._jumping.now += seconds


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time. Tasks left behind are an error."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def checked() -> T:
            result = await coroutine
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"left behind: {left}"
            return result

        return runner.run(checked())


def now() -> float:
    """The running loop's time, as the clock of a run."""
    return asyncio.get_running_loop().time()
