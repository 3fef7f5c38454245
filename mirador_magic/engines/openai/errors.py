"""What can go wrong with an OpenAI-compatible endpoint, as our own errors: one line, with its cure.

A foreign error is told apart by the names of its classes, since the SDK brings httpx in one version
and httpx2 in the next. None of it is kept: it holds the request, and the request its key.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from mirador_magic.engines.endpoints import Endpoint, Secrets
from mirador_magic.engines.ollama.errors import words
from mirador_magic.engines.openai.wire import Refusal, Told, Unreadable, told_of, waits
from mirador_magic.errors import (
    BrokenStream,
    EngineBusy,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    PromptTooLong,
    RequestRefused,
)

_AGAIN = "run the cell again"
_TOO_LONG = re.compile(
    r"context[ _](length|size|window)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model.{0,200}?(not found|not exist)|(invalid|unknown|no such) model|model_not_found"
    r"|no deployments",
    re.IGNORECASE | re.DOTALL,
)
_NONE_LEFT = re.compile(r"no (healthy )?deployments? available|in cooldown", re.IGNORECASE)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "HTTP_REQUEST")
_TAIL = re.compile(r"/(chat/completions|completions|chat|models)/?$")
_FOR_LATER = (408, 425, 429, 500, 502, 503, 504, 529)


NOTHING_TOLD = Told(0, "")


@dataclass(frozen=True)
class Fault:
    """Our error, whether the same may go well a moment later, and what the endpoint said, if it did.

    `after` is in seconds, None where the endpoint does not say when it may be asked again.
    """

    error: EngineError
    passing: bool = False
    told: Told = NOTHING_TOLD


class Faults:
    """Our errors for what goes wrong at one endpoint; none of them repeats its secrets."""

    def __init__(self, endpoint: Endpoint, secrets: Secrets) -> None:
        self._at, self._secrets = endpoint, secrets

    def of(self, error: Exception, model: str, *, written: bool = False) -> Fault:
        """`model` is "" where none was asked; `written` says that its answer had begun."""
        if ours := next((e for e in _chain(error) if isinstance(e, EngineError)), None):
            return Fault(ours)
        if (told := _told(error)) is not None:
            return self._refused(told, model, written)
        if isinstance(error, Unreadable):
            return self._unreadable(error, model, written)
        return self._unreachable(error, model, written)

    def _words(self, said: object, limit: int = 300) -> str:
        text = self._secrets.hidden(str(said))
        return words(text, limit)

    def _refused(self, told: Told, model: str, written: bool) -> Fault:
        error = self._refusal(told, model)
        passing = told.status in _FOR_LATER and told.code != "insufficient_quota"
        if written or not told.status:  # it had taken the request, and then gave up
            what = f"{self._at.name} gave up while {model} was at work: {self._words(told.said)}"
            cure = f"{_AGAIN}; if it stays, {self._look()}"
            return Fault(EngineLost(what, cure), not written, told)
        return Fault(error, passing, told)

    def _refusal(self, told: Told, model: str) -> EngineError:
        """The error that a refused request means."""
        name, status, said = self._at.name, told.status, self._words(told.said)
        if status == 401:
            return self._unknown_key(said)
        if status == 403:
            cure = (
                f"ask for access, or take another model: %mirador endpoints lists what {name} has"
            )
            return RequestRefused(
                f"{name} does not allow {model or 'this'} (HTTP 403): {said}", cure
            )
        if status in (429, 500, 503) and _NONE_LEFT.search(told.said):  # LiteLLM's
            what = f"{name} has no server of {model} left (HTTP {status}): {said}"
            return EngineUnavailable(what, f"see that they run; {_AGAIN} in a while")
        if status == 429:
            return self._busy(told, said)
        if _TOO_LONG.search(told.said) or told.code in _TOO_LONG_CODES:
            what = f"the prompt does not fit into the context of {model}: {said}"
            return PromptTooLong(what, "shorten it, or ask a model with a larger context")
        if status in (400, 404, 422) and _NO_MODEL.search(f"{told.code} {told.said}"):
            cure = "%mirador endpoints lists those that it has"
            return ModelMissing(f"{name} has no model {model}", cure)
        if status < 400 or status in (404, 405, 410):
            return self._elsewhere(told, said)
        if status == 503 or status == 529:
            return self._busy(told, said)
        if status >= 500:
            return EngineUnavailable(f"{name} failed (HTTP {status}): {said}", self._look())
        what = f"{name} refuses {model or 'to answer'} (HTTP {status}): {said}"
        return RequestRefused(
            what, f"change what it names; {self._at.table} has what is sent along"
        )

    def _unknown_key(self, said: str) -> EngineError:
        at = self._at
        what = f"{at.name} does not take the key (HTTP 401): {said}"
        if at.api_key_env:
            return RequestRefused(what, f"put one that is valid into {at.api_key_env}")
        if at.keyring:
            return RequestRefused(
                what, f"put one that is valid there: keyring set {at.keyring} {at.name}"
            )
        what = f"{at.name} wants a key, and none was sent (HTTP 401): {said}"
        return RequestRefused(
            what, f'name the variable that holds it: api_key_env = "NAME" below {at.table}'
        )

    def _busy(self, told: Told, said: str) -> EngineError:
        what = f"{self._at.name} takes no more requests for now (HTTP {told.status}): {said}"
        if told.code == "insufficient_quota":
            return EngineBusy(what, "see to what it is paid from, or take another endpoint")
        when = f"in {told.after:.0f} s" if told.after and told.after >= 1 else "in a while"
        cure = f"{_AGAIN} {when}; a lower limit below {self._at.table} asks less at once"
        return EngineBusy(what, cure)

    def _elsewhere(self, told: Told, said: str) -> EngineError:
        """What answers there is not the interface that was looked for."""
        if told.status in range(300, 400):
            what = f"{self._at.base_url} sends elsewhere (HTTP {told.status})"
            url = _TAIL.sub("", told.said) if told.said.startswith("http") else ""
            return EngineUnavailable(what, self._try(url))
        what = f"there is no OpenAI interface at {self._at.base_url} (HTTP {told.status}): {said}"
        return EngineUnavailable(what, self._try(mended(self._at.base_url)))

    def _try(self, url: str) -> str:
        if url:
            return f'base_url = "{self._words(url)}" below {self._at.table}'
        return f"set base_url below {self._at.table}; most end in /v1"

    def _unreadable(self, error: Unreadable, model: str, written: bool) -> Fault:
        said, name = self._words(error, 80), self._at.name
        if not model:
            what = f"what answers at {self._at.base_url} is no list of models: {said}"
            return Fault(EngineUnavailable(what, self._try(mended(self._at.base_url))))
        what = f"{name} sent what cannot be read in the answer of {model}: {said}"
        return Fault(BrokenStream(what, f"{_AGAIN}; if it stays, {self._look()}"), not written)

    def _unreachable(self, error: Exception, model: str, written: bool) -> Fault:
        at, links = self._at, list(_chain(error))
        for link in links:
            if isinstance(link, ssl.SSLError):
                return Fault(self._untrusted(link))
            if isinstance(link, socket.gaierror):
                what = f"there is no host of the name {urlsplit(at.base_url).hostname}"
                return Fault(EngineUnavailable(what, self._try("")))
            if isinstance(link, TimeoutError) or _is(link, "TimeoutException"):
                return Fault(EngineUnavailable(*self._silent("no answer in time")))
        why = self._words(next((w for link in links if (w := _strerror(link))), error))
        if not model or any(_is(link, "ConnectError", "ProxyError") for link in links):
            return Fault(EngineUnavailable(*self._silent(why)), passing=not written)
        if not any(_is(link, "TransportError", "OSError") for link in links):
            what = f"{at.name} cannot be asked: {type(error).__name__}: {why}"
            return Fault(EngineError(what, self._look()))
        what = f"{at.name} broke off while {model} was at work: {why}"
        return Fault(EngineLost(what, f"{_AGAIN}; if it stays, {self._look()}"), not written)

    def _silent(self, why: str) -> tuple[str, str]:
        return f"{self._at.name} does not answer at {self._at.base_url}: {why}", (
            f"see that it runs there, and that this machine reaches it; {self._try('')}"
        )

    def _untrusted(self, error: ssl.SSLError) -> EngineError:
        at = self._at
        if any(sign in str(error) for sign in _NO_TLS):
            what = f"what answers at {at.base_url} speaks no TLS"
            return EngineUnavailable(what, self._try(f"http{at.base_url.removeprefix('https')}"))
        why = getattr(error, "verify_message", "") or error.reason or str(error)
        what = f"the certificate of {at.base_url} is not trusted: {self._words(why)}"
        cure = "SSL_CERT_FILE=ca.pem names your own authority, set before Jupyter starts"
        return EngineUnavailable(what, cure)

    def _look(self) -> str:
        return f"look into the log of {self._at.name}: the reason is on its side"


_TOO_LONG_CODES = ("context_length_exceeded", "exceed_context_size_error")


def mended(base_url: str) -> str:
    """The address that is probably meant: one /v1 at its end, and nothing after; "" if it is so."""
    parts = urlsplit(base_url)
    path = _TAIL.sub("", parts.path.rstrip("/"))
    path = re.sub(r"(/v\d+)(/v\d+)+$", r"\1", path)
    if not re.search(r"/v\d+\w*$", path):
        path += "/v1"
    better = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return "" if better == base_url else better


def _told(error: Exception) -> Told | None:
    """What the endpoint said, where the error is an answer of its."""
    if isinstance(error, Refusal):
        return error.told
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    if not isinstance(status, int) or response is None:
        return None
    after = waits(response.headers)
    if 300 <= status < 400:
        return Told(status, str(response.headers.get("location", "")), "", after)
    return told_of(status, response.text, after)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those beneath it, the outermost first."""
    link: BaseException | None = error
    while link:
        yield link
        link = link.exceptions[0] if isinstance(link, ExceptionGroup) else _beneath(link)


def _beneath(link: BaseException) -> BaseException | None:
    return link.__cause__ or link.__context__


def _is(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _strerror(error: BaseException) -> str:
    if not isinstance(error, OSError) or not error.errno:
        return ""
    return os.strerror(error.errno).lower() if error.errno > 0 else str(error.strerror or "")
