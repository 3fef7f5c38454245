"""Places past this machine that run models, by name, as `[tool.mirador.endpoints.NAME]` has them.

    [tool.mirador.endpoints.cluster]
    base_url = "https://llm.example.org/v1"
    api_key_env = "CLUSTER_KEY"                # the variable that holds the key, never the key
    headers = { "X-Team" = "$TEAM_TOKEN" }     # "$NAME": what the variable holds
    limit = 16                                 # requests at once
    extra_body = { top_k = 20 }                # is sent with each request

A stage on `cluster/llama-70b` then asks the model llama-70b there. In the user's own config.toml the
tables are `[endpoints.NAME]`. A secret is read when the endpoint is connected to, and kept nowhere
but in that connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.stages import nearest

Kind = Literal["openai", "ollama"]
Table = tuple[Mapping[str, Any], str]  # what a file says of Mirador, and the file in words

LIMIT = 8  # requests at once of an endpoint that says nothing of it
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)
_TEXT = re.compile(r"[\x20-\x7e]+")  # what a header can carry


@dataclass(frozen=True)
class Endpoint:
    """One place that runs models.

    The key is what the variable `api_key_env` holds, or what the system's keyring keeps for the
    service `keyring` and the user `name`; without either none is sent. A value of `headers` that
    reads "$NAME" is what that variable holds. `limit` is how many requests go on at once; a table
    of kind ollama that says nothing of it has 1. With `warm` its models are asked for a token before
    the first question, which may cost money.
    """

    name: str
    base_url: str
    kind: Kind = "openai"
    api_key_env: str = ""
    keyring: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    limit: int = LIMIT
    extra_body: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)
    warm: bool = False

    @property
    def table(self) -> str:
        """Where it is set, for people."""
        return f"[tool.mirador.endpoints.{self.name}]"


@dataclass(frozen=True)
class Secrets:
    """What an endpoint is told of who asks: its key, "" without one, and its headers."""

    key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def hidden(self, text: str) -> str:
        """The text without them, whoever wrote it. Short headers, such as a team's name, may stay."""
        for secret in (self.key, *(value for value in self.headers.values() if len(value) > 7)):
            text = text.replace(secret, "…") if secret else text
        return text


def of_tables(tables: Iterable[Table]) -> dict[str, Endpoint]:
    """The endpoints by name; of the same name the later table's. Raises UsageError, one line."""
    found: dict[str, Endpoint] = {}
    for table, source in tables:
        endpoints = table.get("endpoints", {})
        if not isinstance(endpoints, Mapping):
            raise UsageError(f"{source}: endpoints is not a table", "[tool.mirador.endpoints.NAME]")
        for name, own in endpoints.items():
            found[name] = _read(name, own, f"{source}: endpoints.{name}")
    return found


