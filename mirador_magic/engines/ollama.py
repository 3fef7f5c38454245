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
import json
import os
import re
import shlex
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit

from mirador_magic.engines.base import ChatRequest, Chunk, ModelInfo
from mirador_magic.errors import (
    BrokenStream,
    EngineBusy,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    PromptTooLong,
    RequestRefused,
    UsageError,
)
from mirador_magic.events import StreamEnd
from mirador_magic.stages import ModelOptions

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient, ChatResponse

T = TypeVar("T")

CONNECT_S = 2.0
PROBE_S = 5.0
SMALLEST_CONTEXT = 256
TEMPLATE_BYTES = 256
NUM_KEEP = 4


class OllamaEngine:
    """Ollama at `host`; without one at OLLAMA_HOST, else on this machine."""

    name = "ollama"

    def __init__(self, host: str | None = None) -> None:
        self.host = address(host or os.environ.get("OLLAMA_HOST", ""))
        self._version = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: AsyncClient | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._windows: dict[str, tuple[int | None, int]] = {}

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
        return [ModelInfo(m.model, int(m.size or 0)) for m in running.models if m.model]

    async def load(self, model: str, options: ModelOptions) -> None:
        """An empty chat, held until the model is there: to let go of it would abort the load."""
        client = await self._connected()
        runner = {"num_ctx": options.num_ctx}
        await self._ask(model, client.chat(model, messages=[], options=runner))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        client = await self._connected()
        answer = client.chat(
            request.model,
            messages=[{"role": m.role, "content": _sendable(m.content)} for m in request.messages],
            stream=True,
            think=False,
            options={k: v for k, v in asdict(request.options).items() if v is not None},
        )
        replies = cast("AsyncGenerator[ChatResponse, None]", await self._ask(request.model, answer))
        async with aclosing(replies):
            while True:
                reply = await self._next(request.model, replies)
                if reply.message.thinking:
                    yield Chunk(thinking=reply.message.thinking)
                if reply.message.content:
                    yield Chunk(text=reply.message.content)
                if reply.done:
                    break
        yield Chunk(end=await self._end(request, reply))

    async def aclose(self) -> None:
        """Close the connections of this event loop; those of an earlier loop went with it."""
        transport, self._transport, self._client = self._transport, None, None
        if transport and self._loop is asyncio.get_running_loop():
            await transport.aclose()

    async def _connected(self) -> AsyncClient:
        """The official client of the running event loop."""
        if self._client is None or self._loop is not asyncio.get_running_loop():
            await self._ask("", self._connect())
        return cast("AsyncClient", self._client)

    async def _connect(self) -> None:
        await asyncio.to_thread(importlib.import_module, "ollama")
        import httpx
        import ollama

        self._loop = asyncio.get_running_loop()
        self._transport = transport(self.host)
        self._client = ollama.AsyncClient(
            self.host,
            transport=self._transport,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )

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
        size = TEMPLATE_BYTES + sum(len(_sendable(m.content).encode()) for m in request.messages)
        if min(size, 2 * tokens) < SMALLEST_CONTEXT:
            return False
        trained, keep = await self._window(request.model)
        context = min(request.options.num_ctx, trained or request.options.num_ctx)
        return size >= context and tokens in cut_lengths(context, keep)

    async def _window(self, model: str) -> tuple[int | None, int]:
        """The context that the model was trained with, and how many first tokens a cut spares."""
        if model not in self._windows:
            client = await self._connected()
            try:
                shown = await self._ask(model, client.show(model))
            except EngineError:
                return None, NUM_KEEP
            known = shown.modelinfo or {}
            trained = known.get(f"{known.get('general.architecture')}.context_length")
            chosen = re.search(r"^num_keep\s+(-?\d+)", shown.parameters or "", re.MULTILINE)
            keep = int(chosen[1]) if chosen else NUM_KEEP
            if keep >= 0 and known.get("tokenizer.ggml.add_bos_token"):
                keep += 1
            self._windows[model] = trained, keep
        return self._windows[model]


