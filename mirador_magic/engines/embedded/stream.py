"""What the embedded engine asks llama.cpp's server over its socket, and how it reads the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

from mirador_magic.engines.base import ChatRequest, Chunk, template_wishes
from mirador_magic.errors import BrokenStream, EngineError, PromptTooLong, RequestRefused
from mirador_magic.events import StreamEnd

if TYPE_CHECKING:
    import httpx

ANEW = "ask again: the next question starts it anew"


def client_of(socket: str) -> httpx.AsyncClient:
    """No key and no TLS: what guards a unix socket is its mode. Silence is not its business."""
    import httpx

    transport = httpx.AsyncHTTPTransport(uds=socket, verify=False, trust_env=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://embedded", timeout=None, trust_env=False
    )


# What may be asked of llama.cpp's server beside the usual, by Ollama's name and by its own.
_OPTIONS = {
    name: name
    for name in (
        *("top_k", "min_p", "typical_p", "repeat_last_n", "repeat_penalty", "stop"),
        *("presence_penalty", "frequency_penalty", "mirostat", "mirostat_tau", "mirostat_eta"),
        *(
            "dynatemp_range",
            "dynatemp_exponent",
            "dry_multiplier",
            "dry_base",
            "dry_allowed_length",
        ),
        *("dry_penalty_last_n", "dry_sequence_breakers", "xtc_probability", "xtc_threshold"),
        *("top_n_sigma", "min_keep", "ignore_eos", "grammar", "samplers", "n_keep", "n_indent"),
    )
} | {"num_keep": "n_keep"}


def unknown(request: ChatRequest) -> set[str]:
    """What is asked and llama.cpp's server does not know, or only where it loads a model."""
    names = {name for name, _ in request.options.more} - set(_OPTIONS)
    return names | ({"keep_alive"} if request.keep_alive is not None else set())


def body_of(request: ChatRequest) -> bytes:
    options = request.options
    chosen = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": options.num_predict,
        "seed": options.seed,
    }
    body = {
        "messages": [{"role": each.role, "content": each.content} for each in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 1,  # without it the server lists the 20 likeliest of each token
    } | {name: value for name, value in chosen.items() if value is not None}
    body |= {_OPTIONS[name]: value for name, value in options.more if name in _OPTIONS}
    if request.think is not None:
        body["chat_template_kwargs"] = template_wishes(request.think)
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")  # a lone surrogate


async def paced(chunks: AsyncGenerator[Chunk, None], rate: float) -> AsyncGenerator[Chunk, None]:
    """The same chunks, at most `rate` a second. What came late is not made up for in a rush."""
    loop = asyncio.get_running_loop()
    due = -math.inf
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            due = loop.time() + 1 / rate
            yield chunk


class Reader:
    """Reads a stream of server-sent events as it comes, in pieces of any size."""

    def __init__(self, model: str, load_s: float) -> None:
        self._model, self._load_s = model, load_s
        self._rest = b""
        self._reason = ""
        self._counts: dict[str, Any] = {}

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Lines end at b"\\n" and nowhere else."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and line != b"data: [DONE]":
                yield from self._read(line.removeprefix(b"data:"))

    def end(self) -> StreamEnd:
        """How the stream ended, as the server counts it. BrokenStream if it only broke off."""
        if not self._reason:
            raise BrokenStream("the embedded engine's stream ended before the answer", ANEW)
        counts = self._counts
        return StreamEnd(
            "length" if self._reason == "length" else "stop",
            prompt_tokens=counts.get("prompt_tokens"),
            output_tokens=counts.get("completion_tokens"),
            load_s=self._load_s,
            prefill_s=_seconds(counts.get("prompt_ms")),
            decode_s=_seconds(counts.get("predicted_ms")),
        )

    def _read(self, line: bytes) -> Iterator[Chunk]:
        try:
            event = json.loads(line.decode())
            if "error" in event:
                raise refusal(self._model, line)
            for choice in event["choices"]:
                self._reason = choice["finish_reason"] or self._reason
                delta = choice["delta"]
                if thinking := delta.get("reasoning_content"):
                    yield Chunk(thinking=thinking)
                if text := delta.get("content"):
                    told = (choice.get("logprobs") or {}).get("content") or ()
                    yield Chunk(text=text, logprobs=tuple(float(t["logprob"]) for t in told))
            self._counts |= (event.get("usage") or {}) | (event.get("timings") or {})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BrokenStream(
                f"the embedded engine's stream cannot be read: {line[:80]!r}", ANEW
            ) from error


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def refusal(model: str, body: bytes) -> EngineError:
    """The error that a refused request means. The server says it as {"error": {…}}."""
    message: object = body[:200]
    with contextlib.suppress(ValueError, TypeError, KeyError):
        error = json.loads(body)["error"]
        message = error["message"]
        if error["type"] == "exceed_context_size_error":
            return PromptTooLong(
                f"the prompt has {error['n_prompt_tokens']} tokens, and {model} has room for "
                f"{error['n_ctx']}",
                "shorten it, or raise num_ctx",
            )
    return RequestRefused(
        f"the embedded engine refuses this: {message}", "change what it names, or ask another model"
    )
