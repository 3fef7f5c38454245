"""The live panel: one ipywidgets output area a stage, and a Stop button, while the run goes on.

Its widgets take some 20 ms to make, each a message of its own, and all of it before the first word
where they come first. So the panel begins as plain HTML, in one message: with the first words, where
these come within a blink of the eye; the widgets take its place a frame later.

Drawn from the run's state ten times a second, and less often where the kernel or the page does not
keep up; a stage's first words are painted at once. At the end the display is replaced by the static
twin and every widget is closed, so that the saved notebook needs no kernel. State that has not
changed is not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    StageFailed,
    StageFinished,
    StageStopped,
    ThinkingReceived,
)
from mirador_magic.kernel.io_thread import flush, send
from mirador_magic.views import frame, static
from mirador_magic.views.answer_buttons import Actions, controls
from mirador_magic.views.streaming import PATIENCE, LiveStage, PanelWidgets
from mirador_magic.views.style import FETCH, PANEL

FRAME = 0.1  # seconds between two paints
SLOWEST = 1.0  # the same, where the page or the kernel cannot follow
SHARE = 10  # of its time the loop paints one in so many parts
UNREADABLE = 4000  # characters a second: nobody sees every frame of that
BLINK = 0.03  # seconds that a panel waits for its first words

_NO_BUTTON = "to stop, interrupt the kernel"


@dataclass(frozen=True)
class Further:
    """What can be done with a finished answer: `run` a stage again or one more, which `deeper` names."""

    run: Callable[[str, DisplayHandle], object]
    deeper: Callable[[Answer], str | None]


class Panel:
    """A watcher of one run. `show` it in the cell, once the run's stages are known.

    `answer` gives the run as it stands; `stop` ends it (None where a click cannot arrive in time);
    a `buffered` panel shows no stage before the end; one that `outlives` its cell is there at once,
    since a display that comes later would be another cell's with ipykernel 6. With `within` it takes
    the place of what that display shows. `fetch` has a model brought, where the run waits for one.
    """

    def __init__(
        self,
        answer: Callable[[], Answer],
        stop: Callable[[], None] | None,
        further: Further,
        *,
        buffered: bool,
        outlives: bool,
        within: DisplayHandle | None = None,
        fetch: Callable[[], None] | None = None,
    ) -> None:
        self._answer = answer
        self._stop = stop
        self._further = further
        self._fetch = fetch
        self._buffered = buffered
        self._outlives = outlives
        self._display = within or DisplayHandle()
        self._is_new = within is None
        self._displayed = within is not None
        self._kit: PanelWidgets | None = None
        self._stages: dict[str, LiveStage] = {}
        self._offer_of: tuple[ipywidgets.HTML, ipywidgets.Button] | None = None
        self._seen: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._behind = 0.0  # seconds that the page was late
        self._written = 0  # characters since the last frame

    @property
    def run(self) -> str:
        """The name under which the controls know the answer."""
        return str(self._display.display_id)

    def show(self) -> None:
        """Display the panel in the current cell and keep it drawn until the run ends."""
        answer = self._answer()
        if answer.outcome is not None:
            self._replace(answer)
            return
        self._loop = asyncio.get_running_loop()
        if self._displayed:
            self._offer()  # from now on a click means this run, which goes on
        if self._outlives or self._displayed:
            self._open()
        else:
            self._timer = self._loop.call_later(BLINK, self._open)

    def _open(self) -> None:
        """Display the panel, without widgets yet."""
        if self._timer:
            self._timer.cancel()
        self._put(self._page(self._answer()), waits=self._outlives)
        self._timer = self._loop.call_later(FRAME, self._bring_widgets)

    def _put(self, bundle: dict[str, str], *, waits: bool) -> None:
        """Show this in the panel's place; it `waits` where the cell's own code goes on behind it."""
        shown = self._display.update if self._displayed else self._display.display
        show = partial(shown, bundle, raw=True)
        self._displayed = True
        show() if waits else send(show)

    def __call__(self, event: Event) -> None:
        """Paint what cannot wait for the next frame."""
        if isinstance(event, ChunkReceived | ThinkingReceived):
            self._wrote(event)
        elif self._timer is None:
            return
        elif isinstance(event, RunFinished):
            self._replace(self._answer())
        elif self._kit:
            self._told(event, self._answer())

    def _wrote(self, event: ChunkReceived | ThinkingReceived) -> None:
        answers = isinstance(event, ChunkReceived)
        self._written += len(event.text)
        if stage := self._stages.get(event.stage):
            (stage.wrote if answers else stage.thought)(event.text)
        if answers and self._timer and event.stage not in self._seen:
            self._seen.add(event.stage)
            self._paint(self._answer())
            flush()

    def _bring_widgets(self) -> None:
        """Put the widgets in the place of the page, made with their first content."""
        answer = self._answer()
        self._kit = kit = PanelWidgets()
        self._header = kit.html(self._top(answer))
        self._rest = kit.html(self._waiting(answer))
        self._fixed = [self._header]
        if stop := self._stop:
            button = kit.button("■ Stop", "End the run and keep what was written")
            button.on_click(lambda _: stop())
            self._fixed.insert(0, button)
        named = f"mirador-run-{self.run}"
        self._box = kit.box(self._column(answer), "mirador", "jp-RenderedHTMLCommon", named)
        self._told_at = self._loop.time()
        self._display.update(self._box)
        self._offer()
        for stage in answer.stages:
            if self._is_new and stage.status == "done":  # before anybody could hear it
                self._speak(stage)
        self._due(FRAME)

    def _due(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._tick, self._loop.time() + seconds)

    def _tick(self, due: float) -> None:
        began, answer = self._loop.time(), self._answer()
        self._paint(answer)
        for stage in answer.stages:
            if stage.status == "done":
                static.text_html(stage)  # now, so that the end need not make all at once
        took = self._loop.time() - began
        frame = 2 * FRAME if self._written > UNREADABLE * FRAME else FRAME
        slow = max(frame, SHARE * took, 2 * (began - due), self._behind)
        self._behind /= 2
        self._written = 0
        self._due(min(slow, SLOWEST))

    def _paint(self, answer: Answer) -> None:
        if self._kit is None:
            self._put(self._page(answer), waits=False) if self._displayed else self._open()
            return
        now = self._loop.time()
        if now - self._told_at >= PATIENCE:
            self._told_at = now
            self._header.value = self._top(answer)
        column = self._column(answer)
        if column != [*self._box.children]:
            self._box.children = column
        for name, live in self._stages.items():
            live.paint(answer[name], static.earlier_than(name, answer), now)
        self._rest.value = self._waiting(answer)

    def _column(self, answer: Answer) -> list[ipywidgets.Widget]:
        """The panel's children: widgets of their own for the stages that have begun."""
        begun = [stage for stage in self._shown(answer) if stage.status != "waiting"]
        for stage in begun:
            if stage.name not in self._stages:
                assert self._kit
                is_open = self._is_new or words.is_live(stage)
                self._stages[stage.name] = LiveStage(stage, self._kit, is_open=is_open)
        boxes = [self._stages[stage.name].box for stage in begun]
        return [*self._fixed, *self._missing(answer), *boxes, self._rest]

    def _missing(self, answer: Answer) -> list[ipywidgets.Widget]:
        """What is said where there is no model to ask, and the button that has one fetched."""
        if answer.missing is None or self._fetch is None:
            return []
        if self._offer_of is None:
            self._offer_of = self._made_offer(self._fetch)
        notice, button = self._offer_of
        notice.value = static.missing_html(answer.missing)
        return [notice] if answer.missing.done is not None else [notice, button]

    def _made_offer(self, fetch: Callable[[], None]) -> tuple[ipywidgets.HTML, ipywidgets.Button]:
        assert self._kit
        button = self._kit.button(words.FETCH, "Nothing is fetched before you press it", FETCH)
        button.on_click(lambda _: fetch())
        return self._kit.html(), button

    def _waiting(self, answer: Answer) -> str:
        """The stages that have not begun, in one piece of HTML; the panel's style with them."""
        shown = [stage for stage in self._shown(answer) if stage.status == "waiting"]
        return PANEL + "".join(map(static.stage_html, shown))

    def _shown(self, answer: Answer) -> tuple[StageAnswer, ...]:
        return () if self._buffered or answer.missing else answer.stages

    def _page(self, answer: Answer) -> dict[str, str]:
        """The panel without widgets."""
        stages = "".join(static.stage_html(stage) for stage in self._shown(answer))
        stages += static.missing_html(answer.missing) if answer.missing else ""
        page = f"{PANEL}{self._top(answer)}{stages}"
        return frame.shown(page, words.header(answer), "mirador")

    def _top(self, answer: Answer) -> str:
        line = words.header(answer)
        if self._stop is None:
            return static.header_html(f"{line} · {_NO_BUTTON}")
        return f'<div style="padding-right:80px">{static.header_html(line)}</div>'

    def _told(self, event: Event, answer: Answer) -> None:
        """Paint it, and tell readers who listen how far it is; never the text itself."""
        if any(words.is_live(stage) or stage.status == "waiting" for stage in answer.stages):
            self._paint(answer)  # else the twin comes at once
        if isinstance(event, StageFinished | StageFailed | StageStopped):
            self._speak(answer[event.stage])

    def _speak(self, stage: StageAnswer) -> None:
        controls().speak(f"{stage.name}: {words.stage_line(stage)}, {words.trust(stage)}")

    def _replace(self, answer: Answer) -> None:
        """Put the static twin in the panel's place and leave no widget behind."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        twin = static.bundle(answer, self.run, self._further.deeper(answer))
        self._put(twin, waits=True)
        if self._kit is None:
            self._offer()
            return
        self._kit.close()
        self._kit = None

    def _offer(self) -> None:
        controls().show(self.run, Actions(self._again, self._copied, self._is_late))

    def _again(self, stage: str) -> None:
        """Run this stage, where nothing runs here."""
        if self._timer is None:
            self._further.run(stage, self._display)

    def _copied(self) -> str:
        return static.as_written(self._answer())

    def _is_late(self, seconds: float) -> None:
        self._behind = 2 * seconds
