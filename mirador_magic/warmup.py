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
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mirador_magic import prompts
from mirador_magic.engines.base import Engine, ModelInfo
from mirador_magic.errors import MiradorError
from mirador_magic.events import Event, StageFinished
from mirador_magic.stages import ModelStage

log = logging.getLogger(__name__)

Clock = Callable[[], float]
Substitute = Callable[[ModelStage, Sequence[ModelInfo]], ModelStage | None]
State = Literal["cold", "loading", "warm", "failed", "evicted"]

# Ollama makes room by letting go of the model with the shortest one, and never counts uses: the
# first stage's model is wanted first, and the last one's costs most to load again.
KEEP_ALIVE_FIRST = 3600.0
KEEP_ALIVE_LAST = 1800.0
KEEP_ALIVE_BETWEEN = 1200.0
FORGOTTEN = 0.2  # seconds of loading from which on a model was not in memory


@dataclass(frozen=True)
class Warmth:
    """How ready one stage's model is.

    `size` is in bytes of memory, 0 where unknown. `since` is the clock's time at which the state
    began, in seconds; `expected` the seconds that loading it took the last time, None where it never
    was loaded; `took` those that it took now. `why` says what failed.
    """

    stage: str
    model: str
    state: State = "cold"
    size: int = 0
    since: float = 0.0
    expected: float | None = None
    took: float | None = None
    why: str = ""


class History:
    """How long each model took to load and prefill the last time, kept in a small JSON file.

    It is a convenience: a file that cannot be read or written is as good as none.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or _data_folder() / "warmups.json"

    def expected(self, engine: str, model: str) -> float | None:
        """In seconds; None where it is not known."""
        seconds = self._read().get(f"{engine} {model}")
        return float(seconds) if isinstance(seconds, int | float) else None

    def remember(self, engine: str, model: str, seconds: float) -> None:
        known = self._read() | {f"{engine} {model}": round(seconds, 3)}
        beside = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(known, indent=1))
            beside.replace(self._file)
        except OSError as error:
            log.info("how long %s took is not kept: %s", model, error)

    def _read(self) -> dict[str, object]:
        try:
            known = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


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
    ) -> None:
        self.stages = tuple(stages)
        self.state = [Warmth(stage.name, stage.model) for stage in stages]
        self.clock = clock
        self._open_engine = open_engine
        self._substitute = substitute
        self._history = history or History()
        self._watchers: list[Callable[[Warmth], None]] = []
        self._runs = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def watch(self, tell: Callable[[Warmth], None]) -> None:
        """Tell this one each state from now on."""
        self._watchers.append(tell)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While a run is under way: nothing new is begun."""
        self._runs += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._runs -= 1
            if not self._runs:
                self._idle.set()

    async def run(self) -> None:
        """Warm what is cold. A model that cannot be warmed is passed over: the run will tell.

        Raises EngineUnavailable where no engine answers.
        """
        engine = await self._open_engine()
        warmed: dict[str, int] = {}  # model → the place of the stage that it is warm for
        for place, own in enumerate(self.stages):
            await self._idle.wait()
            try:
                stage = await self._installed(engine, own)
                if stage.model in warmed:  # its cache holds one beginning: the earlier stage's
                    first = self.state[warmed[stage.model]]
                    self._set(place, first.state, model=stage.model, size=first.size)
                    continue
                if self.state[place].state != "warm":  # by a run that came between
                    await self._warm(engine, stage, place)
                warmed[stage.model] = place
                if not await self._all_fit(engine, warmed):
                    return
            except MiradorError as error:
                self._set(place, "failed", why=str(error))

    def heard(self, event: Event) -> None:
        """Learn from a run what is in memory now."""
        if not isinstance(event, StageFinished):
            return
        for place, was in enumerate(self.state):
            if was.stage == event.stage:
                load_s = event.end.load_s or 0.0
                lost = was.state == "warm" and load_s > FORGOTTEN
                why = f"had left memory and was loaded again in {load_s:.1f} s" if lost else ""
                self._set(place, "warm", why=why)

    async def _warm(self, engine: Engine, stage: ModelStage, place: int) -> None:
        expected = self._history.expected(engine.name, stage.model)
        self._set(place, "loading", model=stage.model, expected=expected)
        began = self.clock()
        loaded = await engine.load(prompts.head(stage), self._keep_alive(place))
        took = self.clock() - began
        self._set(place, "warm", took=took)
        if loaded.load_s is None or loaded.load_s > FORGOTTEN:
            self._history.remember(engine.name, stage.model, took)

    async def _installed(self, engine: Engine, stage: ModelStage) -> ModelStage:
        """The stage on its own model or, where that is missing, on the one that stands in for it."""
        models = await engine.models()
        names = {model.name for model in models}
        if {stage.model, f"{stage.model}:latest"} & names or not self._substitute:
            return stage
        return self._substitute(stage, models) or stage

    async def _all_fit(self, engine: Engine, warmed: dict[str, int]) -> bool:
        """Whether every model that was warmed is in memory still. If not, the rest stays cold: each
        load would only push another out."""
        resident = {_plain(model.name): model.size for model in await engine.resident()}
        gone = [place for model, place in warmed.items() if _plain(model) not in resident]
        for model, place in warmed.items():
            if place not in gone:
                self._set(place, self.state[place].state, size=resident[_plain(model)])
        if not gone:
            return True
        if 0 in gone:  # every run begins with it
            await self._warm(engine, await self._installed(engine, self.stages[0]), 0)
            gone = [place for place in warmed.values() if place]
        for place in gone:
            self._set(place, "evicted", why="the models do not fit into memory together")
        return False

    def _keep_alive(self, place: int) -> float:
        if place == 0:
            return KEEP_ALIVE_FIRST
        return KEEP_ALIVE_LAST if place == len(self.stages) - 1 else KEEP_ALIVE_BETWEEN

    def _set(self, place: int, state: State, **more: Any) -> None:
        was = self.state[place]
        since = was.since if was.state == state else self.clock()
        more = {"why": ""} | more
        now = self.state[place] = replace(was, state=state, since=since, **more)
        if now != was:
            for tell in self._watchers:
                tell(now)


def _plain(model: str) -> str:
    return model.removesuffix(":latest")


def _data_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("mirador", appauthor=False))
