"""A chat as the official client takes it, and what its replies tell."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from mirador_magic.engines.base import ChatRequest
from mirador_magic.errors import RequestRefused
from mirador_magic.events import StreamEnd

if TYPE_CHECKING:
    from datetime import datetime

    from ollama import ChatResponse

FOR_EVER = 10 * 365 * 86400  # seconds; a negative keep_alive lasts centuries


def body(request: ChatRequest) -> dict[str, Any]:
    """The request as the official client takes it, but for the model's name."""
    return {
        "messages": [{"role": m.role, "content": sendable(m.content)} for m in request.messages],
        "options": {k: v for k, v in asdict(request.options).items() if v is not None},
    } | ({} if request.think is None else {"think": request.think})


def without_thinking(request: ChatRequest, refused: RequestRefused) -> ChatRequest:
    """The same to a model that will not hear of thinking; raises any other refusal."""
    if request.think is None or "think" not in refused.what.partition(": ")[2]:
        raise refused
    return replace(request, think=None)


def logprobs_of(reply: ChatResponse) -> tuple[float, ...]:
    """None where the model also thought: nobody can tell which of them are the answer's."""
    if reply.message.thinking:
        return ()
    return tuple(token.logprob for token in reply.logprobs or ())


def seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9


def sendable(text: str) -> str:
    """The text without lone surrogates, which no UTF-8 and so no request can carry."""
    return text.encode(errors="replace").decode()


def end_of(last: ChatResponse, is_cut: bool) -> StreamEnd:
    """How the answer ended, as its last reply tells; whether its prompt was cut is known besides."""
    return StreamEnd(
        "length" if last.done_reason == "length" else "stop",
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
    return at if at and at < time.time() + FOR_EVER else None
