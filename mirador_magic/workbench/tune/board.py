"""What the tuner and the blind view have in common: widgets that act on the kernel's loop.

A page's messages may come on a thread of their own, so that each is handed to the loop. Below the
widgets, or in their place, stands what a notebook without a kernel shows.
"""

from __future__ import annotations

import asyncio
import atexit
import html
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer import words
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.views.board_widgets import BoardWidgets

STYLE = """<style>
.mirador-tuner {max-width: 960px; overflow: visible}
.mirador-tuner > .mirador-sheet {display: none}
.mirador-tuner .mirador-row {display: flex; flex-wrap: wrap; align-items: center; gap: 2px 12px;
  margin: 2px 0; overflow: visible}
.mirador-tuner .mirador-row > * {margin: 0; width: auto}
.mirador-tuner .widget-label {width: auto; margin-right: 6px}
.mirador-tuner .mirador-row > .widget-text {flex: 0 1 170px; min-width: 0}
.mirador-tuner .mirador-row > .widget-combobox, .mirador-tuner .mirador-row > .widget-dropdown
  {flex: 1 1 260px; min-width: 0}
.mirador-tuner .widget-textarea {width: auto; height: auto; margin: 2px 0}
.mirador-tuner .widget-textarea .widget-label {flex: 0 0 80px; text-align: left}
.mirador-tuner textarea {resize: vertical}
.mirador-tuner .widget-html-content {line-height: 1.5; overflow-wrap: anywhere}
.mirador-tuner .jupyter-button {flex: 0 0 auto; height: 24px; line-height: 22px;
  padding: 0 10px; font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}
.mirador-tuner .jupyter-button:hover:enabled {border-color: currentcolor; box-shadow: none}
</style>"""


class Board(ABC):
    """Widgets in one box; belongs to the running loop. Raises UsageError where none runs.

    A subclass calls `fill` once, and gives `twin`, the MIME bundle of what stands there without them.
    """

    def __init__(self) -> None:
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                "this needs a notebook", "await tune(stage, variants, questions)"
            ) from None
        self.kit = BoardWidgets()
        self.status = self.kit.make(ipywidgets.HTML)
        self.is_closed = False
        self._displays: list[DisplayHandle] = []
        _open.add(self)
        atexit.register(self.close)  # so that what is saved then needs no kernel

    @abstractmethod
    def twin(self) -> dict[str, str]:
        """What a notebook without a kernel shows."""

    def fill(self, *children: ipywidgets.Widget) -> None:
        """Put these into the box."""
        sheet = self.kit.make(ipywidgets.HTML, "mirador-sheet", value=STYLE)
        self.box = self.kit.make(
            ipywidgets.VBox, "mirador-tuner", children=(sheet, *children, self.status)
        )

    def row(self, *children: ipywidgets.Widget) -> Any:
        return self.kit.make(ipywidgets.HBox, "mirador-row", children=children)

    def button(self, label: str, tooltip: str, deed: Callable[[], object]) -> Any:
        """A button that does this on the loop."""
        button = self.kit.make(ipywidgets.Button, description=label, tooltip=tooltip)
        button.on_click(lambda _: self.post(deed))
        return button

    def post(self, deed: Callable[[], object]) -> None:
        """Do this on the loop, from any thread; an error that a user can meet is a line below."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._do, deed)

    def say(self, text: str) -> None:
        """The line below the widgets."""
        self.status.value = f'<div role="status">{html.escape(words.one_line(text))}</div>'

    def _do(self, deed: Callable[[], object]) -> None:
        if self.is_closed:
            return
        try:
            deed()
        except MiradorError as error:
            self.say(str(error))

    def _ipython_display_(self, **_: object) -> None:
        display = DisplayHandle()
        view = {} if self.is_closed else self.box._repr_mimebundle_()
        display.display({**view, **self.twin()}, raw=True)
        self._displays.append(display)

    def close(self) -> None:
        """Put the twin in the place of the widgets."""
        if self.is_closed:
            return
        self.is_closed = True
        _open.discard(self)
        atexit.unregister(self.close)
        twin = self.twin()
        for display in self._displays:
            display.update(twin, raw=True)
        self.kit.close()


_open: weakref.WeakSet[Board] = weakref.WeakSet()


def leave() -> None:
    """Close all that are open."""
    for board in tuple(_open):
        board.close()
