"""The engine for OpenAI-compatible endpoints, against a loopback server that fails as it is told, an
Ollama's `/v1` and llama.cpp's own server."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, Message
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.openai.client import Connection, connect
from mirador_magic.engines.openai.engine import PATIENCE_S, OpenAICompatibleEngine
from mirador_magic.engines.openai.errors import mended
from mirador_magic.engines.openai.reader import Reader
from mirador_magic.engines.openai.wire import waits
from mirador_magic.errors import (
    BrokenStream,
    EngineBusy,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    PromptTooLong,
    RequestRefused,
)
from mirador_magic.stages import ModelOptions
from tests.support.fault_server import Done, Hang, Refuse, Say
from tests.support.ollama_server import OllamaServer
from tests.support.openai_server import ANSWER, CERTIFICATE, FAULTS, PARTIAL, OpenAIServer
from tests.support.openai_server import error as error_body
from tests.support.patience import PATIENCE
from tests.support.recited import QUICK, RECITED, UNSURE

LLAMA_SERVER = Path(__file__).parents[1] / "support" / "llama_server.py"


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What was left open warns here, and not in some later test."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@dataclass
class Heard:
    """What came of one question: the chunks, and the error that ended them."""

    chunks: list[Chunk]
    error: EngineError | None = None

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


class Slept:
    """A clock's place: remembers how long was waited, and waits not at all."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def question(model: str, **more: Any) -> ChatRequest:
    messages = [Message("system", "Be brief."), Message("user", "Why is the sky blue?")]
    return replace(ChatRequest(model, messages, ModelOptions(temperature=0.5)), **more)


async def listen(engine: OpenAICompatibleEngine, request: ChatRequest) -> Heard:
    heard = Heard([])
    try:
        async with aclosing(engine.stream(request)) as stream:
            async for chunk in stream:
                heard.chunks.append(chunk)
    except EngineError as error:
        heard.error = error
    return heard


def ask(endpoint: Endpoint, request: ChatRequest, slept: Slept | None = None) -> Heard:
    """Ask once, on a loop of its own; jitter is in the middle of its range."""

    async def once() -> Heard:
        engine = OpenAICompatibleEngine(endpoint, sleep=slept or Slept(), chance=lambda: 0.5)
        try:
            return await listen(engine, request)
        finally:
            await engine.aclose()

    return asyncio.run(once())


def failure(endpoint: Endpoint, model: str = "good") -> EngineError:
    heard = ask(endpoint, question(model))
    assert heard.error and not heard.text
    return heard.error


# what the reader got, and the parts of the one line that it gets
WRITTEN: dict[str, tuple[type[EngineError], str]] = {
    "dropped": (EngineLost, "cluster broke off while dropped was at work"),
    "reset": (EngineLost, "connection reset"),
    "malformed": (BrokenStream, "cannot be read"),
    "failing": (EngineLost, "cluster gave up while failing was at work: the engine died"),
    "failing_plain": (EngineLost, "CUDA out of memory"),
    "filtered": (RequestRefused, "its content filter"),
    "aborted": (BrokenStream, "it ended with 'abort'"),
}
UNWRITTEN: dict[str, tuple[type[EngineError], str, int]] = {
    "no_key": (RequestRefused, "api_key_env", 1),
    "forbidden": (RequestRefused, "does not allow forbidden (HTTP 403): your team", 1),
    "absent": (ModelMissing, "cluster has no model absent → %mirador endpoints", 1),
    "no_path": (EngineUnavailable, "there is no OpenAI interface at", 1),
    "unpaid": (EngineBusy, "see to what it is paid from", 1),
    "busy": (EngineBusy, "run the cell again in a while", 3),
    "busy_a_second": (EngineBusy, "run the cell again in 1 s", 3),
    "busy_for_long": (EngineBusy, "run the cell again in 120 s", 1),
    "broken": (EngineUnavailable, "failed (HTTP 500): internal error", 3),
    "no_gateway": (EngineUnavailable, "failed (HTTP 502): a web page", 3),
    "overloaded": (EngineBusy, "no worker is free", 3),
    "elsewhere": (EngineUnavailable, 'base_url = "https://llm.example.org/v1"', 1),
    "too_long": (PromptTooLong, "ask a model with a larger context", 1),
    "strange": (RequestRefused, "temperature must not be above 2", 1),
    "web_page": (EngineUnavailable, "(HTTP 200): a web page", 1),
    "whole": (BrokenStream, "the stream ended before the answer", 3),
    "error_as_answer": (EngineLost, "no such deployment here", 3),
    "failing_at_once": (EngineUnavailable, "the engine died", 3),
    "silent_drop": (EngineLost, "broke off", 3),
    "empty": (BrokenStream, "the stream ended before the answer", 3),
}


