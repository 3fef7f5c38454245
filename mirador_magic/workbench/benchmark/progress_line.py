"""How far a benchmark is, in a terminal: one line, written over itself."""

from __future__ import annotations

from typing import TextIO

from mirador_magic.answer.words import one_line
from mirador_magic.workbench.benchmark.sheet import left
from mirador_magic.workbench.benchmark.suite import Progress, Suite

_WIDTH = 78  # characters: a longer line could not be written over


class ProgressLine:
    """Watches one suite; silent where nobody sits at the other end."""

    def __init__(self, suite: Suite, out: TextIO) -> None:
        self._out = out
        if out.isatty():
            suite.tell = self

    def __call__(self, progress: Progress) -> None:
        """Write how far it is; the last one takes it away."""
        done = f"{len(progress.result.points)} of {progress.result.planned}"
        told = f"{done} runs · {left(progress.left)} · {one_line(progress.doing)}"
        line = told[:_WIDTH] if progress.doing else ""
        self._out.write(f"\r{line:{_WIDTH}}\r")
        self._out.flush()
