"""A loopback server that speaks OpenAI's chat interface and fails as it is told.

    with OpenAIServer() as server:
        engine = OpenAICompatibleEngine(server.endpoint())
        ...                                  # the model "dropped" drops its connection, and so on

It is a `FaultServer` that speaks another language: behaviours, records and waiting are the same. It
answers below `/v1`, and nowhere else. With `key` it wants that key, and says back which one it got.
"""

import json
import re
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

from mirador_magic.engines.endpoints import Endpoint
from tests.support.fault_server import (
    ANSWER,
    PARTIAL,
    Behaviour,
    Done,
    Drop,
    FaultServer,
    Hang,
    Open,
    Raw,
    Recorded,
    Refuse,
    Say,
    Step,
    _Handler,
)

CERTIFICATE = Path(__file__).with_name("self_signed.pem")


def error(message: str, **more: object) -> str:
    """An error as OpenAI's interface writes it."""
    return json.dumps({"error": {"message": message, "type": "server_error"} | more})


def _event(text: str) -> Raw:
    return Raw(f"data: {text}\n\n".encode())


FAULTS: Mapping[str, Behaviour] = {
    "good": (Say(ANSWER), Done()),
    "paced": (Say(ANSWER, pace=0.05), Done()),
    "limited": (Say(PARTIAL), Done({"finish_reason": "length"})),
    "thoughtful": (Say("Hm, let me see.", thinking=True), Say(ANSWER), Done()),
    "filtered": (Say(PARTIAL), Done({"finish_reason": "content_filter"})),
    "aborted": (Say(PARTIAL), Done({"finish_reason": "abort"})),
    "undone": (Say(ANSWER), Done({"done": False})),
    "commented": (Raw(b": one moment\n\n"), Say(ANSWER), Done()),
    "malformed": (Say(PARTIAL), Raw(b'data: {"choices": [{"del\n\n'), Say("blue"), Done()),
    "unfinished": (Say(PARTIAL),),
    "empty": (Open(),),
    "dropped": (Say(PARTIAL), Drop()),
    "reset": (Say(PARTIAL), Drop(reset=True)),
    "silent_drop": (Drop(),),
    "failing": (Say(PARTIAL), _event(error("the engine\ndied", code=500))),
    "failing_at_once": (_event(error("the engine died", code=500)),),
    "failing_plain": (Say(PARTIAL), Raw(error("CUDA out of memory").encode() + b"\n\n")),
    "no_key": (Refuse(401, error("Incorrect API key provided")),),
    "forbidden": (Refuse(403, error("your team may not use this model")),),
    "no_path": (Refuse(404, '{"detail": "Not Found"}'),),
    "busy": (Refuse(429, error("rate limit reached")),),
    "busy_a_second": (Refuse(429, error("rate limit reached"), {"Retry-After": "1"}),),
    "busy_for_long": (Refuse(429, error("rate limit reached"), {"Retry-After": "120"}),),
    "unpaid": (Refuse(429, error("You exceeded your quota", code="insufficient_quota")),),
    "broken": (Refuse(500, error("internal error")),),
    "no_gateway": (Refuse(502, "<html><body>Bad Gateway</body></html>"),),
    "overloaded": (Refuse(503, error("no worker is free")),),
    "elsewhere": (Refuse(308, "", {"Location": "https://llm.example.org/v1/chat/completions"}),),
    "too_long": (
        Refuse(400, error("This model's maximum context length is 4096 tokens.", code=400)),
    ),
    "strange": (Refuse(400, error("temperature must not be above 2")),),
    "web_page": (
        Refuse(200, "<!doctype html><title>Welcome</title>", {"Content-Type": "text/html"}),
    ),
    "whole": (Refuse(200, '{"object": "chat.completion", "choices": []}'),),
    "error_as_answer": (Refuse(200, error("no such deployment here")),),
    "hangs_before": (Hang(),),
    "hangs_after": (Open(), Hang()),
    "hangs_midway": (Say(PARTIAL), Hang()),
}


