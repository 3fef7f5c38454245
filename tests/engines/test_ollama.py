"""Ollama's engine at its door: every way to fail, against servers that really fail so."""

import asyncio
import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.engines.base import ChatRequest, Loaded, Message
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.shown import cut_lengths
from mirador_magic.engines.ollama.wire import address, mended
from mirador_magic.errors import (
    BrokenStream,
    EngineBusy,
    EngineError,
    EngineLost,
    EngineUnavailable,
    ModelMissing,
    PromptTooLong,
    RequestRefused,
    UsageError,
)
from mirador_magic.events import StreamEnd
from mirador_magic.stages import ModelOptions
from tests.support.fault_server import (
    ANSWER,
    PARTIAL,
    Done,
    Drop,
    FaultServer,
    Hang,
    Open,
    Raw,
    Refuse,
    Say,
    Step,
)
from tests.support.ollama_server import OllamaServer
from tests.support.recited import NEL, QUICK, RECITED, SLOW

TENSE = ModelOptions(num_ctx=512)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@dataclass
class Heard:
    """What came of one question."""

    texts: list[str] = field(default_factory=list)
    thinking: str = ""
    end: StreamEnd | None = None
    error: EngineError | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


def question(model: str, text: str = "Why?", options: ModelOptions | None = None) -> ChatRequest:
    return ChatRequest(model, [Message("user", text)], options or ModelOptions())


async def listen(engine: OllamaEngine, request: ChatRequest) -> Heard:
    heard = Heard()
    try:
        async with aclosing(engine.stream(request)) as stream:
            async for chunk in stream:
                assert heard.end is None, "nothing comes after the end"
                heard.texts += [chunk.text] if chunk.text else []
                heard.thinking += chunk.thinking
                heard.end = chunk.end
    except EngineError as error:
        heard.error = error
    return heard


def ask(host: str, request: ChatRequest) -> Heard:
    return asyncio.run(listen(OllamaEngine(host), request))


def test_an_answer_and_its_end(server: FaultServer) -> None:
    heard = ask(server.host, question("good"))
    assert heard.text == ANSWER
    assert heard.end == StreamEnd("stop", 12, 9, load_s=0.25, prefill_s=0.1, decode_s=0.5)


def test_what_the_server_leaves_out_is_unknown(server: FaultServer) -> None:
    names = "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count"
    gone = dict.fromkeys((*names, "eval_duration", "done_reason"))
    server.behaviours["bare"] = [Say("yes"), Done(gone)]
    assert ask(server.host, question("bare")).end == StreamEnd("stop")


def test_the_limit_is_told_from_the_end(server: FaultServer) -> None:
    heard = ask(server.host, question("limited"))
    assert heard.end and heard.end.reason == "length"


@pytest.mark.parametrize("blank", [b"\n", b"\r\n \n", b"\n\n\n"])
def test_blank_lines_say_nothing(server: FaultServer, blank: bytes) -> None:
    server.behaviours["blank"] = [
        Raw(blank),
        Say(ANSWER),
        Raw(blank),
        Raw(blank),
        Done(),
        Raw(blank),
    ]
    heard = ask(server.host, question("blank"))
    assert (heard.text, heard.error) == (ANSWER, None)