def cut_lengths(context: int, keep: int) -> set[int]:
    """How many tokens Ollama leaves of a prompt that does not fit into `context` tokens.

    Up to 0.29 it fills the context: `context`. From 0.30 on it keeps the first `keep` tokens and
    clears half of the rest for the answer: context - (context - keep) // 2. A negative `keep`
    spares everything, but for one token.
    """
    keep = min(keep, context - 1) if keep >= 0 else context - 1
    return {context, context - max((context - keep) // 2, 1)}


def address(text: str) -> str:
    """The URL for a host as OLLAMA_HOST has it; an address to listen at becomes one to call."""
    text = text.strip().strip("\"'")
    scheme, explicit, rest = text.partition("://")
    if not explicit:
        scheme, rest = "http", text
    parts = urlsplit(f"{scheme}://{rest}")
    try:
        port = parts.port or ({"http": 80, "https": 443}[scheme] if explicit else 11434)
    except (KeyError, ValueError):
        raise UsageError(
            f"{text!r} is not an address of an Ollama", "set OLLAMA_HOST=http://127.0.0.1:11434"
        ) from None
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname or "0.0.0.0", parts.hostname)
    name = f"[{name}]" if ":" in str(name) else name
    return f"{scheme}://{name}:{port}{parts.path.rstrip('/')}"


def transport(host: str) -> httpx.AsyncHTTPTransport:
    """The transport to `host`, which mends streams.

    Plain HTTP needs no TLS context, 45 ms to make, and keeps no idle connection: a new one costs
    nothing here, and there is none to clean up when its event loop is gone.
    """
    import httpx

    class Mended(httpx.AsyncByteStream):
        def __init__(self, stream: httpx.AsyncByteStream) -> None:
            self.stream = stream

        def __aiter__(self) -> AsyncIterator[bytes]:
            return mended(self.stream)

        async def aclose(self) -> None:
            await self.stream.aclose()

    class MendingTransport(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if response.headers.get("Content-Type", "").startswith("application/x-ndjson"):
                response.stream = Mended(cast("httpx.AsyncByteStream", response.stream))
            return response

    plain = host.startswith("http://")
    limits = httpx.Limits(max_keepalive_connections=0 if plain else 20)
    return MendingTransport(verify=not plain, limits=limits)


_LINE_BREAK = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
_UNFINISHED = re.compile(rb"(\xc2|\xe2\x80?)\Z")


async def mended(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same JSON, with the line breaks that may stand raw in a string escaped.

    httpx takes U+0085, U+2028 and U+2029 for the end of a line; JSON does not, and Ollama sends
    the first raw. One that is torn apart by the chunks is held back until it is whole.
    """
    held = b""
    async for chunk in chunks:
        chunk = held + chunk
        torn = _UNFINISHED.search(chunk)
        held = torn[0] if torn else b""
        yield _LINE_BREAK.sub(_escaped, chunk[: len(chunk) - len(held)])
    yield held


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def translated(error: Exception, host: str, model: str) -> EngineError:
    """Our error for a foreign one. `model` is empty where no model was asked for anything."""
    import httpx

    if refusal := _refusal(error):
        return _refused(*refusal, model)
    unreachable = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, ConnectionError)
    if isinstance(error, unreachable) or (isinstance(error, httpx.TransportError) and not model):
        return EngineUnavailable(f"Ollama does not answer at {host}: {_why(error)}", _start(host))
    if isinstance(error, httpx.TransportError):
        return EngineLost(
            f"Ollama broke off while {model} was writing: it was killed or restarted",
            f"run the cell again; if Ollama is gone, {_start(host)}",
        )
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, json.JSONDecodeError):
        said = error.doc or "an empty line"
    return BrokenStream(
        f"Ollama sent something that cannot be read: {_words(said, 80)}",
        "run the cell again; if it stays, update Ollama: ollama --version tells which you have",
    )


def _refusal(error: Exception) -> tuple[int, str] | None:
    """Status and words of a server that answers with an error; status -1 in mid-stream.

    The client stumbles over an error whose text is JSON but no object: then the answer hangs on
    the exception's context.
    """
    import httpx

    if (status := getattr(error, "status_code", None)) is not None:
        return int(status), _words(getattr(error, "error", ""))
    if isinstance(answered := error.__context__, httpx.HTTPStatusError):
        return answered.response.status_code, _words(answered.response.text)
    return None


def _refused(status: int, said: str, model: str) -> EngineError:
    """An error that Ollama states itself. In mid-stream the answer is lost, not refused."""
    name = shlex.quote(model)
    if status == 503:
        return EngineBusy(f"Ollama has no place in its queue: {said}", "run the cell again soon")
    if status == 404 and "model" in said and "not found" in said:
        return ModelMissing(f"Ollama does not have the model {model}", f"ollama pull {name}")
    if status == 400 and re.search(r"context (size|length)", said):
        return PromptTooLong(
            f"the prompt does not fit into the context of {model}: {said}",
            "shorten it, or give the stage a larger context: --num-ctx TOKENS",
        )
    cure = f"try the model alone: ollama run {name}"
    if "memory" in said:
        cure = "free some: ollama ps lists what is loaded, ollama stop NAME unloads it"
    if status < 0:
        return EngineLost(f"Ollama gave up while {model} was writing: {said}", cure)
    if status in (401, 403):
        cure = "ollama signin"
    if status < 400 or not model:
        cure = "set OLLAMA_HOST to the address of an Ollama"
    return RequestRefused(f"Ollama refuses {model or 'to answer'} (HTTP {status}): {said}", cure)


def _words(said: object, limit: int = 300) -> str:
    """A server's own words: out of the JSON around them, on one printable line, and not too long."""
    if isinstance(said, Mapping):
        return _words(said.get("error") or said.get("message") or "", limit)
    with suppress(ValueError):
        if isinstance(inner := json.loads(str(said)), str | Mapping):
            return _words(inner, limit)
    line = " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())
    return f"{line[:limit]}…" if len(line) > limit else line or "it does not say why"


def _why(error: BaseException) -> str:
    """The reason at the root of a failed connection: httpx says no more than that it failed."""
    root = error
    while cause := root.__cause__ or root.__context__:
        root = cause.exceptions[0] if isinstance(cause, ExceptionGroup) else cause
    if isinstance(root, TimeoutError | asyncio.CancelledError):
        return "no answer in time"
    if isinstance(root, OSError) and root.errno and root.strerror:
        return (os.strerror(root.errno) if root.errno > 0 else root.strerror).lower()
    return _words(root)


def _start(host: str) -> str:
    """The command that starts an Ollama at this address."""
    if host == "http://127.0.0.1:11434":
        return "start it: ollama serve"
    if urlsplit(host).hostname in ("127.0.0.1", "::1", "localhost"):
        return f"start it: OLLAMA_HOST={host.removeprefix('http://')} ollama serve"
    return "start it there, or set OLLAMA_HOST to where it runs"


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def _sendable(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 and so no request can carry."""
    return text.encode(errors="replace").decode()
