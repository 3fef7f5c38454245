"""The run as text: on a terminal through rich, on a pipe as it comes.

On a terminal a stage's words stand in a live part below the lines that are final. At the stage's end
that part is erased, and its head line and its text as Markdown come in its place. The live part is
drawn by the events and their times alone: no thread, no timer. It never fills the whole height: a
line that has scrolled out cannot be erased.

Elsewhere, and where TERM says dumb, everything is written once and without an escape code.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    StageFailed,
    StageFinished,
    StageNoted,
    StageStarted,
    StageStopped,
    ThinkingReceived,
)
from mirador_magic.views.markdown.work import MARKDOWN, weight
from mirador_magic.views.static import doubt, plain, stands, told
from mirador_magic.views.terminal_markdown import markdown
from mirador_magic.views.terminal_text import (
    console_of,
    head_of,
    picture,
    safe,
    styled,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

log = logging.getLogger(__name__)

FRAME = 0.05  # seconds between two paints


class TerminalView:
    """A watcher that writes to `out`: as it comes, or at the end where `buffered`.

    `plain` takes `out` for no terminal, whatever it calls itself: Spyder's kernel says it is one.
    """

    def __init__(
        self,
        answer: Callable[[], Answer],
        out: TextIO,
        *,
        coloured: bool,
        buffered: bool,
        plain: bool = False,
    ) -> None:
        self._view: _Page | _Lines = (
            _Page(answer, out, coloured=coloured, buffered=buffered)
            if _is_terminal(out) and not plain
            else _Lines(answer, out, buffered=buffered)
        )

    def show(self) -> None:
        """Import what draws, and draw what happened before."""
        self._view.show()

    def __call__(self, event: Event) -> None:
        self._view(event)


class _Lines:
    """Plain text, written once."""

    def __init__(self, answer: Callable[[], Answer], out: TextIO, *, buffered: bool) -> None:
        self._answer = answer
        self._out = out
        self._buffered = buffered
        self._headless = ""  # the stage whose head is still to be written

    def show(self) -> None:
        """Nothing to prepare."""

    def __call__(self, event: Event) -> None:
        if not self._buffered:
            self._follow(event)
        elif isinstance(event, RunFinished) and not self._answer().missing:
            self._write(f"{plain(self._answer())}\n")

    def _follow(self, event: Event) -> None:
        match event:
            case StageStarted():
                self._headless = event.stage
            case ThinkingReceived() | StageNoted():
                self._head()
            case ChunkReceived():
                self._head()
                self._write(event.text)
            case StageFinished() | StageFailed() | StageStopped():
                self._head()
                self._foot(self._answer()[event.stage])
            case RunFinished():
                self._end(self._answer())

    def _head(self) -> None:
        """With the model that answers: another may stand in for the one that was asked first."""
        if self._headless:
            stage = self._answer()[self._headless]
            self._headless = ""
            self._write(f"▌ {stage.name} · {words.one_line(stage.model)}\n")

    def _end(self, answer: Answer) -> None:
        if not answer.missing:  # the error says it all
            told = [stands(answer), doubt(answer), words.header(answer), words.basis(answer)]
            self._write("".join(f"{line}\n" for line in told if line))

    def _foot(self, stage: StageAnswer) -> None:
        lines = [f"({line})" for line in told(stage, self._answer())]
        lines.append(" · ".join(filter(None, (words.stage_line(stage), words.trust(stage)))))
        self._write(("\n" if stage.text else "") + "\n".join(lines) + "\n\n")

    def _write(self, text: str) -> None:
        self._out.write(safe(text))
        self._out.flush()


class _Page:
    """A terminal's page: finished stages as Markdown, below them the live part of the one at work."""

    def __init__(
        self, answer: Callable[[], Answer], out: TextIO, *, coloured: bool, buffered: bool
    ) -> None:
        self._answer = answer
        self._out = out
        self._coloured = coloured
        self._buffered = buffered
        self._early: list[Event] | None = []
        self._console: Console
        self._live: Live | None = None
        self._stage = ""
        self._wrote = False
        self._due = 0.0

    def show(self) -> None:
        self._console = console_of(self._out, coloured=self._coloured)
        early, self._early = self._early or [], None
        for event in early:
            self(event)

    def __call__(self, event: Event) -> None:
        """Draw what happened. Whatever goes wrong, no live part stays behind."""
        if self._early is not None:
            self._early.append(event)
            return
        try:
            draw = self._at_the_end if self._buffered else self._follow
            draw(event)
        except BaseException:
            self._close()
            raise

    def _at_the_end(self, event: Event) -> None:
        if isinstance(event, RunFinished):
            with self._console:  # in one write: other threads may write their answers too
                for stage in self._answer().stages:
                    if stage.text or stage.status != "skipped":
                        self._put(stage)
                        self._foot(stage)
                self._header()

    def _follow(self, event: Event) -> None:
        match event:
            case ChunkReceived() | ThinkingReceived():
                self._receive(event)
            case StageStarted():
                self._begin(event)
            case StageFinished() | StageFailed():
                self._put(self._answer()[event.stage])
                self._foot(self._answer()[event.stage])
            case StageStopped():
                self._put(self._answer()[event.stage])
            case RunFinished():
                self._finish()
            case _:
                self._paint(event.at)

    def _begin(self, event: StageStarted) -> None:
        from rich.live import Live

        self._stage, self._wrote = event.stage, False
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with self._console:
            self._live.start()
            # It hides the cursor; where a clean-up outlasts the cell, no event comes to show it.
            self._console.show_cursor(True)
            self._paint(event.at)

    def _receive(self, event: ChunkReceived | ThinkingReceived) -> None:
        """The first words are shown at once."""
        first = isinstance(event, ChunkReceived) and not self._wrote
        if first or event.at >= self._due:
            self._paint(event.at)
        if first:
            self._wrote = True
            # Some 70 ms: not before the first words, nor between a stage and the next one's request.
            importlib.import_module("rich.markdown")

    def _paint(self, at: float) -> None:
        if self._live:
            self._due = at + FRAME
            self._live.update(picture(self._answer()[self._stage], self._console), refresh=True)

    def _put(self, stage: StageAnswer) -> None:
        """The stage as it stays, in the place of the live part; in one write, so that none flickers."""
        with self._console:
            self._close()
            self._console.print(head_of(stage))
            if text := safe(stage.text).strip():
                self._body(text)

    def _body(self, text: str) -> None:
        if (
            len(text) > MARKDOWN or weight(text) > MARKDOWN // 2
        ):  # rich takes twice as long as a page
            self._console.print(styled(text))
            return
        try:
            self._console.print(markdown(text))
        except Exception:  # a renderer that stumbles must not cost the reader the text
            log.info("a text that is no Markdown for rich", exc_info=True)
            self._console.print(styled(text))

    def _foot(self, stage: StageAnswer) -> None:
        for note in told(stage, self._answer()):
            self._console.print(styled(f"({note})", "dim"))
        self._console.print()

    def _finish(self) -> None:
        self._close()
        answer = self._answer()
        if self._stage and answer[self._stage].status == "stopped":
            self._foot(answer[self._stage])  # how the run ended is noted there, and known only now
        self._header()

    def _header(self) -> None:
        if self._answer().missing:
            return  # the error says it all
        if why := words.standing(self._answer()):
            self._console.print(styled(why))
            self._body(safe(self._answer().text).strip())
        if offer := doubt(self._answer()):
            self._console.print(styled(offer))
        for line in filter(None, (words.header(self._answer()), words.basis(self._answer()))):
            self._console.print(styled(line, "dim"))

    def _close(self) -> None:
        live, self._live = self._live, None
        if live:
            live.stop()


def _is_terminal(out: TextIO) -> bool:
    return out.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
