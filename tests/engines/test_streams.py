"""What servers send, byte for byte, and what of it is the answer: at the shell's door."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.engines.base import ChatRequest, Chunk, Message
from mirador_magic.engines.endpoints import Endpoint
from mirador_magic.engines.openai.engine import LAST_S, OpenAICompatibleEngine
from mirador_magic.engines.openai.reader import Reader
from mirador_magic.events import StreamEnd
from mirador_magic.pipeline.thoughts import Thoughts
from mirador_magic.stages import ModelOptions
from tests.support.fault_server import Raw, Refuse
from tests.support.openai_server import OpenAIServer
from tests.support.patience import PATIENCE

DONE = b"data: [DONE]\n\n"
SKY = "The sky is blue."


def piece(content: object = None, reason: object = None, **more: object) -> bytes:
    delta = {
        name: value for name, value in {"content": content, **more}.items() if value is not None
    }
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


STOP = piece(reason="stop")
WHOLE = {"object": "chat.completion", "choices": [{"message": {"content": SKY}}]}
TOOL = {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": "{}"}}]}
PARTS = [{"type": "text", "text": "The sky "}, {"type": "text", "text": "is blue."}]
MAGISTRAL = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, *PARTS]
LOGPROBS = {"content": [None, {"token": "The", "logprob": -0.5}, {"logprob": None}]}
LOGGED = json.loads(piece(SKY)[6:])
LOGGED["choices"][0]["logprobs"] = LOGPROBS
MANY = json.loads(piece(SKY)[6:])
MANY["choices"][0]["logprobs"] = {"content": [{"logprob": -1}] * 21_000}

# what is sent → the answer's text, its thinking
READ: dict[str, tuple[bytes, str, str]] = {
    "the word null is no reason": (
        piece("The sky ", "null") + piece("is blue.", "null") + STOP + DONE,
        SKY,
        "",
    ),
    "stop in each piece": (piece("The sky ", "stop") + piece("is blue.", "stop") + DONE, SKY, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + piece(SKY) + STOP + DONE, SKY, ""),
    "content in parts": (piece(PARTS) + STOP + DONE, SKY, ""),
    "parts of two kinds": (piece(MAGISTRAL) + STOP + DONE, SKY, "Hm."),
    "reasoning as an object": (piece(reasoning={"text": "Hm."}) + piece(SKY) + DONE, SKY, "Hm."),
    "no reason ever": (piece(SKY) + DONE, SKY, ""),
    "nothing but its end": (piece(SKY), SKY, ""),
    "its last line without an end": (piece(SKY) + STOP.rstrip(), SKY, ""),
    "whole": (json.dumps(WHOLE).encode(), SKY, ""),
    "whole, over many lines": (json.dumps(WHOLE, indent=2).encode(), SKY, ""),
    "whole, over very many lines": (
        json.dumps(WHOLE | {"of": [{}] * 400}, indent=2).encode(),
        SKY,
        "",
    ),
    "lines of JSON alone": ((piece(SKY) + STOP).replace(b"data: ", b""), SKY, ""),
    "an event over two lines": (
        piece(SKY).replace(b'"delta"', b'\ndata: "delta"') + STOP + DONE,
        SKY,
        "",
    ),
    "nothing among the log-probabilities": (
        b"data: " + json.dumps(LOGGED).encode() + b"\n\n" + STOP + DONE,
        SKY,
        "",
    ),
    "counts beyond all measure": (
        piece(SKY)
        + b'data: {"usage": {"completion_tokens": 1%b}, "timings": {"prompt_ms": 1e999}}\n\n'
        % (b"0" * 400)
        + DONE,
        SKY,
        "",
    ),
    "counts that are none": (
        piece(SKY) + b'data: {"usage": 3, "choices": null}\n\n' + DONE,
        SKY,
        "",
    ),
    "thoughts in the content": (
        piece("<th")
        + piece("ink>Hm")
        + piece(".</thi")
        + piece("nk>\n\nThe sky ")
        + piece("is blue.")
        + DONE,
        SKY,
        "Hm.",
    ),
    "a tag within the answer": (piece("Write <think> first.") + DONE, "Write <think> first.", ""),
}

# what is sent → what is told of it, the words that are kept
UNREAD: dict[str, tuple[bytes, str, str]] = {
    "content that is a number": (piece(7) + DONE, "cannot be read", ""),
    "thinking alone": (
        piece(reasoning="It is blue.") + STOP + DONE,
        "as its thinking",
        "It is blue.",
    ),
    "thinking until the limit": (
        piece(reasoning="Well, ") + piece(reason="length") + DONE,
        "thought until its limit of 300 tokens, and wrote no answer → give it room: --num-predict 1200",
        "Well, ",
    ),
    "thoughts that are never closed": (piece("<think>Well, ") + DONE, "as its thinking", "Well, "),
    "a tool alone": (piece(reason="tool_calls", **TOOL) + DONE, "asked for a tool", ""),
    "a refusal": (piece(refusal="I won't.") + STOP + DONE, "will not answer this", "I won't."),
    "more parts than there is room for": (
        piece([""] * 20_001) + DONE,
        "more than 20,000 parts",
        "",
    ),
    "a line that breaks off": (piece(SKY) + b'data: {"choices": [{"del', "cannot be read", SKY),
    "a line without an end": (b"data: " + b"x" * 5_000_000, "without an end", ""),
    "lines of an answer without an end": (b"{" + b"[{},\n" * 1_000_000, "without an end", ""),
    "more log-probabilities than words": (
        b"data: " + json.dumps(MANY).encode() + b"\n\n",
        "more than 20,000 log-probabilities",
        "",
    ),
    "JSON within JSON without an end": (
        b"data: " + b"[" * 100_000 + b"\n\n",
        "nested without end",
        "",
    ),
    "a number beyond all measure": (
        piece(SKY)[:-4]
        + b', "usage": {}, "choices": [{"logprobs": {"content": [{"logprob": 1'
        + b"0" * 400
        + b"}]}}]}\n\n",
        "cannot be read",
        "",
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        yield started


@pytest.fixture(scope="module")
def checkout(server: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    toml = f'[tool.mirador.endpoints.cluster]\nbase_url = "{server.base_url}"\n'
    (folder / "pyproject.toml").write_text(toml)
    return folder


def asked(checkout: Path, *more: str) -> Any:
    """The answer's only stage, as the shell has it."""
    command = [sys.executable, "-m", "mirador_magic", "--json", "--stages", "deep_analysis"]
    ran = subprocess.run(
        [*command, "--num-predict", "300", "--model", "cluster/m", *more, "Why?"],
        check=False,
        cwd=checkout,
        env={**os.environ, "MIRADOR_PRE_WARM": "0"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "Traceback" not in ran.stderr, ran.stderr[-3000:]
    (stage,) = json.loads(ran.stdout)["stages"]
    return stage


@pytest.mark.parametrize("sent", READ)
def test_what_is_the_answer_is_read(server: OpenAIServer, checkout: Path, sent: str) -> None:
    data, text, thinking = READ[sent]
    server.next_up = [(Raw(data),)]
    stage = asked(checkout)
    assert (stage["status"], stage["text"], stage["thinking"]) == ("done", text, thinking)
    unsure = not data.strip().endswith(b"[DONE]") and b"stop" not in data
    assert any("did not say that this is all" in note for note in stage["notes"]) is unsure


@pytest.mark.parametrize("sent", UNREAD)
def test_what_is_none_is_told_and_what_was_written_is_kept(
    server: OpenAIServer, checkout: Path, sent: str
) -> None:
    data, told, kept = UNREAD[sent]
    server.next_up = [(Raw(data),)] * 3
    stage = asked(checkout)
    assert stage["status"] == "failed" and told in stage["error"] and "→" in stage["error"]
    assert "\n" not in stage["error"]
    assert kept == stage["text"] or kept == stage["thinking"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_what_it_is_called_does_not_matter(server: OpenAIServer, checkout: Path, kind: str) -> None:
    server.next_up = [(Refuse(200, (piece(SKY) + STOP + DONE).decode(), {"Content-Type": kind}),)]
    assert asked(checkout)["text"] == SKY


# what answers, beyond all bounds → what is told of it
ENDLESS: dict[str, tuple[Refuse, str]] = {
    "compressed": (
        Refuse(200, "", {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}),
        "127.0.0.1 answers compressed, which was not asked for → see what answers there",
    ),
    "a refusal": (Refuse(400, "no " * 10_000_000), "refuses m (HTTP 400): no no"),
    "a refusal nested without end": (Refuse(400, "[" * 50_000), "nested without end"),
    "a page": (Refuse(200, "<p>" * 2_000_000, {"Content-Type": "text/html"}), "in one answer"),
}


@pytest.mark.parametrize("sent", ENDLESS)
def test_what_goes_beyond_its_bound_is_one_line(
    server: OpenAIServer, checkout: Path, sent: str
) -> None:
    answer, told = ENDLESS[sent]
    server.next_up = [(answer,)] * 3
    stage = asked(checkout)
    assert stage["status"] == "failed" and told in stage["error"]
    assert "\n" not in stage["error"] and len(stage["error"]) < 600


def test_a_reason_beside_a_text_ends_nothing_however_long_the_pause() -> None:
    """A pause makes a part no whole: only a reason with nothing beside it may be the end."""
    reader = Reader()
    list(reader.feed(piece("The sky ", "stop")))
    assert not reader.may_end
    list(reader.feed(STOP))
    assert reader.may_end
    list(reader.feed(piece("is blue.")))
    assert not reader.may_end


def test_a_comment_and_a_piece_without_a_word_are_signs_of_life(server: OpenAIServer) -> None:
    """And a pause beyond what a reason with nothing beside it is given."""
    server.next_up = [
        (
            Raw(b": keep-alive\n\n"),
            Raw(piece("")),
            Raw(piece("The sky ", "stop")),
            Raw(piece("is blue."), pace=LAST_S + 0.5),
            Raw(DONE),
        )
    ]

    async def chunks() -> list[Chunk]:
        engine = OpenAICompatibleEngine(Endpoint("cluster", server.base_url))
        asked = ChatRequest("m", [Message("user", "Why?")], ModelOptions())
        async with aclosing(engine.stream(asked)) as stream:
            found = [chunk async for chunk in stream]
        await engine.aclose()
        return found

    found = asyncio.run(chunks())
    assert found[0] == Chunk() and [c.text for c in found if c.text] == ["The sky ", "is blue."]


TEXTS = st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "th", "a ", "\n"])


@given(st.lists(TEXTS, max_size=8).map("".join), st.data())
def test_thoughts_come_out_the_same_wherever_the_text_is_torn(
    text: str, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    bounds = [0, *cuts, len(text)]
    whole = split([text])
    assert split([text[a:b] for a, b in pairwise(bounds)]) == whole
    assert len(whole[0]) + len(whole[1]) <= len(text)
    if not text.lstrip().startswith("<th"):
        assert whole == (text, "")


def split(pieces: list[str]) -> tuple[str, str]:
    thoughts = Thoughts()
    fed = [Chunk(text=piece) for piece in pieces] + [Chunk(end=StreamEnd("stop"))]
    chunks = [chunk for each in fed for chunk in thoughts.feed(each)]
    assert chunks[-1].end
    return "".join(c.text for c in chunks), "".join(c.thinking for c in chunks)
