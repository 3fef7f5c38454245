"""The run as text in a terminal: written once, line by line, as the words come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from mirador_magic.confidence import CYAN, GRAY, band
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
)
from mirador_magic.views import words
from mirador_magic.views.answer import Answer, StageAnswer
from mirador_magic.views.static import plain

_ANSI = {GRAY: "\x1b[90m", CYAN: "\x1b[36m", None: ""}
_RESET = "\x1b[0m"


class TerminalView:
    """A watcher that writes to `out`: as it comes, or at the end where `buffered`."""

    def __init__(
        self, answer: Callable[[], Answer], out: TextIO, *, coloured: bool, buffered: bool
    ) -> None:
        self._answer = answer
        self._out = out
        self._coloured = coloured
        self._buffered = buffered

    def show(self) -> None:
        """Nothing to prepare."""

    def __call__(self, event: Event) -> None:
        if not self._buffered:
            self._follow(event)
        elif isinstance(event, RunFinished):
            self._write(f"{plain(self._answer())}\n")

    def _follow(self, event: Event) -> None:
        match event:
            case StageStarted():
                stage = self._answer()[event.stage]
                self._write(f"{self._bar(stage)} {stage.name} · {words.one_line(stage.model)}\n")
            case ChunkReceived():
                self._write(words.clean(event.text))
            case StageFinished() | StageFailed() | StageStopped():
                self._foot(self._answer()[event.stage])
            case RunFinished():
                self._write(f"{words.header(self._answer())}\n")

    def _foot(self, stage: StageAnswer) -> None:
        lines = [f"({line})" for line in words.notes(stage)]
        lines.append(" · ".join(filter(None, (words.stage_line(stage), words.trust(stage)))))
        self._write(("\n" if stage.text else "") + "\n".join(lines) + "\n\n")

    def _bar(self, stage: StageAnswer) -> str:
        colour = _ANSI[band(stage.confidence).colour] if self._coloured else ""
        return f"{colour}▌{_RESET}" if colour else "▌"

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