@pytest.mark.parametrize("model", WRITTEN)
def test_after_the_first_token_the_text_is_kept_and_nothing_is_tried_again(
    server: OpenAIServer, model: str
) -> None:
    heard = ask(server.endpoint(), question(model))
    kind, said = WRITTEN[model]
    assert type(heard.error) is kind
    assert heard.text.startswith(PARTIAL)
    assert said in str(heard.error) and "→" in str(heard.error)
    assert "\n" not in str(heard.error)
    assert len(server.chats()) == 1


@pytest.mark.parametrize("model", UNWRITTEN)
def test_before_the_first_token_what_may_pass_is_tried_again(
    server: OpenAIServer, model: str
) -> None:
    heard = ask(server.endpoint(), question(model))
    kind, said, tries = UNWRITTEN[model]
    assert type(heard.error) is kind
    assert heard.text == ""
    assert said in str(heard.error) and "→" in str(heard.error)
    assert str(heard.error).isprintable()
    assert len(server.chats()) == tries


def test_every_fault_is_met_in_one_of_these_tests() -> None:
    silent = {name for name in FAULTS if name.startswith("hangs")}
    well = {"good", "paced", "limited", "thoughtful", "undone", "commented", "unfinished"}
    assert {*WRITTEN, *UNWRITTEN, *silent, *well} >= set(FAULTS)


def test_what_passes_at_the_second_try_is_answered(server: OpenAIServer) -> None:
    server.next_up = [FAULTS["broken"], FAULTS["silent_drop"]]
    slept = Slept()
    heard = ask(server.endpoint(), question("good"), slept)
    assert (heard.text, heard.error) == (ANSWER, None)
    assert slept.waits == [0.5 * 0.75, 1.0 * 0.75]  # it doubles, with jitter


def test_retry_after_is_honoured_within_patience(server: OpenAIServer) -> None:
    server.next_up = [FAULTS["busy_a_second"]]
    slept = Slept()
    assert ask(server.endpoint(), question("good"), slept).text == ANSWER
    assert slept.waits == [1.125]
    slept = Slept()
    ask(server.endpoint(), question("busy_for_long"), slept)
    assert slept.waits == [] and PATIENCE_S < 10  # the first stage's timeout


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert waits(headers, lambda: 90.0) == seconds


