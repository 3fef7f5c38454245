"""Which models are models to chat with: told by Ollama's list, by `show`, by themselves, by their name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mirador_magic.answer.answer import Answer
from mirador_magic.engines.base import ChatRequest, Message, ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.listing import by_name
from mirador_magic.engines.provision import substitute
from mirador_magic.errors import EngineUnavailable, ModelMissing, NoChatModel
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions
from tests.support.fault_server import ANSWER, Done, FaultServer, Refuse, Say
from tests.support.kernels import kernel

GOOD = (Say(ANSWER), Done())
NO_CHAT = (Refuse(400, json.dumps({"error": '"x" does not support chat'})),)


class Newer(FaultServer):
    """As from 0.30 on: the list tells what each model can do."""

    lists = (*FaultServer.lists, "capabilities")


def model(size: int, can: list[str] | None = None, family: str = "llama", **more: Any) -> Any:
    told = {"size": size, "digest": f"d{size}{family}", "details": {"family": family}, **more}
    return told if can is None else told | {"capabilities": can}


CHAT, EMBED = ["completion", "tools"], ["embedding"]
HOLDS = {
    "bge-m3": (NO_CHAT, model(1, EMBED, "bert")),
    "qwen3-em": (NO_CHAT, model(2, EMBED, "qwen3")),  # nothing but what it can do says so
    "llama3.1:8b": (GOOD, model(8, CHAT)),
    "hf.co/a/b-mmproj:f16": (NO_CHAT, model(3, None, "clip")),
    "bge-reranker-v2": (NO_CHAT, model(4, CHAT, "qwen3")),
    "away:1t": (GOOD, model(9, CHAT, remote_host="https://ollama.com:443")),
}


def holding(kind: type[FaultServer]) -> FaultServer:
    server = kind({name: behaviour for name, (behaviour, _) in HOLDS.items()})
    server.shown = {name: told for name, (_, told) in HOLDS.items()}
    return server


@pytest.fixture(params=[FaultServer, Newer], ids=["0.24", "0.34"])
def server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    with holding(request.param) as server:
        yield server


def shows(server: FaultServer) -> int:
    return sum(each.path == "/api/show" for each in server.requests)


def asked(server: FaultServer) -> list[str]:
    """The models that are there and were asked, in order."""
    return [each.model for each in server.chats() if server.behaviour(each.model)]


def models(engine: OllamaEngine) -> dict[str, ModelInfo]:
    return {each.name: each for each in asyncio.run(engine.models())}


def test_a_model_that_does_not_chat_is_known_and_asked_for_once(server: FaultServer) -> None:
    engine = OllamaEngine(server.host)
    found = models(engine)
    assert [name for name, each in found.items() if each.chats] == ["llama3.1:8b", "away:1t"]
    assert found["away:1t"].away
    looked = shows(server)
    assert looked == (0 if isinstance(server, Newer) else 3)  # what the family and name leave open
    assert models(engine) == found and shows(server) == looked


def test_the_default_stages_run_on_the_one_that_chats(server: FaultServer) -> None:
    """At the door: a kernel without any of the default models."""
    with kernel({"OLLAMA_HOST": server.host}, "%load_ext mirador_magic") as started:
        cell = started.run("%mirador --deep Why?")
        assert cell.status == "ok", cell.error
        found = started.value("{each.model for each in mirador_answer.stages}")
        assert found == "{'llama3.1:8b'}"
        assert started.value("mirador_answer.text") == repr(ANSWER)
        listed = started.run("%mirador status").stdout
    assert "bge-m3:latest (does not chat)" in listed and "llama3.1:8b," in listed
    assert set(asked(server)) == {"llama3.1:8b"}


def test_where_nothing_tells_it_the_answer_does_and_the_next_one_is_asked() -> None:
    """Two that say it themselves, of an old Ollama that tells nothing of its models."""
    with FaultServer({"a": NO_CHAT, "b": NO_CHAT, "c": GOOD}) as server:
        session = Session()
        session.configure({"engine": "ollama", "host": server.host, "pre_warm": "off"})

        async def ask() -> Answer:
            answer = await session.start(Request("Why?", stages=("quick_response", "synthesis")))
            await session.aclose()
            return answer

        stages = asyncio.run(ask()).stages
        assert [each.model for each in stages] == ["c:latest", "c:latest"]
        (note,) = [each for each in stages[0].notes if "is not installed" in each]
        assert "so c:latest answers" in note
        assert asked(server) == ["a", "b", "c", "c"]


def test_where_none_is_left_the_first_cause_is_told() -> None:
    with FaultServer({"a": NO_CHAT}) as server:
        session = Session()
        session.configure({"engine": "ollama", "host": server.host})
        with pytest.raises(ModelMissing, match=r"\(installed: none that chats\)"):
            asyncio.run(_asked(session))
        assert asked(server) == ["a"]


async def _asked(session: Session) -> None:
    try:
        await session.start(Request("Why?", stages=("quick_response",)))
    finally:
        await session.aclose()


def test_a_warm_up_goes_on_to_the_next_one_too() -> None:
    with FaultServer({"a": NO_CHAT, "b": GOOD}) as server:
        session = Session()
        session.configure({"engine": "ollama", "host": server.host})

        async def warm() -> list[tuple[str, str]]:
            told = await session.readiness.warm()
            await session.aclose()
            return [(each.model, each.state) for each in told]

        assert set(asyncio.run(warm())) == {("b:latest", "warm")}


def test_one_that_the_user_names_is_the_users_and_says_what_it_is() -> None:
    with FaultServer({"mute": NO_CHAT}) as server:
        engine = OllamaEngine(server.host)
        request = ChatRequest("mute", [Message("user", "Why?")], ModelOptions())
        with pytest.raises(NoChatModel) as raised:
            asyncio.run(_first(engine, request))
        said = "mute is no model to chat with: Ollama says that it does not support chat → "
        assert str(raised.value).startswith(said)
        assert not models(engine)["mute:latest"].chats


async def _first(engine: OllamaEngine, asked: ChatRequest) -> None:
    async for _ in engine.stream(asked):
        pass


def test_an_ollama_of_such_models_alone_has_none() -> None:
    with FaultServer({"bge-m3": NO_CHAT}) as server:
        session = Session()
        session.configure({"host": server.host})
        with pytest.raises(EngineUnavailable, match="has no model to chat with → a small one"):
            asyncio.run(session.engines.ollama(session.settings()))


@pytest.mark.parametrize(
    ("name", "chats"),
    [
        ("nomic-embed-text", False),
        ("hf.co/q/Qwen3-Reranker-0.6B-GGUF:Q8_0", False),
        ("hf.co/q/big-00002-of-00003:Q4", False),
        ("hf.co/q/big-00001-of-00003:Q4", True),
        ("mmproj-gemma3", False),
        ("bge-m3", False),
        ("llama3.1:8b", True),
        ("speed_optimizer_phi", True),
    ],
)
def test_what_a_name_says(name: str, chats: bool) -> None:
    assert by_name(name) is chats


def test_no_stage_gets_one_that_does_not_chat() -> None:
    installed = [ModelInfo("a", 1, chats=False), ModelInfo("b", 2), ModelInfo("c", 3, chats=False)]
    found = [substitute(stage, installed) for stage in DEFAULT_STAGES]
    assert [stage.model for stage in found if stage] == ["b", "b", "b"]
