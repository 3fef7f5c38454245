"""`mirador` in a shell: the same session as the notebook's, as words on a terminal or down a pipe.

    mirador "Why is the sky blue?"
    git diff | mirador --deep What could break?

The exit code is 0 where there is an answer, 1 where something failed, 2 where the command cannot be
read, 130 after Ctrl-C and 141 where nobody reads the output any more.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence

from mirador_magic.answer.words import one_line
from mirador_magic.cli.argv import USAGE, parser, read
from mirador_magic.cli.shell import (
    BROKEN_PIPE,
    INTERRUPTED,
    give_up,
    here,
    hold_closed,
    say,
    unwritten,
)
from mirador_magic.cli.stdin import asked
from mirador_magic.commands.command import Command
from mirador_magic.commands.line import Line
from mirador_magic.commands.table import WHERE
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.session import session as sessions
from mirador_magic.session.session import Session

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """What the command does, and its exit code. An error is one line on the standard error."""
    hold_closed()
    if sys.stdout is None:
        say("mirador: the standard output is closed → to see nothing of it: mirador … >/dev/null")
        return 1
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar that this terminal lacks is no failure
    try:
        return _coded(sys.argv[1:] if argv is None else argv)
    finally:
        give_up()


def _coded(argv: Sequence[str]) -> int:
    """The exit code, whatever becomes of it."""
    try:
        code = _main(argv)
        sys.stdout.flush()
        return code
    except MiradorError as error:
        say(f"mirador: {here(one_line(str(error)))}")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError:
        if not (why := unwritten()):
            raise  # it was another file
        say(f"mirador: the output cannot be written: {why.lower()} → send it to another place")
        return 1


def _main(argv: Sequence[str]) -> int:
    said = read(argv)
    if said.help:
        print(parser(said.command).format_help(), end="")
        return 0
    text = " ".join(said.words)
    if said.command.name == "ask" and not (text := asked(said.words, sys.stdin)):
        say(f"usage: {USAGE}\n       mirador --help")
        return 2
    line = Line(said.command.name, text, None, said.options)
    return asyncio.run(_within(sessions.current(), said.command, line))


async def _within(session: Session, command: Command, line: Line) -> int:
    """Do it, and release in the end what the engines hold."""
    try:
        if command.name != "ask":  # a question's settings are its own
            session.configure(
                {each.key: line.options.get(each.name) for each in WHERE}, "the command line"
            )
        done = await command.load("shell")(session, line)
        code: int = done if command.shell else 0
        if done is not None and not command.shell:
            print(done)
        return code
    except asyncio.CancelledError:
        return INTERRUPTED
    finally:
        await session.aclose()
