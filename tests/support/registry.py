"""A loopback registry: as much of one as Ollama's pull needs, which can hold a download up.

    with Registry() as registry:
        model = registry.add("tiny", gguf.read_bytes())
        registry.pause_after = 1000
        ...                                       # Ollama pulls `model`, and gets 1000 bytes of it
        registry.wait_for(lambda: registry.gone)  # whoever pulled has gone away
        registry.pause_after = None

As the real one, it sends the client elsewhere for a layer's bytes, where ranges are asked for.
"""

import hashlib
import json
import re
import select
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from tests.support.patience import PATIENCE

_MANIFEST = re.compile(r"/v2/([\w/.-]+)/manifests/([\w.-]+)")
_BLOB = re.compile(r"/v2/[\w/.-]+/blobs/(sha256:\w+)")
_STORED = re.compile(r"/storage/(sha256:\w+)")
_LAYER = "application/vnd.ollama.image."


class Registry:
    """Serves the models that were added from a thread of its own.

    `ranges` holds which bytes of which layer were asked for, in order, as (digest, first, last).
    After `pause_after` bytes of an answer it is silent, until that is None or the client has gone
    away, which `gone` counts. With `closed` it answers everything with 503.
    """

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.ranges: list[tuple[str, int, int]] = []
        self.gone = 0
        self.pause_after: int | None = None
        self.closed = False
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.registry = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause_after = None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, name: str, gguf: bytes, licence: str = "", **parameters: object) -> str:
        """Has this model from now on; the name by which Ollama pulls it."""
        parts = {"model": gguf, "license": licence.encode()}
        if parameters:
            parts["params"] = json.dumps(parameters).encode()
        layers = [self._layer(_LAYER + kind, data) for kind, data in parts.items() if data]
        config = {
            "model_format": "gguf",
            "model_family": "llama",
            "model_families": ["llama"],
            "file_type": "F16",
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": self._layer(
                "application/vnd.docker.container.image.v1+json", json.dumps(config).encode()
            ),
            "layers": layers,
        }
        self.manifests[f"library/{name}", "latest"] = json.dumps(manifest).encode()
        return self.name_of(name)

    def name_of(self, name: str) -> str:
        """The name of a model here, be there one or not."""
        return f"127.0.0.1:{self.port}/library/{name}:latest"

    def wait_for(self, happened: Callable[[], object]) -> None:
        """Returns when the records show it; raises TimeoutError when they do not for long."""
        with self._news:
            if not self._news.wait_for(happened, PATIENCE):
                raise TimeoutError(f"ranges: {self.ranges}, gone: {self.gone}")

    def note(self, change: Callable[[], object]) -> None:
        with self._news:
            change()
            self._news.notify_all()

    def _layer(self, kind: str, data: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them
    registry: Registry

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: nothing that stays open keeps the registry from ending."""

    protocol_version = "HTTP/1.0"

    @property
    def registry(self) -> Registry:
        return cast(_Server, self.server).registry

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        registry = self.registry
        if registry.closed:
            self._answer(503, b"closed for today")
        elif (found := _MANIFEST.fullmatch(self.path)) and found.groups() in registry.manifests:
            self._answer(200, registry.manifests[found[1], found[2]])
        elif (found := _BLOB.fullmatch(self.path)) and found[1] in registry.blobs:
            if self.command == "HEAD":
                self._answer(200, registry.blobs[found[1]])
            else:
                elsewhere = f"http://localhost:{registry.port}/storage/{found[1]}"
                self._answer(307, b"", Location=elsewhere)
        elif (found := _STORED.fullmatch(self.path)) and found[1] in registry.blobs:
            self._send_part(found[1], registry.blobs[found[1]])
        else:
            self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')

    def _send_part(self, digest: str, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, len(data) - 1)
        self.registry.note(lambda: self.registry.ranges.append((digest, first, last)))
        part = data[first : last + 1]
        shown = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        held = len(part) if self.registry.pause_after is None else self.registry.pause_after
        self._answer(206, part, held, **shown)
        while self.registry.pause_after is not None and held < len(part):
            if select.select([self.connection], [], [], 0.01)[0]:
                self.registry.note(lambda: setattr(self.registry, "gone", self.registry.gone + 1))
                return
        self.wfile.write(part[held:])

    def _answer(self, status: int, body: bytes, until: int | None = None, **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:until])
