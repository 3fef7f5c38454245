"""The way to an Ollama: the address, and a transport that mends what the official client breaks on."""

from __future__ import annotations

import asyncio
import base64
import importlib
import ipaddress
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import unquote, urlsplit

from mirador_magic.engines import bounds, surroundings
from mirador_magic.errors import EngineUnavailable, UsageError

if TYPE_CHECKING:
    import httpx


CONNECT_S = 2.0
PROBE_S = 5.0


class Host(str):
    """An address as OLLAMA_HOST has it, without the name and the password in it: these are `login`,
    "" without any, which nothing shows."""

    login: str

    def __new__(cls, text: str) -> Self:
        bare = text.strip().strip("\"'")
        begins = re.match(r"\w+://", bare)
        scheme = begins[0] if begins else ""
        # A password may hold a slash, or another @.
        login, _, place = bare[len(scheme) :].rpartition("@")
        host = super().__new__(cls, f"{scheme}{place}")
        host.login = login or getattr(text, "login", "")
        return host

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) is True and self.login == getattr(other, "login", "")

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.login)) if self.login else super().__hash__()


def address(text: str) -> str:
    """The URL for a host as OLLAMA_HOST has it; an address to listen at becomes one to call."""
    host = Host(text)
    explicit = "://" in host
    try:
        parts = urlsplit(host if explicit else f"http://{host}")
        port = parts.port or ({"http": 80, "https": 443}[parts.scheme] if explicit else 11434)
        name = parts.hostname or "127.0.0.1"
        if not re.fullmatch(r"[\w.-]*[a-z][\w.-]*", name, re.ASCII):
            ipaddress.ip_address(name)
        if not parts.path.isprintable():
            raise ValueError
    except (KeyError, ValueError):
        raise UsageError(
            f"{str(host)!r} is not an address of an Ollama",
            "set OLLAMA_HOST=http://127.0.0.1:11434",
        ) from None
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"


def authorization(login: str, key: str) -> dict[str, str]:
    """The header that says who asks: the address's name and password, else OLLAMA_API_KEY. Raises
    EngineUnavailable where no header can carry the key."""
    if login:
        basic = base64.b64encode(unquote(login if ":" in login else f"{login}:").encode()).decode()
        return {"Authorization": f"Basic {basic}"}
    if not (key := key.strip()):
        return {}
    if not (key.isascii() and key.isprintable()):
        raise EngineUnavailable(
            "what OLLAMA_API_KEY holds is no key: no header can carry some of its characters",
            "copy the key again, on one line",
        )
    return {"Authorization": f"Bearer {key}"}


def told(login: str, key: str) -> str:
    """What `authorization` tells of who asks, in words."""
    if login:
        return "the name and password of its address"
    return "OLLAMA_API_KEY" if key.strip() else ""


def transport(host: str, *, kept: int = 0) -> httpx.AsyncHTTPTransport:
    """The transport to `host`, which mends streams.

    Plain HTTP needs no TLS context, 45 ms to make. So many idle connections are kept, however long.
    Raises EngineUnavailable where the user's certificates cannot be read.
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

    limits = httpx.Limits(max_keepalive_connections=kept, keepalive_expiry=None)
    try:
        return MendingTransport(verify=not host.startswith("http://"), limits=limits)
    except Exception as error:
        raise surroundings.broken(f"Ollama at {host} cannot be asked", error) from error


async def get(host: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
    """What is there, without the 300 ms that the official client takes to import."""
    await asyncio.to_thread(importlib.import_module, "httpx")
    import httpx

    async with httpx.AsyncClient(
        transport=transport(host),
        timeout=httpx.Timeout(PROBE_S, connect=CONNECT_S),
        headers={**bounds.PLAIN, **headers},
        event_hooks=bounds.HOOKS,
    ) as client:
        return await client.get(f"{host}{path}")


_LINE_BREAK = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
_BLANK = b" \t\r\n"
_BLANK_LINES = re.compile(rb"\n(?:[ \t\r]*\n)+")
_UNFINISHED = re.compile(rb"(\xc2|\xe2\x80?)\Z")


async def mended(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same JSON, with the line breaks that may stand raw in a string escaped.

    httpx takes U+0085, U+2028 and U+2029 for the end of a line; JSON does not, and Ollama sends
    the first raw. One that is torn apart by the chunks is held back until it is whole. Blank lines,
    on which the client breaks too, are left out.
    """
    held, begins = b"", True
    async for chunk in chunks:
        chunk = held + chunk
        torn = _UNFINISHED.search(chunk)
        held = torn[0] if torn else b""
        whole = _LINE_BREAK.sub(_escaped, chunk[: len(chunk) - len(held)])
        whole = _BLANK_LINES.sub(b"\n", whole.lstrip(_BLANK) if begins else whole)
        begins = whole.endswith(b"\n") or (begins and not whole)
        yield whole
    yield held


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
