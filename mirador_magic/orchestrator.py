"""The stages behind one door, for Python: a question in, tokens out."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Self

from mirador_magic.engines.base import Engine
from mirador_magic.errors import MiradorError
from mirador_magic.events import ChunkReceived, Event, RunStarted, StageSubstituted
from mirador_magic.pipeline.run import Clock, Run, Substitute
from mirador_magic.pipeline.watchers import Watcher, Watchers
from mirador_magic.residency.history import History
from mirador_magic.residency.overlap import Overlap
from mirador_magic.residency.warmup import WarmUp
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree, choose

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Token:
    """A piece of an answer: its text, whose it is, and the stage's declared confidence (0..1).

    `at` is in seconds of the orchestrator's clock.
    """

    content: str
    stage: str
    model: str
    confidence: float
    at: float


class StreamingOrchestrator:
    """Asks the stages' models, first the quick one, and yields their tokens as they come.

        async with StreamingOrchestrator(engine=OllamaEngine()) as orchestrator:
            async for token in orchestrator.process("What should I focus on today?"):
                print(token.content, end="")

    Entering it with `pre_warm` warms the stages' models in the background, the first stage's first;
    leaving it ends that and closes the engine. Runs at the same time do not touch each other.
    """

    def __init__(
        self,
        stages: Sequence[ModelStage] = DEFAULT_STAGES,
        engine: Engine | None = None,
        pre_warm: bool = True,
        *,
        clock: Clock = time.perf_counter,
        substitute: Substitute | None = None,
        history: History | None = None,
    ) -> None:
        if engine is None:
            from mirador_magic.engines.ollama.engine import OllamaEngine

            engine = OllamaEngine()
        self.stages = agree(choose(stages, [stage.name for stage in stages]))
        self.engine = engine
        self.pre_warm = pre_warm
        self._clock = clock
        self._substitute = substitute
        self.warmup = WarmUp(
            self.stages, self._open, substitute=substitute, history=history, clock=clock
        )
        self._warming: asyncio.Task[None] | None = None

    def run(
        self, query: str, emit: Watcher, stages: Sequence[ModelStage | str] | None = None
    ) -> Run:
        """A run of this question, to be executed by a task of the caller's. `emit` gets the events."""
        heard = Watchers([emit, self.warmup.listener()])
        overlap = Overlap(
            self._open, self.warmup.installed, self.warmup.history, heard, self._clock
        )
        heard.add(overlap)
        return Run(
            query,
            agree(self._chosen(stages), self.stages),
            self._open,
            heard,
            clock=self._clock,
            substitute=self._substitute,
            during=functools.partial(self.warmup.held, overlap),
        )

    async def process(
        self, query: str, stages: Sequence[ModelStage | str] | None = None
    ) -> AsyncGenerator[Token, None]:
        """Yield the tokens of each stage in turn. Raises the first cause where every stage failed.

        The engine is read at its own pace, not at the reader's; leaving the loop early (close the
        generator, with contextlib.aclosing) ends the generation.
        """
        queue: asyncio.Queue[Token | None] = asyncio.Queue()
        by_name: dict[str, ModelStage] = {}

        def emit(event: Event) -> None:
            if isinstance(event, RunStarted):
                by_name.update((stage.name, stage) for stage in event.stages)
            elif isinstance(event, StageSubstituted):
                stage = by_name[event.stage]
                by_name[event.stage] = dataclasses.replace(stage, model=event.model)
            elif isinstance(event, ChunkReceived):
                stage = by_name[event.stage]
                token = Token(event.text, stage.name, stage.model, stage.confidence, event.at)
                queue.put_nowait(token)

        task = asyncio.create_task(self.run(query, emit, stages).execute())
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (token := await queue.get()) is not None:
                yield token
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # read it, so that a reader who left early gets no complaint

    async def warm(self) -> None:
        """Load and prefill the stages' models one after another, the first stage's first.

        A model that cannot be warmed is passed over: the run will tell, where it matters.
        """
        try:
            await self.warmup.run()
        except MiradorError as error:
            log.info("nothing is warm: %s", error)

    async def __aenter__(self) -> Self:
        if self.pre_warm:
            self._warming = asyncio.create_task(self.warm())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._warming:
            self._warming.cancel()
            await asyncio.wait({self._warming})
        await self.engine.aclose()

    async def _open(self) -> Engine:
        return self.engine

    def _chosen(self, stages: Sequence[ModelStage | str] | None) -> tuple[ModelStage, ...]:
        if stages is None:
            return self.stages
        own = [stage for stage in stages if isinstance(stage, ModelStage)]
        names = [stage if isinstance(stage, str) else stage.name for stage in stages]
        return choose([*self.stages, *own], names)
