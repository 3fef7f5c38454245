"""Which model to load and prefill, and when: while nothing is asked, the first stage's first.

A model is warm for a stage when it is in memory and the stage's prompt is in its prefix cache up to
the question. On a small CPU that is the largest gain there is (three stages take 45 % less time),
and the same work beside a streaming model costs more than it saves; so nothing is begun here while
a run is under way. What has begun goes on: a load that is let go of is lost, and a prefill that is
cut short runs to its end in the server all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

from mirador_magic.engines.base import Engine, ModelInfo, held
from mirador_magic.errors import MiradorError, NoChatModel
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RouteChosen,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
    StageSubstituted,
    StreamEnd,
    ThinkingReceived,
)
from mirador_magic.pipeline import prompts
from mirador_magic.residency import keep_alive
from mirador_magic.residency.history import History
from mirador_magic.residency.idle import Idle
from mirador_magic.residency.overlap import FORGOTTEN
from mirador_magic.stages import ModelStage, plain

Clock = Callable[[], float]
Substitute = Callable[[ModelStage, Sequence[ModelInfo]], ModelStage | None]
State = Literal["cold", "loading", "warm", "failed", "evicted"]


@dataclass(frozen=True)
class Warmth:
    """How ready one stage's model is.

    `size` is in bytes, of memory once it is there, 0 where unknown. `since` is the clock's time at
    which the state began, in seconds; `expected` the seconds that loading it took the last time, None
    where it never was loaded; `took` those that it took now; `until` the time (seconds since 1970)
    until which it stays, None where it stays. `why` says what failed.
    """

    stage: str
    model: str
    state: State = "cold"
    size: int = 0
    since: float = 0.0
    expected: float | None = None
    took: float | None = None
    until: float | None = None
    why: str = ""


class WarmUp:
    """Warms the stages' models one after another. `state` tells how far it is, stage by stage."""

    def __init__(
        self,
        stages: Sequence[ModelStage],
        open_engine: Callable[[], Awaitable[Engine]],
        *,
        substitute: Substitute | None = None,
        history: History | None = None,
        clock: Clock = time.perf_counter,
        wall: Clock = time.time,
    ) -> None:
        self.stages = tuple(stages)
        self.state = [Warmth(stage.name, stage.model) for stage in stages]
        self.history = history or History()
        self.clock = clock
        self._wall = wall
        self._open_engine = open_engine
        self._substitute = substitute
        self._engine_key = ""
        self._watchers: list[Callable[[Warmth], None]] = []
        self._idle = Idle()

    def watch(self, tell: Callable[[Warmth], None]) -> None:
        """Tell this one each state from now on."""
        self._watchers.append(tell)

    def leave(self, tell: Callable[[Warmth], None]) -> None:
        """Tell this one no more."""
        self._watchers.remove(tell)

    def of(self, model: str) -> Warmth | None:
        """How ready this model is; None for one that is none of these stages'."""
        return next((each for each in self.state if plain(each.model) == plain(model)), None)

    @contextlib.asynccontextmanager
    async def held(
        self, beside: AbstractAsyncContextManager[object] | None = None
    ) -> AsyncIterator[None]:
        """While a run is under way nothing new is begun here; `beside` is entered meanwhile."""
        self._idle.begin()
        try:
            async with beside or contextlib.nullcontext():
                yield
        finally:
            self._idle.end()

    async def run(self) -> None:
        """Warm what is cold. A model that cannot be warmed is passed over: the run will tell.

        Raises EngineUnavailable where no engine answers.
        """
        engine = await self._open_engine()
        self._engine_key = engine.key
        warmed: dict[str, int] = {}  # model → the place of the stage that it is warm for
        for place, own in enumerate(self.stages):
            await self._idle.wait()
            if keep_alive.seconds(self.stages, place) == 0:
                self._set(place, "cold", why="keep_alive is 0: it leaves after each answer")
                continue
            try:
                stage = await self.installed(engine, own)
                if stage.model in warmed:  # its cache holds one beginning: the earlier stage's
                    first = self.state[warmed[stage.model]]
                    self.state[place] = replace(first, stage=stage.name)
                    continue
                if self.state[place].state != "warm":  # by a run that came between
                    stage = await self._warm_or_next(engine, own, stage, place)
                warmed[stage.model] = place
                if not await self._all_fit(engine, warmed):
                    return
            except MiradorError as error:
                self._set(place, "failed", why=str(error))

    async def refresh(self) -> None:
        """Ask the engine what is in memory now."""
        engine = await self._open_engine()
        resident = await engine.resident()
        for place, was in enumerate(self.state):
            here = held(engine, resident, was.model)
            if here:
                self._set(place, "warm", size=here.size, until=here.until, why=was.why)
            elif was.state == "warm":
                self._set(place, "cold", until=None)

    def leaves_first(self) -> str | None:
        """The model that makes room when another one needs it: the one that is kept shortest."""
        kept: dict[str, float] = {}
        for place, each in enumerate(self.state):
            if each.state == "warm" and each.until is not None:
                kept[each.model] = max(
                    kept.get(each.model, 0.0), keep_alive.seconds(self.stages, place)
                )
        return min(kept, key=lambda model: kept[model]) if len(kept) > 1 else None

    def listener(self) -> Callable[[Event], None]:
        """A watcher of one run, from which the state of its models is learned."""
        models: dict[str, str] = {}
        writing: set[str] = set()
        believed: set[str] = set()  # the stages whose model was thought to be in memory

        def heard(event: Event) -> None:
            match event:
                case ChunkReceived() | ThinkingReceived():
                    if event.stage not in writing:
                        writing.add(event.stage)
                        self._update(models[event.stage], "warm", only="loading")
                case RunStarted() | RouteChosen():
                    for stage in event.stages:
                        models.setdefault(stage.name, stage.model)
                case StageSubstituted():
                    models[event.stage] = event.model
                case StageStarted():
                    if self._asked(models[event.stage]):
                        believed.add(event.stage)
                case StageFinished():
                    self._answered(models[event.stage], event.end, event.stage in believed)
                case StageFailed() | StageStopped():
                    self._update(models[event.stage], "cold", only="loading")

        return heard

    async def installed(self, engine: Engine, stage: ModelStage) -> ModelStage:
        """The stage on its own model or, where that is missing, on the one that stands in for it."""
        self._engine_key = engine.key
        models = await engine.models()
        sizes = {model.name: model.size for model in models}
        meant = [(each.name, each.model) == (stage.name, stage.model) for each in self.stages]
        if not {stage.model, f"{stage.model}:latest"} & set(sizes) and self._substitute:
            stage = self._substitute(stage, models) or stage
        for place, was in enumerate(self.state):
            if meant[place] and (was.model != stage.model or not was.size):
                size = was.size or sizes.get(stage.model, 0)
                self._set(place, was.state, model=stage.model, size=size)
        return stage

    async def _warm_or_next(
        self, engine: Engine, own: ModelStage, stage: ModelStage, place: int
    ) -> ModelStage:
        """Warm it; where it is none to chat with, the next that stands in. The stage on what is warm."""
        try:
            await self._warm(engine, stage, place)
            return stage
        except NoChatModel:
            other = await self.installed(engine, own)
            if other.model == stage.model:
                raise
            return await self._warm_or_next(engine, own, other, place)

    async def _warm(self, engine: Engine, stage: ModelStage, place: int) -> None:
        expected = self.history.load_seconds(engine.key, stage.model)
        self._set(place, "loading", expected=expected)
        began = self.clock()
        try:
            loaded = await engine.load(prompts.head(stage), keep_alive.seconds(self.stages, place))
        except asyncio.CancelledError:
            self._set(place, "cold")
            raise
        took = self.clock() - began
        self._set(place, "warm", took=took)
        if loaded.load_s is None or loaded.load_s > FORGOTTEN:
            self.history.loaded(engine.key, stage.model, took)

    async def _all_fit(self, engine: Engine, warmed: dict[str, int]) -> bool:
        """Whether every model that was warmed is in memory still. If not, the rest stays cold: another
        load may push another one out."""
        resident, gone = await engine.resident(), []
        for model, place in warmed.items():
            if here := held(engine, resident, model):
                self._set(place, self.state[place].state, size=here.size, until=here.until)
            else:
                gone.append(place)
        if gone or len(set(warmed)) == len({each.model for each in self.state}) > 1:
            models = [each.model for each in self.state]
            self.history.fitted(engine.key, models, not gone)
        if not gone:
            return True
        if 0 in gone:  # every run begins with it
            await self._warm(engine, await self.installed(engine, self.stages[0]), 0)
            resident = await engine.resident()
            gone = [at for model, at in warmed.items() if at and not held(engine, resident, model)]
        for place in gone:
            self._set(place, "evicted", why="left memory while another one was loaded")
        return False

    def _asked(self, model: str) -> bool:
        """Whether this model is thought to be in memory; one that is not is loaded now."""
        found = self.of(model)
        if found is None or found.state == "loading":
            return False
        if found.state == "warm" and (found.until is None or found.until > self._wall()):
            return True
        expected = self.history.load_seconds(self._engine_key, model)
        for place, was in enumerate(self.state):
            if plain(was.model) == plain(model):
                self._set(place, "loading", expected=expected)
        return False

    def _answered(self, model: str, end: StreamEnd, believed: bool) -> None:
        load_s = end.load_s or 0.0
        lost = believed and load_s > FORGOTTEN
        why = f"was seen in memory, and still took {load_s:.1f} s to load" if lost else ""
        for place, was in enumerate(self.state):
            if plain(was.model) == plain(model):
                kept = keep_alive.seconds(self.stages, place)
                until = None if was.until is None or kept < 0 else self._wall() + kept
                self._set(place, "warm" if kept else "cold", why=why, until=until)

    def _update(self, model: str, state: State, *, only: State) -> None:
        for place, was in enumerate(self.state):
            if plain(was.model) == plain(model) and was.state == only:
                self._set(place, state)

    def _set(self, place: int, state: State, **more: Any) -> None:
        was = self.state[place]
        since = was.since if was.state == state else self.clock()
        more = {"why": ""} | more
        now = self.state[place] = replace(was, state=state, since=since, **more)
        if now != was:
            for tell in self._watchers:
                tell(now)
