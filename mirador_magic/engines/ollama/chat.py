"""A chat as the official client takes it, and what its replies tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Literal

from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.engines.bounds import MOST
from mirador_magic.errors import BrokenStream, RequestRefused
from mirador_magic.events import StreamEnd

if TYPE_CHECKING:
    from datetime import datetime

    from ollama import ChatResponse

CENTURIES = 10 * 365 * 86400  # seconds; so a negative keep_alive is told

# What Ollama 0.24 and 0.34 know; an older one knew more. Others are sent too, and told.
OPTIONS = {
    *("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict"),
    *("num_keep", "seed", "num_predict", "top_k", "top_p", "min_p", "repeat_last_n", "temperature"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty", "stop"),
}


def body(request: ChatRequest) -> dict[str, Any]:
    """The request as the official client takes it, but for the model's name."""
    return {
        "messages": [{"role": m.role, "content": sendable(m.content)} for m in request.messages],
        "options": options(request),
    } | ({} if request.think is None else {"think": request.think})


def options(request: ChatRequest) -> dict[str, Any]:
    """What is asked of the model, by Ollama's names."""
    given = asdict(request.options)
    more = dict(given.pop("more"))
    return {name: value for name, value in {**given, **more}.items() if value is not None}


def unknown(request: ChatRequest) -> list[str]:
    """What of it is none of Ollama's options."""
    return sorted({name for name, _ in request.options.more} - OPTIONS)


def without_thinking(request: ChatRequest, refused: RequestRefused) -> ChatRequest:
    """The same to a model that will not hear of thinking; raises any other refusal."""
    if request.think is None or "think" not in refused.what.partition(": ")[2]:
        raise refused
    return replace(request, think=None)


def chunks_of(reply: ChatResponse) -> Iterator[Chunk]:
    """Thinking and text. Where there are both nobody can tell whose the log-probabilities are."""
    logged = reply.logprobs or ()
    if len(logged) > MOST:
        what = f"Ollama sent more than {MOST:,} log-probabilities in a line"
        raise BrokenStream(what, "ask again, or another model: --model NAME")
    told = tuple(token.logprob for token in logged)
    if reply.message.thinking:
        told = ()
        yield Chunk(thinking=reply.message.thinking)
    if reply.message.content:
        yield Chunk(text=reply.message.content, logprobs=told)


def seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def sendable(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 and so no request can carry."""
    return text.encode(errors="replace").decode()


def end_of(last: ChatResponse, is_cut: bool, wants_tools: bool) -> StreamEnd:
    """How the answer ended, as its last reply tells; whether its prompt was cut is known besides."""
    reason: Literal["length", "tools", "stop"] = "tools" if wants_tools else "stop"
    return StreamEnd(
        "length" if last.done_reason == "length" else reason,
        prompt_tokens=last.prompt_eval_count,
        output_tokens=last.eval_count,
        load_s=seconds(last.load_duration),
        prefill_s=seconds(last.prompt_eval_duration),
        decode_s=seconds(last.eval_duration),
        prompt_cut=is_cut,
    )


def until(expires: datetime | None) -> float | None:
    """None for a model that stays for ever, which Ollama writes as a time in centuries."""
    at = expires.timestamp() if expires else None
    return at if at and at < time.time() + CENTURIES else None
