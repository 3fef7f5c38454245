"""The controls as they stand on the page: they show what is in force, and do nothing yet."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer import words
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.settings.settings import Settings
from mirador_magic.settings.values import engines
from mirador_magic.settings.written import written
from mirador_magic.stages import ModelStage
from mirador_magic.views import frame
from mirador_magic.views.board_widgets import BoardWidgets
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.controls.kit import STYLE, Row
from mirador_magic.workbench.controls.lamps import Stock
from mirador_magic.workbench.controls.names import FLAGS, OPTIONS, others, places, route_of, what

_TWIN = "mirador controls: run this cell to set these"


class Panel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets tells no types
    """The widgets of a session's settings, and what they show. Empty until `_paint`.

    `clock`, in seconds, is the one to go by where there was no warm-up.
    """

    _is_closed = True  # until it is made

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self._painter: int | None = None  # the thread that sets widgets now
        self._label = self._said = self._trouble = ""
        self._stock = Stock()
        self._stages: Mapping[str, ModelStage] = {}  # as they were painted
        self._column: tuple[ipywidgets.Widget, ...] = ()
        self._displays: list[DisplayHandle] = []
        self._make()
        self._is_closed = False

    def _make(self) -> None:
        self._kit = kit = BoardWidgets()
        self.route = kit.make(ipywidgets.Dropdown, description="Route", options=OPTIONS)
        self.engine = kit.make(ipywidgets.Dropdown, description="Engine", options=engines())
        self.flags = {
            key: kit.make(ipywidgets.Checkbox, description=label, indent=False)
            for key, label in FLAGS.items()
        }
        self.rows: dict[str, Row] = {}
        self.status = kit.make(ipywidgets.HTML)
        self.refresh = self._button("Refresh", "See again what is set and what is warm")
        self.reset = self._button("Reset", "Take back what was set here")
        self._top = self._row(self.route, self.engine, *self.flags.values())
        self._foot = self._row(self.status, self.refresh, self.reset)
        self._sheet = kit.make(ipywidgets.HTML, "mirador-sheet", value=STYLE)
        super().__init__(layout=kit.layout, _dom_classes=("mirador-board",))

    def _make_row(self, name: str) -> Row:
        kit = self._kit
        ask = kit.make(ipywidgets.Checkbox, description=name, indent=False)
        model = kit.make(ipywidgets.Combobox, continuous_update=False)
        kept = kit.make(
            ipywidgets.Text, "mirador-kept", continuous_update=False, placeholder="kept, s"
        )
        more = kit.make(
            ipywidgets.Text, "mirador-more", continuous_update=False, placeholder="think=low …"
        )
        lamp = kit.make(ipywidgets.HTML)
        warm = self._button("Warm", f"Load the model of {name}")
        leave = self._button("Let go", f"Take the model of {name} out of memory")
        box = self._row(ask, model, kept, more, lamp, warm, leave, kind="mirador-stage-row")
        return Row(ask, model, kept, more, lamp, warm, leave, box)

    def _row(self, *children: ipywidgets.Widget, kind: str = "mirador-row") -> ipywidgets.HBox:
        return self._kit.make(ipywidgets.HBox, "mirador-row", kind, children=children)

    def _button(self, label: str, tooltip: str) -> ipywidgets.Button:
        return self._kit.make(ipywidgets.Button, description=label, tooltip=tooltip)

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
        self._paint_foot(self._notes(settings))

    def _paint_top(self, settings: Settings) -> None:
        self.route.value = route_of(settings["default_stages"])
        self.route.tooltip = what("default_stages", settings.given("default_stages"))
        if settings["engine"] not in self.engine.options:  # installed since this was made
            self.engine.options = engines()
        for key, widget in {"engine": self.engine, **self.flags}.items():
            widget.value = settings[key]
            widget.tooltip = what(key, settings.given(key))

    def _paint_rows(self, settings: Settings, stages: Mapping[str, ModelStage]) -> None:
        chatting = (model.name for model in self._stock.installed if model.chats)
        names = tuple(dict.fromkeys(chatting))
        for name, stage in stages.items():
            row = self.rows.get(name) or self.rows.setdefault(name, self._make_row(name))
            row.ask.value = name in settings["default_stages"]
            row.ask.tooltip = f"Ask {name}"
            row.more.value = written(others(self._session.notebook, name))
            row.more.tooltip = f"{name}: other settings, such as think=low options.top_k=20"
            kept = stage.keep_alive
            row.kept.value = "" if kept is None else f"{kept:g}"
            row.kept.tooltip = f"{name}: {what('keep_alive', settings.of(name, 'keep_alive'))}"
            row.model.options = names
            row.model.value = stage.model
            row.model.tooltip = f"{name}: {what('model', settings.of(name, 'model'))}"
        self._stages = stages
        boxes = [self.rows[name].box for name in stages]
        column = (self._sheet, self._top, *boxes, self._foot)
        if self._column != column:
            self.children = self._column = column

    def _paint_lamps(self) -> bool:
        """Whether a model is loading, so that its lamp changes with the time."""
        if self._is_closed:
            return False
        warmup, is_loading = self._session.readiness.warmup, False
        now = warmup.clock() if warmup else self._clock()
        for name, stage in self._stages.items():
            row, warmth = self.rows[name], self._stock.warmth(stage, warmup)
            row.lamp.value = self._stock.lamp(stage, warmth, now)
            row.warm.disabled = warmth.state in ("loading", "warm")
            row.leave.disabled = warmth.state != "warm"
            is_loading = is_loading or warmth.state == "loading"
        return is_loading

    def _paint_foot(self, notes: Sequence[str] = ()) -> None:
        told = [words.one_line(each) for each in (self._said, self._trouble) if each]
        lines = "".join(f"<div>{html.escape(each)}</div>" for each in told)
        quiet = html.escape(" · ".join(filter(None, [self._label, *notes])))
        self.status.value = f'<div role="status">{lines}</div><div style="{QUIET}">{quiet}</div>'

    def _notes(self, settings: Settings) -> list[str]:
        """Which model is first to make room, and what was set where."""
        first = self._session.readiness.warmup and self._session.readiness.warmup.leaves_first()
        return [*([words.leaving(first)] if first else []), *places(settings, [*self._stages])]

    def _say(self, text: str) -> None:
        self._said = text
        self._paint()

    def _ipython_display_(self, **_: object) -> None:
        """Show it; what is saved with it is read where no kernel is."""
        display = DisplayHandle()
        view = {} if self._is_closed else self._repr_mimebundle_()
        display.display({**view, **self._twin()}, raw=True)
        self._displays.append(display)

    def _twin(self) -> dict[str, str]:
        """The controls as text: what is in force, and how to have them again."""
        stages = [f"{name}: {stage.model}" for name, stage in self._stages.items()]
        asked = ", ".join(name for name, row in self.rows.items() if row.ask.value)
        route = f"route: {self.route.value}{f' ({asked})' if asked else ''}"
        lines = [route, f"engine: {self.engine.value}", *stages]
        plain_text = "\n".join(map(words.one_line, [_TWIN, *lines]))
        shown = "".join(f"<div>{html.escape(line)}</div>" for line in plain_text.splitlines())
        return frame.bundle(f'<div style="{QUIET}">{shown}</div>', plain_text)

    def close(self) -> None:
        """Put text in its place."""
        self._is_closed = True
        twin = self._twin()
        for display in self._displays:
            display.update(twin, raw=True)
        self._kit.close()
        super().close()