def test_a_key_that_is_refused_names_where_it_came_from(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "sk-the-right-one"
    monkeypatch.setenv("CLUSTER_KEY", "sk-a-wrong-one")
    error = failure(server.endpoint(api_key_env="CLUSTER_KEY"))
    assert "does not take the key (HTTP 401)" in str(error)
    assert error.cure == "put one that is valid into CLUSTER_KEY"
    assert "sk-a-wrong-one" not in str(error)  # though the server said it back


def test_a_key_that_was_mended_is_read_for_the_next_question(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "sk-the-right-one"
    monkeypatch.setenv("CLUSTER_KEY", "sk-a-wrong-one")

    async def twice() -> list[Heard]:
        engine = OpenAICompatibleEngine(server.endpoint(api_key_env="CLUSTER_KEY"))
        try:
            first = await listen(engine, question("good"))
            monkeypatch.setenv("CLUSTER_KEY", "sk-the-right-one")
            return [first, await listen(engine, question("good"))]
        finally:
            await engine.aclose()

    first, second = asyncio.run(twice())
    assert first.error and second.text == ANSWER


def test_without_a_key_none_is_sent_and_the_users_own_openai_stays_out_of_it(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "not-for-the-cluster")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: not-for-the-cluster")
    assert ask(server.endpoint(), question("good")).text == ANSWER
    (sent,) = server.headers
    assert "authorization" not in sent
    assert "not-for-the-cluster" not in str(sent)


def test_headers_and_extra_body_are_sent(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "t-1")
    headers = {"X-Team": "$TEAM_TOKEN", "X-Plain": "blue"}
    endpoint = server.endpoint(headers=headers, extra_body={"top_k": 20})
    assert ask(endpoint, question("good")).text == ANSWER
    assert {"x-team": "t-1", "x-plain": "blue"}.items() <= server.headers[0].items()
    assert server.chats()[0].body["top_k"] == 20


@pytest.mark.parametrize(
    ("base", "better"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/v1/v1", "http://h:8000/v1"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/api", "http://h/api/v1"),
        ("http://h/api/v3", ""),
        ("https://h/v1beta", ""),
        ("http://h:8000/v1", ""),
    ],
)
def test_an_address_that_is_probably_meant(base: str, better: str) -> None:
    assert mended(base) == better


@pytest.mark.parametrize("wrong", ["", "/v1/v1", "/v1/chat/completions"])
def test_a_wrong_base_url_is_answered_with_the_right_one(server: OpenAIServer, wrong: str) -> None:
    endpoint = server.endpoint(base_url=server.host + wrong)
    right = f'base_url = "{server.base_url}" below [tool.mirador.endpoints.cluster]'
    assert failure(endpoint).cure == right
    assert listed(endpoint).cure == right


def listed(endpoint: Endpoint) -> EngineError:
    """The error of a list of models."""

    async def models() -> None:
        engine = OpenAICompatibleEngine(endpoint)
        try:
            await engine.models()
        finally:
            await engine.aclose()

    with pytest.raises(EngineError) as caught:
        asyncio.run(models())
    return caught.value


def test_nobody_answers(server: OpenAIServer) -> None:
    endpoint = server.endpoint()
    server.stop()
    error = failure(endpoint)
    assert type(error) is EngineUnavailable
    assert f"cluster does not answer at {endpoint.base_url}: connection refused" in str(error)
    assert type(listed(endpoint)) is EngineUnavailable


def test_there_is_no_such_host() -> None:
    error = failure(Endpoint("cluster", "http://nowhere.invalid/v1"))
    assert type(error) is EngineUnavailable
    assert "there is no host of the name nowhere.invalid" in str(error)


def test_a_server_that_is_silent_when_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirador_magic.engines.openai.engine.PROBE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = listed(Endpoint("cluster", f"http://127.0.0.1:{silent.getsockname()[1]}/v1"))
    assert "no answer in time" in str(error)


def test_tls_that_is_not_trusted_and_tls_that_is_none(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = server.endpoint(base_url=server.base_url.replace("http:", "https:"))
    error = failure(plain)
    assert "speaks no TLS" in str(error)
    assert f'base_url = "{server.base_url}"' in error.cure
    with OpenAIServer(tls=True) as secret:
        error = failure(secret.endpoint())
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert ask(secret.endpoint(), question("good")).text == ANSWER  # the cure is one
    assert type(error) is EngineUnavailable
    assert "is not trusted: self-signed certificate" in str(error)
    assert "SSL_CERT_FILE" in error.cure


def test_a_parameter_that_is_refused_is_left_out_and_that_is_remembered(
    server: OpenAIServer,
) -> None:
    server.refuses = ("logprobs", "chat_template_kwargs", "stream_options")
    request = question("good", think=False)

    async def twice() -> list[Heard]:
        engine = OpenAICompatibleEngine(server.endpoint())
        try:
            return [await listen(engine, request), await listen(engine, request)]
        finally:
            await engine.aclose()

    first, second = asyncio.run(twice())
    assert (first.text, second.text) == (ANSWER, ANSWER)
    assert len(server.chats()) == 3 + 1 + 1
    assert not set(server.refuses) & set(server.chats()[-1].body)


def test_an_option_by_its_name_is_sent_and_left_out_where_it_is_refused(
    server: OpenAIServer,
) -> None:
    server.refuses = ("odd",)
    options = ModelOptions(more=(("min_p", 0.1), ("num_gpu", 0), ("odd", 1), ("stop", ("END",))))
    request = question("good", options=options, think="low")

    async def told() -> list[list[str]]:
        engine = OpenAICompatibleEngine(server.endpoint())
        before = engine.unknown(request)
        assert (await listen(engine, request)).text == ANSWER
        await engine.aclose()
        return [before, engine.unknown(request)]

    assert asyncio.run(told()) == [["num_gpu"], ["num_gpu", "odd"]]
    first, second = (each.body for each in server.chats())
    assert first["odd"] == 1 and "num_gpu" not in first
    assert "odd" not in second
    assert (second["min_p"], second["stop"], second["reasoning_effort"]) == (0.1, ["END"], "low")


EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "seed"],
    "msg": "Extra inputs are not permitted",
}
ONE_WISH_LESS: dict[str, tuple[int, str, str]] = {
    "both": (400, error_body("temperature and top_p cannot both be specified"), "top_p"),
    "one": (400, error_body("only one of `temperature` and `top_p` is supported"), "top_p"),
    "detail": (422, json.dumps({"detail": [EXTRA]}), "seed"),
    "role": (400, error_body("System role not supported"), "system"),
    "template": (500, error_body("Only user and assistant roles are supported!"), "system"),
}


@pytest.mark.parametrize("refusal", ONE_WISH_LESS)
def test_one_wish_less_is_asked_once_remembered_and_told(
    server: OpenAIServer, refusal: str
) -> None:
    status, said, wish = ONE_WISH_LESS[refusal]
    server.next_up = [(Refuse(status, said),)]
    options = ModelOptions(temperature=0.3, top_p=0.9, seed=7)
    chat = [Message("system", "Be brief."), Message("user", "Why?")]
    request = ChatRequest("good", chat, options)

    async def twice() -> list[Heard]:
        engine = OpenAICompatibleEngine(server.endpoint())
        try:
            return [await listen(engine, request), await listen(engine, request)]
        finally:
            await engine.aclose()

    heard = asyncio.run(twice())
    assert [each.text for each in heard] == [ANSWER, ANSWER]
    notes = [chunk.note for each in heard for chunk in each.chunks if chunk.note]
    assert len(notes) == 1 and notes[0].endswith(f": asked again without {wish}")
    first, *others = (chat.body for chat in server.chats())
    assert len(others) == 2
    for body in others:
        wishes = {"temperature", "top_p", "seed"}
        assert wishes & set(body) == wishes - {wish}
        system = wish == "system"
        assert [m["role"] for m in body["messages"]] == ["user"] if system else ["system", "user"]
        assert not system or body["messages"][0]["content"] == "Be brief.\n\nWhy?"
    assert first["top_p"] == 0.9


def test_a_model_that_wants_max_completion_tokens_gets_it(server: OpenAIServer) -> None:
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.next_up = [(Refuse(400, error_body(said)),)]
    heard = ask(server.endpoint(), question("good", options=ModelOptions(num_predict=50)))
    assert heard.text == ANSWER
    assert server.chats()[-1].body["max_completion_tokens"] == 50


def test_log_probabilities_come_where_they_are_told(server: OpenAIServer) -> None:
    server.logprobs = {"good": -0.25}
    told = ask(server.endpoint(), question("good")).chunks
    assert {chunk.logprobs for chunk in told if chunk.text} == {(-0.25,)}


def test_thinking_comes_apart_and_the_counts_with_the_end(server: OpenAIServer) -> None:
    chunks = ask(server.endpoint(), question("thoughtful")).chunks
    assert "".join(chunk.thinking for chunk in chunks) == "Hm, let me see."
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    end = chunks[-1].end
    assert end and (end.prompt_tokens, end.load_s, end.prefill_s) == (24, None, None)


@pytest.mark.parametrize("model", ["undone", "commented", "good", "unfinished"])
def test_a_stream_may_lack_its_last_line_and_hold_comments(
    server: OpenAIServer, model: str
) -> None:
    heard = ask(server.endpoint(), question(model))
    whole = PARTIAL if model == "unfinished" else ANSWER
    assert (heard.text, heard.error) == (whole, None)


def test_it_says_when_it_was_cut_off(server: OpenAIServer) -> None:
    end = ask(server.endpoint(), question("limited")).chunks[-1].end
    assert end and end.reason == "length"


def test_only_an_endpoint_that_is_to_be_warmed_is(server: OpenAIServer) -> None:
    async def load(warm: bool) -> Loaded:
        engine = OpenAICompatibleEngine(server.endpoint(warm=warm))
        loaded = await engine.load(question("good"), keep_alive=60)
        await engine.unload("good")
        assert await engine.resident() == []
        await engine.aclose()
        return loaded

    assert asyncio.run(load(False)) == Loaded()
    assert server.requests == []
    assert asyncio.run(load(True)) == Loaded()
    assert [chat.body["max_tokens"] for chat in server.chats()] == [1]


@pytest.mark.parametrize("model", ["hangs_before", "hangs_after", "hangs_midway"])
def test_a_cancel_closes_the_stream(server: OpenAIServer, model: str) -> None:
    async def cancel() -> Heard:
        engine = OpenAICompatibleEngine(server.endpoint())
        task = asyncio.create_task(listen(engine, question(model)))
        await asyncio.to_thread(server.wait_for, lambda: bool(server.chats()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_closed, model)
        heard = await listen(engine, question("good"))
        await engine.aclose()
        return heard

    assert asyncio.run(cancel()).text == ANSWER


def test_the_sdk_is_brought_once_for_all_who_wait_and_the_waiting_is_no_silence_of_the_endpoints(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[Endpoint] = []
    go = threading.Event()

    async def both() -> list[str]:
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def slowly(endpoint: Endpoint) -> Connection:
            brought.append(endpoint)
            loop.call_soon_threadsafe(begun.set)
            go.wait(PATIENCE)
            return connect(endpoint)

        monkeypatch.setattr("mirador_magic.engines.openai.engine.connect", slowly)
        engine = OpenAICompatibleEngine(server.endpoint())
        request = question("good")
        tasks = [asyncio.create_task(listen(engine, request)) for _ in range(2)]
        await begun.wait()
        assert engine.waiting(request)
        go.set()
        heard = [(await task).text for task in tasks]
        assert not engine.waiting(request)
        await engine.aclose()
        return heard

    assert asyncio.run(both()) == [ANSWER] * 2
    assert len(brought) == 1


def test_a_connection_is_kept_for_the_next_question(server: OpenAIServer) -> None:
    async def thrice() -> None:
        engine = OpenAICompatibleEngine(server.endpoint())
        for _ in range(3):
            await listen(engine, question("good"))
        await engine.aclose()

    asyncio.run(thrice())
    assert server.accepted == 1
    assert server.closed == []


def test_one_event_loop_after_another(server: OpenAIServer) -> None:
    engine = OpenAICompatibleEngine(server.endpoint())

    async def once() -> Heard:
        heard = await listen(engine, question("good"))
        await engine.aclose()
        return heard

    for _ in range(3):
        assert asyncio.run(once()).text == ANSWER


def test_a_proxy_does_not_catch_this_machine(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(server.endpoint(), question("good")).text == ANSWER


def test_the_sdk_waits_until_it_is_needed_and_its_absence_is_one_line() -> None:
    code = """
import asyncio, sys
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.openai.engine import OpenAICompatibleEngine
engine = OpenAICompatibleEngine(Endpoint("cluster", "http://127.0.0.1:9/v1"))
assert not {"openai", "httpx", "httpx2"} & set(sys.modules)
sys.modules["openai"] = None
try:
    asyncio.run(engine.models())
except Exception as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    assert ran.stdout.endswith("→ pip install 'mirador-magic[cluster]'\n")


def test_a_stream_is_read_whatever_pieces_it_comes_in() -> None:
    events = (
        'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\r\n\r\n'
        'data:{"choices":[{"delta":{"reasoning":"Hm."}}]}\n\n'
        'data: {"choices": [{"delta": {"content": ""}, '
        '"logprobs": {"content": [{"logprob": -0.5}]}}]}\n\n'
        'data: {"choices": [{"delta": {"content": "é\u0085"}, '
        '"logprobs": {"content": [{"logprob": -1}, {"logprob": null}]}}]}\n\n'
        'data: {"choices": [{"delta": {}, "finish_reason": "stop"}], "error": null}\n\n'
        'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}, '
        '"timings": {"prompt_ms": 10, "predicted_ms": 20}}\n\ndata: [DONE]\n\n'
    ).encode()
    for size in (1, 7, len(events)):
        reader = Reader()
        pieces = [events[at : at + size] for at in range(0, len(events), size)]
        chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
        assert chunks == [Chunk(thinking="Hm."), Chunk("é\u0085", logprobs=(-0.5, -1.0))]
        assert reader.done
        end = reader.end()
        assert (end.prompt_tokens, end.output_tokens) == (3, 2)
        assert (end.prefill_s, end.decode_s) == (0.01, 0.02)  # llama.cpp tells them


def test_ollamas_own_v1_answers(ollama: OllamaServer) -> None:
    endpoint = Endpoint("lab", f"{ollama.host}/v1")
    for model in (QUICK, UNSURE):
        heard = ask(endpoint, question(model, think=False))
        assert (heard.text, heard.error) == (RECITED[model], None)
        end = heard.chunks[-1].end
        assert end and end.output_tokens and end.reason == "stop"
    missing = failure(endpoint, "absent")
    assert type(missing) is ModelMissing and "absent" in missing.what
    wrong = failure(Endpoint("lab", ollama.host), QUICK)
    assert wrong.cure.startswith(f'base_url = "{ollama.host}/v1"')


def _address(process: subprocess.Popen[bytes]) -> str:
    """Where it says that it listens; its other threads may write into that line."""
    assert process.stderr
    said = b""
    while not (found := re.search(rb"listening on (http://[\w.]+:\d+)\s", said)):
        more = os.read(process.stderr.fileno(), 4096)
        assert more, said
        said += more
    return found[1].decode()


def test_llama_cpps_own_server_answers(reciting_models: dict[str, Path]) -> None:
    pytest.importorskip("xllamacpp")
    model = ["--model", str(reciting_models[UNSURE]), "--log-verbosity", "0"]
    command = [sys.executable, str(LLAMA_SERVER), *model]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            heard = ask(Endpoint("lab", f"{_address(process)}/v1"), question("any", think=False))
        finally:
            process.kill()
    assert (heard.text, heard.error) == (RECITED[UNSURE], None)
    told = [log for chunk in heard.chunks for log in chunk.logprobs]
    assert len(told) == sum(bool(chunk.text) for chunk in heard.chunks)
    end = heard.chunks[-1].end
    assert end and end.load_s is None and end.decode_s  # it tells its timings


def test_a_stream_that_says_nothing_behind_its_last_word_is_not_waited_for(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirador_magic.engines.openai.engine.LAST_S", 0.01)
    server.next_up = [(Say(ANSWER), Done({"done": False}), Hang())]
    heard = ask(server.endpoint(), question("good"))
    assert (heard.text, heard.error) == (ANSWER, None)
