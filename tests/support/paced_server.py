"""A process that serves OpenAI's chat interface at a pace, to as many at once as come.

    with paced_server(words=20, pace=0.05) as server:
        ...                          # at server.base_url
        server.counts()              # of connections and chats

One event loop, so that 200 chats cost it little; each word goes out when it is due.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from tests.support.patience import PATIENCE


@dataclass
class Counts:
    """Connections that are open and were accepted; chats that go on, went on at once at the most,
    and came in."""

    open: int = 0
    accepted: int = 0
    going: int = 0
    most: int = 0
    chats: int = 0


@dataclass(frozen=True)
class PacedServer:
    """Where one runs."""

    base_url: str

    def counts(self) -> Counts:
        """Those of now; the connection that asks is not among them."""
        with urllib.request.urlopen(f"{self.base_url}/counts") as response:
            return Counts(**json.load(response))

    def at_rest(self) -> Counts:
        """Those of when nothing goes on and nobody is connected any more, which it waits for."""
        deadline = time.monotonic() + PATIENCE
        while (counts := self.counts()).open or counts.going:
            assert time.monotonic() < deadline, counts
        return counts


@contextmanager
def paced_server(words: int, pace: float) -> Iterator[PacedServer]:
    """An answer is so many words, one each `pace` seconds."""
    command = [sys.executable, "-m", __name__, str(words), str(pace)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin
        try:
            yield PacedServer(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
        finally:
            process.stdin.close()  # it ends with its input, so with its parent too


class _Server:
    def __init__(self, words: int, pace: float) -> None:
        self._words, self._pace = words, pace
        self._counts = Counts()

    async def serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=1000)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._counts.open += 1
        self._counts.accepted += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                path, length = _asked(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(length)
                await self._answer(path, writer)
        self._counts.open -= 1
        writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path.endswith("/counts"):
            await asyncio.sleep(0.05)  # who hung up just now is heard first
            counts = Counts(**asdict(self._counts))
            counts.open -= 1
            counts.accepted -= 1
            self._counts.accepted -= 1
            return _whole(writer, asdict(counts))
        if path.endswith("/models"):
            return _whole(writer, {"data": [{"id": "m"}]})
        self._counts.chats += 1
        self._counts.going += 1
        self._counts.most = max(self._counts.most, self._counts.going)
        try:
            await self._chat(writer)
        finally:
            self._counts.going -= 1

    async def _chat(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        due = asyncio.get_running_loop().time()
        for _ in range(self._words):
            due += self._pace
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            writer.write(_event({"choices": [{"index": 0, "delta": {"content": " word"}}]}))
            await writer.drain()
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        writer.write(_event({"choices": [last]}) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()


def _asked(head: bytes) -> tuple[str, int]:
    """The path of a request, and how many bytes its body has."""
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return first.split()[1], int(headers.get("content-length", 0))


def _whole(writer: asyncio.StreamWriter, value: object) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)


def _event(data: dict[str, object]) -> bytes:
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return _chunk(f"data: {json.dumps(whole | data)}\n\n".encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


if __name__ == "__main__":
    asyncio.run(_Server(int(sys.argv[1]), float(sys.argv[2])).serve())
