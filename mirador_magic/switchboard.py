"""The controls: route, stages, models and engine of what is asked next, and how warm the models are.

Plain ipywidgets. What is set here goes into the notebook's settings, as `controls()`; what is shown
is what is in force, read again after each action. A page's messages may come on a thread of their
own, so that each is handed to the kernel's loop. In a notebook that is closed or has no kernel, the
same stands there as text.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import html
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.confidence import CYAN, GRAY, RED
from mirador_magic.engines.base import ModelInfo
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.provision import substitute
from mirador_magic.router import STAGES
from mirador_magic.session import Session
from mirador_magic.setting_keys import ENGINES, KEYS
from mirador_magic.settings import Given, Settings
from mirador_magic.stages import ModelStage, plain
from mirador_magic.views import words
from mirador_magic.views.static import QUIET
from mirador_magic.warmup import Warmth

SOURCE = "controls()"
TICK = 1.0  # seconds between two looks at a model that loads

ROUTES: Mapping[str, tuple[str, ...]] = {
    "auto": (),
    "fast": STAGES["simple"],
    "balanced": STAGES["medium"],
    "deep": STAGES["complex"],
}
OWN_CHOICE = "own choice"
_ROUTES = {
    "auto: the question decides": "auto",
    **{f"{name}: {len(ROUTES[name])} of 3 stages": name for name in ("fast", "balanced", "deep")},
    OWN_CHOICE: OWN_CHOICE,
}
_TWIN = "mirador controls: run this cell to set these"
_FLAGS = {"pre_warm": "pre-warm", "streaming": "streaming"}

# The lamp's shape tells as much as its colour.
_LAMPS = {
    "cold": ("○", GRAY),
    "loading": ("◐", "inherit"),
    "warm": ("●", CYAN),
    "failed": ("●", RED),
    "evicted": ("○", RED),
}
_STYLE = """<style>
.mirador-board {max-width: 960px; overflow: visible}
.mirador-board > .mirador-sheet {display: none}
.mirador-board .mirador-row {display: flex; flex-wrap: wrap; align-items: center; gap: 2px 12px;
  margin: 2px 0; overflow: visible}
.mirador-board .widget-checkbox label {display: flex; align-items: center; line-height: 28px}
.mirador-board .widget-checkbox input {margin: 0 6px 0 0}
.mirador-board .mirador-row input[type=text], .mirador-board select {height: 26px; line-height: 24px}
.mirador-board .mirador-row > * {margin: 0; width: auto}
.mirador-board .mirador-row > .widget-checkbox {flex: 0 0 auto; min-width: 0}
.mirador-board .mirador-row > .widget-dropdown {flex: 0 1 300px}
.mirador-board .mirador-row > .widget-dropdown ~ .widget-dropdown {flex: 0 1 190px}
.mirador-board .widget-dropdown .widget-label {width: auto; margin-right: 6px}
.mirador-board .mirador-stage-row > .widget-checkbox {flex: 0 0 150px}
.mirador-board .mirador-stage-row > .widget-text {flex: 1 1 190px; max-width: 330px}
.mirador-board .mirador-row > .widget-html {flex: 1 1 180px; min-width: 0; font-size: 13px}
.mirador-board .widget-html-content {line-height: 1.5; overflow-wrap: anywhere}
.mirador-board .mirador-row > .jupyter-button {flex: 0 0 auto; height: 24px; line-height: 22px;
  padding: 0 10px; font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}
.mirador-board .mirador-row > .jupyter-button:hover:enabled {border-color: currentcolor;
  box-shadow: none}
