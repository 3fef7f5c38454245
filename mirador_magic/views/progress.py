"""A download as one line with a bar, written over itself: in a notebook's output or a terminal."""

from __future__ import annotations

import sys
from typing import Any

from IPython.display import display

from mirador_magic.engines._ollama_models import Installing
from mirador_magic.pull.progress import Progress
from mirador_magic.views import words

_CELLS = 24


def line(progress: Progress) -> str:
    """The bar, the share and the bytes; only the bytes where nobody knows how many there will be."""
    name = words.one_line(progress.file)
    if not progress.total:
        return f"{name}  {_size(progress.done)}"
    share = min(progress.done / progress.total, 1.0)
    full = int(share * _CELLS)
    bar = "█" * full + "░" * (_CELLS - full)
    return f"{name}  {bar} {int(share * 100)} % of {_size(progress.total)}"


class ProgressLine:
    """Shows each Progress that it is called with in the place of the one before."""

    def __init__(self, *, in_notebook: bool) -> None:
        self._in_notebook = in_notebook
        self._display: Any = None

    def __call__(self, progress: Progress) -> None:
        text = line(progress)
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


def _size(count: int) -> str:
    """Bytes for people, in decimal units as the hub counts them."""
    for unit, of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= of:
            return f"{count / of:.3g} {unit}"
    return f"{count} B"
