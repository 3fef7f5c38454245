"""One run on several engines: a stage's model says where it runs.

    cluster/llama-70b    the model llama-70b of the endpoint `cluster`
    gemma2:9b            a model of the engine at home

`Endpoints` keeps an engine for each endpoint, and how many requests may go on there at once; it makes
a `ByEndpoint` of a run's models. A run all of whose models are at home gets the home's own engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from mirador_magic.engines.base import (
    ChatRequest,
    Chunk,
    Engine,
    Loaded,
    ModelInfo,
    is_same,
    may_be_stuck,
    unknown,
)
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.limiter import Limiter
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.errors import EngineError, EngineUnavailable, MiradorError, UsageError

OpenHome = Callable[[], Awaitable[Engine]]

LIST_S = 5.0  # in which an endpoint lists its models, or is left out


class Part:
    """One endpoint with its engine."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.turns = Limiter(endpoint.limit)
        self.engine = _engine(endpoint)

    def own(self, request: ChatRequest) -> ChatRequest:
        """The request as the endpoint knows its model."""
        return replace(request, model=request.model.partition("/")[2])

    def named(self, models: Iterable[ModelInfo]) -> list[ModelInfo]:
        """Its models as a stage names them."""
        return [replace(m, name=f"{self.endpoint.name}/{m.name}", away=True) for m in models]


def _engine(endpoint: Endpoint) -> Engine:
    if endpoint.kind == "ollama":
        return OllamaEngine(endpoint.base_url, keep=True)
    from mirador_magic.engines.openai.engine import OpenAICompatibleEngine

    return OpenAICompatibleEngine(endpoint)


@dataclass(frozen=True)
class Look:
    """What one endpoint told when it was looked at.

    `latency` is in seconds, of a question on an open connection; None where it does not answer, and
    then `error` says why.
    """

    endpoint: Endpoint
    models: tuple[str, ...] = ()
    latency: float | None = None
    error: MiradorError | None = None


class Endpoints:
    """The endpoints that are set, each with an engine that is made when it is first asked."""

    def __init__(self, known: Mapping[str, Endpoint] | None = None) -> None:
        self._known: Mapping[str, Endpoint] = known or {}
        # By event loop: a client belongs to one, and calls from other threads have their own.
        self._by_loop: dict[asyncio.AbstractEventLoop, dict[str, Part]] = {}
        self._left: list[Part] = []  # those that were set otherwise before; a run may be on one

    def know(self, known: Mapping[str, Endpoint]) -> None:
        """These are set from now on."""
        self._known = known
        for parts in [*self._by_loop.values()]:
            for name, part in [*parts.items()]:
                if known.get(name) != part.endpoint:
                    self._left.append(parts.pop(name))

    @property
    def known(self) -> Mapping[str, Endpoint]:
        return self._known

    def of(self, model: str) -> Endpoint | None:
        """The endpoint that has this model; None where it is at home."""
        name, slash, rest = model.partition("/")
        return self._known.get(name) if slash and rest else None

    def at_once(self, model: str) -> int:
        """How many requests to this model may go on at once; at home they go one after the other."""
        endpoint = self.of(model)
        return endpoint.limit if endpoint else 1

    def cold(self, model: str) -> bool:
        """Whether the model is not to be warmed: it is past this machine, and nobody asked for it."""
        endpoint = self.of(model)
        return endpoint is not None and not endpoint.warm

    async def engine(self, models: Iterable[str], open_home: OpenHome) -> Engine:
        """The engine of a run on these models; the home's own where they all are there."""
        models = tuple(models)
        found = {each.name: each for model in models if (each := self.of(model))}
        if not found:
            return await open_home()
        engine = ByEndpoint({name: self._part(each) for name, each in found.items()}, open_home)
        if any(self.of(model) is None for model in models):
            with suppress(EngineUnavailable):  # the stages that are there say it, and no other
                await engine.home()
        return engine

    async def look(self, clock: Callable[[], float] = time.perf_counter) -> list[Look]:
        """What each of them tells now, all asked at the same time."""
        return list(
            await asyncio.gather(*(self._look(each, clock) for each in self._known.values()))
        )

    async def aclose(self) -> None:
        """Release what they hold. They may be used again."""
        left, self._left = self._left, []
        for part in (*self._parts().values(), *left):
            await part.engine.aclose()

    def _part(self, endpoint: Endpoint) -> Part:
        parts = self._parts()
        if endpoint.name not in parts:
            parts[endpoint.name] = Part(endpoint)
        return parts[endpoint.name]

    def _parts(self) -> dict[str, Part]:
        """Those of the running event loop."""
        for loop in [loop for loop in [*self._by_loop] if loop.is_closed()]:
            self._by_loop.pop(loop, None)
        return self._by_loop.setdefault(asyncio.get_running_loop(), {})

    async def _look(self, endpoint: Endpoint, clock: Callable[[], float]) -> Look:
        try:
            engine = self._part(endpoint).engine
            await engine.probe()
            began = clock()
            models = await engine.models()
            took = clock() - began
        except MiradorError as error:
            return Look(endpoint, error=error)
        return Look(endpoint, tuple(sorted(model.name for model in models)), took)


