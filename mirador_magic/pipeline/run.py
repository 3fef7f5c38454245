"""One question on its way through the stages, told as events.

Pure asyncio: no notebook, no widget and no particular engine in here. A `Run` belongs to the task
that executes it. Stopping and cancelling differ: a stop is the reader's wish, so the run ends well;
a cancel (the kernel's interrupt) also keeps what was written, and then goes on as CancelledError.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from mirador_magic.engines.base import ChatRequest, Chunk, Engine, ModelInfo, unknown
from mirador_magic.errors import MiradorError, ModelMissing, NoChatModel
from mirador_magic.events import (
    ChunkReceived,
    EngineChosen,
    OptionsUnknown,
    Outcome,
    RouteChosen,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageNoted,
    StageStarted,
    StageStopped,
    StageSubstituted,
    ThinkingReceived,
    TurnsLeftOut,
)
from mirador_magic.pipeline import prompts
from mirador_magic.pipeline.excuse import Excuse
from mirador_magic.pipeline.receiving import Receiving
from mirador_magic.pipeline.silence import Silence
from mirador_magic.pipeline.watchers import Watcher
from mirador_magic.stages import ModelStage, nearest, plain

Clock = Callable[[], float]
Substitute = Callable[[ModelStage, Sequence[ModelInfo]], ModelStage | None]
Decide = Callable[[], tuple[str, Sequence[ModelStage]]]
Deepen = Callable[[], tuple[str, Sequence[ModelStage]] | None]
Shorten = Callable[
    [Engine, Sequence[ModelStage]], Awaitable[tuple[str, Sequence[ModelStage]] | None]
]


# Of the loop, after which a stage's request is on its way: until then nothing else is done.
_STEPS = 3


class Run:
    """One question on its way through the stages.

    `open_engine` gives the engine, ready to be asked; `earlier` holds (stage name, text) of what other
    stages wrote before this run, oldest first; `substitute` may give the stage on another installed
    model where its own is missing; `during` is entered while it is under way. After the only stage of
    a route, `deepen` may give the reason and all stages that the run is to have, after the first of several
    `shorten` fewer. `instead_of` says why the engine answers in the place of another.
    """

    def __init__(
        self,
        query: str,
        stages: Sequence[ModelStage],
        open_engine: Callable[[], Awaitable[Engine]],
        emit: Watcher,
        *,
        earlier: Sequence[tuple[str, str]] = (),
        turns: Sequence[prompts.Turn] = (),
        decide: Decide | None = None,
        deepen: Deepen | None = None,
        shorten: Shorten | None = None,
        instead_of: Callable[[Engine], str] = lambda _: "",
        clock: Clock = time.perf_counter,
        substitute: Substitute | None = None,
        during: Callable[[], AbstractAsyncContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        self.query = query
        self.stages = tuple(stages)
        self._open_engine = open_engine
        self._emit = emit
        self._turns = tuple(turns)
        self._decide = decide
        self._deepen = deepen
        self._shorten = shorten
        self._instead_of = instead_of
        self._clock = clock
        self._substitute = substitute
        self._during = during
        self._stopped = False
        self._task: asyncio.Task[object] | None = None
        self._finished = list(earlier)
        self._causes: list[MiradorError] = []

    def stop(self) -> None:
        """End the run, keep what was written. Call it from the loop's own thread; twice is fine."""
        if not self._stopped:
            self._stopped = True
            if self._task:
                self._task.cancel()

    async def execute(self) -> None:
        """Run the stages. Raises the first cause where every stage failed."""
        self._task = asyncio.current_task()
        self._emit(RunStarted(self._clock(), self.query, self.stages, self._turns))
        try:
            async with self._during():
                await self._run_stages()
        except asyncio.CancelledError:
            if not self._stopped or (self._task and self._task.uncancel() > 0):
                self._end("interrupted")
                raise
        except BaseException as error:
            self._end("failed", error if isinstance(error, MiradorError) else None)
            raise
        finally:
            self._task = None
        self._end("stopped" if self._stopped else "answered")

    async def _run_stages(self) -> None:
        engine = await self._open_engine()
        self._emit(EngineChosen(self._clock(), engine.label, self._instead_of(engine)))
        if self._decide:
            self._after(_STEPS, self._choose_route)
        at = 0
        while at < len(self.stages) and not self._stopped:
            await self._run_stage(engine, self.stages[at])
            self._choose_route()
            at += 1
            if at < len(self.stages):
                await self._leave_out(engine)
            if at == len(self.stages):
                self._go_deeper()
        if self._stopped:
            return
        if self._causes and len(self._causes) == len(self.stages):
            raise self._causes[0]

    def _after(self, steps: int, do: Callable[[], object]) -> None:
        """Do it after so many steps of the loop."""
        if steps:
            asyncio.get_running_loop().call_soon(self._after, steps - 1, do)
        elif self._task:
            do()

    def _choose_route(self) -> None:
        """The stages that the question goes through, once."""
        decide, self._decide = self._decide, None
        if decide:
            self._follow(*decide())

    def _follow(self, why: str, stages: Sequence[ModelStage]) -> None:
        self.stages = tuple(stages)
        self._emit(RouteChosen(self._clock(), why, self.stages))

    async def _leave_out(self, engine: Engine) -> None:
        """Fewer stages, once, where one of them is known to add nothing."""
        shorten, self._shorten = self._shorten, None
        if shorten and (less := await shorten(engine, self.stages)):
            self._follow(*less)

    def _go_deeper(self) -> None:
        """More stages, once, where the route's only one came to its end and was not enough."""
        deepen, self._deepen = self._deepen, None
        if deepen and len(self.stages) == 1 and not self._causes and (more := deepen()):
            self._follow(*more)

    def _end(self, outcome: Outcome, error: MiradorError | None = None) -> None:
        self._emit(RunFinished(self._clock(), outcome, error))

    async def _run_stage(self, engine: Engine, stage: ModelStage) -> None:
        self._emit(StageStarted(self._clock(), stage.name))
        try:
            try:
                await self._stream(engine, stage)
            except ModelMissing as missing:
                await self._stream_instead(engine, stage, missing)
        except MiradorError as error:
            self._causes.append(error)
            self._emit(StageFailed(self._clock(), stage.name, error))
        except BaseException:
            self._emit(StageStopped(self._clock(), stage.name))
            raise

    async def _stream_instead(
        self, engine: Engine, stage: ModelStage, missing: ModelMissing
    ) -> None:
        """The answer of a model that stands in; of the next one where it turns out to be none to chat
        with, which the engine remembers."""
        asked: set[str] = set()
        while True:
            instead = await self._substituted(engine, stage, missing)
            try:
                return await self._stream(engine, instead)
            except NoChatModel:
                if instead.model in asked:
                    raise
                asked.add(instead.model)

    async def _stream(self, engine: Engine, stage: ModelStage) -> None:
        """Receive one stage's answer; it counts for the next stages once it has come to its end."""
        received = Receiving(stage, self._receive)
        request = self._request(stage)
        if names := unknown(engine, request):
            self._emit(OptionsUnknown(self._clock(), stage.name, names))
        stream = engine.stream(request)
        tell = partial(self._note, stage)
        excuse = Excuse(engine, request, stage, self.stages, tell, self._clock)
        async with contextlib.aclosing(stream):
            with Silence(stage.timeout, excuse, partial(_is_there, engine.label, tell)) as silence:
                async for chunk in stream:
                    (silence.heard if chunk.text or chunk.thinking else silence.lives)()
                    if await received.take(chunk):
                        break
        if roomier := received.roomier():
            limit, room = stage.options.num_predict, roomier.options.num_predict
            why = f"{stage.model} thought all the same, until its limit of {limit} tokens"
            self._note(stage, f"{why}: it was asked again, with room for {room}")
            return await self._stream(engine, roomier)
        text, end = received.whole(engine.label)
        if end.reason != "loop":  # as a draft it would be gone on with
            self._finished.append((stage.name, text))
        self._emit(StageFinished(self._clock(), stage.name, end))

    def _request(self, stage: ModelStage) -> ChatRequest:
        turns = prompts.fitting(stage, self.query, self._finished, self._turns)
        context = stage.options.num_ctx
        if context and (left_out := len(self._turns) - len(turns)):
            self._emit(TurnsLeftOut(self._clock(), stage.name, left_out, context))
        return prompts.request(stage, self.query, self._finished, turns)

    def _note(self, stage: ModelStage, note: str) -> None:
        self._emit(StageNoted(self._clock(), stage.name, note))

    def _receive(self, stage: ModelStage, chunk: Chunk) -> None:
        if chunk.thinking:
            self._emit(ThinkingReceived(self._clock(), stage.name, chunk.thinking))
        if chunk.text:
            self._emit(ChunkReceived(self._clock(), stage.name, chunk.text, chunk.logprobs))
        if chunk.note:
            self._note(stage, chunk.note)

    async def _substituted(
        self, engine: Engine, stage: ModelStage, missing: ModelMissing
    ) -> ModelStage:
        """The stage on another model that is installed; raises what was missing where there is none."""
        with Silence(stage.timeout):
            models = await engine.models()
        instead = self._substitute(stage, models) if self._substitute else None
        if instead is None:
            chatting = [info.name for info in models if info.chats]
            names = ", ".join(chatting) or ("none that chats" if models else "none")
            near = nearest(plain(stage.model), map(plain, chatting))
            cure = f"{near} else {missing.cure}" if near else missing.cure
            raise type(missing)(f"{missing.what} (installed: {names})", cure) from missing
        spare = any(info.spare and info.name == instead.model for info in models)
        self._emit(StageSubstituted(self._clock(), stage.name, instead.model, missing.cure, spare))
        return instead


def _is_there(label: str, tell: Callable[[str], None], seconds: float) -> None:
    tell(f"no word for {seconds:g} s, but {label} gives signs of life")
