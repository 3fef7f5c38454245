"""A download as one line with a bar, written over itself: in a notebook's output or a terminal."""

from __future__ import annotations

import sys
from typing import Any

from IPython.display import display

from mirador_magic.engines._ollama_models import Installing
from mirador_magic.pull.progress import Progress
from mirador_magic.views import words


class ProgressLine:
    """Shows each Progress that it is called with in the place of the one before."""

    def __init__(self, *, in_notebook: bool) -> None:
        self._in_notebook = in_notebook
        self._display: Any = None

    def __call__(self, progress: Progress) -> None:
        text = words.progress(progress.file, progress.done, progress.total)
        if not self._in_notebook:
            end = "\n" if progress.done == progress.total else ""
            sys.stdout.write(f"\r{text}{end}")
            sys.stdout.flush()
        elif self._display is None:
            self._display = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._display.update({"text/plain": text}, raw=True)


class InstallLine:
    """Shows how far Ollama is with a model: a bar for a download, a line for what has no length."""

    def __init__(self, *, in_notebook: bool) -> None:
        self._in_notebook = in_notebook
        self._bars: dict[str, ProgressLine] = {}

    def __call__(self, step: Installing) -> None:
        if step.total:
            bar = self._bars.setdefault(step.model, ProgressLine(in_notebook=self._in_notebook))
            bar(Progress(f"{step.model}: {step.doing}", step.done, step.total))
        elif step.model not in self._bars or step.action == "create":
            print(f"{words.one_line(step.model)}: {words.one_line(step.doing)}")
