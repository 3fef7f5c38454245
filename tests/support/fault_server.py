"""A loopback server that speaks Ollama's API and fails as it is told, for tests at the engine's door.

    with FaultServer() as server:
        engine = OllamaEngine(server.host)
        ...                                  # the model "dropped" drops its connection, and so on
        server.wait_for_closed("hangs_midway")

What a model does is a behaviour: a sequence of steps. `FAULTS` has one for each way to fail; a
test adds its own to `server.behaviours`, or puts some in `server.next_up`, which the next chats
play whatever their model. Every request is recorded, and which clients went away before their
answer was over. The records may be read from any thread, the server called from any process.
"""

import contextlib
import io
import json
import re
import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from tests.support.patience import PATIENCE

VERSION = "0.34.1-faults"


@dataclass(frozen=True)
class Refuse:
    """A whole answer with this status; `body` as it stands."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Open:
    """The head of the answer, and nothing yet. Every step that streams implies it."""


@dataclass(frozen=True)
class Say:
    """The text, a word a line, `pace` seconds before each."""

    text: str
    pace: float = 0.0
    thinking: bool = False


@dataclass(frozen=True)
class Raw:
    """These bytes, as a chunk of the stream, `pace` seconds later."""

    data: bytes
    pace: float = 0.0


@dataclass(frozen=True)
class Done:
    """The last line; `fields` replace or add to its usual ones, None takes one out."""

    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """Silence, until the client goes away or the server stops."""


@dataclass(frozen=True)
class Await:
    """The model is not in memory before this other one has left: it waits for its room."""

    model: str


@dataclass(frozen=True)
class Drop:
    """The connection breaks in the middle of a chunk; with `reset` as if the cable fell out."""

    reset: bool = False


Step = Refuse | Open | Say | Raw | Done | Hang | Await | Drop
Behaviour = Sequence[Step]

ANSWER = "The sky is blue because air scatters blue light."
PARTIAL = "The sky is "

_CONTEXT_ERROR = {
    "error": {
        "code": 400,
        "message": "request (9000 tokens) exceeds the available context size (4096 tokens), "
        "try increasing it",
        "type": "exceed_context_size_error",
    }
}


def _error(text: str) -> str:
    return json.dumps({"error": text})


FAULTS: Mapping[str, Behaviour] = {
    "good": (Say(ANSWER), Done()),
    "paced": (Say(ANSWER, pace=0.05), Done()),
    "limited": (Say(PARTIAL), Done({"done_reason": "length"})),
    "thoughtful": (Say("Hm, let me see.", thinking=True), Say(ANSWER), Done()),
    "malformed": (Say(PARTIAL), Raw(b'{"message": {"role": "assist\n'), Say("blue"), Done()),
    "unfinished": (Say(PARTIAL),),
    "dropped": (Say(PARTIAL), Drop()),
    "reset": (Say(PARTIAL), Drop(reset=True)),
    "silent_drop": (Drop(),),
    "failing": (Say(PARTIAL), Raw(_error("the runner\nran out of memory").encode() + b"\n")),
    "failing_in_json": (Say(PARTIAL), Raw(_error(json.dumps(_CONTEXT_ERROR)).encode() + b"\n")),
    "busy": (
        Refuse(503, _error("server busy, please try again.  maximum pending requests exceeded")),
    ),
    "too_long": (Refuse(400, _error(json.dumps(_CONTEXT_ERROR))),),
    "hangs_before": (Hang(),),
    "hangs_after": (Open(), Hang()),
    "hangs_midway": (Say(PARTIAL), Hang()),
}


@dataclass(frozen=True)
class Recorded:
    """A request as it came in."""

    path: str
    body: Mapping[str, Any]
    authorization: str = ""

    @property
    def model(self) -> str:
        return _short(str(self.body.get("model", "")))


class FaultServer:
    """Serves from a thread of its own; the port stays the same when it is started again.

    `requests` holds what was asked in order, `closed` the models of the chats whose client went
    away before the end, and `resident` those that were loaded.
    """

    host: str
    lists: Sequence[str] = (
        "details",
        "digest",
        "size",
        "remote_host",
    )  # and "capabilities", from 0.30 on

    def __init__(self, behaviours: Mapping[str, Behaviour] = FAULTS) -> None:
        self.behaviours = dict(behaviours)
        self.next_up: list[Behaviour] = []
        self.requests: list[Recorded] = []
        self.closed: list[str] = []
        self.resident: list[str] = []
        self.model_info: dict[str, Any] = {
            "general.architecture": "llama",
            "llama.context_length": 8192,
            "tokenizer.ggml.add_bos_token": False,
        }
        self.parameters = ""
        self.wants = ""  # of the header Authorization: what stands before it answers 401 else
        self.shown: dict[str, dict[str, Any]] = {}  # by model, what its listing and `show` add
        self._news = threading.Condition()
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self.handler())
        self._server.faults = self
        self._port = self._server.server_address[1]
        self.host = f"http://127.0.0.1:{self._port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What speaks to one client."""
        return _Handler

    def stop(self) -> None:
        """Breaks every connection, as a kill would, and listens no more. Twice is no harm."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.break_connections()
            self._server.server_close()

    @property
    def accepted(self) -> int:
        """How many connections came in since it was started."""
        return self._server.accepted

    def chats(self) -> list[Recorded]:
        """The requests that asked a model for an answer."""
        return [r for r in self.requests if r.path == "/api/chat" and r.body.get("messages")]

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Returns when the records show it; raises TimeoutError when they do not for long."""
        with self._news:
            if not self._news.wait_for(happened, PATIENCE):
                raise TimeoutError(f"requests: {self.requests}, closed: {self.closed}")

    def wait_for_closed(self, model: str) -> None:
        """Returns when the client of a chat with this model went away before its end."""
        self.wait_for(lambda: _short(model) in self.closed)

    def behaviour(self, model: str) -> Behaviour | None:
        if self.next_up:
            return self.next_up.pop(0)
        return {_short(name): b for name, b in self.behaviours.items()}.get(_short(model))

    def listed(self, model: str) -> dict[str, Any]:
        """What the list of models tells of it beside its name: as Ollama 0.24, not what it is for."""
        told = self.shown.get(_short(model), {})
        return {key: each for key, each in told.items() if key in self.lists}

    def forget(self, model: str) -> None:
        """Out of memory."""
        with self._news:
            self.resident[:] = [each for each in self.resident if each != model]
            self._news.notify_all()

    def record(self, records: list[Any], item: object) -> None:
        with self._news:
            records.append(item)
            self._news.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them
    faults: FaultServer

    def __init__(self, *args: Any) -> None:
        self.breaking = False
        self.accepted = 0
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.accepted += 1
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error here; anything else would be one of the test's."""
        error = sys.exception()
        if error and not isinstance(error, ConnectionError | ssl.SSLError):
            raise error

    def break_connections(self) -> None:
        self.breaking = True
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _ClientGone(Exception):
    """The client went away before the answer was over."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a reset takes with it what was said before

    def log_message(self, *_: object) -> None:
        pass

    @property
    def faults(self) -> FaultServer:
        return cast(_Server, self.server).faults

    def do_GET(self) -> None:
        self._record({})
        if not self._is_let_in():
            return
        names = {"/api/tags": self.faults.behaviours, "/api/ps": self.faults.resident}
        if self.path == "/api/version":
            self._whole(200, json.dumps({"version": VERSION}))
        elif self.path in names:
            full = [name if ":" in name else f"{name}:latest" for name in names[self.path]]
            models = [
                {"name": name, "model": name, "size": 1000} | self.faults.listed(name)
                for name in full
            ]
            self._whole(200, json.dumps({"models": models}))
        else:
            self._whole(404, "404 page not found")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._record(body)
        if not self._is_let_in():
            return
        model = body["model"]
        if self.path == "/api/generate" and body.get("keep_alive") == 0:
            self.faults.forget(_short(model))
            self._whole(200, json.dumps({"model": model, "done": True, "done_reason": "unload"}))
        elif self.path == "/api/show":
            shown = {"model_info": self.faults.model_info, "parameters": self.faults.parameters}
            self._whole(200, json.dumps(shown | self.faults.shown.get(_short(model), {})))
        elif (behaviour := self.faults.behaviour(model)) is None:
            self._whole(404, _error(f"model '{model}' not found"))
        else:
            self._chat(model, body, behaviour)

    def _record(self, body: Mapping[str, Any]) -> None:
        told = Recorded(self.path, body, self.headers.get("Authorization", ""))
        self.faults.record(self.faults.requests, told)

    def _is_let_in(self) -> bool:
        """Whether it may ask; else it was refused, as a proxy does it."""
        if is_let := self.faults.wants in ("", self.headers.get("Authorization", "")):
            return is_let
        self._whole(401, "<html><h1>401 Authorization Required</h1></html>")
        return False

    def _chat(self, model: str, body: Mapping[str, Any], behaviour: Behaviour) -> None:
        self._model, self._opened, self._words = model, False, 0
        self._load_ns = 5_000_000
        if not isinstance(behaviour[0], Refuse | Await):
            self._bring()
        if not body["stream"] and not isinstance(behaviour[0], Refuse | Hang | Drop):
            reason = "length" if body["messages"] else "load"
            self._whole(200, self._last_line({"done_reason": reason}).decode())
            return
        try:
            for step in behaviour:
                self._play(step)
            if self._opened:
                self.wfile.write(b"0\r\n\r\n")
        except (_ClientGone, ConnectionError):
            self.close_connection = True
            if not cast(_Server, self.server).breaking:
                self.faults.record(self.faults.closed, _short(model))

    def _play(self, step: Step) -> None:
        match step:
            case Refuse(status, body, headers):
                self._whole(status, body, headers)
            case Open():
                self._open()
            case Say(text, pace, thinking):
                for word in re.findall(r"\s*\S+\s*?|\s+", text):
                    self._stay_silent(pace)
                    self._words += 1
                    self._send(self._line("" if thinking else word, word if thinking else ""))
            case Raw(data, pace):
                self._stay_silent(pace)
                self._send(data)
            case Done(fields):
                self._send(self._last_line(fields))
            case Hang():
                self._stay_silent(None)
            case Await(model):
                while model in self.faults.resident:
                    self._stay_silent(0.01)
                self._bring()
            case Drop(reset):
                self._drop(reset)

    def _bring(self) -> None:
        """Into memory, where it is listed from now on."""
        if _short(self._model) not in self.faults.resident:
            self._load_ns = 250_000_000
            self.faults.record(self.faults.resident, _short(self._model))

    def _whole(self, status: int, body: str, headers: Mapping[str, str] = {}) -> None:
        self.send_response(status)
        usual = {"Content-Type": "application/json; charset=utf-8"}
        for name, value in (usual | dict(headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

    def _send(self, data: bytes) -> None:
        self._open()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _line(self, content: str, thinking: str = "", **more: Any) -> bytes:
        message = {"role": "assistant", "content": content} | (
            {"thinking": thinking} if thinking else {}
        )
        line = {"model": self._model, "created_at": "2026-11-22T12:00:00Z", "message": message}
        written = json.dumps(line | {"done": False} | more, ensure_ascii=False)  # as Go writes it
        return written.encode() + b"\n"

    def _last_line(self, fields: Mapping[str, Any]) -> bytes:
        usual: dict[str, Any] = {
            "done": True,
            "done_reason": "stop",
            "total_duration": 850_000_000,
            "load_duration": self._load_ns,
            "prompt_eval_count": 12,
            "prompt_eval_duration": 100_000_000,
            "eval_count": self._words,
            "eval_duration": 500_000_000,
        }
        present = {key: v for key, v in (usual | dict(fields)).items() if v is not None}
        return self._line("", **present)

    def _stay_silent(self, seconds: float | None) -> None:
        """Time passes, unless the client goes away: it has nothing more to say."""
        if seconds != 0 and select.select([self.connection], [], [], seconds)[0]:
            raise _ClientGone

    def _drop(self, reset: bool) -> None:
        if self._opened:
            self.wfile.write(b'40\r\n{"model": ')
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        for end in (self.wfile, self.rfile, self.connection):
            end.close()
        self.wfile, self._opened, self.close_connection = io.BytesIO(), False, True


def _short(model: str) -> str:
    return model.removesuffix(":latest")