def secrets_of(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> Secrets:
    """Its secrets, read now. Raises EngineUnavailable, which says where one is missing."""
    headers = {
        name: _held(value.removeprefix("$"), endpoint, environ) if value.startswith("$") else value
        for name, value in endpoint.headers.items()
    }
    if endpoint.api_key_env:
        return Secrets(_held(endpoint.api_key_env, endpoint, environ), headers)
    return Secrets(_kept(endpoint) if endpoint.keyring else "", headers)


def _held(variable: str, endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    secret = environ.get(variable, "").strip()
    if not secret:
        raise EngineUnavailable(
            f"the key of {endpoint.name} is not there: {variable} is not set",
            f"set it before Jupyter starts, or: os.environ[{variable!r}] = getpass.getpass()",
        )
    return _sendable(secret, variable)


def _kept(endpoint: Endpoint) -> str:
    """What the system's keyring has for it."""
    service, name = endpoint.keyring, endpoint.name
    try:
        import keyring
    except ImportError:
        what = f"the key of {name} is in the system's keyring, and keyring is not installed"
        raise EngineUnavailable(what, "pip install keyring") from None
    try:
        secret = keyring.get_password(service, name)
    except Exception as error:  # noqa: BLE001  (each system's keyring has errors of its own)
        what = f"the system's keyring does not open: {type(error).__name__}"
        raise EngineUnavailable(
            what, f"unlock it, or use api_key_env below {endpoint.table}"
        ) from None
    if not secret:
        what = f"the system's keyring has no key of {name} for {service}"
        raise EngineUnavailable(what, f"keyring set {service} {name}")
    return _sendable(secret.strip(), "the keyring")


def _sendable(secret: str, place: str) -> str:
    """The secret; one that no header can carry is an error that does not tell it."""
    if not _TEXT.fullmatch(secret):
        what = f"what {place} holds is no key: no header can carry some of its characters"
        raise EngineUnavailable(what, "copy the key again, on one line")
    return secret


class _Unfit(Exception):
    """The value cannot be this key's: says why, and never what it is, which may be a secret."""


def _read(name: str, table: object, source: str) -> Endpoint:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{source}: {name!r} is no name", "letters, digits, - and _: cluster")
    if not isinstance(table, Mapping):
        raise UsageError(f"{source} is not a table", f'{name}.base_url = "http://HOST:8000/v1"')
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{source}: there is no setting {key!r}", _near(key))
    values: dict[str, Any] = {}
    for key, value in table.items():
        read, example = _KEYS[key]
        try:
            values[key] = read(value)
        except _Unfit as error:
            raise UsageError(f"{source}: {key} {error}", f"such as {key} = {example}") from None
    if "base_url" not in values:
        raise UsageError(f"{source} has no base_url", 'base_url = "http://HOST:8000/v1"')
    if values.get("kind") == "ollama":
        values.setdefault("limit", 1)
    return _agreeing(Endpoint(name, **values), table, source)


def _agreeing(endpoint: Endpoint, given: Mapping[str, Any], source: str) -> Endpoint:
    """The endpoint, if its values go together."""
    if endpoint.api_key_env and endpoint.keyring:
        raise UsageError(f"{source} names both api_key_env and keyring", "leave one of them out")
    only = {"api_key_env", "keyring", "headers", "extra_body"} & set(given)
    if endpoint.kind == "ollama" and only:
        what = f"{source}: an endpoint of kind ollama has no {', '.join(sorted(only))}"
        raise UsageError(what, 'kind = "openai" and base_url = "http://HOST:11434/v1"')
    return endpoint


def _near(key: str) -> str:
    if re.search("key|token|secret|password", key, re.IGNORECASE):
        return 'a key has no place in a file: api_key_env = "NAME" names the variable that holds it'
    return nearest(key, _KEYS) or f"there are: {', '.join(_KEYS)}"


def _kind(given: object) -> str:
    if given not in ("openai", "ollama"):
        raise _Unfit("is neither openai nor ollama")
    return str(given)


def _url(given: object) -> str:
    if not isinstance(given, str) or not given.isprintable():
        raise _Unfit("is not an address")
    try:
        parts = urlsplit(given.strip())
        _ = parts.port
    except ValueError:
        raise _Unfit("is not an address") from None
    if parts.username or parts.password:
        raise _Unfit("holds a password, which has no place there")
    if parts.query or parts.fragment:
        raise _Unfit("has a query, which has no place there")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Unfit("is not an address that begins with http:// or https://")
    return given.strip().rstrip("/")


def _variable(given: object) -> str:
    if not isinstance(given, str) or not _VARIABLE.fullmatch(given):
        raise _Unfit(
            "is not the name of a variable (A-Z, 0-9, _), and the key itself is not wanted"
        )
    return given


def _word(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise _Unfit("is not a name")
    return given.strip()


def _headers(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise _Unfit("is not a table")
    for name, value in given.items():
        if not re.fullmatch(r"[\w-]+", name, re.ASCII) or not isinstance(value, str):
            raise _Unfit("is not a table of texts")
        if value.startswith("$"):
            _variable(value.removeprefix("$"))
        elif not _TEXT.fullmatch(value):
            raise _Unfit(f"has a {name} that no header can carry")
    return dict(given)


def _count(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise _Unfit("is not a count, 1 or more")
    return given


def _body(given: object) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise _Unfit("is not a table")
    return dict(given)


def _flag(given: object) -> bool:
    if not isinstance(given, bool):
        raise _Unfit("is neither true nor false")
    return given


_KEYS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "kind": (_kind, '"openai"'),
    "base_url": (_url, '"http://HOST:8000/v1"'),
    "api_key_env": (_variable, '"CLUSTER_KEY"'),
    "keyring": (_word, '"mirador"'),
    "headers": (_headers, '{ "X-Team" = "$TEAM_TOKEN" }'),
    "limit": (_count, "16"),
    "extra_body": (_body, "{ top_k = 20 }"),
    "warm": (_flag, "true"),
}
