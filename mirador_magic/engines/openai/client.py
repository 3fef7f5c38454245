"""The SDK's client for one endpoint: with its secrets, and with nothing else of the user's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from mirador_magic.engines import bounds, surroundings
from mirador_magic.engines.endpoints import Endpoint, Secrets, secrets_of
from mirador_magic.errors import EngineUnavailable

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_S = 5.0

_NO_SDK = "pip install 'mirador-magic[cluster]'"


@dataclass(frozen=True)
class Connection:
    """A client, the secrets that it was made with, and the headers of each request, over its own."""

    client: AsyncOpenAI = field(repr=False)
    secrets: Secrets
    headers: Mapping[str, Any]


def connect(endpoint: Endpoint) -> Connection:
    """A client with the secrets of now; nothing is asked yet. For a thread: the import takes half a
    second and more, and a keyring may wait for its user. Raises EngineUnavailable.
    """
    secrets = secrets_of(endpoint)
    try:
        import openai
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "openai"
        what = "openai is not installed" if missing else f"openai cannot be imported: {error}"
        raise EngineUnavailable(f"{endpoint.name}: {what}", _NO_SDK) from None
    nothing = openai.Omit()
    foreign = cast(Any, dict.fromkeys(_foreign(os.environ), nothing))
    try:
        http_client = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,  # they would take the headers elsewhere
            event_hooks=bounds.HOOKS,
            **_way(endpoint.base_url),
        )
    except Exception as error:  # noqa: BLE001  (of the user's proxies and certificates)
        raise surroundings.broken(f"{endpoint.name} cannot be asked", error) from None
    client = openai.AsyncOpenAI(
        api_key=secrets.key or "none",
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=openai.Timeout(None, connect=CONNECT_S),
        default_headers=bounds.PLAIN | foreign | dict(secrets.headers),
        http_client=http_client,
    )
    known = secrets.key or "authorization" in map(str.lower, secrets.headers)
    return Connection(client, secrets, {} if known else {"Authorization": nothing})


def _way(url: str) -> dict[str, Any]:
    """No proxy catches this machine; and plain HTTP needs no TLS context, 45 ms to make."""
    if urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        return {}
    if url.startswith("http:"):
        return {"trust_env": False, "verify": False}
    import ssl

    return {"trust_env": False, "verify": ssl.create_default_context()}


def _foreign(environ: Mapping[str, str]) -> list[str]:
    """The headers that the SDK would send of the user's own account at OpenAI, to whomever."""
    lines = environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    own = [line.partition(":")[0].strip() for line in lines if ":" in line]
    return ["OpenAI-Organization", "OpenAI-Project", *own]
