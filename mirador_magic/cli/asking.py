"""A question's run: what the command asks, how it is shown, and what is printed in the end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.words import clean
from mirador_magic.cli.shell import INTERRUPTED, told
from mirador_magic.commands import line as lines
from mirador_magic.commands.line import Line
from mirador_magic.events import Event
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4


async def ask(session: Session, read: Line) -> int:
    """Start the run and see it to its end, or to Ctrl-C, which keeps what was written."""
    request = Request(
        question=read.text,
        stages=lines.stages_of(read),
        depth=lines.depth_of(read),
        settings=lines.layer_of(read, "the command line"),
    )
    buffered = (
        "--traditional" in read.options or not session.settings(request.settings)["streaming"]
    )
    handle = session.start(request)
    broken: list[OSError] = []
    try:
        draw = _shown(handle, read, broken, buffered=buffered)
        for _ in range(_STEPS):
            await asyncio.sleep(0)
        draw()
        await handle.wait()
    except asyncio.CancelledError:
        await handle.interrupt()
    except BaseException:
        await handle.interrupt()
        raise
    if broken:
        raise broken[0]
    return _ended(handle, read)


def _shown(
    handle: Handle, read: Line, broken: list[OSError], *, buffered: bool
) -> Callable[[], None]:
    """Show the run as it goes on; returns what begins to draw. Where it cannot be written, the run is stopped."""
    if {"--json", "--quiet"} & set(read.options):
        return lambda: None
    from mirador_magic.views.terminal import TerminalView

    coloured = sys.stdout.isatty() and not (
        "--no-color" in read.options or os.environ.get("NO_COLOR")
    )
    view = TerminalView(
        lambda: told(handle.answer), sys.stdout, coloured=coloured, buffered=buffered
    )

    def watch(event: Event) -> None:
        try:
            if not broken:
                view(event)
        except OSError as error:
            broken.append(error)
            handle.stop()

    handle.watch(watch)
    return view.show


def _ended(handle: Handle, read: Line) -> int:
    """Print what is for the end. Raises what the run failed with."""
    answer = handle.answer
    if "--json" in read.options:
        print(json.dumps(as_json(told(answer))))  # ASCII: nothing in it steers a terminal
    elif "--quiet" in read.options and answer.text:
        print(clean(answer.text).strip("\n"))
    if handle.error:
        raise handle.error
    return INTERRUPTED if answer.outcome in ("interrupted", None) else 0


def as_json(answer: Answer) -> dict[str, object]:
    """The answer for other programs; times in seconds, `confidence` in 0..1, null where unknown."""
    stage = [
        "name",
        "model",
        "status",
        "text",
        "thinking",
        "confidence",
        "how",
        "seconds",
        "tokens",
        "notes",
        "error",
    ]
    whole = ("question", "route", "engine", "outcome", "first_token", "total", "text")
    return {
        **{key: getattr(answer, key) for key in whole},
        "standing": answer.standing and answer.standing.stage.name,
        "stages": [{key: getattr(each, key) for key in stage} for each in answer.stages],
    }