</style>"""


class Kit:
    """Makes the widgets. They share one layout, and their style by kind: each is a message more."""

    def __init__(self) -> None:
        self.layout = ipywidgets.Layout()
        self._styles: dict[type, ipywidgets.Widget] = {}
        self._made: list[ipywidgets.Widget] = []

    def make(self, kind: Any, *classes: str, **given: Any) -> Any:
        """A widget of this kind and of these CSS classes."""
        if kind in self._styles:
            given["style"] = self._styles[kind]
        widget = kind(layout=self.layout, _dom_classes=classes, **given)
        if widget.has_trait("style"):
            self._styles.setdefault(kind, widget.style)
        self._made.append(widget)
        return widget

    def close(self) -> None:
        for widget in (*self._made, *self._styles.values(), self.layout):
            widget.close()


@dataclass(frozen=True)
class Row:
    """The widgets of one stage."""

    ask: ipywidgets.Checkbox
    model: ipywidgets.Combobox
    lamp: ipywidgets.HTML
    warm: ipywidgets.Button
    leave: ipywidgets.Button
    box: ipywidgets.HBox


class Switchboard(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets tells no types
    """The widget of `controls()`; belongs to the running loop. `close` ends what it has begun.

    Raises UsageError where no loop runs, and for settings that cannot be read.
    """

    _is_closed = True  # until it is made

    def __init__(self, session: Session) -> None:
        self.loop = _running_loop()
        session.settings()
        self._session = session
        self._painter: int | None = None  # the thread that sets widgets now
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._one_by_one = asyncio.Lock()
        self._is_looking = self._is_stale = False
        self._label = self._said = self._trouble = ""
        self._installed: Sequence[ModelInfo] = ()
        self._resident: Mapping[str, ModelInfo] = {}
        self._stages: Mapping[str, ModelStage] = {}  # as they were painted
        self._column: tuple[ipywidgets.Widget, ...] = ()
        self._displays: list[DisplayHandle] = []
        self._make()
        self._is_closed = False
        self._paint()
        self._look()
        atexit.register(self.close)  # so that what is saved then needs no kernel

    def _make(self) -> None:
        self._kit = kit = Kit()
        self.route = kit.make(ipywidgets.Dropdown, description="Route", options=_ROUTES)
        self.engine = kit.make(ipywidgets.Dropdown, description="Engine", options=ENGINES)
        self.flags = {
            key: kit.make(ipywidgets.Checkbox, description=label, indent=False)
            for key, label in _FLAGS.items()
        }
        self.rows: dict[str, Row] = {}
        self.status = kit.make(ipywidgets.HTML)
        self.refresh = self._button("Refresh", "See again what is set and what is warm", _nothing)
        self.reset = self._button("Reset", "Take back what was set here", self._reset)
        self._top = self._row(self.route, self.engine, *self.flags.values())
        self._foot = self._row(self.status, self.refresh, self.reset)
        self._sheet = kit.make(ipywidgets.HTML, "mirador-sheet", value=_STYLE)
        super().__init__(layout=kit.layout, _dom_classes=("mirador-board",))
        self._on(self.route, self._route)
        self._on(self.engine, lambda engine: self._set(engine=engine))
        self._on(self.flags["streaming"], lambda value: self._set(streaming=value))
        self._on(self.flags["pre_warm"], self._pre_warm)

    def _make_row(self, name: str) -> Row:
        kit = self._kit
        ask = kit.make(ipywidgets.Checkbox, description=name, indent=False)
        model = kit.make(ipywidgets.Combobox, continuous_update=False)
        lamp = kit.make(ipywidgets.HTML)
        warm = self._button("Warm", f"Load the model of {name}", lambda: self._warm(name))
        leave = self._button(
            "Let go", f"Take the model of {name} out of memory", lambda: self._let_go(name)
        )
        self._on(ask, lambda value: self._choose(name, value))
        self._on(model, lambda value: self._set(**{f"{name}.model": value}))
        box = self._row(ask, model, lamp, warm, leave, kind="mirador-stage-row")
        return Row(ask, model, lamp, warm, leave, box)

    def _row(self, *children: ipywidgets.Widget, kind: str = "mirador-row") -> ipywidgets.HBox:
        return self._kit.make(ipywidgets.HBox, "mirador-row", kind, children=children)

    def _button(self, label: str, tooltip: str, deed: Callable[[], object]) -> ipywidgets.Button:
        button = self._kit.make(ipywidgets.Button, description=label, tooltip=tooltip)
        button.on_click(lambda _: self._post(deed))
        return button

    def _on(self, widget: ipywidgets.Widget, deed: Callable[[Any], object]) -> None:
        """Have each value that the page sets done on the loop."""

        def hear(change: Any) -> None:
            if self._painter != threading.get_ident():
                self._post(functools.partial(deed, change["new"]))

        widget.observe(hear, "value")

    def _post(self, deed: Callable[[], object]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._do, deed)

    def _do(self, deed: Callable[[], object]) -> None:
        if self._is_closed:
            return
        self._said = ""
        try:
            deed()
        except MiradorError as error:
            self._said = str(error)
        self._paint()
        self._look()

    def _set(self, **values: object) -> None:
        self._session.configure(values, SOURCE)
        self._said = "; ".join(f"{_told(key)} is set" for key in values) + ", from now on"

    def _route(self, route: str) -> None:
        if route == OWN_CHOICE:
            self._said = "tick the stages that are to be asked"
        else:
            self._set(default_stages=ROUTES[route])

    def _choose(self, stage: str, is_asked: bool) -> None:
        chosen = {*self._session.settings()["default_stages"]}
        (chosen.add if is_asked else chosen.discard)(stage)
        self._set(default_stages=[name for name in self._session.stages if name in chosen])

    def _pre_warm(self, value: bool) -> None:
        self._set(pre_warm=value)
        self._session.pre_warm = value
        if value:
            self._start(lambda: self._bring(None))

    def _reset(self) -> None:
        given = self._session.notebook.items()
        own = {key: None for key, value in given if value.source == SOURCE}
        self._session.configure(own, SOURCE)
        if "pre_warm" in own:
            self._session.pre_warm = self._session.settings()["pre_warm"]
        self._said = f"taken back: {', '.join(map(_told, own)) or 'nothing was set here'}"

    def _warm(self, name: str) -> None:
        self._start(lambda: self._bring(self._session.stages[name]))

    def _let_go(self, name: str) -> None:
        self._start(lambda: self._release(self._session.stages[name]))

    async def _bring(self, stage: ModelStage | None) -> None:
        """Load the model of this stage, or those of the default ones, after what is loading."""
        models = [stage.model] if stage else []
        async with self._one_by_one:
            for _ in range(2):  # one that was under way before is waited for, but is not this one
                await self._session.warm(models, self._told)
                warmth = self._warmth(stage) if stage else None
                if warmth is None or warmth.state != "cold":
                    break
        if warmth and warmth.state != "failed":
            self._say(f"{words.one_line(warmth.model)} is {warmth.state}")

    async def _release(self, stage: ModelStage) -> None:
        model = self._answering(stage)
        await (await self._session.engine()).unload(model)
        self._say(f"{words.one_line(model)} has left memory")

    def _told(self, warmth: Warmth) -> None:
        """What a warm-up says."""
        if warmth.why:
            self._say(warmth.why)
        self._paint_lamps()

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except MiradorError as error:
                self._say(str(error))
            self._look()

        self._keep(self.loop.create_task(guarded(), name="mirador controls"))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        """Ask the engine what it has, and show that."""
        self._is_stale = True
        if not (self._is_looking or self._is_closed):
            self._is_looking = True
            self._keep(self.loop.create_task(self._ask_engine(), name="mirador controls"))

    async def _ask_engine(self) -> None:
        try:
            while self._is_stale:
                self._is_stale = False
                await self._ask_once()
        finally:
            self._is_looking = False

    async def _ask_once(self) -> None:
        try:
            engine = await self._session.engine()
            self._installed = await engine.models()
            self._resident = {plain(model.name): model for model in await engine.resident()}
            await self._session.warmth()
            self._label, self._trouble = engine.label, ""
        except MiradorError as error:
            self._installed, self._resident, self._label = (), {}, ""
            self._trouble = str(error)
        self._paint()

    def _paint(self) -> None:
        """Show what is in force."""
        if self._is_closed:
            return
        try:
            settings, stages = self._session.settings(), self._session.stages
        except UsageError as error:
            self._trouble = str(error)
            self._paint_foot()
            return
        self._painter = threading.get_ident()
        try:
            self._paint_top(settings)
            self._paint_rows(settings, stages)
        finally:
            self._painter = None
        self._paint_lamps()
        self._paint_foot(self._notes(settings, stages))

    def _paint_top(self, settings: Settings) -> None:
        self.route.value = route_of(settings["default_stages"])
        self.route.tooltip = _what("default_stages", settings.given("default_stages"))
        for key, widget in {"engine": self.engine, **self.flags}.items():
            widget.value = settings[key]
            widget.tooltip = _what(key, settings.given(key))

    def _paint_rows(self, settings: Settings, stages: Mapping[str, ModelStage]) -> None:
        names = tuple(dict.fromkeys(model.name for model in self._installed))
        for name, stage in stages.items():
            row = self.rows.get(name) or self.rows.setdefault(name, self._make_row(name))
            row.ask.value = name in settings["default_stages"]
            row.ask.tooltip = f"Ask {name}"
            row.model.options = names
            row.model.value = stage.model
            row.model.tooltip = f"{name}: {_what('model', settings.of(name, 'model'))}"
        self._stages = stages
        boxes = [self.rows[name].box for name in stages]
        column = (self._sheet, self._top, *boxes, self._foot)
        if self._column != column:
            self.children = self._column = column

    def _paint_lamps(self) -> None:
        if self._is_closed:
            return
        is_loading = False
        for name, stage in self._stages.items():
            row, warmth = self.rows[name], self._warmth(stage)
            row.lamp.value = self._lamp(stage, warmth)
            row.warm.disabled = warmth.state in ("loading", "warm")
            row.leave.disabled = warmth.state != "warm"
            is_loading = is_loading or warmth.state == "loading"
        if is_loading and self._timer is None:
            self._timer = self.loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._paint_lamps()
        if self._timer is None:  # nothing loads any more
            self._look()

    def _paint_foot(self, notes: Sequence[str] = ()) -> None:
        told = [words.one_line(each) for each in (self._said, self._trouble) if each]
        lines = "".join(f"<div>{html.escape(each)}</div>" for each in told)
        quiet = html.escape(" · ".join(filter(None, [self._label, *notes])))
        self.status.value = f'<div role="status">{lines}</div><div style="{QUIET}">{quiet}</div>'

    def _notes(self, settings: Settings, stages: Mapping[str, ModelStage]) -> list[str]:
        """Which model is first to make room, and what was set where."""
        first = self._session.warmup and self._session.warmup.leaves_first()
        notes = [words.leaving(first)] if first else []
        given = {key: settings.given(key) for key in ("default_stages", "engine", *_FLAGS)}
        given |= {f"{name}.model": own for name in stages if (own := settings.of(name, "model"))}
        places: dict[str, list[str]] = {}
        for key, each in given.items():
            places.setdefault(each.source, []).append(_told(key))
        here = places.pop(SOURCE, [])
        places.pop("default", None)
        notes += [f"set here: {', '.join(here)}"] if here else []
        return notes + [f"{source} sets {', '.join(keys)}" for source, keys in places.items()]

    def _say(self, text: str) -> None:
        self._said = text
        self._paint()

    def _answering(self, stage: ModelStage) -> str:
        """The model that answers for this stage: its own, or the one that stands in for it."""
        instead = None if self._has(stage.model) else substitute(stage, self._installed)
        return instead.model if instead else stage.model

    def _has(self, model: str) -> bool:
        return plain(model) in {plain(each.name) for each in self._installed}

    def _warmth(self, stage: ModelStage) -> Warmth:
        model = self._answering(stage)
        warmup = self._session.warmup
        if known := warmup and warmup.of(model):
            return known
        here = self._resident.get(plain(model))
        if here is None:
            return Warmth(stage.name, model)
        return Warmth(stage.name, model, "warm", here.size, until=here.until)

    def _lamp(self, stage: ModelStage, warmth: Warmth) -> str:
        """How ready a stage's model is: a dot, words, and all that is known where one points."""
        clock = self._session.warmup.clock if self._session.warmup else self.loop.time
        now = clock()
        told = words.readiness(warmth, now)
        if plain(warmth.model) != plain(stage.model):
            told += f" · {words.one_line(warmth.model)} answers"
        elif self._installed and warmth.state == "cold" and not self._is_there(stage.model):
            told = "not installed"
        dot, colour = _LAMPS[warmth.state]
        title = html.escape(words.warmth_line(warmth, now))
        shown = f'<span aria-hidden="true" style="color:{colour}">{dot}</span> {html.escape(told)}'
        return f'<span title="{title}">{shown}</span>'

    def _is_there(self, model: str) -> bool:
        return self._has(model) or model.endswith(".gguf")

    def _ipython_display_(self, **_: object) -> None:
        """Show it; what is saved with it is read where no kernel is."""
        display = DisplayHandle()
        view = {} if self._is_closed else self._repr_mimebundle_()
        display.display({**view, **self._twin()}, raw=True)
        self._displays.append(display)
        self._look()

    def _twin(self) -> dict[str, str]:
        """The controls as text: what is in force, and how to have them again."""
        stages = [f"{name}: {stage.model}" for name, stage in self._stages.items()]
        asked = ", ".join(name for name, row in self.rows.items() if row.ask.value)
        route = f"route: {self.route.value}{f' ({asked})' if asked else ''}"
        lines = [route, f"engine: {self.engine.value}", *stages]
        plain_text = "\n".join(map(words.one_line, [_TWIN, *lines]))
        shown = "".join(f"<div>{html.escape(line)}</div>" for line in plain_text.splitlines())
        return {"text/html": f'<div style="{QUIET}">{shown}</div>', "text/plain": plain_text}

    def close(self) -> None:
        """Put text in its place, and end what it has begun, on its loop."""
        if self._is_closed:
            return
        self._is_closed = True
        _boards.pop(self._session, None)
        atexit.unregister(self.close)
        twin = self._twin()
        for display in self._displays:
            display.update(twin, raw=True)
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._end)
        self._kit.close()
        super().close()

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()


_boards: dict[Session, Switchboard] = {}  # the open ones


def switchboard(session: Session) -> Switchboard:
    """The controls of this session: the ones that are open, which may be shown in many places.

    Raises UsageError where no loop runs, and for settings that cannot be read.
    """
    board = _boards.get(session)
    if board is None or board.loop is not _running_loop():
        board = _boards[session] = Switchboard(session)
    return board


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("controls() needs a notebook", "%mirador settings") from None


def leave(session: Session) -> None:
    """Close the session's open board, where it has one."""
    if board := _boards.get(session):
        board.close()


def route_of(stages: Sequence[str]) -> str:
    """The name of the route that these stages are: auto, fast, balanced, deep or own choice."""
    return next((name for name, own in ROUTES.items() if own == tuple(stages)), OWN_CHOICE)


def _told(key: str) -> str:
    """A setting's name for people."""
    return {"default_stages": "route"}.get(key, key)


def _what(key: str, given: Given | None) -> str:
    """What a setting is, and where its value comes from."""
    place = given.source if given and given.source != "default" else "Mirador's own default"
    return f"{KEYS[key].what}; set by {place}"


def _nothing() -> None:
    """What is done anyway, after each action: read again and paint."""
