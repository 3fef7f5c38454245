"""The way to an Ollama: the address, and a transport that mends what the official client breaks on."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from mirador_magic.errors import UsageError

if TYPE_CHECKING:
    import httpx


def address(text: str) -> str:
    """The URL for a host as OLLAMA_HOST has it; an address to listen at becomes one to call."""
    host = text.strip().strip("\"'")
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
            f"{text!r} is not an address of an Ollama", "set OLLAMA_HOST=http://127.0.0.1:11434"
        ) from None
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"


def transport(host: str, *, kept: int = 0) -> httpx.AsyncHTTPTransport:
    """The transport to `host`, which mends streams.

    Plain HTTP needs no TLS context, 45 ms to make. So many idle connections are kept, however long.
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
    return MendingTransport(verify=not host.startswith("http://"), limits=limits)


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
