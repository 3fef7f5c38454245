"""The live panel: one ipywidgets output area a stage, and a Stop button, while the run goes on.

Its widgets take some 15 ms to make, each a message of its own, and all of it before the first word
where they come first. So the panel begins as plain HTML, in one message: with the first words, where
these come within a blink of the eye; the widgets take its place a frame later.

Drawn from the run's state ten times a second; a stage's first words are painted at once. At the end
the display is replaced by the static twin and every widget is closed, so that the saved notebook
needs no kernel. State that has not changed is not sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import ipywidgets
from IPython.core.display_functions import DisplayHandle
from IPython.display import display
from ipywidgets.widgets.widget_string import HTMLStyle

from mirador_magic.events import ChunkReceived, Event, RunFinished
from mirador_magic.views import words
from mirador_magic.views.answer import Answer, StageAnswer
from mirador_magic.views.static import bundle, header_html, stage_html

FRAME = 0.1  # seconds between two paints
BLINK = 0.03  # seconds that a panel waits for its first words

# Seconds. The thread that sends what was painted waits for the interpreter, for up to 5 ms while
# chunk after chunk is read here; so the first words of a stage are let go before the next ones.
_LET_GO = 0.001

# The sizes and the right edge are those of a static output, so that nothing jumps at the end.
_STYLE = """<style>
.mirador {overflow: hidden; padding-right: 20px; position: relative}
.mirador .widget-html, .mirador .widget-html-content {margin: 0; width: 100%;
  font-size: var(--jp-content-font-size1, 14px); line-height: var(--jp-content-line-height, 1.6)}
.mirador .jupyter-button {position: absolute; z-index: 1; top: 0; right: 20px;
  width: auto !important; height: 22px; line-height: 20px; margin: 0; padding: 0 8px;
  font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}
.mirador .jupyter-button:hover {border-color: currentcolor; box-shadow: none}
.mirador-caret {animation: mirador-blink 1s steps(2) infinite}
@keyframes mirador-blink {50% {opacity: 0}}
@media (prefers-reduced-motion: reduce) {.mirador-caret {display: none}}
</style>"""
_CARET = '<span class="mirador-caret">▌</span>'
_NO_BUTTON = "to stop, interrupt the kernel"


class Panel:
    """A watcher of one run. `show` it in the cell, once the run's stages are known.

    `answer` gives the run as it stands; `stop` ends it (None where a click cannot arrive in time);
    a `buffered` panel shows no stage before the end; one that `outlives` its cell is there at once,
    since a display that comes later would be another cell's with ipykernel 6.
    """

    def __init__(
        self,
        answer: Callable[[], Answer],
        stop: Callable[[], None] | None,
        *,
        buffered: bool,
        outlives: bool,
    ) -> None:
        self._answer = answer
        self._stop = stop
        self._buffered = buffered
        self._outlives = outlives
        self._seen: set[str] = set()
        self._widgets: list[ipywidgets.Widget] = []
        self._timer: asyncio.TimerHandle | None = None
        self._display: DisplayHandle | None = None

    def show(self) -> None:
        """Display the panel in the current cell and keep it drawn until the run ends."""
        answer = self._answer()
        if answer.outcome is not None:
            display(bundle(answer), raw=True)
            return
        self._loop = asyncio.get_running_loop()
        if self._outlives:
            self._open()
        else:
            self._timer = self._loop.call_later(BLINK, self._open)

    def _open(self) -> None:
        """Display the panel, without widgets yet."""
        if self._timer:
            self._timer.cancel()
        page = self._page(self._answer())
        self._display = display(page, raw=True, display_id=True)
        self._timer = self._loop.call_later(FRAME, self._bring_widgets)

    def __call__(self, event: Event) -> None:
        """Paint what cannot wait for the next frame."""
        if self._timer is None:
            return
        if isinstance(event, RunFinished):
            self._replace(self._answer())
        elif isinstance(event, ChunkReceived):
            if event.stage not in self._seen:
                self._seen.add(event.stage)
                self._paint(self._answer())
                time.sleep(_LET_GO)
        elif self._widgets:
            self._paint(self._answer())

    def _bring_widgets(self) -> None:
        """Put the widgets in the place of the page. They share what can be shared, and are made with
        their first content."""
        answer = self._answer()
        self._layout = ipywidgets.Layout(width="100%", margin="0", overflow="hidden")
        self._style = HTMLStyle()
        self._header = self._html(self._top(answer))
        self._stages = {stage.name: self._html(_drawn(stage)) for stage in self._shown(answer)}
        inside = [self._header, *self._stages.values()]
        if self._stop is not None:
            inside.insert(0, self._button(self._stop))
        box = ipywidgets.VBox(inside, layout=self._layout, _dom_classes=("mirador",))
        self._widgets = [*inside, box, self._layout, self._style, *self._widgets]
        assert self._display is not None
        self._display.update(box)
        self._timer = self._loop.call_later(FRAME, self._tick)

    def _shown(self, answer: Answer) -> tuple[StageAnswer, ...]:
        return () if self._buffered else answer.stages

    def _page(self, answer: Answer) -> dict[str, str]:
        """The panel without widgets."""
        stages = "".join(_drawn(stage) for stage in self._shown(answer))
        page = f'<div class="mirador">{self._top(answer)}{stages}</div>'
        return {"text/html": page, "text/plain": words.header(answer)}

    def _html(self, value: str) -> ipywidgets.HTML:
        return ipywidgets.HTML(value, layout=self._layout, style=self._style)

    def _button(self, stop: Callable[[], None]) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description="■ Stop",
            tooltip="End the run and keep what was written",
            layout=self._layout,
        )
        button.on_click(lambda _: stop())
        self._widgets.append(button.style)
        return button

    def _tick(self) -> None:
        self._paint(self._answer())
        self._timer = self._loop.call_later(FRAME, self._tick)

    def _paint(self, answer: Answer) -> None:
        if self._display is None:
            self._open()
            return
        if not self._widgets:
            self._display.update(self._page(answer), raw=True)
            return
        self._header.value = self._top(answer)
        for name, widget in self._stages.items():
            widget.value = _drawn(answer[name])

    def _top(self, answer: Answer) -> str:
        line = words.header(answer)
        if self._stop is None:
            return _STYLE + header_html(f"{line} · {_NO_BUTTON}")
        return f'{_STYLE}<div style="padding-right:80px">{header_html(line)}</div>'

    def _replace(self, answer: Answer) -> None:
        """Put the static twin in the panel's place and leave no widget behind."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._display is None:
            display(bundle(answer), raw=True)
        else:
            self._display.update(bundle(answer), raw=True)
        for widget in self._widgets:
            widget.close()
        self._widgets = []


def _drawn(stage: StageAnswer) -> str:
    return stage_html(stage, _CARET if words.is_live(stage) else "")
