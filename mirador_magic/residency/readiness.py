"""How ready the default stages' models are in one notebook, and what warms them between its cells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from mirador_magic.engines import provision
from mirador_magic.engines.base import Engine
from mirador_magic.errors import MiradorError
from mirador_magic.residency.warmup import Warmth, WarmUp
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree

Known = Mapping[str, ModelStage]


class Readiness:
    """Keeps one WarmUp, made anew where the stages are others. `known` are the stages in force;
    a stage whose model is `cold` stays so unless it is asked for by name."""

    def __init__(
        self,
        known: Callable[[], Known],
        engine: Callable[[], Awaitable[Engine]],
        cold: Callable[[str], bool] = lambda model: False,
    ) -> None:
        self._known = known
        self._engine = engine
        self._cold = cold
        self.warmup: WarmUp | None = None
        self._read: Known = {}  # what `_warmed` was taken from
        self._warmed: tuple[ModelStage, ...] = ()  # the stages that `warmup` was made for
        self._warming: asyncio.Task[None] | None = None
        self._at_work: WarmUp  # which that is, or was: `warmup` may be another by now
        self.pre_warm = False  # warm what is cold between the cells, on this loop:
        self._home: asyncio.AbstractEventLoop | None = None

    def of(self, known: Known) -> WarmUp:
        """What is known of these stages' models: from the last warm-up on."""
        if self.warmup is None or known is not self._read:
            wanted = self._default(known)
            if self.warmup is None or wanted != self._warmed:
                self.warmup = self._new(wanted, wanted, known)
            self._read = known
        return self.warmup

    async def warm(
        self, models: Sequence[str] = (), tell: Callable[[Warmth], None] = lambda _: None
    ) -> list[Warmth]:
        """Load and prefill the models of the default stages, or these; `tell` hears how far it is.

        One that is under way is waited for, and goes on when the waiting ends. Raises
        EngineUnavailable where no engine answers.
        """
        while self._warming and self._is_here(self._warming):
            under_way = self._at_work
            under_way.watch(tell)
            try:
                await asyncio.shield(self._warming)
            finally:
                under_way.leave(tell)
            if not models:
                return under_way.state
        known = self._known()
        wanted = self._default(known)
        stages = [_on(model, wanted, known) for model in models] if models else wanted
        self.warmup = begun = self._at_work = self._new(stages, wanted, known)
        begun.watch(tell)
        self._warming = asyncio.create_task(begun.run(), name="mirador warm-up")
        try:
            await self._warming
        finally:
            begun.leave(tell)  # what runs learn of the models is no news of this warm-up
        return begun.state

    async def keep_warm(self) -> None:
        """Warm what is cold, now and after each run. What cannot be warmed is the run's to tell."""
        self.pre_warm, self._home = True, asyncio.get_running_loop()
        with contextlib.suppress(MiradorError):
            await self.warm()

    async def look(self) -> WarmUp:
        """What is known of the stages' models, as the engine tells it now."""
        warmup = self.of(self._known())
        await warmup.refresh()
        return warmup

    def answered(self) -> None:
        """A run found an engine: what is cold is warmed, where nobody is at it."""
        at_home = asyncio.get_running_loop() is self._home  # a thread's ends with its call
        idle = at_home and (self._warming is None or self._warming.done())
        cold = self.warmup and any(each.state == "cold" for each in self.warmup.state)
        if self.pre_warm and idle and cold:
            with contextlib.suppress(MiradorError):
                self._at_work = again = self.of(self._known())
                self._warming = asyncio.create_task(self._again(again), name="mirador warm-up")

    async def aclose(self) -> None:
        """End the warm-up that is under way."""
        self.pre_warm = False
        if self._warming and self._is_here(self._warming):
            self._warming.cancel()
            await asyncio.wait({self._warming})

    def _is_here(self, warming: asyncio.Task[None]) -> bool:
        """Whether it is under way on the running loop, which alone can wait for it."""
        return not warming.done() and warming.get_loop() is asyncio.get_running_loop()

    async def _again(self, warmup: WarmUp) -> None:
        with contextlib.suppress(MiradorError):
            await warmup.run()

    def _default(self, known: Known) -> tuple[ModelStage, ...]:
        return tuple(stage for stage in _default(known) if not self._cold(stage.model))

    def _new(
        self, stages: Sequence[ModelStage], wanted: tuple[ModelStage, ...], known: Known
    ) -> WarmUp:
        self._warmed = wanted
        stages = agree(stages, known.values())
        return WarmUp(stages, self._engine, substitute=provision.substitute)


_DEFAULT = {stage.name for stage in DEFAULT_STAGES}


def _default(known: Known) -> tuple[ModelStage, ...]:
    return agree((stage for name, stage in known.items() if name in _DEFAULT), known.values())


def _on(model: str, stages: Sequence[ModelStage], known: Known) -> ModelStage:
    """The stage whose model this is, else the first one on it, as `--model` would have it."""
    own = (stage for stage in (*stages, *known.values()) if stage.model == model)
    return next(own, None) or provision.on(stages[0], model)
