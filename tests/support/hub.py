"""A loopback Hugging Face hub: as much of one as fetching a file needs, and some ways to fail.

    with Hub() as hub:
        hub.repos["acme/good"] = {"model.gguf": b"GGUF..."}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        ...
        assert hub.gets()[-1].range == "bytes=5-"

A repo fails by its name: see `Hub`. Every request is recorded with the bytes that were sent for it.
"""

import contextlib
import hashlib
import json
import re
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, cast
from urllib.parse import unquote

from tests.support.patience import PATIENCE

_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_API = re.compile(r"/api/models/([^/]+/[^/]+)")


@dataclass
class Recorded:
    """A request, the login it came with, and how much of the file went out for it, in bytes."""

    method: str
    path: str
    range: str | None
    login: str | None
    agent: str | None
    sent: int = 0
    ended: bool = False


class Hub:
    """Serves `repos` (files by their paths) from a thread of its own.

    acme/gated       asks for a login, of which no one is enough
    acme/private     the same, without saying that the repo is there
    acme/down        answers 503
    acme/breaks      ends the first connection after `cut` bytes
    acme/slow        sends `cut` bytes, and the rest once `go` is set
    acme/elsewhere   sends the client to `elsewhere` for the bytes, as the hub does with xet storage
    acme/sizeless    does not tell a size beforehand

    `ranges` says what becomes of a request for the rest of a file.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.requests: list[Recorded] = []
        self.cut = 0
        self.broke = False
        self.go = threading.Event()
        self.elsewhere = ""
        self.ranges: Literal["served", "ignored", "misplaced"] = "served"
        self.lists = True
        self.is_hub = True
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.break_connections()
        self._server.server_close()

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def gets(self) -> list[Recorded]:
        """The requests for a file's bytes."""
        return [r for r in self.requests if r.method == "GET" and "/resolve/" in r.path]

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Returns when the records show it; raises TimeoutError when they do not for long."""
        with self._news:
            if not self._news.wait_for(happened, PATIENCE):
                raise TimeoutError(f"requests: {self.requests}")

    def note(self, change: Callable[[], object]) -> None:
        with self._news:
            change()
            self._news.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them
    hub: Hub

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error here."""

    def break_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = cast(_Server, self.server).hub
        path = unquote(self.path)
        asked, login, agent = (self.headers[n] for n in ("Range", "Authorization", "User-Agent"))
        record = Recorded(self.command, path, asked, login, agent)
        hub.note(lambda: hub.requests.append(record))
        if found := _RESOLVE.fullmatch(path):
            self._resolve(hub, record, *found.groups())
        elif (found := _API.fullmatch(path)) and found[1] in hub.repos and hub.lists:
            files = [{"rfilename": file} for file in hub.repos[found[1]]]
            self._whole(200, json.dumps({"id": found[1], "siblings": files}).encode())
        else:
            self._whole(404)

    def _resolve(self, hub: Hub, record: Recorded, repo: str, revision: str, file: str) -> None:
        if repo == "acme/gated":
            self._whole(403, error="GatedRepo")
        elif repo == "acme/private":
            self._whole(401)
        elif repo == "acme/down":
            self._whole(503)
        elif repo not in hub.repos:
            self._whole(404, error="RepoNotFound")
        elif file not in hub.repos[repo]:
            self._whole(404, error="EntryNotFound")
        elif repo == "acme/elsewhere" and hub.elsewhere:
            self._redirect(hub, hub.repos[repo][file])
        else:
            self._file(hub, record, repo, hub.repos[repo][file])
        hub.note(lambda: setattr(record, "ended", True))

    def _redirect(self, hub: Hub, data: bytes) -> None:
        self.send_response(302)
        self._version(hub, data)
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("X-Linked-Etag", f'"{_etag(data)}"')
        self.send_header("X-Xet-Hash", "a" * 64)
        self.send_header("X-Xet-Refresh-Route", f"{hub.url}/xet-token")
        self.send_header("Location", hub.elsewhere + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, hub: Hub, record: Recorded, repo: str, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", record.range or "")
        start = int(asked[1]) if asked and hub.ranges != "ignored" else 0
        self.send_response(206 if start else 200)
        self._version(hub, data)
        if start:
            shown = start + (hub.ranges == "misplaced")
            self.send_header("Content-Range", f"bytes {shown}-{len(data) - 1}/{len(data)}")
        if repo == "acme/sizeless":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        rest = data[start:]
        if repo == "acme/breaks" and not hub.broke:
            hub.broke = True
            self._send(hub, record, rest[: hub.cut])
            self.close_connection = True
        elif repo == "acme/slow" and not hub.go.is_set():
            self._send(hub, record, rest[: hub.cut])
            while not hub.go.is_set():
                if select.select([self.connection], [], [], 0.01)[0]:
                    self.close_connection = True  # the client went away
                    return
            self._send(hub, record, rest[hub.cut :])
        else:
            self._send(hub, record, rest)

    def _version(self, hub: Hub, data: bytes) -> None:
        if hub.is_hub:
            self.send_header("ETag", f'"{_etag(data)}"')
            self.send_header("X-Repo-Commit", _etag(data)[:40])

    def _send(self, hub: Hub, record: Recorded, data: bytes) -> None:
        self.wfile.write(data)
        hub.note(lambda: setattr(record, "sent", record.sent + len(data)))

    def _whole(self, status: int, body: bytes = b"", error: str = "") -> None:
        self.send_response(status)
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
