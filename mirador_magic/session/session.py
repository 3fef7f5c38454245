"""The composition root: from a request to a run on an engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.run_state import RunState
from mirador_magic.engines import endpoints as endpoints_
from mirador_magic.engines import provision
from mirador_magic.engines.base import Engine
from mirador_magic.engines.by_endpoint import Endpoints
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.models import Installing
from mirador_magic.engines.provision import Need
from mirador_magic.errors import EngineUnavailable, MiradorError, UsageError
from mirador_magic.events import Event, RunFinished, StageFailed
from mirador_magic.pipeline.metrics import Meter
from mirador_magic.pipeline.run import Run
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.residency.overlap import Overlap
from mirador_magic.residency.readiness import Readiness
from mirador_magic.session import request as requests
from mirador_magic.session.awaiting import Awaiting
from mirador_magic.session.engine_choice import Engines
from mirador_magic.session.going import Going
from mirador_magic.session.handle import Handle
from mirador_magic.session.known_stages import KnownStages
from mirador_magic.session.records import record
from mirador_magic.session.request import Request
from mirador_magic.session.shortening import shortener
from mirador_magic.settings import settings as settings_
from mirador_magic.settings.change import changed
from mirador_magic.settings.settings import Layer, Settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage

if TYPE_CHECKING:
    from mirador_magic.engines.pull import Fetched, Progress
    from mirador_magic.store import Recorder


__all__ = ["Request", "Session", "current"]


class Session:
    """The engines, stages and settings of one notebook; starts runs."""

    def __init__(self, stages: Sequence[ModelStage] = DEFAULT_STAGES) -> None:
        self._known = KnownStages(stages)
        self.notebook: dict[str, settings_.Given] = {}  # what was set from within
        self.asked: deque[Answer] = deque(maxlen=100)  # the newest last
        self.last: Answer | None = None
        self._going = Going()
        self.recorder: Recorder | None = None
        self.in_notebook = False  # and not in a terminal
        self.in_force = Settings()  # when the last run was started, but for its own
        self.models: tuple[str, ...] = ()  # that are installed, as far as is known
        self.engines = Engines()
        self._endpoints = Endpoints()
        self.readiness = Readiness(
            lambda: self._stages(self.settings()),
            self.engine,
            lambda model: self.endpoints().cold(model),
        )
        self.closing: asyncio.Task[None] | None = None  # a task is kept by who started it

    @property
    def going(self) -> list[Handle]:
        """The runs that are not over."""
        return self._going.runs

    @property
    def started(self) -> list[Callable[[Handle], None]]:
        """Are told of each run that starts."""
        return self._going.started

    @property
    def stages(self) -> Mapping[str, ModelStage]:
        """All stages by name, as the settings in force have them."""
        return self._known.all(self.settings())

    def settings(self, line: Layer | None = None) -> Settings:
        """What is in force now, `line` above all. Raises UsageError for what cannot be read."""
        files = settings_.of_files(Path.cwd(), settings_.user_file())
        environment = settings_.of_environment(os.environ)
        return Settings(*files, environment, self.notebook, line or {})

    def endpoints(self) -> Endpoints:
        """The endpoints that the files set now, with their engines. Raises UsageError as settings do."""
        tables = settings_.tables(Path.cwd(), settings_.user_file())
        self._endpoints.know(endpoints_.of_tables(tables))
        return self._endpoints

    def configure(self, values: Mapping[str, object], source: str = "the notebook") -> None:
        """Set these for all that is asked from now on, by key or `stage.key`; None takes one back."""
        kept = changed(self.notebook, values, source)
        self._stages(Settings(kept))  # an unknown stage is an error now, not later
        self.notebook = kept

    def shown_settings(self) -> list[settings_.Setting]:
        """Each setting that is in force, its value and where it came from."""
        settings = self.settings()
        return settings_.rows(settings, list(self._known.all(settings).values()))

    def reset(self) -> None:
        """Forget what was asked: the next question continues nothing."""
        self.asked.clear()
        self.last = None

    def conversation(self) -> tuple[tuple[str, str], ...]:
        """The conversation up to the last answer. Raises UsageError where there is none."""
        answered = [answer for answer in self.asked if answer.text]
        if not answered:
            raise UsageError("there is no answer to continue", "ask without -c first")
        last = answered[-1]
        return (*last.turns, (last.question, last.text))

    def add_stage(self, stage: ModelStage) -> None:
        """Make a stage known by its name, for `--stages`; a known name is replaced."""
        self._known.add(stage)

    def use(self, engine: Engine) -> None:
        """Put this engine in the place of the one of its name, for the runs that start from now on."""
        self.engines.use(engine)

    def choose(self, engine: Engine) -> None:
        """Use this engine, and ask it wherever no other is named."""
        self.use(engine)
        self.notebook |= {"engine": settings_.Given(engine.name, "use_engine()")}

    def start(
        self, request: Request, past: Answer | None = None, *, awaits: bool = False
    ) -> Handle:
        """Start a run on the running loop; it takes its first step when the caller next awaits.

        With `past` the run goes on from that answer: its stages are one of those again, or one more.
        Where there is no model to ask, one that `awaits` waits for it, and fails otherwise.
        """
        self.in_force = base = self.settings()
        settings, endpoints = base.over(request.settings), self.endpoints()
        known = self._stages(settings, request)
        usual = self._stages(base) if request.settings else known
        decide, stages = requests.begin(request, settings, known)
        warmup = self.readiness.of(usual)
        models = requests.may_ask(stages, known if decide else {})
        open_engine = functools.partial(self._engine, settings, models, asks=True)
        is_asked = request.purpose == "ask"
        offers = is_asked and settings["escalate"] != "never"
        escalates = is_asked and settings["escalate"] == "auto"
        state = RunState(
            warmth=warmup.of,
            past=past,
            usual=functools.cache(warmup.history.measured),
            offers=offers,
        )
        meter = Meter()
        watchers = Watchers([state, meter, self._watch, warmup.listener()])
        overlap = Overlap(open_engine, warmup.installed, warmup.history, watchers)
        if here := not any(map(endpoints.of, models)):  # else nobody can tell what is in memory
            watchers.add(overlap)
        awaiting = Awaiting(open_engine, self._fetch, watchers) if awaits else None
        run = Run(
            request.question,
            stages,
            awaiting.engine if awaiting else open_engine,
            watchers,
            earlier=requests.drafts(past, stages[0].name) if past else (),
            turns=request.turns,
            decide=decide,
            instead_of=self.engines.instead_of,
            deepen=requests.deepen(state, known) if decide and escalates else None,
            shorten=shortener(state) if decide else None,
            substitute=provision.substitute,
            during=functools.partial(warmup.held, overlap if here else None),
        )
        handle = Handle(run, state, watchers, meter, awaiting.agree if awaiting else None)
        keep = functools.partial(record, self, warmup.history, handle, request.purpose, settings)
        self._follow(handle, request, past, keep)
        return handle

    def _follow(
        self, handle: Handle, request: Request, past: Answer | None, keep: Callable[[], None]
    ) -> None:
        """Once it is over it was asked, and is recorded."""

        def ended() -> None:
            if request.purpose == "ask":
                if past and past in self.asked:
                    self.asked.remove(past)
                self.last = handle.answer
                self.asked.append(self.last)
            asyncio.get_running_loop().call_soon(keep)

        self._going.follow(handle, ended)

    def prompt(self, request: Request) -> str:
        """What the first stage of this request is told, its drafts aside."""
        settings = self.settings(request.settings)
        return requests.prompt(request, settings, self._stages(settings, request))

    async def engine(self) -> Engine:
        """The engine of the settings in force, known to answer; with the endpoints of the stages."""
        self.endpoints()
        models = tuple(stage.model for stage in self._stages(self.settings()).values())
        return await self._engine(self.settings(), ("", *models))

    async def look(self) -> None:
        """See which models are installed, for what is completed."""
        with contextlib.suppress(MiradorError):
            engine = await self.engine()
            self.models = tuple(each.name for each in await engine.models() if each.chats)

    async def _engine(
        self, settings: Settings, models: Sequence[str], *, asks: bool = False
    ) -> Engine:
        """The engine of a run on these models, the first stage's first."""
        name = settings["engine"]
        if name == "auto" and models[0].endswith(".gguf"):
            name = "embedded"
        find = self.engines.to_ask if asks else self.engines.answering
        home = functools.partial(find, name, settings, models)
        return await self._endpoints.engine(models, home)

    async def pull(self, text: str, tell: Callable[[Progress], None]) -> Fetched:
        """Fetch a model for the embedded engine, as mirador_magic.engines.pull reads `text`; `tell` hears how
        far it is."""
        from mirador_magic.engines.pull import pull

        engine = self.engines.named("embedded", self.settings())
        if not isinstance(engine, EmbeddedEngine):
            raise UsageError(
                "what runs in the embedded engine's place here has no folder of models"
            )
        return await pull(text, engine.folder, tell)

    async def _fetch(self, tell: Callable[[Progress], None]) -> None:
        await self.pull(SMOLLM2.name, tell)

    async def plan(self, context: Path | None = None) -> list[Need]:
        """What the default stages' models lack in Ollama, with the user's own text in `context`."""
        engine = await self.ollama()
        known = self.stages
        stages = [known[stage.name] for stage in DEFAULT_STAGES if stage.name in known]
        return provision.plan(stages, await engine.models(), context)

    async def provision(self, needs: Sequence[Need], tell: Callable[[Installing], None]) -> None:
        """Do what the plan says; `tell` hears how far it is. A cancel stops it; it goes on from there."""
        await provision.fulfil(needs, await self.ollama(), tell)
        self.engines.forget()  # an Ollama that had no model has one now

    async def ollama(self) -> OllamaEngine:
        """The Ollama of the settings in force, known to answer."""
        engine = self.engines.named("ollama", self.settings())
        if not isinstance(engine, OllamaEngine):
            raise UsageError(
                "what runs in Ollama's place here is none", "use_engine(OllamaEngine())"
            )
        await engine.probe()
        return engine

    async def aclose(self) -> None:
        """End the runs that go on and the warm-up, and release what the engines and the store hold."""
        await self.readiness.aclose()
        for handle in (going := self.going):
            handle.stop()
        for handle in going:
            await handle.wait(1.0)
        if self.recorder:
            self.recorder.close(1.0)
            self.recorder = None
        await self._endpoints.aclose()
        await self.engines.aclose()

    def _stages(
        self, settings: Settings, request: Request | None = None
    ) -> Mapping[str, ModelStage]:
        """The stages by name that are known by now, those that the request asks for among them."""
        named = (request.stages if request else None) or settings["default_stages"]
        return self._known.of(settings, named)

    def _watch(self, event: Event) -> None:
        if isinstance(event, StageFailed) and isinstance(event.error, EngineUnavailable):
            self.engines.forget()
        if isinstance(event, RunFinished) and event.outcome == "answered":
            self.readiness.answered()


@functools.cache
def current() -> Session:
    """The session of this process, which the magics and the module's functions share."""
    return Session()
