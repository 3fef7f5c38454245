"""The tuner: a stage's settings as controls, a panel in which it answers, and the tries below.

Three displays: the controls are widgets; the panel and the tries are plain outputs below them, which
the saved notebook shows without a kernel. A run goes on after its cell, so the controls live.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.answer.answer import Answer
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.settings.settings import Layer
from mirador_magic.stages import choose
from mirador_magic.views import frame, static
from mirador_magic.views.panel import Further, Panel
from mirador_magic.workbench.tune import permanent, sheet
from mirador_magic.workbench.tune.board import Board
from mirador_magic.workbench.tune.fields import Fields
from mirador_magic.workbench.tune.plan import layer_of, ways
from mirador_magic.workbench.tune.record import record_of
from mirador_magic.workbench.tune.tries import RATINGS, Settings, Try, changed, settings_of, short

SOURCE = "tuner()"


class Tuner(Board):
    """The widget of `tuner()`. Raises UsageError for a stage that there is none of."""

    def __init__(self, session: Session, stage: str) -> None:
        choose(list(session.stages.values()), [stage])
        super().__init__()
        self.stage = stage
        self._session = session
        self._record = record_of(session)
        self._opened_with = self._usual()
        self._handle: Handle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._answers: dict[int, Answer] = {}  # of this tuner's tries, by their number
        self._permanent: Mapping[str, str] = {}
        self._below: tuple[DisplayHandle, DisplayHandle] | None = None  # the panel and the tries
        self._make()
        self._offer(self.tries)
        self._looking = self.loop.create_task(self._look(), name="mirador tuner")

    def _make(self) -> None:
        self.fields = fields = Fields(self.kit, self._opened_with)
        self.go = self.button("▶ Run", "Ask the stage with these settings", self._run)
        self.halt = self.button("■ Stop", "End the run and keep what was written", self._stop)
        self.use = self.button("Use for this stage", "For the session, from now on", self._use)
        self.past = self.kit.make(ipywidgets.Dropdown, description="Tries")
        self.back = self.button("Go back", "Take this try's settings and question", self._back)
        self.ratings = [
            self.button(
                str(each), f"Rate this try {each} of 5", functools.partial(self._rate, each)
            )
            for each in RATINGS
        ]
        self.fill(
            fields.system,
            self.row(fields.model, *fields.options.values(), fields.more),
            fields.questions,
            self.row(self.go, self.halt, self.use),
            self.row(
                self.past, self.back, self.kit.make(ipywidgets.HTML, value="Rate"), *self.ratings
            ),
        )

    @property
    def tries(self) -> list[Try]:
        """The stage's tries, oldest first."""
        return self._record.of(self.stage)

    async def _look(self) -> None:
        await self._session.look()
        if not self.is_closed:
            self.fields.offer(self._session.models)

    def _run(self) -> None:
        if self._task and not self._task.done():
            raise UsageError("a run is under way", "stop it first")
        if not self.fields.asked:
            raise UsageError("there is no question", "write one a line into Questions")
        layer = self._layer()
        settings = ways(self._session, self._session.stages[self.stage], layer)
        self._is_stopped = False
        self._permanent = {}
        self.say("")
        runs = self._ask(self.fields.asked, layer, settings)
        self._task = self.loop.create_task(runs, name="mirador tuner")

    def _stop(self) -> None:
        self._is_stopped = True
        if self._handle:
            self._handle.stop()

    async def _ask(self, questions: list[str], layer: Layer, settings: Settings) -> None:
        """Ask one question after the other, each a try."""
        try:
            for place, question in enumerate(questions, 1):
                if self._is_stopped:
                    break
                if len(questions) > 1:
                    self.say(f"question {place} of {len(questions)}")
                await self._try(question, layer, settings)
        except MiradorError as error:
            self.say(str(error))

    async def _try(self, question: str, layer: Layer, settings: Settings) -> None:
        request = Request(question, stages=(self.stage,), settings=layer, purpose="tuning")
        self._handle = handle = self._session.start(request)
        self._show(handle)
        await handle.wait()
        self._handle = None
        self._keep(handle, settings)

    def _show(self, handle: Handle) -> None:
        """Let the run stream into the panel below the controls."""
        if self._below:
            panel = Panel(
                lambda: handle.answer,
                lambda: self.post(self._stop),
                Further(lambda stage, within: self.post(self._run), lambda answer: None),
                buffered=False,
                outlives=True,
                within=self._below[0],
            )
            handle.watch(panel)
            panel.show()

    def _keep(self, handle: Handle, settings: Settings) -> None:
        tried = self._record.keep(handle, settings)
        self._answers[tried.number] = handle.answer
        if self.is_closed:
            return
        tries = self.tries
        what = changed(tries[-2] if len(tries) > 1 else None, tried)
        self.say(f"try {tried.number}: {tried.why or what}")
        self._offer(tries)

    def _offer(self, tries: list[Try]) -> None:
        """Show the tries, and the newest as the one to rate."""
        self._paint(tries)
        if tries:
            self.past.value = tries[-1].number

    def _paint(self, tries: list[Try]) -> None:
        chosen = self.past.value
        before = [None, *tries]
        self.past.options = [
            (_label(last, tried), tried.number)
            for last, tried in list(zip(before, tries, strict=False))[-sheet.MOST :]
        ]
        if chosen in [number for _, number in self.past.options]:
            self.past.value = chosen
        if self._below:
            self._below[1].update(self._sheet(), raw=True)

    def _sheet(self) -> dict[str, str]:
        return sheet.bundle(self.stage, self.tries, self._permanent)

    def _chosen(self) -> Try:
        for tried in self.tries:
            if tried.number == self.past.value:
                return tried
        raise UsageError("there is no try yet", "press Run")

    def _back(self) -> None:
        tried = self._chosen()
        self.fields.show(tried.settings, self._usual())
        if tried.question:
            self.fields.questions.value = tried.question
        self.say(f"the settings of try {tried.number} are back")
        answer = self._answers.get(tried.number)
        if answer and self._below and not self._handle:
            self._below[0].update(static.bundle(answer), raw=True)

    def _rate(self, rating: int) -> None:
        tried = self._record.rate(self._chosen().number, rating)
        self.say(f"try {tried.number} is rated {rating} of 5")
        self._paint(self.tries)

    def _use(self) -> None:
        """Make the fields the stage's settings, and show what makes them permanent."""
        layer, now = self._layer(), self._usual()
        given = {key.removeprefix(f"{self.stage}."): each.value for key, each in layer.items()}
        other = {
            key: value
            for key, value in given.items()
            if not now.get(key) == value == self._opened_with.get(key)
        }
        if not other:
            self.say(f"{self.stage} has these settings already")
            return
        values = {f"{self.stage}.{key}": value for key, value in other.items()}
        self._session.configure(values, SOURCE)
        self._permanent = {
            "in Python, for a session": permanent.python(self.stage, other),
            "in pyproject.toml, for good": permanent.toml(self.stage, other),
        }
        self.say(
            f"{self.stage} is asked so from now on, in this session; what keeps it stands below"
        )
        self._paint(self.tries)

    def _layer(self) -> Layer:
        """What the fields set, for this stage alone. Raises UsageError for what cannot be."""
        return layer_of(self.stage, self.fields.values, SOURCE)

    def _usual(self) -> dict[str, object]:
        """What the stage is asked with now."""
        return settings_of(self._session.stages[self.stage])

    def _ipython_display_(self, **_: object) -> None:
        super()._ipython_display_()
        self._below = (DisplayHandle(), DisplayHandle())
        empty = frame.bundle("", "")
        self._below[0].display(empty, raw=True)
        self._below[1].display(self._sheet(), raw=True)

    def twin(self) -> dict[str, str]:
        """What stands in the controls' place; the tries have a display of their own."""
        fields = [f"{key}: {value}" for key, value in self.fields.shown.items()]
        rows = [(short(each, 200),) for each in fields]
        head = f"mirador tuner of {self.stage}: run this cell to go on"
        return frame.bundle(sheet.html_of([head], rows), sheet.text_of([head], rows))

    def close(self) -> None:
        """End the run, and put text in the place of the controls."""
        if not (self.is_closed or self.loop.is_closed()):
            self.loop.call_soon_threadsafe(self._end)
        super().close()

    def _end(self) -> None:
        self._stop()
        self._looking.cancel()


def _label(before: Try | None, tried: Try) -> str:
    """A try in the list of them."""
    rating = f" · {tried.rating} of 5" if tried.rating else ""
    what = f"{tried.name}: " if tried.name else ""
    return short(f"{tried.number}: {what}{changed(before, tried)}{rating}", 100)