def test_a_tool_that_is_asked_for_is_told(server: FaultServer) -> None:
    call = {"function": {"name": "look", "arguments": {}}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    server.behaviours["tools"] = [Done({"message": message})]
    heard = ask(server.host, question("tools"))
    assert heard.end and heard.end.reason == "tools"


def test_thinking_stays_apart(server: FaultServer) -> None:
    heard = ask(server.host, question("thoughtful"))
    assert (heard.thinking, heard.text) == ("Hm, let me see.", ANSWER)


def test_the_last_line_may_bring_text(server: FaultServer) -> None:
    last = {"message": {"role": "assistant", "content": " and red."}}
    server.behaviours["late"] = [Say("Blue"), Done(last)]
    assert ask(server.host, question("late")).text == "Blue and red."


def test_only_what_is_set_is_sent(server: FaultServer) -> None:
    options = ModelOptions(temperature=0.1, num_predict=9)
    ask(
        server.host,
        ChatRequest("good", [Message("system", "Be \ud800."), Message("user", "?")], options),
    )
    body = dict(server.chats()[0].body)
    assert body.pop("options") == {"temperature": 0.1, "num_predict": 9, "num_ctx": 4096}
    assert body == {
        "model": "good",
        "messages": [{"role": "system", "content": "Be ?."}, {"role": "user", "content": "?"}],
        "tools": [],
        "stream": True,
        "logprobs": True,
    }


def test_a_load_has_the_runner_options_alone(server: FaultServer) -> None:
    async def load() -> list[str]:
        engine = OllamaEngine(server.host)
        await engine.load(ChatRequest("good", [], ModelOptions(num_ctx=2048)))
        return [model.name for model in await engine.resident()]

    assert asyncio.run(load()) == ["good:latest"]
    (body,) = [request.body for request in server.requests if request.path == "/api/chat"]
    assert (body["messages"], body["options"]) == ([], {"num_ctx": 2048, "num_predict": 1})
    assert "keep_alive" not in body


def test_a_prefill_asks_for_one_token_and_says_how_long_to_stay(server: FaultServer) -> None:
    asked = ChatRequest("good", [Message("user", ".")], ModelOptions(num_predict=150), think=False)
    loaded = asyncio.run(OllamaEngine(server.host).load(asked, keep_alive=3600))
    body = server.chats()[0].body
    assert (body["options"]["num_predict"], body["keep_alive"], body["think"]) == (1, 3600, False)
    assert loaded == Loaded(load_s=0.25, prefill_s=0.1)


def test_a_model_that_will_not_hear_of_thinking_is_asked_without(server: FaultServer) -> None:
    server.behaviours.update(REFUSALS)
    asked = ChatRequest("thoughtless", [Message("user", "?")], ModelOptions(), think=False)
    heard = ask(server.host, asked)
    assert ["think" in chat.body for chat in server.chats()] == [True, False]
    assert isinstance(heard.error, RequestRefused)  # this one refuses everything


REFUSALS: dict[str, list[Step]] = {
    "thoughtless": [Refuse(400, '{"error": "\\"thoughtless\\" does not support thinking"}')],
    "large": [Refuse(500, '{"error": "model requires more system memory (5.0 GiB) than is free"}')],
    "number": [Refuse(500, "42")],
    "nothing": [Refuse(500, "")],
    "page": [Refuse(502, "<html>\n<h1>Bad gateway\x1b[2J</h1>" + "x" * 2000)],
    "cloudy": [Refuse(401, '{"error": "unauthorized", "signin_url": "https://example.com"}')],
    "moved": [Refuse(308, "")],
    "shapeless": [Say(PARTIAL), Raw(b'{"mood": "fine"}\n')],
    "list": [Say(PARTIAL), Raw(b"[]\n")],
    "object_error": [Say(PARTIAL), Raw(b'{"error": {"message": "oh"}}\n')],
    "number_error": [Say(PARTIAL), Raw(b'{"error": "42"}\n')],
    "opened_drop": [Open(), Drop()],
}


@pytest.mark.parametrize(
    ("model", "kind", "said", "what"),
    [
        ("absent", ModelMissing, "", "Ollama does not have the model absent → ollama pull absent"),
        (
            "busy",
            EngineBusy,
            "",
            "server busy, please try again. maximum pending requests exceeded",
        ),
        ("too_long", PromptTooLong, "", "request (9000 tokens) exceeds the available context size"),
        ("large", RequestRefused, "", "(5.0 GiB) than is free → free some: ollama ps"),
        ("thoughtless", RequestRefused, "", '(HTTP 400): "thoughtless" does not support thinking'),
        ("number", RequestRefused, "", "(HTTP 500): 42"),
        ("nothing", RequestRefused, "", "(HTTP 500): it does not say why"),
        ("page", RequestRefused, "", "a web page: Bad gateway [2J"),
        ("cloudy", RequestRefused, "", "unauthorized → ollama signin"),
        ("moved", RequestRefused, "", "set OLLAMA_HOST"),
        ("malformed", BrokenStream, PARTIAL, '{"message": {"role": "assist'),
        ("shapeless", BrokenStream, PARTIAL, "ValidationError"),
        ("list", BrokenStream, PARTIAL, "cannot be read"),
        ("object_error", BrokenStream, PARTIAL, "cannot be read"),
        ("number_error", BrokenStream, PARTIAL, "cannot be read"),
        ("unfinished", BrokenStream, PARTIAL, "ended the stream of unfinished early"),
        ("dropped", EngineLost, PARTIAL, "was at work → run the cell again"),
        ("reset", EngineLost, PARTIAL, "was at work → run the cell again"),
        ("silent_drop", EngineLost, "", "was at work → run the cell again"),
        ("opened_drop", EngineLost, "", "was at work → run the cell again"),
        ("failing", EngineLost, PARTIAL, "writing: the runner ran out of memory → free some"),
        ("failing_in_json", EngineLost, PARTIAL, "writing: request (9000 tokens) exceeds"),
    ],
)
def test_a_failure_is_one_line_and_keeps_the_text(
    server: FaultServer, model: str, kind: type[EngineError], said: str, what: str
) -> None:
    server.behaviours.update(REFUSALS)
    heard = ask(server.host, question(model))
    assert type(heard.error) is kind
    assert what in str(heard.error)
    assert heard.text == said and heard.end is None
    assert_one_line_with_cure(heard.error)


def assert_one_line_with_cure(error: EngineError | None) -> None:
    assert error and str(error).isprintable() and len(str(error)) < 600
    assert error.cure and str(error).endswith(f" → {error.cure}")


CALLS: dict[str, Callable[[OllamaEngine], Awaitable[Any]]] = {
    "probe": lambda engine: engine.probe(),
    "models": lambda engine: engine.models(),
    "resident": lambda engine: engine.resident(),
    "load": lambda engine: engine.load(question("good")),
    "stream": lambda engine: anext(engine.stream(question("good"))),
}


def failure(host: str, call: str) -> EngineError:
    async def fail() -> EngineError:
        with pytest.raises(EngineError) as caught:
            await CALLS[call](OllamaEngine(host))
        return caught.value

    return asyncio.run(fail())


@pytest.mark.parametrize("call", CALLS)
def test_no_server(server: FaultServer, call: str) -> None:
    server.stop()
    error = failure(server.host, call)
    assert type(error) is EngineUnavailable
    assert str(error) == (
        f"Ollama does not answer at {server.host}: connection refused"
        f" → start it: OLLAMA_HOST={server.host.removeprefix('http://')} ollama serve"
    )


def test_the_reason_is_the_connection_s_own(server: FaultServer) -> None:
    """Not that of an error which the caller is busy with."""
    server.stop()
    try:
        raise OSError(28, "No space left on device")
    except OSError:
        error = failure(server.host, "models")
    assert "connection refused" in str(error)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Refuse(404, '{"error": "model \'good\' not found"}'), ModelMissing),
        (Refuse(503, '{"error": "server busy, please try again"}'), EngineBusy),
        (Refuse(500, "[]"), RequestRefused),
        (Refuse(200, "hello"), BrokenStream),
        (Drop(), EngineLost),
    ],
)
def test_a_load_fails_like_a_stream(
    server: FaultServer, behaviour: Step, kind: type[EngineError]
) -> None:
    server.next_up = [[behaviour]]
    error = failure(server.host, "load")
    assert type(error) is kind
    assert_one_line_with_cure(error)


