"""What a server may send: a line, an answer in one piece and an error body have their bounds.

They hold where the bytes come in, for every client of ours, before anything keeps or reads them. No
encoding of the content is asked for, and none is taken: a little of it can become any amount.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from mirador_magic.errors import BrokenStream, EngineUnavailable

if TYPE_CHECKING:
    import httpx

LONGEST = 4_000_000  # bytes of a line, or of an answer in one piece: 40 ms to read
MOST = 20_000  # log-probabilities in a piece, and without a text of theirs
LONGEST_ERROR = 64_000  # bytes of a refusal; the rest tells nothing more

PLAIN = {"Accept-Encoding": "identity"}

_STREAMS = ("text/event-stream", "application/x-ndjson")
_CURE = "see what answers there: an engine sends no such thing"


async def hold(response: Any) -> None:
    """A hook for a client's responses, of httpx or a later one of its kind. Raises EngineUnavailable."""
    at = response.request.url.host
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise EngineUnavailable(f"{at} answers compressed, which was not asked for", _CURE)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code >= 400:
        bytes_ = _cut(response.stream)
    elif kind in _STREAMS:
        bytes_ = lines(response.stream, at)
    else:
        bytes_ = _whole(response.stream, at)
    response.stream = _like(response.stream, bytes_)


HOOKS = {"response": [hold]}


async def lines(stream: AsyncIterable[bytes], at: str) -> AsyncGenerator[bytes, None]:
    """The same bytes. Raises BrokenStream where a line of them does not end."""
    open_ = 0
    async for data in stream:
        end = data.rfind(b"\n")
        open_ = open_ + len(data) if end < 0 else len(data) - end - 1
        if open_ > LONGEST:
            raise BrokenStream(f"{at} sent {LONGEST:,} bytes of a line without an end", _CURE)
        yield data


async def _whole(stream: AsyncIterable[bytes], at: str) -> AsyncGenerator[bytes, None]:
    size = 0
    async for data in stream:
        size += len(data)
        if size > LONGEST:
            raise BrokenStream(f"{at} sent more than {LONGEST:,} bytes in one answer", _CURE)
        yield data


async def _cut(stream: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    left = LONGEST_ERROR
    async for data in stream:
        yield data[:left]
        left -= len(data)
        if left <= 0:
            return


def _like(stream: httpx.AsyncByteStream, bytes_: AsyncGenerator[bytes, None]) -> object:
    """A stream of the same library as this one, with these bytes of it."""
    mro = type(stream).__mro__
    base: Any = next(kind for kind in mro if kind.__name__ == "AsyncByteStream")

    class Held(base):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            async with aclosing(bytes_):
                async for data in bytes_:
                    yield data

        async def aclose(self) -> None:
            await stream.aclose()

    return Held()
