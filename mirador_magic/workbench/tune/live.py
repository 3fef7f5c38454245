"""How far a grid is, in a notebook: a bar with the time left, and a Stop button."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable

import ipywidgets

from mirador_magic.kernel.loop import ipykernel_version
from mirador_magic.views import frame
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.tune.board import Board
from mirador_magic.workbench.tune.grid import Progress

FRAME = 0.25  # seconds between two paints


class Live(Board):
    """The bar; `close` leaves a line of text in its place."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self._told = "tuning"
        self._progress: Progress | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.bar = self.kit.make(ipywidgets.HTML)
        children = [self.bar]
        if ipykernel_version() >= (7,):  # else no click comes while the cell runs
            button = self.kit.make(
                ipywidgets.Button, description="■ Stop", tooltip="Keep what is done, and end it"
            )
            button.on_click(lambda _: stop())
            children.insert(0, button)
        self.fill(self.row(*children))

    def __call__(self, progress: Progress) -> None:
        self._told = str(progress)
        self._progress = progress
        if self._timer is None:
            self._paint()

    def finish(self, text: str) -> None:
        """Put this line in its place."""
        self._told = text
        if self._timer:
            self._timer.cancel()
        self.close()

    def _paint(self) -> None:
        """Paint what is new, and again a frame later where there is more by then."""
        self._timer = None
        if self._progress:
            self.bar.value = bar_html(self._progress)
            self._progress = None
            self._timer = self.loop.call_later(FRAME, self._paint)

    def twin(self) -> dict[str, str]:
        style = f"{QUIET};white-space:pre-wrap"
        shown = f'<div style="{style}">{html.escape(self._told)}</div>'
        return frame.bundle(shown, self._told)


def bar_html(progress: Progress) -> str:
    """The bar, and in words how far it is."""
    share = progress.done / progress.total
    outer = "display:inline-block;width:160px;height:8px;border:1px solid #80808080"
    inner = f"width:{share:.0%};height:100%;background-color:#808080"
    told = html.escape(str(progress))
    bar = f'<span style="{outer}"><span style="display:block;{inner}"></span></span>'
    return f'{bar} <span style="{QUIET}">{told}</span>'
