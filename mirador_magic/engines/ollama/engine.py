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
import importlib
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, ModelInfo
from mirador_magic.engines.ollama.errors import translated, unpulled
from mirador_magic.engines.ollama.models import Installing, Modelfile, pulled
from mirador_magic.engines.ollama.wire import address, transport
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineUnavailable,
    MiradorError,
    RequestRefused,
)
from mirador_magic.events import StreamEnd
from mirador_magic.stages import plain

if TYPE_CHECKING:
    from datetime import datetime

    import httpx
    from ollama import AsyncClient, ChatResponse

T = TypeVar("T")

CONNECT_S = 2.0
PROBE_S = 5.0
SMALLEST_CONTEXT = 256  # tokens; no model in use was trained with fewer
TEMPLATE_BYTES = 256  # what a chat template may add to the messages
NUM_KEEP = 4  # Ollama's default
LAST_BYTES_S = 0.05  # for the end of a stream behind its last line
STUCK_S = 10.0  # without a word, from which on a model that was cut short before may be stuck
FREE_S = 0.5  # to have it unloaded, while whoever asked is leaving
FOR_EVER = 10 * 365 * 86400  # seconds; a negative keep_alive lasts centuries


class _Shown(NamedTuple):
    """The context that a model was trained with, how many first tokens a cut spares, how many bytes
    its own messages add to a prompt, and which weights it has: the hash of their blob, '' where unknown.
    """

    trained: int | None = None
    keep: int = NUM_KEEP
    own: int = 0
    weights: str = ""


