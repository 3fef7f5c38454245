"""Runs a benchmark: one run at a time, each measured by its own events, nothing drawn meanwhile.
Different models past this machine are measured at the same time (see `lanes`).

A warm run begins after a warm-up of its models, and with the first of them in memory; a cold one after
the engine has let go of all of them. Warm-ups are not measured. Between the runs nothing else is
warmed, whatever the setting pre_warm says. What is in memory past this machine is not told: there
nothing is warmed, and no run is called cold.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mirador_magic.engines.base import Engine, held
from mirador_magic.errors import EngineUnavailable, MiradorError, ModelMissing, UsageError
from mirador_magic.pipeline import at_once
from mirador_magic.pipeline.at_once import Place, place_of
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, choose
from mirador_magic.workbench.benchmark.lanes import Lanes
from mirador_magic.workbench.benchmark.measured import Measured, Point, machine, point
from mirador_magic.workbench.benchmark.models import answering, resident
from mirador_magic.workbench.benchmark.plan import Arm, Trial, trials

LEAVES = 10.0  # seconds in which a model leaves memory, or never
LOADS = 300.0  # seconds in which a model is loaded, or never
_LOOK = 0.25  # seconds between two looks at what a model does

Clock = Callable[[], float]


@dataclass(frozen=True)
class Progress:
    """How far it is: what was measured, seconds that are left (None: unknown), what runs now."""

    result: Measured
    left: float | None
    doing: str


class Suite:
    """A benchmark that goes on. `tell` hears how far it is between the runs, never during one.

    Raises UsageError for stages that are unknown, and for settings that cannot be read. `clock` is in
    seconds, `wall` gives the time of day.
    """

    def __init__(
        self,
        session: Session,
        questions: Sequence[str],
        arms: Sequence[Arm],
        repeats: int,
        *,
        clock: Clock = time.perf_counter,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.tell: Callable[[Progress], None] = lambda progress: None
        self._session = session
        self._questions = tuple(questions)
        self._arms = tuple(arms)
        self._stages = {arm.name: self._of(arm) for arm in arms}
        models = {arm: [stage.model for stage in own] for arm, own in self._stages.items()}
        self._lanes = Lanes(models, functools.partial(place_of, session.endpoints()))
        self._notes = self._lanes.notes()
        planned = trials(self._arms, len(questions), repeats)
        self._todo = [t for t in planned if not (t.cold and t.arm.name in self._lanes.away)]
        self._planned = len(self._todo)
        self._clock = clock
        self._began = wall().isoformat(timespec="seconds")
        self._points: list[Point] = []
        self._took: list[tuple[bool, float]] = []
        self._engine = ""
        self._warmed: set[str] = set()
        self._pre_warms = False  # whether that is on, but for now
        self._running: list[Handle] = []
        self._is_stopped = False
        self.is_through = False  # came to its own end

    @property
    def result(self) -> Measured:
        """What was measured so far."""
        return Measured(
            self._questions,
            self._arms,
            tuple(self._points),
            self._planned,
            self._began,
            machine(self._engine),
            tuple(self._notes),
        )

    def stop(self) -> None:
        """End it; what is under way is not counted. On the loop's thread."""
        self._is_stopped = True
        for handle in self._running:
            handle.stop()

    async def run(self) -> None:
        """Measure all, unless it is stopped. A cancel ends what is under way.

        Raises UsageError where something else runs, and the EngineError of a first run that no
        further one would mend.
        """
        if self._session.going:
            raise UsageError("a run is under way, which would be measured too", "stop it, or wait")
        try:
            await self._measure_all()
        finally:
            self._session.readiness.pre_warm |= self._pre_warms
        self.is_through = not self._is_stopped
        self._tell("")

    async def _measure_all(self) -> None:
        await at_once.each(
            tuple(self._todo), lambda trial: Place(str(self._lanes.of(trial))), self._take
        )
        if self._is_stopped:
            self._notes.append(f"stopped after {len(self._points)} of {self._planned} runs")

    async def _take(self, trial: Trial) -> None:
        """The next run of its lane, unless it is left out by now."""
        if self._is_stopped or trial not in self._todo:
            return
        began = self._clock()
        self._tell(self._doing(trial))
        try:
            if await self._is_ready(trial) and not self._is_stopped:
                await self._measure(trial)
        except MiradorError as error:
            self._failed(trial, error)
        self._took.append((trial.cold, self._clock() - began))
        self._leave_out(lambda other: other == trial)

    def _leave_out(self, which: Callable[[Trial], bool]) -> None:
        self._todo = [trial for trial in self._todo if not which(trial)]

    async def _measure(self, trial: Trial) -> None:
        handle = self._session.start(trial.arm.request(self._questions[trial.question]))
        self._running.append(handle)
        try:
            await handle.wait()
        except asyncio.CancelledError:
            await handle.interrupt()
            raise
        finally:
            self._running.remove(handle)
        if self._is_stopped:
            return
        metrics = handle.metrics
        self._engine = self._engine or metrics.engine
        self._points.append(point(trial, metrics))
        if isinstance(handle.error, EngineUnavailable | ModelMissing):
            raise handle.error

    def _failed(self, trial: Trial, error: MiradorError) -> None:
        """What no further run would mend: raised where nothing was measured yet, else told."""
        good = [each for each in self._points if each.counts]
        of_arm = [each for each in good if each.arm == trial.arm.name]
        if not good or (isinstance(error, ModelMissing) and not of_arm):
            self.stop()
            raise error
        if isinstance(error, EngineUnavailable):
            self._leave_out(lambda other: self._lanes.of(other) == self._lanes.of(trial))
        if str(error) not in self._notes:
            self._notes.append(str(error))

    async def _is_ready(self, trial: Trial) -> bool:
        """Bring the models of this run to where it is to begin; false where that cannot be done."""
        await self._hold()
        engine = await self._engine_of(trial.arm)
        models = await answering(engine, self._at_home(trial.arm))
        if not models:
            return True
        if trial.cold:
            return await self._cool(engine, set(models))
        there = held(engine, await engine.resident(), models[0])
        if not there or not self._warmed.issuperset(models):
            await self._warm(engine, trial.arm, set(models))
            self._warmed.update(models)
        return True

    async def _hold(self) -> None:
        """Nothing is warmed by itself from now on; what has begun is waited for.

        A notebook whose extension was loaded just now sets out to warm its models a little later.
        """
        readiness = self._session.readiness
        self._pre_warms |= readiness.pre_warm
        readiness.pre_warm = False
        for _ in range(round(LOADS / _LOOK)):
            known = readiness.of(self._session.stages).state
            if not any(each.state == "loading" for each in known):
                return
            await asyncio.sleep(_LOOK)

    async def _warm(self, engine: Engine, arm: Arm, models: set[str]) -> None:
        """Bring these models into memory, and the prompts of their stages into their caches."""
        own = list(dict.fromkeys(stage.model for stage in self._at_home(arm)))
        for _ in range(2):  # one that was under way is waited for, and may be of other models
            await self._session.readiness.warm(own)
            there = await engine.resident()
            if all(held(engine, there, model) for model in models):
                return

    async def _cool(self, engine: Engine, models: set[str]) -> bool:
        """Have the engine let go of these models. Where it does not, no run is measured as cold."""
        for _ in range(round(LEAVES / _LOOK)):
            if not (there := await resident(engine, models)):
                await self._session.readiness.look()
                return True
            for model in sorted(there):
                await engine.unload(model)
            await asyncio.sleep(_LOOK)
        more = "more " * any(each.cold for each in self._points)
        self._notes.append(f"no {more}cold runs: {engine.label} keeps {', '.join(sorted(there))}")
        self._leave_out(lambda other: other.cold)
        return False

    async def _engine_of(self, arm: Arm) -> Engine:
        """The engine that the arm's runs go to."""
        settings = self._session.settings()
        models = [stage.model for stage in self._stages[arm.name]]
        if settings["engine"] == "auto" and models[0].endswith(".gguf"):
            return await self._session.engines.answering("embedded", settings)
        return await self._session.endpoints().engine(models, self._session.engine)

    def _at_home(self, arm: Arm) -> list[ModelStage]:
        """Those of the arm's stages whose models are here."""
        known = self._session.endpoints()
        return [stage for stage in self._stages[arm.name] if not known.of(stage.model)]

    def _of(self, arm: Arm) -> tuple[ModelStage, ...]:
        """The stages that the arm's runs may go through, as they will be set."""
        session = self._session
        settings = session.settings(arm.request("?").settings)
        known = settings.stages(session.stages.values())
        usual = [stage.name for stage in DEFAULT_STAGES if stage.name in known]
        return choose(list(known.values()), arm.stages or settings["default_stages"] or usual)

    def _doing(self, trial: Trial) -> str:
        warmth = "cold" if trial.cold else "warm"
        return f"{trial.arm.name}, {warmth}: {self._questions[trial.question]}"

    def _tell(self, doing: str) -> None:
        self.tell(Progress(self.result, self._lanes.left(self._took, self._todo), doing))
