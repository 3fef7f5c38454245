"""The composition root: from a request to a run on an engine, and the handle to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirador_magic import provision
from mirador_magic.engines.base import Engine
from mirador_magic.engines.embedded import EmbeddedEngine
from mirador_magic.engines.ollama import OllamaEngine
from mirador_magic.engines.scripted import ScriptedEngine
from mirador_magic.errors import EngineUnavailable, MiradorError, UsageError
from mirador_magic.events import Event, RunFinished, StageFailed
from mirador_magic.overlap import Overlap
from mirador_magic.run import Run, Watchers
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree, choose, nearest
from mirador_magic.views.answer import Answer
from mirador_magic.views.run_state import RunState
from mirador_magic.warmup import Warmth, WarmUp

if TYPE_CHECKING:
    from mirador_magic.pull import Progress

ENGINES = ("auto", "ollama", "embedded", "scripted")


def default_engine() -> str:
    """The engine where a request names none: MIRADOR_ENGINE, else auto."""
    return os.environ.get("MIRADOR_ENGINE") or "auto"


def _check_engine(name: str) -> None:
    if name not in ENGINES:
        raise UsageError(
            f"there is no engine {name!r}; there are: {', '.join(ENGINES)}", nearest(name, ENGINES)
        )


@dataclass(frozen=True)
class Request:
    """What is asked, and how. `model` runs every stage; `stages` names them in order, None is all."""

    question: str
    stages: tuple[str, ...] | None = None
    model: str | None = None
    engine: str = field(default_factory=default_engine)

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise UsageError("there is no question", "write it below %%mirador, or after %mirador")
        _check_engine(self.engine)


class Handle:
    """A run that goes on: await it for its Answer, stop it, read its answer so far.

    Awaiting raises the first cause where every stage failed. A cancel of whoever awaits it does not
    reach the run; `stop` and `interrupt` do, and keep what was written.
    """

    def __init__(self, run: Run, state: RunState, watchers: Watchers) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._state = state
        self._task = self._loop.create_task(run.execute(), name="mirador run")
        # Read the error once, so that a run that nobody awaits raises no complaint of asyncio's.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self.watch = watchers.add

    def __await__(self) -> Generator[Any, None, Answer]:
        yield from asyncio.shield(self._task).__await__()
        return self.answer

    @property
    def answer(self) -> Answer:
        """The answer as it stands now."""
        return self._state.answer()

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self._task.done()

    @property
    def error(self) -> BaseException | None:
        """Why the run failed, None where it did not."""
        ended = self._task.done() and not self._task.cancelled()
        return self._task.exception() if ended else None

    def stop(self) -> None:
        """End the run well, from any thread."""
        self._loop.call_soon_threadsafe(self._run.stop)

    async def wait(self) -> None:
        """Until the run is over, however it ends."""
        await asyncio.wait({self._task})

    async def interrupt(self, patience: float = 1.0) -> None:
        """Cancel the run and wait for its clean-up, `patience` seconds at most."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=patience)

    def __repr__(self) -> str:
        answer = self.answer
        return f"<mirador run, {answer.outcome or 'going on'}: {answer.question[:40]!r}>"


