"""A question's run: what the command asks, how it is shown, and what is printed in the end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.words import clean
from mirador_magic.cli.shell import INTERRUPTED, told
from mirador_magic.errors import UsageError
from mirador_magic.events import Event
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings
from mirador_magic.settings.keys import KEYS

# Of the loop, before anything is drawn: the question is on its way by then. Drawing takes longer.
_STEPS = 4


async def ask(session: Session, args: Namespace) -> int:
    """Start the run and see it to its end, or to Ctrl-C, which keeps what was written."""
    request = _request(args)
    buffered = args.buffered or not session.settings(request.settings)["streaming"]
    handle = session.start(request)
    broken: list[BrokenPipeError] = []
    try:
        draw = _shown(handle, args, broken, buffered=buffered)
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
    return _ended(handle, args)


def _request(args: Namespace) -> Request:
    """What the command asks, and the settings that it names."""
    given = {key: value for key in KEYS if (value := getattr(args, key, None)) is not None}
    for each in args.set:
        key, is_there, value = each.partition("=")
        if not is_there:
            raise UsageError(f"--set {each} has no value", "--set deep_analysis.temperature=0.3")
        given[key.strip()] = value.strip()
    return Request(
        question=args.words[0],
        stages=args.stages,
        depth=args.depth,
        settings=settings.layer(given, "the command line"),
    )


def _shown(
    handle: Handle, args: Namespace, broken: list[BrokenPipeError], *, buffered: bool
) -> Callable[[], None]:
    """Show the run as it goes on; returns what begins to draw. Where nobody reads on, the run is stopped."""
    if args.json or args.quiet:
        return lambda: None
    from mirador_magic.views.terminal import TerminalView

    coloured = sys.stdout.isatty() and not (args.no_color or os.environ.get("NO_COLOR"))
    view = TerminalView(
        lambda: told(handle.answer), sys.stdout, coloured=coloured, buffered=buffered
    )

    def watch(event: Event) -> None:
        try:
            if not broken:
                view(event)
        except BrokenPipeError as error:
            broken.append(error)
            handle.stop()

    handle.watch(watch)
    return view.show


def _ended(handle: Handle, args: Namespace) -> int:
    """Print what is for the end. Raises what the run failed with."""
    answer = handle.answer
    if args.json:
        print(json.dumps(as_json(told(answer))))  # ASCII: nothing in it steers a terminal
    elif args.quiet and answer.text:
        print(clean(answer.text).strip("\n"))
    if handle.error:
        raise handle.error
    return INTERRUPTED if answer.outcome in ("interrupted", None) else 0


def as_json(answer: Answer) -> dict[str, object]:
    """The answer for other programs; times in seconds, `confidence` in 0..1, null where unknown."""
    stage = ("name", "model", "status", "text", "confidence", "how", "seconds", "tokens", "error")
    whole = ("question", "route", "engine", "outcome", "first_token", "total", "text")
    return {
        **{key: getattr(answer, key) for key in whole},
        "stages": [{key: getattr(each, key) for key in stage} for each in answer.stages],
    }
