"""The models of any endpoint that speaks OpenAI's chat interface, through the official SDK.

    engine = OpenAICompatibleEngine(Endpoint("cluster", "http://gpu:8000/v1"))
    async for chunk in engine.stream(request): ...

vLLM, SGLang, Ray Serve, llama.cpp's server, LiteLLM and Ollama's `/v1` are such endpoints. The SDK
makes the connection and the request; the stream's bytes are read here (`Reader`), since each server
adds something to it, and every error becomes ours at one gate (`Faults`). What such an endpoint does
not tell (loads, what is in memory, sizes) is None, nothing or 0 here.

The SDK's own retries are off. Before the first token a fault that may pass is tried again, twice at
the most; after it nothing is, since the reader has seen the beginning. A parameter that an endpoint
will not hear of is left out from then on. Importing this module is cheap; the SDK is imported when it
is first needed, beside the loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, cast

from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, ModelInfo
from mirador_magic.engines.bounds import LONGEST_ERROR
from mirador_magic.engines.endpoints import Endpoint, Secrets
from mirador_magic.engines.openai.client import Connection, connect
from mirador_magic.engines.openai.errors import Fault, Faults
from mirador_magic.engines.openai.reader import Reader
from mirador_magic.engines.openai.wire import (
    TOLD,
    Refusal,
    Unreadable,
    body,
    messages,
    told_of,
    unknown,
)
from mirador_magic.errors import EngineBusy, PromptTooLong, RequestRefused

log = logging.getLogger(__name__)

RETRIES = 2
PATIENCE_S = 8.0  # for all retries of a request; quick_response is given up after 10 s of silence
BACKOFF_S = 0.5
PROBE_S = 5.0
LAST_S = 5.0  # for the counts, behind a reason to end and nothing else
LAST_BYTES_S = 0.05  # for the end of a stream behind its last line


class OpenAICompatibleEngine:
    """The models behind one endpoint. Keeps the Protocol `Engine`.

    `sleep` is what a retry waits by, `chance` gives a number in 0..1 for its jitter.
    """

    name = "openai"

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        self._sleep, self._chance = sleep, chance
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting = asyncio.Lock()
        self._open: Connection | None = None
        self._faults = Faults(endpoint, Secrets())
        self._refused = False  # the key was: it is read anew for the next question
        self._left: list[Connection] = []  # with a key that was changed; streams may go on there
        self._without: dict[str, frozenset[str]] = {}  # by model, what it will not hear of

    def __repr__(self) -> str:
        return f"OpenAICompatibleEngine({self.endpoint!r})"

    @property
    def key(self) -> str:
        return f"openai {self.endpoint.base_url}"

    @property
    def label(self) -> str:
        return self.endpoint.name

    async def probe(self) -> None:
        """Ask for the list of models, which every such endpoint has."""
        await self.models()

    async def models(self) -> list[ModelInfo]:
        listed = await self._models()
        if isinstance(listed, Fault):
            raise listed.error
        return listed

    async def resident(self) -> list[ModelInfo]:
        """Nobody can tell."""
        return []

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Asks for one token, but only where the endpoint is to be warmed."""
        if self.endpoint.warm and request.messages:
            one = replace(request, options=replace(request.options, num_predict=1))
            async with aclosing(self.stream(one)) as chunks:
                async for _ in chunks:
                    pass
        return Loaded()

    async def unload(self, model: str) -> None:
        """That is the endpoint's own business."""

    def waiting(self, request: ChatRequest) -> bool:
        """Whether nothing was asked yet, since the SDK is still on its way.

        Nothing else excuses a silence: whether a model is being loaded is not told.
        """
        return self._connecting.locked()

    def unknown(self, request: ChatRequest) -> list[str]:
        own = ["keep_alive"] if request.keep_alive is not None else []
        refused = self._without.get(request.model, frozenset())
        asked = ["seed", *(name for name, _ in request.options.more)]
        return [*own, *unknown(request), *(name for name in asked if name in refused)]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        written, retries, patience = False, 0, PATIENCE_S
        while True:
            fault = None
            async with aclosing(self._answer(request)) as chunks:
                try:
                    async for chunk in chunks:
                        written |= bool(chunk.text or chunk.thinking)
                        yield chunk
                except Exception as error:  # noqa: BLE001  (translated, and raised below)
                    fault = self._faults.of(error, request.model, written=written)
            if fault is None:
                return
            # Raised outside of `except`: the foreign error has the request, and that has the key.
            if not written and (less := self._leaves_out(request, fault)):
                if told := ", ".join(name for name in TOLD if name in less):
                    yield Chunk(note=f"{fault.error.what}: asked again without {told}")
                continue
            self._refused |= fault.told.status == 401
            wait = self._wait(fault, retries)
            if retries == RETRIES or wait is None or wait > patience:
                raise fault.error
            log.info("%s: tried again in %.1f s: %s", self.endpoint.name, wait, fault.error.what)
            retries, patience = retries + 1, patience - wait
            await self._sleep(wait)

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of an earlier loop went with it."""
        left = [*self._left, *filter(None, [self._open])]
        self._open, self._left = None, []
        for connection in left if self._loop is asyncio.get_running_loop() else ():
            await connection.client.close()

    def _wait(self, fault: Fault, retries: int) -> float | None:
        """Seconds until the next try, None where that would not help."""
        if not fault.passing:
            return None
        if (after := fault.told.after) is not None:
            return after + 0.25 * self._chance()
        return BACKOFF_S * 2.0**retries * (0.5 + 0.5 * self._chance())

    def _leaves_out(self, request: ChatRequest, fault: Fault) -> frozenset[str]:
        """What the request can be made again without, which is remembered."""
        if isinstance(fault.error, PromptTooLong | EngineBusy):
            return frozenset()
        model = request.model
        known = self._without.get(model, frozenset())
        refused = fault.told.wishes | fault.told.named(name for name, _ in request.options.more)
        self._without[model] = known | refused
        if less := refused - known:
            log.info("%s: %s is asked without %s", self.endpoint.name, model, ", ".join(less))
        return less

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer as it comes; whatever goes wrong is still foreign."""
        to = await self._connected()
        without = self._without.get(request.model, frozenset())
        async with to.client.chat.completions.with_streaming_response.create(
            model=request.model,
            messages=cast(Any, messages(request, without)),
            stream=True,
            extra_body=body(request, without) | dict(self.endpoint.extra_body),
            extra_headers=to.headers,
        ) as response:
            if "html" in response.headers.get("content-type", ""):
                raise Refusal(told_of(200, (await response.read())[:LONGEST_ERROR]))
            reader = Reader()
            pieces = cast("AsyncGenerator[bytes, None]", response.iter_bytes())
            async with aclosing(pieces):
                with suppress(TimeoutError):
                    while not reader.done:
                        async with asyncio.timeout(LAST_S if reader.may_end else None):
                            data = await anext(pieces, None)
                        if data is None:
                            break
                        wrote = False
                        for chunk in reader.feed(data):
                            wrote = True
                            yield chunk
                        if not wrote:
                            yield Chunk()  # a sign of life
                    async with asyncio.timeout(LAST_BYTES_S):  # only what is read out is kept
                        await anext(pieces, None)
            for chunk in reader.close():
                yield chunk
        if reader.reason == "content_filter":
            what = f"{self.endpoint.name} cut the answer off: its content filter"
            raise RequestRefused(what, "ask in other words, or another model")
        if reader.reason in ("error", "abort"):
            raise Unreadable(f"it ended with {reader.reason!r}")
        note = "" if reader.is_sure else f"{self.endpoint.name} did not say that this is all"
        yield Chunk(end=reader.end(), note=note)

    async def _models(self) -> list[ModelInfo] | Fault:
        """The models, or what went wrong, so that nothing foreign hangs on the error."""
        try:
            to = await self._connected()
            async with asyncio.timeout(PROBE_S):
                options: Any = {"headers": to.headers}
                listed = await to.client.get("/models", cast_to=object, options=options)
            return [ModelInfo(name) for name in _names(listed)]
        except Exception as error:  # noqa: BLE001  (translated; the caller raises it)
            fault = self._faults.of(error, "")
            self._refused |= fault.told.status == 401
            return fault

    async def _connected(self) -> Connection:
        """The SDK's client of the running event loop; who comes meanwhile waits for the same."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._connecting = loop, asyncio.Lock()
            self._open, self._left = None, []
        if self._open and not self._refused:
            return self._open
        async with self._connecting:
            if self._open is None or self._refused:
                self._take(await asyncio.to_thread(connect, self.endpoint))
            assert self._open
            return self._open

    def _take(self, made: Connection) -> None:
        """Use this one, unless the one that there is is as good."""
        self._refused = False
        if self._open and made.secrets != self._open.secrets:
            self._left.append(self._open)
            self._open = None
        if self._open is None:
            self._open, self._faults = made, Faults(self.endpoint, made.secrets)


def _names(listed: object) -> list[str]:
    """The models of {"data": [{"id": …}, …]}."""
    try:
        return [str(each["id"]) for each in cast(Any, listed)["data"] or ()]
    except (TypeError, KeyError, ValueError):
        raise Unreadable(str(listed)) from None