class Session:
    """The engines and stages of one notebook; starts runs."""

    def __init__(self, stages: Sequence[ModelStage] = DEFAULT_STAGES) -> None:
        self.stages: dict[str, ModelStage] = {stage.name: stage for stage in stages}
        self.route = tuple(self.stages)
        self._embedded = EmbeddedEngine()
        self._engines: dict[str, Engine] = {
            "ollama": OllamaEngine(keep=True),
            "embedded": self._embedded,
            "scripted": ScriptedEngine(),
        }
        self._answering: dict[str, Engine] = {}
        self.warmup: WarmUp | None = None
        self._warming: asyncio.Task[None] | None = None
        self.pre_warm = False  # warm what is cold between the cells
        self.closing: asyncio.Task[None] | None = None  # a task is kept by who started it

    def add_stage(self, stage: ModelStage) -> None:
        """Make a stage known by its name, for `--stages`; a known name is replaced."""
        self.stages[stage.name] = stage

    def use(self, engine: Engine) -> None:
        """Put this engine in the place of the one of its name, for the runs that start from now on."""
        self._engines[engine.name] = engine
        self._answering.clear()

    def start(self, request: Request, past: Answer | None = None) -> Handle:
        """Start a run on the running loop; it takes its first step when the caller next awaits.

        With `past` the run goes on from that answer: its stages are one of those again, or one more.
        """
        stages = choose(
            list(self.stages.values()),
            self.route if request.stages is None else request.stages,
        )
        if request.model:
            stages = tuple(provision.on(stage, request.model) for stage in stages)
        stages = agree(stages, self.stages.values())
        warmup = self._warmup()

        def open_engine() -> Awaitable[Engine]:
            return self.engine(request.engine, request.model)

        state = RunState(warmth=warmup.of, past=past)
        watchers = Watchers([state, self._watch, warmup.listener()])
        overlap = Overlap(open_engine, warmup.installed, warmup.history, watchers)
        watchers.add(overlap)
        run = Run(
            request.question,
            stages,
            open_engine,
            watchers,
            earlier=_drafts(past, stages[0].name) if past else (),
            substitute=provision.substitute,
            during=functools.partial(warmup.held, overlap),
        )
        return Handle(run, state, watchers)

    def deeper(self, answer: Answer) -> str | None:
        """The stage of the route that would take this answer further; None at the route's end."""
        asked = {stage.name for stage in answer.stages}
        last = max((at for at, name in enumerate(self.route) if name in asked), default=-1)
        return next(iter(self.route[last + 1 :]), None)

    async def engine(self, name: str | None = None, model: str | None = None) -> Engine:
        """The engine of this name, known to answer; it is asked once, until it fails to answer."""
        name = name or default_engine()
        _check_engine(name)
        if name == "auto" and model and model.endswith(".gguf"):
            name = "embedded"
        if name not in self._answering:
            self._answering[name] = await (self._auto() if name == "auto" else self._probed(name))
        return self._answering[name]

    async def warm(
        self, models: Sequence[str] = (), tell: Callable[[Warmth], None] = lambda _: None
    ) -> list[Warmth]:
        """Load and prefill the models of the route's stages, or these; `tell` hears how far it is.

        One that is under way is waited for, and goes on when the waiting ends. Raises
        EngineUnavailable where no engine answers.
        """
        if self._warming and not self._warming.done() and self.warmup:
            self.warmup.watch(tell)
            await asyncio.shield(self._warming)
            return self.warmup.state
        self.warmup = self._warmup(models, anew=True)
        self.warmup.watch(tell)
        self._warming = asyncio.create_task(self.warmup.run(), name="mirador warm-up")
        await self._warming
        return self.warmup.state

    async def keep_warm(self) -> None:
        """Warm what is cold, now and after each run. What cannot be warmed is the run's to tell."""
        self.pre_warm = True
        with contextlib.suppress(MiradorError):
            await self.warm()

    async def warmth(self) -> WarmUp:
        """What is known of the stages' models, as the engine tells it now."""
        warmup = self._warmup()
        await warmup.refresh()
        return warmup

    async def pull(self, text: str, tell: Callable[[Progress], None]) -> Path:
        """Fetch hf:ORG/REPO/FILE.gguf into the embedded engine's folder; `tell` hears how far it is."""
        from mirador_magic.pull import pull, read_source

        return await pull(read_source(text), self._embedded.folder, tell)

    async def provision_phrasebook(self) -> str:
        """Create the phrase book in Ollama; the label of the Ollama that has it now."""
        engine = self._engines["ollama"]
        if not isinstance(engine, OllamaEngine):
            raise UsageError(
                "what runs in Ollama's place here is none", "use_engine(OllamaEngine())"
            )
        await engine.probe()
        await provision.create_phrasebook(engine)
        return engine.label

    async def aclose(self) -> None:
        """End the warm-up, and release what the engines hold: connections, processes, models."""
        self.pre_warm = False
        if self._warming:
            self._warming.cancel()
            await asyncio.wait({self._warming})
        for engine in self._engines.values():
            await engine.aclose()

    def _warmup(self, models: Sequence[str] = (), *, anew: bool = False) -> WarmUp:
        """What is known of the route's models, or of these: from the last warm-up on."""
        if self.warmup is None or anew:
            stages = [self.stages[name] for name in self.route]
            if models:
                stages = [self._stage_on(model, stages) for model in models]
            stages = list(agree(stages, self.stages.values()))
            self.warmup = WarmUp(stages, self.engine, substitute=provision.substitute)
        return self.warmup

    def _stage_on(self, model: str, stages: Sequence[ModelStage]) -> ModelStage:
        """The stage whose model this is, else the first one on it, as `--model` would have it."""
        own = next((stage for stage in stages if stage.model == model), None)
        return own or provision.on(stages[0], model)

    async def _probed(self, name: str) -> Engine:
        engine = self._engines[name]
        await engine.probe()
        return engine

    async def _auto(self) -> Engine:
        """Ollama where it answers, else the embedded engine, which brings a model of its own."""
        try:
            return await self._probed("ollama")
        except EngineUnavailable as without:
            try:
                return await self._probed("embedded")
            except EngineUnavailable as neither:
                raise EngineUnavailable(
                    f"{without.what}, and {neither.what}", f"{without.cure}, or {neither.cure}"
                ) from neither

    def _watch(self, event: Event) -> None:
        if isinstance(event, StageFailed) and isinstance(event.error, EngineUnavailable):
            self._answering.clear()
        if isinstance(event, RunFinished) and event.outcome == "answered" and self._is_cold():
            # The warm-up at the start found no engine: this run did.
            self._warming = asyncio.create_task(self._warm_again(), name="mirador warm-up")

    def _is_cold(self) -> bool:
        """Whether there is something to warm, and nobody at it."""
        idle = self._warming is None or self._warming.done()
        return self.pre_warm and idle and any(w.state == "cold" for w in self._warmup().state)

    async def _warm_again(self) -> None:
        with contextlib.suppress(MiradorError):
            await self._warmup().run()


def _drafts(past: Answer, stage: str) -> list[tuple[str, str]]:
    """What the stages before this one had written, as its prompt has it."""
    before = itertools.takewhile(lambda each: each.name != stage, past.stages)
    return [(each.name, each.text.strip()) for each in before if each.status == "done"]


@functools.cache
def current() -> Session:
    """The session of this process, which the magics and the module's functions share."""
    return Session()


def use_engine(engine: Engine) -> None:
    """Run on this engine where its name is asked for: Ollama at another host, a script of yours."""
    current().use(engine)


def add_stage(stage: ModelStage) -> None:
    """Make a stage of your own known to `%%mirador --stages`; a known name is replaced."""
    current().add_stage(stage)


async def prewarm(models: Sequence[str] | None = None) -> list[Warmth]:
    """Load the stages' models, or these, and read the stages' prompts into their caches.

    Returns how ready each stage's model is. Raises EngineUnavailable where no engine answers.
    """
    return await current().warm(models or ())
