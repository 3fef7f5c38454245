"""The models that run in Ollama, through its official client.

    engine = OllamaEngine()                    # OLLAMA_HOST, else http://127.0.0.1:11434
    async for chunk in engine.stream(request): ...

The client is used as it is, but for four things that break an answer. It splits a stream where a
model writes U+0085, so a transport of ours mends the bytes beneath it (`transport`). It leaves
half of its errors to httpx, json and pydantic, so every call passes one gate (`_ask`), behind
which there are only our own errors, one line each with its cure (`translated`). It belongs to one
event loop, so each loop gets a client of its own. And Ollama cuts a prompt that is too long
without a word, which is found out afterwards from what it kept (`cut_lengths`).

No answer has a deadline here: a model may take its time, and the orchestrator guards the silence.
Importing this module is cheap; httpx and ollama are imported when first needed, beside the loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from mirador_magic.clean import one_line
from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, ModelInfo
from mirador_magic.engines.ollama.chat import (
    body,
    chunks_of,
    end_of,
    seconds,
    unknown,
    without_thinking,
)
from mirador_magic.engines.ollama.errors import denied, translated
from mirador_magic.engines.ollama.listing import Listing
from mirador_magic.engines.ollama.models import Installing, Modelfile, derived, pulled
from mirador_magic.engines.ollama.official import bring, client_of
from mirador_magic.engines.ollama.shown import (
    SMALLEST_CONTEXT,
    Keeps,
    Shown,
    context_of,
    other_names,
    read_shown,
    resident,
    was_cut,
)
from mirador_magic.engines.ollama.wire import (
    Host,
    address,
    authorization,
    get,
    told,
)
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineUnavailable,
    MiradorError,
    NoChatModel,
    RequestRefused,
)
from mirador_magic.stages import plain

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient, ChatResponse, ProcessResponse

    _Open = tuple[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport, AsyncClient]

T = TypeVar("T")

LAST_BYTES_S = 0.05  # for the end of a stream behind its last line
STUCK_S = 10.0  # without a word, from which on a model that was cut short before may be stuck
FREE_S = 0.5  # to have it unloaded, while whoever asked is leaving


class OllamaEngine:
    """Ollama at `host`; without one at OLLAMA_HOST, else on this machine.

    With `keep`, a connection stays open for the next request, until `aclose`: for an event loop that
    lives as long as a notebook. Otherwise nothing stays that would have to be closed.
    """

    name = "ollama"

    def __init__(self, host: str | None = None, *, keep: bool = False) -> None:
        place = Host(host or os.environ.get("OLLAMA_HOST", ""))
        self.host, self._login = address(place), place.login
        self._kept = int(keep)
        self._version = ""
        self._open: _Open | None = None
        self._shown: dict[str, Shown] = {}
        self._keeps = Keeps()
        self._listing = Listing(self._can)
        self._cut: set[str] = set()  # models that were cut short, and came to no end since

    @property
    def key(self) -> str:
        return f"ollama {self.host}"

    @property
    def label(self) -> str:
        return f"Ollama {self._version}".strip()

    async def probe(self) -> None:
        """Ask for the version, without the 300 ms that the official client takes to import."""
        answer = await self._ask("", get(self.host, "/api/version", self._headers()))
        if answer.status_code in (401, 403):
            raise denied(answer.status_code, answer.text, self.host, self._sent)
        try:
            self._version = one_line(str(answer.json()["version"]))[:40]
        except (ValueError, TypeError, LookupError, RecursionError):
            raise EngineUnavailable(
                f"what answers at {self.host} tells no Ollama version (HTTP {answer.status_code})",
                "set OLLAMA_HOST to the address of an Ollama, or start one: ollama serve",
            ) from None

    async def models(self) -> list[ModelInfo]:
        """The list is asked as it is: the official client leaves out what its models can do."""
        answer = await self._ask("", get(self.host, "/api/tags", self._headers()))
        return await self._ask("", self._listing.read(answer))

    async def resident(self) -> list[ModelInfo]:
        there = resident(await self._running())
        return [*there, *other_names(there, self._shown)]

    def is_same(self, one: str, other: str) -> bool:
        """Whether they have the same weights, by what was shown of them."""
        shown = [
            self._shown[name].weights for name in map(plain, (one, other)) if name in self._shown
        ]
        return len(shown) == 2 and bool(shown[0]) and shown[0] == shown[1]

    async def _running(self) -> ProcessResponse:
        client = await self._connected()
        return await self._ask("", client.ps())

    async def _context_of(self, model: str) -> int | None:
        with suppress(EngineError):
            return context_of(await self._running(), model)
        return None

    async def unload(self, model: str) -> None:
        client = await self._connected()
        await self._ask(model, client.generate(model, keep_alive=0))

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Held until the model is there: to let go of it would abort the load.

        One token is the least that can be asked for: 0 goes on to the end. Weights that have several
        names are kept as long as the one that is kept longest.
        """
        client = await self._connected()
        await self._show(request.model)
        keep_alive = self._keeps.longest(self._shown.get(plain(request.model)), keep_alive)
        one = replace(request, options=replace(request.options, num_predict=1))
        try:
            answer = client.chat(request.model, keep_alive=keep_alive, **body(one))
            told = await self._ask(request.model, answer)
        except RequestRefused as refused:
            return await self.load(without_thinking(request, refused), keep_alive)
        return Loaded(seconds(told.load_duration), seconds(told.prompt_eval_duration))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Where a stop has left the model stuck, it is freed when its next reader leaves in vain.

        Ollama does not always notice that a reader went: the model's only place stays taken, and all
        that is asked of it waits (on a busy machine 0.34.1 at 1 stop in 100, 0.24.0 at 1 in 400).
        """
        loop = asyncio.get_running_loop()
        asked, heard = loop.time(), False
        try:
            async with aclosing(self._stream(request)) as chunks:
                async for chunk in chunks:
                    heard = True
                    (self._cut.discard if chunk.end else self._cut.add)(request.model)
                    yield chunk
        finally:
            if not heard and request.model in self._cut and loop.time() - asked > STUCK_S:
                self._cut.discard(request.model)
                with suppress(TimeoutError, MiradorError):
                    async with asyncio.timeout(FREE_S):
                        await self.unload(request.model)

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        client = await self._connected()
        # top_logprobs would sort the whole vocabulary at each token (0.12-0.24)
        kept = self._keeps.longest(self._shown.get(plain(request.model)), request.keep_alive)
        answer = client.chat(
            request.model, stream=True, logprobs=True, keep_alive=kept, **body(request)
        )
        replies = cast("AsyncGenerator[ChatResponse, None]", await self._ask(request.model, answer))
        async with aclosing(replies):
            try:
                reply = await self._next(request.model, replies)
            except RequestRefused as refused:
                again = self._stream(without_thinking(request, refused))
                async with aclosing(again):
                    async for chunk in again:
                        yield chunk
                return
            tools = False
            while True:
                for chunk in chunks_of(reply):
                    yield chunk
                tools |= bool(reply.message.tool_calls)
                if reply.done:
                    break
                reply = await self._next(request.model, replies)
            with suppress(TimeoutError, MiradorError):  # only what is read to its end is kept
                async with asyncio.timeout(LAST_BYTES_S):
                    await self._ask(request.model, anext(replies, None))
        is_cut = await self._was_cut(request, reply.prompt_eval_count or 0)
        yield Chunk(end=end_of(reply, is_cut, tools))

    def may_be_stuck(self, model: str) -> bool:
        return model in self._cut

    async def pull(self, model: str) -> AsyncGenerator[Installing, None]:
        """Fetch a model from its registry. Closing the stream stops that; the next goes on there."""
        client = await self._connected()
        async with aclosing(pulled(client, self.host, model)) as steps:
            async for step in steps:
                yield step

    async def derive(self, model: str, made: Modelfile) -> None:
        """Make a model of another, in the place of one of that name; a base that lacks is pulled."""
        await derived(await self._connected(), self.host, model, made)
        self._shown.clear()

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of an earlier loop went with it."""
        opened, self._open = self._open, None
        if opened and opened[0] is asyncio.get_running_loop():
            await opened[1].aclose()

    async def _connected(self) -> AsyncClient:
        """The official client of the running event loop. Another thread's may take its place."""
        loop, opened = asyncio.get_running_loop(), self._open
        if opened is None or opened[0] is not loop:
            await asyncio.to_thread(bring)
            through, client = client_of(self.host, self._kept, self._headers())
            self._open = opened = loop, through, client
        return opened[2]

    def _headers(self) -> dict[str, str]:
        return authorization(self._login, os.environ.get("OLLAMA_API_KEY", ""))

    @property
    def _sent(self) -> str:
        return told(self._login, os.environ.get("OLLAMA_API_KEY", ""))

    async def _ask(self, model: str, answer: Awaitable[T]) -> T:
        """The answer, or one of our errors: nothing foreign passes, but for a cancel."""
        try:
            return await answer
        except EngineError:
            raise
        except Exception as error:
            ours = translated(error, self.host, model, self._sent)
            if isinstance(ours, NoChatModel):
                self._listing.refused(model)
            raise ours from error

    async def _next(self, model: str, replies: AsyncGenerator[ChatResponse, None]) -> ChatResponse:
        reply = await self._ask(model, anext(replies, None))
        if reply is None:
            raise BrokenStream(
                f"Ollama ended the stream of {model} early, without its last line",
                "run the cell again; where the model only repeats itself, a higher temperature helps",
            )
        return reply

    async def _was_cut(self, request: ChatRequest, tokens: int) -> bool:
        """Whether the server dropped part of the prompt and kept only these `tokens`."""
        context = request.options.num_ctx or await self._context_of(request.model)
        if context is None or 2 * tokens < min(context, SMALLEST_CONTEXT):
            return False
        return was_cut(await self._show(request.model), request.messages, context, tokens)

    def unknown(self, request: ChatRequest) -> list[str]:
        return unknown(request)

    async def _can(self, model: str) -> Sequence[str] | None:
        """What this model can do; None where Ollama does not tell, as before 0.6.4."""
        return (await self._show(model)).can

    async def _show(self, model: str) -> Shown:
        """What Ollama tells of this model; it is asked once."""
        if (name := plain(model)) not in self._shown:
            client = await self._connected()
            try:
                shown = await self._ask(model, client.show(model))
            except EngineError:
                return Shown()
            self._shown[name] = read_shown(shown)
        return self._shown[name]
