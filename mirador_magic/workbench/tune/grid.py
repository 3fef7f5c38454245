"""Makes the tries of a plan: at home one after the other, past this machine as many at once as the
endpoint takes. May be stopped, and goes on where it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from mirador_magic.errors import EngineUnavailable
from mirador_magic.pipeline import at_once
from mirador_magic.pipeline.at_once import place_of
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.workbench.tune.plan import Plan, Step, order, remaining, untried
from mirador_magic.workbench.tune.record import record_of
from mirador_magic.workbench.tune.scoring import Score, scored
from mirador_magic.workbench.tune.table import Table
from mirador_magic.workbench.tune.tries import Try, short


@dataclass(frozen=True)
class Progress:
    """How far a grid is. `left` is in seconds, None until one try was made; `step` is the
    one that began last of those that go on."""

    done: int
    total: int
    left: float | None = None
    step: Step | None = None

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} tries"]
        if self.left is not None:
            minutes, seconds = divmod(round(self.left), 60)
            parts.append(f"about {minutes}:{seconds:02} left")
        if self.step:
            parts.append(f"{short(self.step.variant.name, 40)}: {short(self.step.question, 60)}")
        return " · ".join(parts)


class Grid:
    """One call of `tune`. `tell` hears how far it is; `stop` ends it, and keeps what is done.

    The newest grid of the same plan is gone on with where a stop left steps untried; what failed in it
    is made again too.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        score: Score | None = None,
        tell: Callable[[Progress], None] = lambda _: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._session = session
        self._plan = plan
        self._score = score
        self.tell = tell
        self._clock = clock
        self._record = record_of(session)
        self._name = self._newest()
        self._going: dict[Handle, Step] = {}
        self._is_stopped = False
        self._todo = self._made = 0  # tries of this call
        self._began = 0.0
        self._scores: dict[int, float] = {}  # by the try's number

    def stop(self) -> None:
        """End it, from any thread: tries under way are cut, and made again another time."""
        self._is_stopped = True
        for handle in tuple(self._going):
            handle.stop()

    async def run(self) -> Table:
        """Make what is missing. Raises EngineUnavailable, and what the user's score function raises,
        when what can be made elsewhere is made."""
        for tried in self._tries():
            await self._give_score(tried)
        missing = remaining(self._plan.steps, self._tries())
        endpoints = self._session.endpoints()
        models = {step.model for step in missing}
        there = await at_once.resident(endpoints, models, self._session.engine)
        self._todo, self._made, self._began = len(missing), 0, self._clock()
        await at_once.each(
            order(missing, there), lambda step: place_of(endpoints, step.model), self._take
        )
        return self._table()

    async def _take(self, step: Step) -> None:
        """The step, unless the grid was stopped; tells what goes on before it, and after it."""
        if not self._is_stopped:
            self._tell(step)
        if self._is_stopped:
            return
        await self._make(step)
        self._made += 1
        for other in [*self._going.values()][-1:]:
            self._tell(other)

    def _tell(self, step: Step) -> None:
        left = None
        if self._made:
            left = (self._clock() - self._began) / self._made * (self._todo - self._made)
        total = len(self._plan.steps)
        self.tell(Progress(total - self._todo + self._made, total, left, step))

    def _table(self) -> Table:
        """What there is by now."""
        tries = [
            dataclasses.replace(tried, score=self._scores.get(tried.number))
            for tried in self._tries()
        ]
        return Table(self._plan, self._record, tries)

    async def _make(self, step: Step) -> None:
        request = Request(
            step.question,
            stages=(self._plan.stage,),
            settings=step.variant.layer,
            purpose="tuning",
        )
        handle = self._session.start(request)
        self._going[handle] = step
        try:
            await handle.wait()
        except asyncio.CancelledError:
            await handle.interrupt()
            raise
        finally:
            del self._going[handle]
        if isinstance(handle.error, EngineUnavailable):
            raise handle.error
        if self._is_stopped and handle.answer.outcome == "stopped":
            return
        tried = self._record.keep(
            handle, step.variant.settings, step.variant.name, self._name, step.repeat
        )
        await self._give_score(tried)

    async def _give_score(self, tried: Try) -> None:
        if self._score and tried.is_done:
            self._scores[tried.number] = await scored(tried, self._score)

    def _tries(self) -> list[Try]:
        """Those of this grid that there are, of other kernels only where the texts were kept."""
        known = {step.identity for step in self._plan.steps}
        tries = self._record.of(self._plan.stage)
        return [each for each in tries if each.grid == self._name and each.identity in known]

    def _newest(self) -> str:
        """The name of the newest grid of this plan where it was stopped, else another one."""
        of_this = [
            each.grid
            for each in self._record.of(self._plan.stage)
            if each.grid.startswith(f"{self._plan.name}.")
        ]
        serial = max((int(name.rpartition(".")[2]) for name in of_this), default=0)
        self._name = f"{self._plan.name}.{serial}"
        is_open = serial and untried(self._plan.steps, self._tries())
        return self._name if is_open else f"{self._plan.name}.{serial + 1}"
