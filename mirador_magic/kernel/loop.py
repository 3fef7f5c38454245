"""The one place where a cell meets the notebook's event loop.

In a kernel a `%%mirador` cell (and `%mirador` at the start of a line) is rewritten to an awaited
coroutine, which IPython's autoawait runs on the kernel's own loop: the interrupt cancels it, the
widgets live while it runs, and queued cells wait their turn. Where a cell cannot be awaited (under
`%%time` or `%%capture`, with autoawait off, called from plain code) the same coroutine runs nested
in the running loop; in a terminal, on a loop of its own. In both, Ctrl-C is turned into a cancel.
A call from another thread has a loop of its own too: the kernel's may wait for that very thread.

Nesting is nest_asyncio2's business. nest_asyncio 1.6, on ipykernel 7.1 and later, loses every cell
that is queued behind a nested run (Chaoses-Ib/nest-asyncio2#4), so a loop that the user patched
with it is patched anew, and where nothing better can be imported a thread runs the coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import importlib
import importlib.metadata
import re
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any, TypeVar

from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.interactiveshell import InteractiveShell

T = TypeVar("T")

_CELL = re.compile(r"get_ipython\(\)\.run_cell_magic\('mirador', ")
_TARGET = (
    r"[\w.,*'\"\[\](){} =-]+=[ \t]*"  # no colon: it may begin a function, where no await can be
)
_LINE = re.compile(rf"({_TARGET})?get_ipython\(\)\.run_line_magic\('mirador', ")
_AWAITED = "await get_ipython().magics_manager.registry['MiradorMagics'].awaited("


def kernel_of(shell: InteractiveShell) -> Any:
    """The kernel that runs this shell, None in a terminal."""
    return getattr(shell, "kernel", None)


def outlives_the_cell(shell: InteractiveShell) -> bool:
    """Whether the running loop is the kernel's own, not one that ends with a cell's coroutine."""
    return kernel_of(shell) is not None and threading.current_thread() is threading.main_thread()


def can_rewrite(shell: InteractiveShell) -> bool:
    """Whether the kernel tells which message it works on, as ipykernel does."""
    return hasattr(kernel_of(shell), "get_parent")


@functools.cache
def ipykernel_version() -> tuple[int, ...]:
    """The version of ipykernel, (0,) where there is none."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found = re.findall(r"\d+", importlib.metadata.version("ipykernel"))
        return tuple(int(part) for part in found[:3])
    return (0,)


class CellRewriter:
    """Input transformer: turns the magic's call into an awaited one, in the message's own code alone.

    The first text that is transformed during a message is the cell itself. Later ones come from
    code that compiles text by itself (%%time, %%capture, run_cell), where `await` is an error.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._last: str | None = None

    def __call__(self, lines: list[str]) -> list[str]:
        if not self._is_own_code() or not getattr(self._shell, "autoawait", False):
            return lines
        if lines and _CELL.match(lines[0]):
            return [_CELL.sub(_AWAITED, lines[0], count=1), *lines[1:]]
        return [
            _LINE.sub(lambda found: f"{found[1] or ''}{_AWAITED}", line, count=1)
            if _LINE.match(line)
            else line
            for line in lines
        ]

    def _is_own_code(self) -> bool:
        header = (kernel_of(self._shell).get_parent() or {}).get("header", {})
        first = header.get("msg_id") != self._last
        self._last = header.get("msg_id")
        return bool(first and header.get("msg_type") == "execute_request")


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from code that cannot await it."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is not threading.main_thread():
            with asyncio.Runner() as runner:
                return runner.run(coroutine)
        return _drive(get_asyncio_loop(), coroutine)
    if _can_nest(running):
        return _drive(running, coroutine)
    return _in_thread(coroutine)


def _drive(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    task = loop.create_task(coroutine)
    counted = len(getattr(loop, "_ready", ()))
    try:
        with _interrupt_calls(lambda: loop.call_soon_threadsafe(task.cancel)):
            return loop.run_until_complete(task)
    finally:
        _refill(loop, counted)


def _refill(loop: asyncio.AbstractEventLoop, counted: int) -> None:
    """Let the loop's own pass over its ready callbacks end, in the midst of which a nested run was.

    That pass has counted its callbacks beforehand. Those that the nested run has taken from it would be
    missed: with an IndexError that ends the loop, and so the kernel.
    """
    for _ in range(counted - len(getattr(loop, "_ready", ()))):
        loop.call_soon(lambda: None)


@contextlib.contextmanager
def _interrupt_calls(cancel: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C and the kernel's interrupt call `cancel`, instead of raising wherever the loop stands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: cancel())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _can_nest(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether this running loop now takes a nested run without losing messages."""
    nester = _nester()
    if nester is None:
        return False
    kind = type(loop)
    if getattr(kind, "_nest_patched", False) and _patched_by(kind) != nester.__name__:
        del kind._nest_patched  # type: ignore[attr-defined]
        nester._patch_loop(loop)
    try:
        nester.apply(loop)
    except ValueError:  # a loop that is not asyncio's own, such as uvloop
        return False
    return True


def _patched_by(kind: type) -> str:
    return str(getattr(kind, "run_until_complete", kind).__module__)


def _nester() -> ModuleType | None:
    with contextlib.suppress(ImportError):
        return importlib.import_module("nest_asyncio2")
    if ipykernel_version() >= (7, 1):
        return None
    with contextlib.suppress(ImportError):
        return importlib.import_module("nest_asyncio")
    return None


def _in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop of its own in a thread, while this thread waits for it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)
    done = threading.Event()

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait({task}))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            done.set()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    with _interrupt_calls(lambda: loop.call_soon_threadsafe(task.cancel)):
        thread.start()
        while not done.wait(0.1):  # a wait without a limit would not see the signal on Windows
            continue
    thread.join()
    loop.close()
    return task.result()
