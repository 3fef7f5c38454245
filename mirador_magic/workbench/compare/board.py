"""The live comparison: the columns side by side, each with a stage's own widgets while it is written.

Drawn four times a second, a column's first words at once. At the end the twin with its buttons takes
the place of the widgets, and all of them are closed.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer import words
from mirador_magic.events import ChunkReceived, Event, ThinkingReceived
from mirador_magic.session.handle import Handle
from mirador_magic.views import static
from mirador_magic.views.answer_buttons import controls
from mirador_magic.views.streaming import LiveStage, PanelWidgets
from mirador_magic.views.style import PANEL
from mirador_magic.workbench.compare import page
from mirador_magic.workbench.compare.columns import Column, Columns
from mirador_magic.workbench.compare.shown import Shown

FRAME = 0.25  # seconds between two paints

# The widgets' own rules give each the whole width.
_STYLE = f"""<style>
.mirador .mirador-sides {{flex-flow: row wrap; gap: 0 {page.GAP}px; align-items: flex-start}}
.mirador .mirador-side {{flex: 1 1 {page.NARROWEST}px; width: auto !important; min-width: 0}}
.mirador-side .mirador-fold {{display: none}}
.mirador-side .mirador-head {{padding-left: 0}}
</style>""".replace("\n", " ")


class Board:
    """Draws a comparison in the running cell. `stop` ends it; None where no click comes in time."""

    def __init__(self, result: Columns, stop: Callable[[], None] | None) -> None:
        self._result = result
        self._loop = asyncio.get_running_loop()
        self._kit = kit = PanelWidgets()
        self._writing: dict[Column, LiveStage] = {}
        self._worded: set[Column] = set()  # those whose first words were painted
        self._display = DisplayHandle()
        self._sides = {each.name: self._waiting(each) for each in result.columns}
        top = [kit.html(self._top(stop))]
        if stop:
            button = kit.button("■ Stop", "End the comparison and keep what was written")
            button.on_click(lambda _: stop())
            top.insert(0, button)
        sides = kit.box([*self._sides.values()], "mirador-sides")
        sheet = kit.html(PANEL + _STYLE)
        self._box = kit.box([*top, sides, sheet], "mirador", "jp-RenderedHTMLCommon")

    def show(self) -> None:
        self._display.display(self._box)
        self._timer = self._loop.call_later(FRAME, self._tick)

    def began(self, column: Column, handle: Handle) -> None:
        """Put a stage's widgets where the column waited."""
        live = LiveStage(page.drawn(self._result, column), self._kit, is_open=True)
        self._sides[column.name].children = [live.box]
        self._writing[column] = live
        handle.watch(functools.partial(self._heard, column, live))

    def ended(self, column: Column) -> None:
        self._paint(column)
        del self._writing[column]
        stage = page.drawn(self._result, column)
        controls().speak(f"{stage.name}: {words.stage_line(stage)}, {words.trust(stage)}")

    def close(self) -> None:
        """Put the twin in the widgets' place."""
        self._timer.cancel()
        Shown(self._result, within=self._display)
        self._kit.close()

    def _heard(self, column: Column, live: LiveStage, event: Event) -> None:
        if isinstance(event, ThinkingReceived):
            live.thought(event.text)
        elif isinstance(event, ChunkReceived):
            live.wrote(event.text)
            if column not in self._worded:
                self._worded.add(column)
                self._paint(column)

    def _tick(self) -> None:
        for column in self._writing:
            self._paint(column)
        self._timer = self._loop.call_later(FRAME, self._tick)

    def _paint(self, column: Column) -> None:
        live = self._writing[column]
        live.paint(page.drawn(self._result, column), None, self._loop.time())

    def _waiting(self, column: Column) -> ipywidgets.VBox:
        return self._kit.box([self._kit.html(page.side(self._result, column))], "mirador-side")

    def _top(self, stop: object) -> str:
        line = page.header(self._result)
        if stop is None:
            return static.header_html(f"{line} · to stop, interrupt the kernel")
        return f'<div style="padding-right:80px">{static.header_html(line)}</div>'
