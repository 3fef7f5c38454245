"""The board on a whole terminal, through rich; down a pipe it is printed once.

It stands on the terminal's other screen, so that what was there before comes back. Keys are read by
the loop, as they are typed; the terminal's size is looked at before each paint.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live

from mirador_magic.session.session import Session
from mirador_magic.workbench.dashboard.board import Board, plain
from mirador_magic.workbench.dashboard.feed import FRAME, Feed
from mirador_magic.workbench.dashboard.page import page

_NO_LETTER = re.compile(rb"\x1b(\[[\d;?]*[@-~]|O.|.)?")  # what a key without a letter sends


async def show(session: Session, told: Callable[[str], str] = str) -> None:
    """The board until q or Ctrl-C; where there is no terminal to draw on and to read from, once.

    `told` has the lines that name commands as the place has them: as a notebook's without it.
    """
    if _is_terminal():
        await _View(session, told, sys.stdout, sys.stdin.fileno()).run()
        return
    feed = Feed(session, lambda _: None)
    try:
        print(told(plain(await feed.look(), time.time())))
    finally:
        await feed.aclose()


class _View:
    """The board on a terminal, and the keys that are typed there."""

    def __init__(
        self, session: Session, told: Callable[[str], str], out: TextIO, keys: int
    ) -> None:
        self._told = told
        self._out = out
        self._keys = keys
        self._console = _console(out)
        # No thread, no timer of rich's: it draws when it is told to.
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._feed = Feed(session, self._paint, idle=FRAME)
        self._left = asyncio.Event()
        self._last: tuple[Board, tuple[int, int]] | None = None

    async def run(self) -> None:
        """Draw until it is left. Ctrl-C is one way to; the terminal is as before then."""
        with _typed(self._keys, self._hear), self._live:
            self._feed.open()
            try:
                await self._until_left()
            except asyncio.CancelledError:
                if task := asyncio.current_task():
                    task.uncancel()
            finally:
                await self._feed.aclose()

    async def _until_left(self) -> None:
        """Until it is left. Raises what the painting failed with."""
        left = asyncio.create_task(self._left.wait(), name="mirador dashboard")
        assert self._feed.task
        try:
            await asyncio.wait({left, self._feed.task}, return_when=asyncio.FIRST_COMPLETED)
            if self._feed.task.done():
                self._feed.task.result()
        finally:
            left.cancel()

    def _hear(self, typed: bytes) -> None:
        """What was typed; nothing where nobody can type any more."""
        if not typed:
            self._left.set()
        for key in _NO_LETTER.sub(b"", typed).lower():
            if key == ord("q"):
                self._left.set()
            elif key == ord("t"):
                self._feed.ask()

    def _paint(self, board: Board) -> None:
        width, height = size = _size(self._out)
        if self._last != (board, size):
            self._last = board, size
            self._console.size = size
            lines = page(board, width, height, time.time(), self._told)
            self._live.update(Group(*lines), refresh=True)


@contextlib.contextmanager
def _typed(fd: int, hear: Callable[[bytes], None]) -> Iterator[None]:
    """Have each key told as it is typed, and not shown; nothing is told at the terminal's end."""
    import termios
    import tty

    def read() -> None:
        try:
            typed = os.read(fd, 1024)
        except OSError:  # the terminal is gone
            typed = b""
        if not typed:
            loop.remove_reader(fd)
        hear(typed)

    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd, termios.TCSANOW)
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)


def _is_terminal() -> bool:
    """Whether the whole screen can be drawn on and keys be read."""
    smart = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    reads = bool(sys.stdin and sys.stdin.isatty() and importlib.util.find_spec("termios"))
    return sys.stdout.isatty() and smart and reads


def _size(out: TextIO) -> tuple[int, int]:
    """Columns and lines, as the terminal has them now."""
    size = os.get_terminal_size(out.fileno())
    return size.columns or 80, size.lines or 25


def _console(out: TextIO) -> Console:
    return Console(
        file=out,
        force_terminal=True,
        force_interactive=True,
        force_jupyter=False,
        no_color=bool(os.environ.get("NO_COLOR")),
        markup=False,
        emoji=False,
        highlight=False,
    )
