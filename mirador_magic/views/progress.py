"""A download as one line with a bar, written over itself: in a notebook's output or a terminal."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.display import display

from mirador_magic.answer import words
from mirador_magic.engines.ollama.models import Installing
from mirador_magic.engines.pull.progress import Progress
from mirador_magic.views.style import PANEL

if TYPE_CHECKING:
    from mirador_magic.views.streaming import PanelWidgets

Stop = Callable[[], object]


class ProgressLine:
    """Shows each Progress that it is called with in the place of the one before.

    In a notebook a Stop button stands below it where `stop` is given, until it is closed.
    """

    def __init__(self, *, in_notebook: bool, stop: Stop | None = None) -> None:
        self._in_notebook = in_notebook
        self._stop = stop
        self._display: Any = None
        self._kit: PanelWidgets | None = None
        self._bar: Any = None
        self._text = ""

    def __call__(self, progress: Progress) -> None:
        self._text = words.progress(progress.file, progress.done, progress.total)
        if not self._in_notebook:
            end = "\n" if progress.done == progress.total else ""
            sys.stdout.write(f"\r{self._text}{end}")
            sys.stdout.flush()
        elif self._kit is not None:
            self._bar.value = self._preformatted()
        elif self._display is not None:
            self._display.update({"text/plain": self._text}, raw=True)
        elif self._stop and progress.done != progress.total:
            self._display = display(self._with_button(self._stop), display_id=True)
        else:
            self._display = display({"text/plain": self._text}, raw=True, display_id=True)

    def close(self) -> None:
        """Leave the line without its button."""
        if self._kit is not None:
            self._display.update({"text/plain": self._text}, raw=True)
            self._kit.close()
            self._kit = None

    def _with_button(self, stop: Stop) -> Any:
        from mirador_magic.views.streaming import PanelWidgets

        self._kit = PanelWidgets()
        self._bar = self._kit.html(self._preformatted())
        button = self._kit.button("■ Stop", "End the download")
        button.on_click(lambda _: stop())
        return self._kit.box([button, self._bar], "mirador")

    def _preformatted(self) -> str:
        return f'{PANEL}<pre style="margin:0 80px 0 0">{html.escape(self._text)}</pre>'


class InstallLine:
    """Shows how far Ollama is with a model: a bar for a download, a line for what has no length."""

    def __init__(self, *, in_notebook: bool, stop: Stop | None = None) -> None:
        self._in_notebook = in_notebook
        self._stop = stop
        self._bars: dict[str, ProgressLine] = {}

    def __call__(self, step: Installing) -> None:
        if step.total:
            if step.model not in self._bars:
                self.close()
                new = ProgressLine(in_notebook=self._in_notebook, stop=self._stop)
                self._bars[step.model] = new
            self._bars[step.model](Progress(f"{step.model}: {step.doing}", step.done, step.total))
        elif step.model not in self._bars or step.action == "create":
            print(f"{words.one_line(step.model)}: {words.one_line(step.doing)}")

    def close(self) -> None:
        """Leave the lines without their button."""
        for bar in self._bars.values():
            bar.close()
