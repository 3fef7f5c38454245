"""What `%mirador VERB` does where a display is part of it: progress, the controls, the last answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from mirador_magic.commands.line import Line
from mirador_magic.engines import provision
from mirador_magic.errors import UsageError
from mirador_magic.notebook import showing
from mirador_magic.session.session import Session

T = TypeVar("T")


async def last(session: Session, read: Line) -> None:
    if session.last is None:
        raise UsageError("there is no answer yet", "ask something: %mirador your question")
    (showing.put if session.in_notebook else showing.write)(session.last)


async def pull(session: Session, read: Line) -> None:
    from mirador_magic.views.progress import ProgressLine

    stopping = Stopping()
    stop = stopping if showing.presses(read) else None
    line = ProgressLine(in_notebook=session.in_notebook, stop=stop)
    with contextlib.closing(line):
        got = await stopping.run(session.pull(read.text, line))
    if got is None:
        print(f"stopped → %mirador pull {read.text}")
    else:
        print(f"{got.file} is there → %%mirador --engine embedded --model {got.model}")


async def controls(session: Session, read: Line) -> object:
    if not session.in_notebook:  # where nothing could be clicked
        raise UsageError("controls need a notebook", "%mirador settings")
    from mirador_magic.workbench.controls import switchboard

    return switchboard(session)


async def provide(session: Session, read: Line) -> None:
    context = read.options.get("--context")
    needs = await session.plan(Path(context) if context else None)
    print("\n".join(filter(None, [*map(provision.told, needs), provision.note(needs)])))
    given = f" --context {context}" if context else ""
    if all(need.action == "none" for need in needs):
        print("nothing is missing")
    elif "--yes" in read.options:
        from mirador_magic.views.progress import InstallLine

        stopping = Stopping()
        stop = stopping if showing.presses(read) else None
        with contextlib.closing(InstallLine(in_notebook=session.in_notebook, stop=stop)) as line:
            await stopping.run(session.provision(needs, line))
        if stopping.stopped:
            print(f"stopped; it goes on from there → %mirador provision --yes{given}")
    else:
        print(f"to do it: %mirador provision --yes{given}")


class Stopping:
    """Runs one piece of work that a click may end. Call it to end it, from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self.stopped = False

    def __call__(self) -> None:
        self.stopped = True
        if self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What comes of it; None where it was stopped. An interrupt goes through."""
        self._task = task = asyncio.create_task(work, name="mirador download")
        try:
            return await task
        except asyncio.CancelledError:
            if not self.stopped:
                raise
            return None
