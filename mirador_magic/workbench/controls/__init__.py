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
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import ipywidgets

from mirador_magic.answer import words
from mirador_magic.engines.base import held
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.residency.warmup import Warmth
from mirador_magic.session.session import Session
from mirador_magic.settings.written import read
from mirador_magic.stages import ModelStage, plain
from mirador_magic.workbench.controls.kit import Row
from mirador_magic.workbench.controls.lamps import Stock
from mirador_magic.workbench.controls.names import (
    OWN_CHOICE,
    ROUTES,
    SOURCE,
    others,
    route_of,
    told,
)
from mirador_magic.workbench.controls.panel import Panel

__all__ = ["SOURCE", "Switchboard", "leave", "route_of", "switchboard"]

TICK = 1.0  # seconds between two looks at a model that loads


class Switchboard(Panel):
    """The widget of `controls()`; belongs to the running loop. `close` ends what it has begun.

    Raises UsageError where no loop runs, and for settings that cannot be read.
    """

    def __init__(self, session: Session) -> None:
        self.loop = _running_loop()
        session.settings()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._one_by_one = asyncio.Lock()
        self._is_looking = self._is_stale = False
        super().__init__(session, self.loop.time)
        self._bind()
        self._paint()
        self._look()
        atexit.register(self.close)  # so that what is saved then needs no kernel

    def _bind(self) -> None:
        self._on(self.route, self._route)
        self._on(self.engine, lambda engine: self._set(engine=engine))
        self._on(self.flags["streaming"], lambda value: self._set(streaming=value))
        self._on(self.flags["pre_warm"], self._pre_warm)
        self._on_click(self.refresh, _nothing)
        self._on_click(self.reset, self._reset)

    def _make_row(self, name: str) -> Row:
        row = super()._make_row(name)
        self._on(row.ask, lambda value: self._choose(name, value))
        self._on(row.model, lambda value: self._set(**{f"{name}.model": value}))
        self._on(row.kept, lambda value: self._keep_alive(name, value))
        self._on(row.more, lambda value: self._set_more(name, value))
        self._on_click(row.warm, lambda: self._warm(name))
        self._on_click(row.leave, lambda: self._let_go(name))
        return row

    def _on_click(self, button: ipywidgets.Button, deed: Callable[[], object]) -> None:
        button.on_click(lambda _: self._post(deed))

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
        self._said = "; ".join(f"{told(key)} is set" for key in values) + ", from now on"

    def _route(self, route: str) -> None:
        if route == OWN_CHOICE:
            self._said = "tick the stages that are to be asked"
        else:
            self._set(default_stages=ROUTES[route])

    def _choose(self, stage: str, is_asked: bool) -> None:
        chosen = {*self._session.settings()["default_stages"]}
        (chosen.add if is_asked else chosen.discard)(stage)
        self._set(default_stages=[name for name in self._session.stages if name in chosen])

    def _keep_alive(self, stage: str, seconds: str) -> None:
        """Set how long the stage's model is kept; an empty text takes it back."""
        key = f"{stage}.keep_alive"
        self._set(**{key: seconds.strip() or None})
        if not seconds.strip():
            self._said = f"taken back: {key}"

    def _set_more(self, stage: str, text: str) -> None:
        """Set what has no field of its own; what was set there before and is gone is taken back."""
        before = dict.fromkeys(others(self._session.notebook, stage))
        self._session.configure(
            {f"{stage}.{k}": v for k, v in (before | read(text)).items()}, SOURCE
        )
        self._said = f"{stage}: {text.strip() or 'nothing more'} is set, from now on"

    def _pre_warm(self, value: bool) -> None:
        self._set(pre_warm=value)
        self._session.readiness.pre_warm = value
        if value:
            self._start(lambda: self._bring(None))

    def _reset(self) -> None:
        given = self._session.notebook.items()
        own = {key: None for key, value in given if value.source == SOURCE}
        self._session.configure(own, SOURCE)
        if "pre_warm" in own:
            self._session.readiness.pre_warm = self._session.settings()["pre_warm"]
        self._said = f"taken back: {', '.join(map(told, own)) or 'nothing was set here'}"

    def _warm(self, name: str) -> None:
        self._start(lambda: self._bring(self._session.stages[name]))

    def _let_go(self, name: str) -> None:
        self._start(lambda: self._release(self._session.stages[name]))

    async def _bring(self, stage: ModelStage | None) -> None:
        """Load the model of this stage, or those of the default ones, after what is loading."""
        models = [stage.model] if stage else []
        async with self._one_by_one:
            for _ in range(2):  # one that was under way before is waited for, but is not this one
                await self._session.readiness.warm(models, self._told)
                warmth = (
                    self._stock.warmth(stage, self._session.readiness.warmup) if stage else None
                )
                if warmth is None or warmth.state != "cold":
                    break
        if warmth and warmth.state != "failed":
            self._say(f"{words.one_line(warmth.model)} is {warmth.state}")

    async def _release(self, stage: ModelStage) -> None:
        model = self._stock.answering(stage)
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
            installed = await engine.models()
            found = await engine.resident()
            resident = {plain(each.name): each for each in found}
            for each in installed:  # names of weights that are there under another one
                if here := held(engine, found, each.name):
                    resident[plain(each.name)] = here
            self._stock = Stock(installed, resident)
            await self._session.readiness.look()
            self._label, self._trouble = engine.label, ""
        except MiradorError as error:
            self._stock, self._label = Stock(), ""
            self._trouble = str(error)
        self._paint()

    def _paint_lamps(self) -> bool:
        is_loading = super()._paint_lamps()
        if is_loading and self._timer is None:
            self._timer = self.loop.call_later(TICK, self._tick)
        return is_loading

    def _tick(self) -> None:
        self._timer = None
        self._paint_lamps()
        if self._timer is None:  # nothing loads any more
            self._look()

    def _ipython_display_(self, **_: object) -> None:
        super()._ipython_display_()
        self._look()

    def close(self) -> None:
        """Put text in its place, and end what it has begun, on its loop."""
        if self._is_closed:
            return
        self._is_closed = True
        _boards.pop(self._session, None)
        atexit.unregister(self.close)
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._end)
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


def _nothing() -> None:
    """What is done anyway, after each action: read again and paint."""