class OpenAIServer(FaultServer):
    """Speaks OpenAI's interface at `host`/v1.

    `refuses` are parameters that it will not hear of; `logprob` is what it says of each token where
    it is asked; `most` counts how many chats went on at once at the most. With `tls` it has a
    certificate that nobody signed but itself.
    """

    def __init__(
        self, behaviours: Mapping[str, Behaviour] = FAULTS, *, key: str = "", tls: bool = False
    ) -> None:
        super().__init__(behaviours)
        self.key, self.tls = key, tls
        self.refuses: tuple[str, ...] = ()
        self.logprobs: dict[str, float] = {}
        self.headers: list[Mapping[str, str]] = []
        self.going = self.most = 0
        self._count = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"{self.host}/v1"

    def start(self) -> None:
        super().start()
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            plain = self._server.socket
            self._server.socket = context.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
            self.host = self.host.replace("http:", "https:")

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _OpenAIHandler

    def endpoint(self, name: str = "cluster", **more: Any) -> Endpoint:
        """This server, as it is set in a file."""
        return Endpoint(name, **{"base_url": self.base_url} | more)

    def chats(self) -> list[Recorded]:
        return [each for each in self.requests if each.path == "/v1/chat/completions"]

    def begins(self) -> None:
        with self._count:
            self.going += 1
            self.most = max(self.most, self.going)

    def ends(self) -> None:
        with self._count:
            self.going -= 1


class _OpenAIHandler(_Handler):
    @property
    def openai(self) -> OpenAIServer:
        return cast(OpenAIServer, self.faults)

    def do_GET(self) -> None:
        self._record({})
        if self.path != "/v1/models":
            self._whole(404, '{"detail": "Not Found"}')
        elif self._knows_key():
            models = [{"id": name, "object": "model"} for name in self.faults.behaviours]
            self._whole(200, json.dumps({"object": "list", "data": models}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._record(body)
        refused = [name for name in self.openai.refuses if name in body]
        if self.path != "/v1/chat/completions":
            self._whole(404, '{"detail": "Not Found"}')
        elif not self._knows_key():
            return
        elif refused:
            self._whole(400, error(f"Unsupported parameter: '{refused[0]}' is not supported."))
        elif (behaviour := self.faults.behaviour(body["model"])) is None:
            what = f"The model `{body['model']}` does not exist."
            self._whole(404, error(what, type="NotFoundError", code=404))
        else:
            self._answer(body, behaviour)

    def _answer(self, body: Mapping[str, Any], behaviour: Behaviour) -> None:
        self._body, self._left = body, body.get("max_tokens") or 10**9
        self.openai.begins()
        try:
            self._chat(body["model"], body, behaviour)
        finally:
            self.openai.ends()

    def _knows_key(self) -> bool:
        self.openai.headers.append({name.lower(): value for name, value in self.headers.items()})
        given = self.headers.get("Authorization", "")
        if not self.openai.key or given == f"Bearer {self.openai.key}":
            return True
        self._whole(401, error(f"Incorrect API key provided: {given}", code="invalid_api_key"))
        return False

    def _play(self, step: Step) -> None:
        match step:
            case Say(text, pace, thinking) if not thinking:
                for word in re.findall(r"\s*\S+\s*?|\s+", text)[: self._left]:
                    self._stay_silent(pace)
                    self._words += 1
                    self._left -= 1
                    self._send(self._line(word))
            case Done(fields) if not self._left:
                super()._play(Done({"finish_reason": "length"} | dict(fields)))
            case _:
                super()._play(step)

    def _line(self, content: str, thinking: str = "", **more: Any) -> bytes:
        delta = {"reasoning_content": thinking} if thinking else {"content": content}
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        told = self.openai.logprobs.get(self._model)
        if self._body.get("logprobs") and content and told is not None:
            choice["logprobs"] = {"content": [{"token": content, "logprob": told}]}
        return self._data({"choices": [choice | more]})

    def _last_line(self, fields: Mapping[str, Any]) -> bytes:
        reason = fields.get("finish_reason", "stop")
        last = [self._data({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})]
        if (self._body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 24, "completion_tokens": self._words}
            last.append(self._data({"choices": [], "usage": usage}))
        return b"".join(last) + (b"data: [DONE]\n\n" if fields.get("done", True) else b"")

    def _data(self, event: Mapping[str, Any]) -> bytes:
        whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self._model}
        return b"data: %s\n\n" % json.dumps({**whole, **event}, ensure_ascii=False).encode()

    def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()


__all__ = ["ANSWER", "CERTIFICATE", "FAULTS", "PARTIAL", "OpenAIServer", "error"]
