"""An engine that plays a script: a public fake for tests, demos of faults and your own views.

    engine = ScriptedEngine({"tiny": Script("one two three", pace=0.05)})
    engine = ScriptedEngine({"tiny": Script(["one ", EngineLost("the cable fell out")])})

A script is played word by word; an error that stands in it is raised where it stands, and a
number is a silence in seconds. Time passes through the event loop's own clock, so that a loop
with a clock of the test's plays hours in no time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, ModelInfo
from mirador_magic.errors import EngineError, ModelMissing
from mirador_magic.events import StreamEnd
from mirador_magic.stages import DEFAULT_STAGES

Step = str | float | EngineError


@dataclass(frozen=True)
class Script:
    """What one model says. `first` and `pace` are seconds before the first and each later word,
    `load` those that bringing it into memory takes.
    """

    steps: str | Sequence[Step]
    first: float = 0.0
    pace: float = 0.0
    load: float = 0.0
    thinking: str = ""
    end: StreamEnd = field(default_factory=lambda: StreamEnd("stop"))

    def play(self) -> list[Step]:
        """The steps one by one, texts taken apart into words."""
        steps = [self.steps] if isinstance(self.steps, str) else self.steps
        return [
            part
            for step in steps
            for part in (re.findall(r"\s*\S+\s*?|\s+", step) if isinstance(step, str) else [step])
        ]


DEMO_SCRIPTS: Mapping[str, Script] = {
    stage.model: Script(f"This is the script of {stage.name}: no model wrote it.", pace=0.03)
    for stage in DEFAULT_STAGES
}


class ScriptedEngine:
    """Plays the script of each model; keeps what it was asked, and which streams were cut short.

    `requests` holds every ChatRequest in order, `warmed` those of `load`, `closed_early` the models
    whose stream was closed before its end.
    """

    name = key = "scripted"
    label = "scripted, no model"

    def __init__(self, scripts: Mapping[str, Script] = DEMO_SCRIPTS) -> None:
        self.scripts = dict(scripts)
        self.requests: list[ChatRequest] = []
        self.closed_early: list[str] = []
        self.loaded: list[str] = []
        self.warmed: list[ChatRequest] = []

    async def probe(self) -> None:
        """Always there."""

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo(name) for name in self.scripts]

    async def resident(self) -> list[ModelInfo]:
        return [ModelInfo(name) for name in self.loaded]

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        self.warmed.append(request)
        return Loaded(await self._bring(request.model))

    async def unload(self, model: str) -> None:
        if model in self.loaded:
            self.loaded.remove(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        script = self._script(request.model)
        await self._bring(request.model)
        words = 0
        try:
            await asyncio.sleep(script.first)
            if script.thinking:
                yield Chunk(thinking=script.thinking)
            for step in script.play():
                if isinstance(step, EngineError):
                    raise step
                if isinstance(step, str):
                    await asyncio.sleep(script.pace if words else 0)
                    words += 1
                    yield Chunk(text=step)
                else:
                    await asyncio.sleep(step)
            yield Chunk(end=script.end)
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early.append(request.model)
            raise

    async def aclose(self) -> None:
        self.loaded.clear()

    async def _bring(self, model: str) -> float:
        """Into memory; the seconds that it took."""
        script = self._script(model)
        if model in self.loaded:
            return 0.0
        await asyncio.sleep(script.load)
        self.loaded.append(model)
        return script.load

    def _script(self, model: str) -> Script:
        if model not in self.scripts:
            raise ModelMissing(
                f"the scripted engine has no script for {model!r}",
                f"choose from: {', '.join(self.scripts)}",
            )
        return self.scripts[model]
