"""What is brought into memory beside a stage that writes: the next one's model, where that pays.

On a small CPU a load beside a streaming model takes from it what it needs itself (facts measured on
two cores: the pace falls to a half, with a prefill to a tenth), so a run begins nothing by default.
Each run measures what it did, by the pair of models: what the stage that wrote lost by it, and how long
the next one's first token took. Another plan is tried where there is room for it, and stays only if
it ends the two stages sooner. What a stage lost is measured against its own pace right behind: against
another run's, an hour in which the machine had more to do would count as the plan's doing. See `plans`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self

from mirador_magic.engines.base import ChatRequest, Engine, ModelInfo, held
from mirador_magic.errors import MiradorError
from mirador_magic.events import (
    ChunkReceived,
    Event,
    ModelSwapped,
    NextPlanned,
    RouteChosen,
    RunStarted,
    StageFinished,
    StageSubstituted,
    ThinkingReceived,
)
from mirador_magic.pipeline import prompts
from mirador_magic.residency.history import Effect, History
from mirador_magic.residency.plans import (
    FEW,
    INSTANT,
    LEAST_PACE,
    PLANS,
    Plan,
    choose,
    slowed,
)
from mirador_magic.stages import ModelStage

log = logging.getLogger(__name__)

Resolve = Callable[[Engine, ModelStage], Awaitable[ModelStage]]

FORGOTTEN = (
    0.5  # seconds of loading from which on a model was not in memory: one that is there has been
)
# seen to take 0.2 on a busy machine
AFTER_S = 0.05  # seconds after a stage's first words, before anything is looked up
LOOK_UP_S = 1.0  # seconds to tell what is in memory, at the end of a run


class Overlap:
    """Watches one run: brings the next model beside the stage that writes, and measures it.

    Entered as a context while the run is under way, it leaves nothing behind.

    `open_engine` gives the engine that the run is on, `resolve` the stage on an installed model,
    `tell` hears what was planned.
    """

    def __init__(
        self,
        open_engine: Callable[[], Awaitable[Engine]],
        resolve: Resolve,
        history: History,
        tell: Callable[[Event], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._open_engine = open_engine
        self._resolve = resolve
        self._history = history
        self._tell = tell
        self._clock = clock
        self._query = ""
        self._turns: tuple[prompts.Turn, ...] = ()
        self._stages: list[ModelStage] = []
        self._said: dict[str, list[str]] = {}
        self._finished: list[tuple[str, str]] = []
        self._ended: tuple[str, StageFinished] | None = None  # the model that wrote, how it ended
        self._plan: tuple[str, str, Plan] | None = None  # running model, next model, what was done
        self._key = ""
        self._believed: set[str] = set()  # the models that were seen in memory
        self._beside: asyncio.Task[None] | None = None
        self._swapped = False
        self._ending = asyncio.Event()
        self._times: list[float] = []  # of the chunks of the stage that writes, or wrote last
        self._began: float | None = None  # what is brought beside it, and when that was there
        self._until: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Nothing is left behind. What the run's end came before is still looked up."""
        if self._beside:
            if kind is None:
                self._ending.set()
                await asyncio.wait({self._beside}, timeout=LOOK_UP_S)
            self._beside.cancel()
            await asyncio.wait({self._beside})

    def __call__(self, event: Event) -> None:
        match event:
            case ChunkReceived() | ThinkingReceived():
                if event.stage not in self._said:
                    self._begins(event)
                self._said[event.stage].append(event.text)
                self._times.append(event.at)
                self._watch_pace(event.at)
            case RunStarted():
                self._query, self._turns = event.query, event.turns
                self._stages = list(event.stages)
            case RouteChosen():
                known = {stage.name: stage for stage in self._stages}
                self._stages = [known.get(stage.name, stage) for stage in event.stages]
            case StageSubstituted():
                place = self._place(event.stage)
                self._stages[place] = replace(self._stages[place], model=event.model)
            case StageFinished():
                self._ends(event)

    def _begins(self, event: ChunkReceived | ThinkingReceived) -> None:
        """A stage's first words: what was done for it is measured, and the next one is seen to."""
        place = self._place(event.stage)
        self._said[event.stage] = []
        if self._ended and self._plan and self._plan[1] == self._stages[place].model:
            running, following, plan = self._plan
            effect = self._effect(self._ended[1], running, following, event.at)
            if self._ended[0] == running and effect:
                self._history.took_effect(self._key, (running, following), plan, effect)
        self._ended = self._plan = self._began = self._until = None
        self._times.clear()
        if self._beside:
            self._beside.cancel()
        if len(set(self._models())) > 1:
            self._beside = asyncio.create_task(self._see_to(place), name="mirador overlap")

    def _effect(
        self, stage: StageFinished, running: str, following: str, first: float
    ) -> Effect | None:
        """What was done for the next stage, whose first token came at `first`, did to this one."""
        if not (stage.end.output_tokens and stage.end.decode_s):
            return None
        pace, gap = stage.end.output_tokens / stage.end.decode_s, first - stage.at
        if self._began is None:
            return Effect(pace, 1.0, 0.0, gap)
        known = self._history.effects(self._key, (running, following), "sequence")
        usual = statistics.median([each.pace for each in known] or [pace])
        until = min(self._until or stage.at, stage.at)
        return Effect(*slowed(self._times, self._began, until, usual), gap)

    def _ends(self, event: StageFinished) -> None:
        stage = self._stages[self._place(event.stage)]
        text = "".join(self._said.get(event.stage, ())).strip()
        self._finished.append((event.stage, text))
        self._ended = stage.model, event
        load_s = event.end.load_s or 0.0
        if load_s > FORGOTTEN and self._key:
            self._history.loaded(self._key, stage.model, load_s)
            if stage.model in self._believed:
                self._swapped = True
                self._tell(ModelSwapped(event.at, event.stage, load_s))
                self._history.fitted(self._key, self._models(), False)

    async def _see_to(self, place: int) -> None:
        """Beside the stage at this place: bring the next one's model, if it is to be.

        Not at once: what is done in these moments delays the stage's first words on their way out.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), AFTER_S)
        try:
            engine = await self._open_engine()
            self._key = engine.key
            resident = await engine.resident()
            later = self._stages[place + 1 :]
            self._believed |= {s.model for s in later if held(engine, resident, s.model)}
            if place + 1 == len(self._stages):
                there = all(held(engine, resident, model) for model in self._models())
                fit = there and not self._swapped
                self._history.fitted(engine.key, self._models(), fit)
                return
            following = self._stages[place + 1] = await self._resolve(
                engine, self._stages[place + 1]
            )
            running = held(engine, resident, self._stages[place].model)
            if running and not held(engine, resident, following.model):
                await self._bring(engine, running, place)
        except MiradorError as error:
            log.info("nothing is brought beside the stage: %s", error)

    async def _bring(self, engine: Engine, info: ModelInfo, place: int) -> None:
        running, following = self._stages[place : place + 2]
        plan = self._planned(engine, info, running, following)
        self._plan = running.model, following.model, plan
        if plan == "sequence":
            return
        self._tell(NextPlanned(self._clock(), following.name, plan))
        turns = prompts.fitting(following, self._query, self._finished, self._turns)
        asked = prompts.request(following, self._query, self._finished, turns)
        if plan == "load":
            asked = ChatRequest(asked.model, [], asked.options, asked.think)
        self._began, self._until = self._clock(), None
        try:
            await engine.load(asked)
        finally:  # where it failed, what comes now is not its doing
            self._until = self._clock()

    def _planned(
        self, engine: Engine, info: ModelInfo, running: ModelStage, following: ModelStage
    ) -> Plan:
        """The plan: the plain sequence where these models were not seen in memory together."""
        if not self._history.fit(engine.key, self._models()):
            return "sequence"
        pair = (running.model, following.model)
        effects = {plan: self._history.effects(engine.key, pair, plan) for plan in PLANS}
        return choose(effects, info)

    def _watch_pace(self, at: float) -> None:
        """A load that slows the stage below LEAST_PACE is called off, and not tried again."""
        if not self._plan or self._plan[2] != "load" or self._began is None or self._until:
            return
        if len(self._times) <= FEW or self._times[-1 - FEW] < self._began:
            return
        pace = FEW / max(at - self._times[-1 - FEW], INSTANT)
        if pace < LEAST_PACE and self._beside:
            running, following, plan = self._plan
            effect = Effect(pace, 0.0, 0.0, 0.0)
            self._history.took_effect(self._key, (running, following), plan, effect)
            self._plan = self._began = None
            self._beside.cancel()

    def _models(self) -> list[str]:
        return [stage.model for stage in self._stages]

    def _place(self, name: str) -> int:
        return next(place for place, stage in enumerate(self._stages) if stage.name == name)