class OllamaEngine:
    """Ollama at `host`; without one at OLLAMA_HOST, else on this machine.

    With `keep`, a connection stays open for the next request, until `aclose`: for an event loop that
    lives as long as a notebook. Otherwise nothing stays that would have to be closed.
    """

    name = "ollama"

    def __init__(self, host: str | None = None, *, keep: bool = False) -> None:
        self.host = address(host or os.environ.get("OLLAMA_HOST", ""))
        self._kept = int(keep)
        self._version = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: AsyncClient | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._shown: dict[str, _Shown] = {}
        self._keeps: dict[str, float] = {}  # seconds, by the weights that were loaded
        self._cut: set[str] = set()  # models that were cut short, and came to no end since

    @property
    def key(self) -> str:
        return f"ollama {self.host}"

    @property
    def label(self) -> str:
        return f"Ollama {self._version}".strip()

    async def probe(self) -> None:
        """Ask for the version, without the 300 ms that the official client takes to import."""
        answer = await self._ask("", self._ask_version())
        try:
            self._version = str(answer.json()["version"])
        except (ValueError, TypeError, LookupError):
            raise EngineUnavailable(
                f"what answers at {self.host} tells no Ollama version (HTTP {answer.status_code})",
                "set OLLAMA_HOST to the address of an Ollama, or start one: ollama serve",
            ) from None

    async def models(self) -> list[ModelInfo]:
        client = await self._connected()
        listed = await self._ask("", client.list())
        return [ModelInfo(m.model, int(m.size or 0)) for m in listed.models if m.model]

    async def resident(self) -> list[ModelInfo]:
        client = await self._connected()
        running = await self._ask("", client.ps())
        told = [
            ModelInfo(m.model, int(m.size or 0), int(m.size_vram or 0), _until(m.expires_at))
            for m in running.models
            if m.model
        ]
        return [*told, *self._other_names(told)]

    def _other_names(self, told: Sequence[ModelInfo]) -> list[ModelInfo]:
        """Models of the same weights as one that is in memory: Ollama lists them under one name."""
        listed = {plain(info.name): info for info in told}
        by_weights = {
            self._shown[name].weights: info for name, info in listed.items() if name in self._shown
        }
        return [
            replace(by_weights[shown.weights], name=name)
            for name, shown in self._shown.items()
            if shown.weights and name not in listed and shown.weights in by_weights
        ]

    async def unload(self, model: str) -> None:
        client = await self._connected()
        await self._ask(model, client.generate(model, keep_alive=0))

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Held until the model is there: to let go of it would abort the load.

        One token is the least that can be asked for: 0 goes on to the end. Weights that have several
        names are kept as long as the one that is kept longest.
        """
        client = await self._connected()
        weights = (await self._show(request.model)).weights
        if weights and keep_alive is not None:
            keep_alive = self._keeps[weights] = max(keep_alive, self._keeps.get(weights, 0.0))
        one = replace(request, options=replace(request.options, num_predict=1))
        try:
            answer = client.chat(request.model, keep_alive=keep_alive, **_body(one))
            told = await self._ask(request.model, answer)
        except RequestRefused as refused:
            return await self.load(_without_thinking(request, refused), keep_alive)
        return Loaded(_seconds(told.load_duration), _seconds(told.prompt_eval_duration))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Where a stop has left the model stuck, it is freed when its next reader leaves in vain.

        Ollama 0.34.1 does not always notice that a reader went: the model's only place stays taken,
        and all that is asked of it waits (seen with 1 stop in 100, a fast model on a busy machine).
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
        answer = client.chat(
            request.model, stream=True, logprobs=request.logprobs, **_body(request)
        )
        replies = cast("AsyncGenerator[ChatResponse, None]", await self._ask(request.model, answer))
        async with aclosing(replies):
            try:
                reply = await self._next(request.model, replies)
            except RequestRefused as refused:
                again = self._stream(_without_thinking(request, refused))
                async with aclosing(again):
                    async for chunk in again:
                        yield chunk
                return
            while True:
                if reply.message.thinking:
                    yield Chunk(thinking=reply.message.thinking)
                if reply.message.content:
                    yield Chunk(text=reply.message.content, logprobs=_logprobs(reply))
                if reply.done:
                    break
                reply = await self._next(request.model, replies)
            with suppress(TimeoutError, MiradorError):  # only what is read to its end is kept
                async with asyncio.timeout(LAST_BYTES_S):
                    await self._ask(request.model, anext(replies, None))
        yield Chunk(end=await self._end(request, reply))

    async def pull(self, model: str) -> AsyncGenerator[Installing, None]:
        """Fetch a model from its registry. Closing the stream stops that; the next goes on there."""
        client = await self._connected()
        async with aclosing(pulled(client, self.host, model)) as steps:
            async for step in steps:
                yield step

    async def derive(self, model: str, made: Modelfile) -> None:
        """Make a model of another, in the place of one of that name; a base that lacks is pulled."""
        client = await self._connected()
        wish: dict[str, Any] = {"parameters": made.parameters, "system": made.system or None}
        if made.messages:
            wish["messages"] = [asdict(message) for message in made.messages]
        try:
            await client.create(model, from_=made.base, **wish)
        except Exception as error:
            raise unpulled(error, self.host, model, doing="create") from error
        self._shown.clear()

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of an earlier loop went with it."""
        transport, self._transport, self._client = self._transport, None, None
        if transport and self._loop is asyncio.get_running_loop():
            await transport.aclose()

    async def _connected(self) -> AsyncClient:
        """The official client of the running event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            await self._import("ollama")
            import httpx
            import ollama

            self._loop, self._transport = loop, transport(self.host, kept=self._kept)
            self._client = ollama.AsyncClient(
                self.host,
                transport=self._transport,
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                follow_redirects=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._client

    async def _import(self, name: str) -> None:
        """Import it beside the loop. The client makes one of its own at import, which may fail."""
        try:
            await asyncio.to_thread(importlib.import_module, name)
        except (ImportError, ValueError) as error:
            raise EngineUnavailable(
                f"the Ollama client cannot be imported: {error}",
                "mend the proxy variables (ALL_PROXY), or: pip install socksio",
            ) from error

    async def _ask_version(self) -> httpx.Response:
        await asyncio.to_thread(importlib.import_module, "httpx")
        import httpx

        key = os.environ.get("OLLAMA_API_KEY")
        async with httpx.AsyncClient(
            transport=transport(self.host),
            timeout=httpx.Timeout(PROBE_S, connect=CONNECT_S),
            headers={"Authorization": f"Bearer {key}"} if key else {},
        ) as client:
            return await client.get(f"{self.host}/api/version")

    async def _ask(self, model: str, answer: Awaitable[T]) -> T:
        """The answer, or one of our errors: nothing foreign passes, but for a cancel."""
        try:
            return await answer
        except Exception as error:
            raise translated(error, self.host, model) from error

    async def _next(self, model: str, replies: AsyncGenerator[ChatResponse, None]) -> ChatResponse:
        reply = await self._ask(model, anext(replies, None))
        if reply is None:
            raise BrokenStream(
                f"Ollama ended the stream of {model} early, without its last line",
                "run the cell again; where the model only repeats itself, a higher temperature helps",
            )
        return reply

    async def _end(self, request: ChatRequest, last: ChatResponse) -> StreamEnd:
        return StreamEnd(
            "length" if last.done_reason == "length" else "stop",
            prompt_tokens=last.prompt_eval_count,
            output_tokens=last.eval_count,
            load_s=_seconds(last.load_duration),
            prefill_s=_seconds(last.prompt_eval_duration),
            decode_s=_seconds(last.eval_duration),
            prompt_cut=await self._was_cut(request, last.prompt_eval_count or 0),
        )

    async def _was_cut(self, request: ChatRequest, tokens: int) -> bool:
        """Whether the server dropped part of the prompt and kept only these `tokens`.

        No token covers less than a byte, so a prompt of fewer bytes than the context has tokens
        was not cut, whatever its count looks like.
        """
        context = request.options.num_ctx
        if 2 * tokens < min(context, SMALLEST_CONTEXT):
            return False
        shown = await self._show(request.model)
        context = min(context, shown.trained or context)
        told = sum(len(_sendable(message.content).encode()) for message in request.messages)
        size = TEMPLATE_BYTES + shown.own + told
        return size >= context and tokens in cut_lengths(context, shown.keep)

    async def _show(self, model: str) -> _Shown:
        """What Ollama tells of this model; it is asked once."""
        if (name := plain(model)) not in self._shown:
            client = await self._connected()
            try:
                shown = await self._ask(model, client.show(model))
            except EngineError:
                return _Shown()
            known = shown.modelinfo or {}
            trained = known.get(f"{known.get('general.architecture')}.context_length")
            chosen = re.search(r"^num_keep\s+(-?\d+)", shown.parameters or "", re.MULTILINE)
            keep = int(chosen[1]) if chosen else NUM_KEEP
            if keep >= 0 and known.get("tokenizer.ggml.add_bos_token"):
                keep += 1
            modelfile = shown.modelfile or ""
            own = len(modelfile.partition("\nMESSAGE ")[2].encode())
            weights = re.search(r"^FROM .*sha256-([0-9a-f]{64})$", modelfile, re.MULTILINE)
            self._shown[name] = _Shown(trained, keep, own, weights[1] if weights else "")
        return self._shown[name]


def _until(expires: datetime | None) -> float | None:
    """None for one that stays for ever, which Ollama writes as a time in centuries."""
    seconds = expires.timestamp() if expires else None
    return seconds if seconds and seconds < time.time() + FOR_EVER else None


def _body(request: ChatRequest) -> dict[str, Any]:
    """The request as the official client takes it, but for the model's name."""
    return {
        "messages": [{"role": m.role, "content": _sendable(m.content)} for m in request.messages],
        "options": {k: v for k, v in asdict(request.options).items() if v is not None},
    } | ({} if request.think is None else {"think": request.think})


def _without_thinking(request: ChatRequest, refused: RequestRefused) -> ChatRequest:
    """The same to a model that will not hear of thinking; raises any other refusal."""
    if request.think is None or "think" not in refused.what.partition(": ")[2]:
        raise refused
    return replace(request, think=None)


def cut_lengths(context: int, keep: int) -> set[int]:
    """How many tokens Ollama leaves of a prompt that does not fit into `context` tokens.

    Up to 0.29 it fills the context: `context`. From 0.30 on it keeps the first `keep` tokens and
    clears half of the rest for the answer: context - (context - keep) // 2. A negative `keep`
    spares everything, but for one token.
    """
    keep = min(keep, context - 1) if keep >= 0 else context - 1
    return {context, context - max((context - keep) // 2, 1)}


def _logprobs(reply: ChatResponse) -> tuple[float, ...]:
    """None where the model also thought: nobody can tell which of them are the answer's."""
    if reply.message.thinking:
        return ()
    return tuple(token.logprob for token in reply.logprobs or ())


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _sendable(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 and so no request can carry."""
    return text.encode(errors="replace").decode()