_PACKED = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
_LOGGED = {
    "message": {"role": "assistant", "content": "Blue"},
    "logprobs": [{"token": "B", "logprob": -1.0}] * 21_000,
}


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Refuse(200, "", _PACKED), "compressed, which was not asked for"),
        (Raw(b'{"message": "' + b"x" * 5_000_000), "bytes of a line without an end"),
        (Raw(json.dumps(_LOGGED).encode() + b"\n"), "more than 20,000 log-probabilities"),
        (Raw(b"[" * 100_000 + b"\n"), "nested without end"),
        (Refuse(500, "no " * 10_000_000), "no no"),
    ],
)
def test_what_goes_beyond_its_bound_is_one_line(server: FaultServer, step: Step, told: str) -> None:
    server.next_up = [[step]]
    error = ask(server.host, question("m")).error
    assert error and told in str(error)
    assert_one_line_with_cure(error)


@pytest.mark.parametrize("call", ["probe", "stream"])
def test_a_server_that_cannot_be_reached_in_time(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    for module in ("official", "wire"):
        monkeypatch.setattr(f"mirador_magic.engines.ollama.{module}.CONNECT_S", 1e-9)
    assert f"{server.host}: no answer in time → start it" in str(failure(server.host, call))


def test_a_server_that_is_silent_when_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirador_magic.engines.ollama.wire.PROBE_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        error = failure(host, "probe")
    assert type(error) is EngineUnavailable
    assert "no answer in time" in str(error)


@pytest.mark.parametrize("call", ["probe", "models"])
def test_something_else_answers(server: FaultServer, call: str) -> None:
    error = failure(f"{server.host}/elsewhere", call)
    assert "HTTP 404" in str(error)
    assert "set OLLAMA_HOST" in error.cure


@pytest.mark.parametrize("model", ["hangs_before", "hangs_after", "hangs_midway"])
def test_a_cancel_closes_the_stream(server: FaultServer, model: str) -> None:
    async def cancel() -> Heard:
        engine = OllamaEngine(server.host)
        task = asyncio.create_task(listen(engine, question(model)))
        await asyncio.to_thread(server.wait_for, lambda: bool(server.chats()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_closed, model)
        return await listen(engine, question("good"))

    assert asyncio.run(cancel()).text == ANSWER
    gc.collect()


def test_closing_the_stream_closes_the_connection(server: FaultServer) -> None:
    async def close() -> str:
        engine = OllamaEngine(server.host)
        stream = engine.stream(question("hangs_midway"))
        text = (await anext(stream)).text
        await stream.aclose()
        await asyncio.to_thread(server.wait_for_closed, "hangs_midway")
        return text

    assert asyncio.run(close()) == "The"
    gc.collect()


@pytest.mark.parametrize(
    ("first", "patience", "freed"),
    [
        ("cut short", 0.0, True),
        ("cut short", 9.0, False),  # it may only be slow
        ("read to its end", 0.0, False),
        ("never begun", 0.0, False),
    ],
)
def test_a_model_that_a_stop_left_stuck_is_unloaded_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch, first: str, patience: float, freed: bool
) -> None:
    monkeypatch.setattr("mirador_magic.engines.ollama.engine.STUCK_S", patience)
    answers, hangs = (Say(ANSWER), Done()), (Hang(),)

    async def main(server: FaultServer) -> None:
        engine = OllamaEngine(server.host)
        if first != "never begun":
            async with aclosing(engine.stream(question("m"))) as stream:
                async for _ in stream:
                    if first == "cut short":
                        break
        server.behaviours["m"] = hangs
        asked = len(server.chats())
        waiting = asyncio.create_task(listen(engine, question("m")))
        await asyncio.to_thread(server.wait_for, lambda: len(server.chats()) > asked)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        server.behaviours["m"] = answers
        assert (await listen(engine, question("m"))).text == ANSWER

    with FaultServer({"m": answers}) as server:
        asyncio.run(main(server))
        unloads = [r for r in server.requests if r.path == "/api/generate"]
    assert [r.body["keep_alive"] for r in unloads] == [0] * freed


def test_a_finished_stream_leaves_nothing_open(server: FaultServer) -> None:
    async def stop_reading_at_the_end() -> None:
        stream = OllamaEngine(server.host).stream(question("good"))
        async for chunk in stream:
            if chunk.end:
                break

    asyncio.run(stop_reading_at_the_end())
    gc.collect()
    assert server.closed == []


def test_one_event_loop_after_another(server: FaultServer) -> None:
    """Nothing of a loop that is gone stays open: a socket would warn when it is collected."""
    engine = OllamaEngine(server.host)
    for _ in range(3):
        assert asyncio.run(listen(engine, question("good"))).text == ANSWER
        assert asyncio.run(engine.models())
        gc.collect()


def test_streams_of_one_loop_do_not_meet(server: FaultServer) -> None:
    async def both() -> list[Heard]:
        engine = OllamaEngine(server.host)
        requests = [question("good"), question("dropped"), question("paced")]
        return list(await asyncio.gather(*(listen(engine, request) for request in requests)))

    good, dropped, paced = asyncio.run(both())
    assert (good.text, dropped.text, paced.text) == (ANSWER, PARTIAL, ANSWER)


def test_a_proxy_does_not_catch_this_machine(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(server.host, question("good")).text == ANSWER


def test_the_label_knows_the_version_once_probed(server: FaultServer) -> None:
    engine = OllamaEngine(server.host)
    assert engine.label == "Ollama"
    asyncio.run(engine.probe())
    assert engine.label == "Ollama 0.34.1-faults"


def test_a_version_that_steers_a_terminal_does_not(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fault_server.VERSION", "1\x1b]52;c;eA==\x07\x1b[2J\u202e\n2")
    engine = OllamaEngine(server.host)
    asyncio.run(engine.probe())
    assert engine.label == "Ollama 1]52;c;eA==[2J[U+202E] 2"


def test_imports_wait_until_they_are_needed(server: FaultServer) -> None:
    code = f"""
import asyncio, sys
from mirador_magic.engines.ollama.engine import OllamaEngine
engine = OllamaEngine({server.host!r})
assert "httpx" not in sys.modules
asyncio.run(engine.probe())
assert "ollama" not in sys.modules
asyncio.run(engine.models())
assert "ollama" not in sys.modules
asyncio.run(engine.resident())
assert "ollama" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    "host", ["", "gpu", ":5", "1.2.3.4:5", "http://h", "https://h:1/path/", "[::1]"]
)
def test_an_address_is_read_as_the_official_client_reads_it(host: str) -> None:
    from ollama._client import _parse_host

    assert address(host) == _parse_host(host)


def test_an_address_to_listen_at_becomes_one_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", ' "0.0.0.0:8080" ')
    assert OllamaEngine().host == "http://127.0.0.1:8080"
    assert OllamaEngine("[::]").host == "http://[::1]:11434"
    monkeypatch.delenv("OLLAMA_HOST")
    assert OllamaEngine().host == "http://127.0.0.1:11434"


@given(st.text("htps:/.[]@?#%0519 éa\\\n\x00") | st.text())
def test_an_address_is_one_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        url = httpx.URL(address(text))
        assert url.host and url.scheme in ("http", "https")


@pytest.mark.parametrize("host", ["host:port", "ftp://host", "host:99999", "[::1", "two words"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(UsageError, match="OLLAMA_HOST"):
        OllamaEngine(host)


@settings(deadline=None)
@given(
    st.text(st.sampled_from("a\u0085\u2028\u2029\xc2é‧\n☃") | st.characters(codec="utf-8")),
    st.data(),
)
def test_mending_keeps_every_text(text: str, data: st.DataObject) -> None:
    line = json.dumps({"text": text}, ensure_ascii=False).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(line)))))
    pieces = [line[a:b] for a, b in zip([0, *cuts], [*cuts, len(line)], strict=True)]

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def mend() -> bytes:
        return b"".join([piece async for piece in mended(chunks())])

    sent = asyncio.run(mend()).decode()
    assert len(sent.splitlines()) == 1
    assert json.loads(sent) == {"text": text}


def test_a_torn_line_break_is_mended_on_the_wire(server: FaultServer) -> None:
    line = b'{"message": {"role": "assistant", "content": "a\xc2\x85b\xe2\x80\xa8c"}}\n'
    server.behaviours["torn"] = [*(Raw(bytes([byte])) for byte in line), Done()]
    assert ask(server.host, question("torn")).text == "a\u0085b\u2028c"


@pytest.mark.parametrize(
    ("count", "text", "cut"),
    [
        (511, "x" * 900, False),
        (512, "x" * 900, True),
        (258, "x" * 900, True),
        (259, "x" * 900, False),
        (258, "x" * 200, False),
        (100, "x" * 900, False),
    ],
)
def test_a_cut_prompt_is_told_by_what_is_left(
    server: FaultServer, count: int, text: str, cut: bool
) -> None:
    server.behaviours["counted"] = [Say("yes"), Done({"prompt_eval_count": count})]
    heard = ask(server.host, question("counted", text, TENSE))
    assert heard.end and heard.end.prompt_cut is cut


@pytest.mark.parametrize(
    ("info", "parameters", "count"),
    [
        ({"llama.context_length": 512}, "", 258),
        ({"llama.context_length": 512, "tokenizer.ggml.add_bos_token": True}, "", 259),
        ({"llama.context_length": 512}, "stop  x\nnum_keep    24\ntop_k  3", 268),
        ({"llama.context_length": 512}, "num_keep   -1", 511),
    ],
)
def test_the_model_says_what_a_cut_leaves(
    server: FaultServer, info: dict[str, Any], parameters: str, count: int
) -> None:
    server.model_info |= info
    server.parameters = parameters
    server.behaviours["counted"] = [Say("yes"), Done({"prompt_eval_count": count})]

    async def twice() -> list[Heard]:
        engine = OllamaEngine(server.host)
        return [await listen(engine, question("counted", "x" * 900)) for _ in range(2)]

    assert all(heard.end and heard.end.prompt_cut for heard in asyncio.run(twice()))
    assert [r.path for r in server.requests].count("/api/show") == 1


@given(st.integers(2, 300_000), st.integers(-1, 400_000))
def test_a_cut_leaves_something_that_fits(context: int, keep: int) -> None:
    assert all(context / 2 <= left <= context for left in cut_lengths(context, keep))


@pytest.mark.parametrize("distance", [-60, -2, -1, 0, 1, 2, 60, 3000])
def test_real_servers_cut_as_calculated(each_ollama: OllamaServer, distance: int) -> None:
    """These models read one token a byte: a prompt is cut when it has more than the context."""

    async def measure() -> tuple[int, Heard]:
        engine = OllamaEngine(each_ollama.host)
        short = await listen(engine, question(QUICK, "x", TENSE))
        assert short.end and short.end.prompt_tokens
        length = 512 - short.end.prompt_tokens + 1 + distance
        return 512 + distance, await listen(engine, question(QUICK, "x" * length, TENSE))

    tokens, heard = asyncio.run(measure())
    # 0.24 evaluates a prompt that just fits, and shifts half of it out for the second word
    cut = tokens >= 512
    assert heard.text == RECITED[QUICK]
    assert heard.end and heard.end.prompt_cut is cut
    assert cut or heard.end.prompt_tokens == tokens


def test_a_next_line_character_survives(each_ollama: OllamaServer) -> None:
    assert ask(each_ollama.host, question(NEL)).text == RECITED[NEL]


def test_a_server_killed_in_mid_stream(mortal_ollama: OllamaServer) -> None:
    async def kill() -> tuple[Heard, EngineError, Heard]:
        engine = OllamaEngine(mortal_ollama.host)
        heard = Heard()
        async with aclosing(engine.stream(question(SLOW))) as stream:
            with pytest.raises(EngineLost) as lost:
                async for chunk in stream:
                    heard.texts.append(chunk.text)
                    if len(heard.texts) == 5:
                        mortal_ollama.kill()
        heard.error = lost.value
        with pytest.raises(EngineUnavailable) as unavailable:
            await engine.probe()
        mortal_ollama.start()
        return heard, unavailable.value, await listen(engine, question(QUICK))

    heard, unavailable, again = asyncio.run(kill())
    assert len(heard.texts) >= 5 and RECITED[SLOW].startswith(heard.text[:50])
    assert heard.error and "was at work → run the cell again" in str(heard.error)
    assert "connection refused → start it: OLLAMA_HOST=127.0.0.1:" in str(unavailable)
    assert again.text == RECITED[QUICK]


def test_a_client_that_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    package = tmp_path / "ollama" / "__init__.py"
    package.parent.mkdir()
    package.write_text("raise OSError('half of it is missing')")
    code = (
        "import asyncio\nfrom mirador_magic.engines.ollama.engine import OllamaEngine\n"
        "from mirador_magic.errors import EngineUnavailable\n"
        "try:\n    asyncio.run(OllamaEngine('127.0.0.1:9').resident())\n"
        "except EngineUnavailable as error:\n    print(error)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True
    )
    assert done.stdout.startswith("the Ollama client cannot be imported: ")
    assert done.stdout.count("\n") == 1
