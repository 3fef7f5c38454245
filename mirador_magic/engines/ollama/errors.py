"""What can go wrong with an Ollama, as our own errors: one line each, with its cure."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from mirador_magic.errors import (
    BrokenStream,
    EngineBusy,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    NoChatModel,
    PromptTooLong,
    RequestRefused,
)
from mirador_magic.stages import install_command, nearest, plain

# A model in the maker's cloud, for which Ollama is signed in to, or a refusal that says so.
_IN_THE_CLOUD = re.compile(r"[-:]cloud\b|sign.?in|ollama\.com|subscription", re.IGNORECASE)

GOES_ON = "run it again: it goes on where it stopped"

# What mends a download, by what stands in Ollama's own words for what hindered it.
_UNPULLED = {
    r"no space left|quota": "free some space where Ollama keeps its models, then run it again",
    r"\b412\b|newer version": "update Ollama: ollama --version tells which you have",
    r"unauthorized|\b40[13]\b": "check the name, or sign in: ollama signin",
    r"digest mismatch": "run it again: the part that is spoilt is downloaded anew",
    r"dial |lookup |refused|reset|timeout|EOF|unreachable|x509|retries": f"connect, then {GOES_ON}",
    r"\b(429|5\d\d)\b": f"wait a while, then {GOES_ON}",
}


def translated(error: Exception, host: str, model: str, sent: str = "") -> EngineError:
    """Our error for a foreign one. `model` is empty where no model was asked for anything; `sent` says
    in words what was told of who asks."""
    import httpx

    if refusal := _refusal(error):
        status, said = refusal
        whole = getattr(getattr(error.__context__, "response", None), "text", "")
        if status in (401, 403) and not _IN_THE_CLOUD.search(f"{model} {said} {whole}"):
            return denied(status, said, host, sent)
        return _refused(status, said, model)
    unreachable = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, ConnectionError)
    if isinstance(error, unreachable) or (isinstance(error, httpx.TransportError) and not model):
        return EngineUnavailable(f"Ollama does not answer at {host}: {_why(error)}", _start(host))
    if isinstance(error, httpx.TransportError):
        return EngineLost(
            f"the connection to Ollama broke off while {model} was at work",
            f"run the cell again; if Ollama is gone, {_start(host)}",
        )
    said = _NESTED if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
    if isinstance(error, json.JSONDecodeError):
        said = error.doc or "an empty line"
    return BrokenStream(
        f"Ollama sent something that cannot be read: {words(said, 80)}",
        "run the cell again; if it stays, update Ollama: ollama --version tells which you have",
    )


def denied(status: int, said: str, host: str, sent: str) -> EngineUnavailable:
    """What answers wants another user. It is what stands before Ollama, which has none of its own."""
    told = f"(HTTP {status})" + (f": {words(said)}" if said and not said.startswith("<") else "")
    if sent:
        what = f"what answers at {host} does not take {sent} {told}"
        return EngineUnavailable(what, "mend it, and run it again")
    scheme, _, place = host.partition("://")
    return EngineUnavailable(
        f"what answers at {host} wants to know who asks {told}",
        f"OLLAMA_HOST={scheme}://USER:PASSWORD@{place}, or OLLAMA_API_KEY",
    )


def unpulled(
    error: Exception, host: str, model: str, installed: Iterable[str] = (), *, doing: str = "pull"
) -> EngineError:
    """Our error for a download that failed, or a create; `installed` names the models there."""
    status, said = _refusal(error) or (0, "")
    if re.search(
        r"manifest.*(not exist|not found|unknown)|invalid model name", said, re.IGNORECASE
    ):
        near = nearest(plain(model), sorted({*map(plain, installed)} - {plain(model)}))
        cure = "look its name up in Ollama's library: one is like gemma2:9b"
        cure = f"{near} It is installed; else {cure}" if near else cure
        return ModelMissing(f"there is no model {model} to pull", cure)
    if status not in (-1, 500):  # else the request was refused, before any download
        return translated(error, host, model)
    cures = (cure for sign, cure in _UNPULLED.items() if re.search(sign, said))
    # Go puts the address that it asked before the reason, as: Get "https://…": dial tcp: …
    why = said.rpartition('": ')[2]
    cure = next(cures, f"try it alone: ollama pull {shlex.quote(model)}")
    return EngineError(f"Ollama could not {doing} {model}: {why}", cure)


def _refusal(error: Exception) -> tuple[int, str] | None:
    """Status and words of a server that answers with an error; status -1 in mid-stream.

    The client stumbles over an error whose text is JSON but no object: then the answer hangs on
    the exception's context.
    """
    import httpx

    if (status := getattr(error, "status_code", None)) is not None:
        return int(status), words(getattr(error, "error", ""))
    for answered in (error, error.__context__):
        if isinstance(answered, httpx.HTTPStatusError):
            return answered.response.status_code, words(answered.response.text)
    return None


def _refused(status: int, said: str, model: str) -> EngineError:
    """An error that Ollama states itself. In mid-stream the answer is lost, not refused."""
    name = shlex.quote(model)
    if status == 503:
        return EngineBusy(f"Ollama has no place in its queue: {said}", "run the cell again soon")
    if status == 404 and "model" in said and "not found" in said:
        return ModelMissing(f"Ollama does not have the model {model}", install_command(model))
    if status == 400 and re.search(r"context (size|length)", said):
        return PromptTooLong(
            f"the prompt does not fit into the context of {model}: {said}",
            "shorten it, or give the stage a larger context: --num-ctx TOKENS",
        )
    if re.search(r"does not support (chat|generate|completion)", said):
        return NoChatModel(
            f"{model} is no model to chat with: Ollama says that it does not support chat",
            "take another one: %mirador status lists those that there are",
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


_NESTED = "something nested without end"


def words(said: object, limit: int = 300) -> str:
    """A server's own words: out of the JSON around them, on one printable line, and not too long."""
    try:
        return _words(said, limit)
    except RecursionError:
        return _NESTED


def _words(said: object, limit: int) -> str:
    if isinstance(said, Mapping):
        return _words(said.get("error") or said.get("message") or "", limit)
    with suppress(ValueError):
        if isinstance(inner := json.loads(str(said)), str | Mapping):
            return _words(inner, limit)
    if page := re.match(r"\s*<(?:!doctype|html|head|body)\b", str(said), re.IGNORECASE):
        title = re.search(r"<(?:title|h1)[^>]*>\s*([^<]+)", page.string, re.IGNORECASE)
        return f"a web page: {words(title[1], limit)}" if title else "a web page"
    line = " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())
    return f"{line[:limit]}…" if len(line) > limit else line or "it does not say why"


def _why(error: BaseException) -> str:
    """The reason for a failed connection, which httpx leaves to the system's error beneath it."""
    link: BaseException | None = error
    while link:
        if isinstance(link, ExceptionGroup):
            link = link.exceptions[0]
        if isinstance(link, TimeoutError):
            return "no answer in time"
        if isinstance(link, OSError) and link.errno and link.strerror:
            return (os.strerror(link.errno) if link.errno > 0 else link.strerror).lower()
        link = link.__cause__ or link.__context__
    return words(error)


def _start(host: str) -> str:
    """The command that starts an Ollama at this address."""
    if host == "http://127.0.0.1:11434":
        return "start it: ollama serve"
    if urlsplit(host).hostname in ("127.0.0.1", "::1", "localhost"):
        return f"start it: OLLAMA_HOST={host.removeprefix('http://')} ollama serve"
    return "start it there, or set OLLAMA_HOST to where it runs"
