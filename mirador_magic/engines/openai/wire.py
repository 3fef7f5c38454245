"""What an OpenAI-compatible endpoint is asked, and what it says of a failure."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mirador_magic.engines.base import ChatRequest, template_wishes

# What may be left out of a request where an endpoint will not hear of it: by the wish's name, the
# words by which a refusal means it.
WISHES: Mapping[str, str] = {
    "logprobs": r"log_?prob",
    "stream_options": r"stream_options|include_usage",
    "chat_template_kwargs": r"chat_template_kwargs|enable_thinking",
    "reasoning_effort": r"reasoning_effort",
    "max_tokens": r"max_completion_tokens",
    "temperature": r"temperature\W.*support|support\w*\W.*temperature",
    "top_p": r"top_p\W.*support|support\w*\W.*top_p",
    "seed": r"seed\W.*support|support\w*\W.*\bseed",
    "system": r"\bsystem\b.{0,40}(not |un)support|support\w*.{0,40}\bsystem (role|message|prompt)"
    r"|only user and assistant roles",
}
# Of two that exclude each other the temperature stays.
_EXCLUSIVE = re.compile(
    r"temperature.{1,20}top_p.*\b(both|one)\b|\b(both|one)\b.*temperature.{1,20}top_p",
    re.IGNORECASE,
)
TOLD = ("temperature", "top_p", "seed", "system")  # what a reader has wished for, or relies on
# What an Ollama does when it loads a model: no endpoint of this kind is told of it.
_OF_OLLAMA = {"num_gpu", "num_batch", "main_gpu", "use_mmap", "num_thread", "num_keep", "numa"}
_SAID = 500  # characters of a refusal that are looked at


@dataclass(frozen=True)
class Told:
    """What an endpoint said of its failure: the HTTP status, 0 where none, and its own words.

    `code` is its word for the kind of failure; `after` the seconds after which it may be asked again.
    """

    status: int
    said: str
    code: str = ""
    after: float | None = None

    @property
    def wishes(self) -> frozenset[str]:
        """The wishes that it will not hear of."""
        if self.status not in (400, 422, 500, 501):
            return frozenset()
        said = self.said[:_SAID]
        if _EXCLUSIVE.search(said):
            return frozenset({"top_p"})
        # FastAPI's: [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
        signs = {name: rf'"loc": ?\[[^]]*"{name}"|{sign}' for name, sign in WISHES.items()}
        return frozenset(
            name for name, sign in signs.items() if re.search(sign, said, re.IGNORECASE)
        )

    def named(self, options: Iterable[str]) -> frozenset[str]:
        """Those of these options that it names, and so will not hear of."""
        if self.status not in (400, 422):
            return frozenset()
        return frozenset(
            name for name in options if re.search(rf"\b{re.escape(name)}\b", self.said[:_SAID])
        )


class Refusal(Exception):
    """The endpoint says that it will not, or cannot."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.said)
        self.told = told


class Unreadable(Exception):
    """What came is no stream of an answer, or it broke off."""


def body(request: ChatRequest, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The request but for its model and its messages, without the wishes named."""
    options = request.options
    wishes: dict[str, Any] = {
        "stream_options": {"include_usage": True},
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
        "max_tokens": options.num_predict,
        "logprobs": True,
    }
    if request.think is not None:
        wishes["chat_template_kwargs"] = template_wishes(request.think)
        wishes["reasoning_effort"] = request.think if isinstance(request.think, str) else None
    wishes |= {name: value for name, value in options.more if name not in _OF_OLLAMA}
    asked = {k: v for k, v in wishes.items() if v is not None and k not in without}
    if "max_tokens" in without and options.num_predict is not None:
        asked["max_completion_tokens"] = options.num_predict
    if "logprobs" in asked:
        asked["top_logprobs"] = 1  # without it llama.cpp lists the 20 likeliest of each token
    return asked


def unknown(request: ChatRequest) -> list[str]:
    """What is asked and no endpoint of this kind knows."""
    return sorted({name for name, _ in request.options.more} & _OF_OLLAMA)


def messages(request: ChatRequest, without: frozenset[str] = frozenset()) -> list[dict[str, str]]:
    """The chat, without lone surrogates, which no UTF-8 and so no request can carry.

    Without the system's role its words stand first in what the user says.
    """
    told = [(m.role, m.content.encode(errors="replace").decode()) for m in request.messages]
    if "system" in without:
        system = [words for role, words in told if role == "system"]
        told = [(role, words) for role, words in told if role != "system"]
        first = next((n for n, (role, _) in enumerate(told) if role == "user"), None)
        if first is not None:
            told[first] = "user", "\n\n".join([*system, told[first][1]])
    return [{"role": role, "content": words} for role, words in told]


def told_of(status: int, said: object, after: float | None = None) -> Told:
    """What was said, out of what is usual around it: {"error": {"message": …, "code": …}}."""
    if isinstance(said, bytes | str):
        with suppress(ValueError, RecursionError):
            said = json.loads(said)
    if isinstance(said, Mapping):
        inner = said.get("error") or said
        if isinstance(inner, Mapping):
            words = next((inner[k] for k in ("message", "detail", "error") if inner.get(k)), inner)
            code = inner.get("code")
            if not status and re.fullmatch(r"[0-9]{3}", str(code)):
                status = int(str(code))
            kind = code if isinstance(code, str) and not code.isdigit() else inner.get("type")
            return Told(status, _plain(words), str(kind or ""), after)
        return Told(status, _plain(inner), "", after)
    return Told(status, _plain(said), "", after)


def waits(headers: Any, now: Callable[[], float] = time.time) -> float | None:
    """The seconds of a Retry-After, be they written as such or as a date; None without one."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with suppress(TypeError, ValueError):
            after = float(headers.get(name)) / unit
            return max(after, 0.0) if math.isfinite(after) else None
    with suppress(TypeError, ValueError):
        when = email.utils.parsedate_to_datetime(headers.get("retry-after"))
        return max(when.timestamp() - now(), 0.0)
    return None


def _plain(said: object) -> str:
    if isinstance(said, bytes):
        return said.decode(errors="replace")
    try:
        return said if isinstance(said, str) else json.dumps(said, default=str)
    except RecursionError:
        return "something nested without end"