class ByEndpoint:
    """Asks each model where it is. Keeps the Protocol `Engine`."""

    name = "endpoints"

    def __init__(self, parts: Mapping[str, Part], open_home: OpenHome) -> None:
        self._parts, self._open_home = parts, open_home
        self._home: Engine | None = None
        self._warmed: set[str] = set()

    @property
    def key(self) -> str:
        return " + ".join(each.key for each in self._engines())

    @property
    def label(self) -> str:
        """Such as 'Ollama 0.34.1 + cluster'."""
        home = [self._home.label] if self._home else []
        return " + ".join([*home, *self._parts])

    async def home(self) -> Engine:
        """The engine at home, opened when it is first needed. Raises EngineUnavailable."""
        if self._home is None:
            self._home = await self._open_home()
        return self._home

    async def probe(self) -> None:
        """Each says for itself, when it is asked."""

    async def models(self) -> list[ModelInfo]:
        """Those at home and those of the run's endpoints; one that does not answer has none."""
        listed = [self._listed(part) for part in self._parts.values()]
        at_home: list[ModelInfo] = []
        with suppress(EngineError):
            at_home = await (await self.home()).models()
        return at_home + [model for models in await asyncio.gather(*listed) for model in models]

    async def resident(self) -> list[ModelInfo]:
        """What is told: at home, by an Ollama, and those that answered a warm-up here."""
        found = await self._home.resident() if self._home else []
        for part in self._parts.values():
            with suppress(EngineError):
                found += part.named(await part.engine.resident())
        there = {model.name for model in found}
        return found + [ModelInfo(name) for name in sorted(self._warmed - there)]

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Past this machine only what is to be warmed is."""
        part = self._part(request.model)
        if part is None:
            return await (await self.home()).load(request, keep_alive)
        if not part.endpoint.warm:
            return Loaded()
        async with part.turns.taken(request):
            loaded = await part.engine.load(part.own(request), keep_alive)
        self._warmed.add(request.model)
        return loaded

    async def unload(self, model: str) -> None:
        """Models past this machine are others' too."""
        if self._part(model) is None:
            await (await self.home()).unload(model)

    def is_same(self, one: str, other: str) -> bool:
        """Whether these names are of one model, at one place."""
        part = self._part(one)
        if part is not self._part(other):
            return False
        engine = part.engine if part else self._home
        return engine is not None and is_same(engine, one, other)

    def may_be_stuck(self, model: str) -> bool:
        """What the engine that runs it says, by the name that it knows."""
        part = self._part(model)
        engine, name = (part.engine, model.partition("/")[2]) if part else (self._home, model)
        return engine is not None and may_be_stuck(engine, name)

    def waiting(self, request: ChatRequest) -> bool | None:
        """Whether the request waits for its turn here; None where memory is to be asked instead."""
        part = self._part(request.model)
        if part is None:
            return None
        if part.turns.awaits(request):
            return True
        tell = getattr(part.engine, "waiting", None)
        return bool(tell(request)) if tell else None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        part = self._part(request.model)
        if part is None:
            async with aclosing((await self.home()).stream(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        async with (
            part.turns.taken(request),
            aclosing(part.engine.stream(part.own(request))) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def unknown(self, request: ChatRequest) -> tuple[str, ...]:
        part = self._part(request.model)
        engine = part.engine if part else self._home
        return unknown(engine, request) if engine else ()

    async def aclose(self) -> None:
        for engine in self._engines():
            await engine.aclose()

    def _part(self, model: str) -> Part | None:
        return self._parts.get(model.partition("/")[0]) if "/" in model else None

    def _engines(self) -> list[Engine]:
        home = [self._home] if self._home else []
        return [*home, *(part.engine for part in self._parts.values())]

    async def _listed(self, part: Part) -> list[ModelInfo]:
        with suppress(EngineError, UsageError, TimeoutError):
            async with asyncio.timeout(LIST_S):
                return part.named(await part.engine.models())
        return []
