"""Endpoints: read from files, asked beside the engine at home in one run, listed and examined."""

from __future__ import annotations

import asyncio
import gc
import sys
import tomllib
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer.answer import Answer
from mirador_magic.commands import endpoints as endpoint_verb
from mirador_magic.commands import line as lines
from mirador_magic.engines import base, provision
from mirador_magic.engines.base import ChatRequest, Engine, Loaded, Message, ModelInfo
from mirador_magic.engines.by_endpoint import ByEndpoint, Endpoints, Part
from mirador_magic.engines.endpoints import LIMIT, Endpoint, of_tables, secrets_of
from mirador_magic.engines.limiter import Limiter
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.openai.engine import OpenAICompatibleEngine
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, MiradorError, UsageError
from mirador_magic.pipeline.run import Run
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings as settings_
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions
from mirador_magic.workbench.doctor import examine
from tests.support.fault_server import Done, FaultServer, Say
from tests.support.openai_server import ANSWER, PARTIAL, OpenAIServer
from tests.support.virtual_time import now, run

T = TypeVar("T")


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What was left open warns here, and not in some later test."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def read(text: str, source: str = "a file") -> dict[str, Endpoint]:
    return of_tables([(tomllib.loads(text), source)])


def question(model: str) -> ChatRequest:
    return ChatRequest(model, [Message("user", "Why is the sky blue?")], ModelOptions())


# Reading


def test_an_endpoint_is_read_as_it_is_set() -> None:
    found = read("""
        [endpoints.cluster]
        base_url = "https://llm.example.org/v1/"
        api_key_env = "CLUSTER_KEY"
        headers = { "X-Team" = "$TEAM", "X-Plain" = "blue" }
        limit = 16
        extra_body = { top_k = 20 }
        warm = true
        [endpoints.lab]
        kind = "ollama"
        base_url = "http://lab:11434"
    """)
    assert found["cluster"] == Endpoint(
        "cluster",
        "https://llm.example.org/v1",
        api_key_env="CLUSTER_KEY",
        headers={"X-Team": "$TEAM", "X-Plain": "blue"},
        limit=16,
        extra_body={"top_k": 20},
        warm=True,
    )
    assert found["lab"] == Endpoint("lab", "http://lab:11434", "ollama", limit=1)
    assert len({*found.values()}) == 2  # they can be hashed


def test_what_is_not_set_costs_nothing_and_sends_no_key() -> None:
    plain = read('[endpoints.cluster]\nbase_url = "http://h:8000/v1"')["cluster"]
    assert (plain.kind, plain.api_key_env, plain.limit, plain.warm) == ("openai", "", LIMIT, False)
    assert secrets_of(plain, {}).key == ""


def test_of_one_name_the_later_file_has_it() -> None:
    first = ({"endpoints": {"a": {"base_url": "http://one"}}}, "one")
    then = ({"endpoints": {"a": {"base_url": "http://two"}, "b": {"base_url": "http://b"}}}, "two")
    found = of_tables([first, then])
    assert {name: each.base_url for name, each in found.items()} == {
        "a": "http://two",
        "b": "http://b",
    }


SECRET = "sk-live-0123456789"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoints = 3", "endpoints is not a table"),
        ("[endpoints]\ncluster = 3", "endpoints.cluster is not a table"),
        ("[endpoints.cluster]", "has no base_url"),
        ('[endpoints."a b"]', "'a b' is no name"),
        (f'[endpoints.c]\napi_key = "{SECRET}"', 'api_key_env = "NAME" names the variable'),
        (f'[endpoints.c]\ntoken = "{SECRET}"', "a key has no place in a file"),
        (f'[endpoints.c]\napi_key_env = "{SECRET}"', "is not the name of a variable"),
        (f'[endpoints.c]\nbase_url = "http://me:{SECRET}@h/v1"', "holds a password"),
        (f'[endpoints.c]\nbase_url = "http://h/v1?key={SECRET}"', "has a query"),
        (f'[endpoints.c]\nheaders = {{ "X" = "${SECRET}" }}', "is not the name of a variable"),
        (f'[endpoints.c]\nheaders = {{ "X" = "a\\n{SECRET}" }}', "has a X that no header can"),
        (f'[endpoints.c]\nheaders = "{SECRET}"', "is not a table"),
        ('[endpoints.c]\nbase_ulr = "http://h"', "did you mean base_url?"),
        ('[endpoints.c]\nbase_url = "h:8000/v1"', "begins with http:// or https://"),
        ('[endpoints.c]\nbase_url = "http://[h/v1"', "is not an address"),
        ("[endpoints.c]\nlimit = 0", "is not a count, 1 or more"),
        ("[endpoints.c]\nlimit = true", "is not a count"),
        ('[endpoints.c]\nwarm = "yes"', "is neither true nor false"),
        ('[endpoints.c]\nkind = "vllm"', "is neither openai nor ollama"),
        ("[endpoints.c]\nextra_body = 3", "is not a table"),
        (
            '[endpoints.c]\nbase_url = "http://h"\napi_key_env = "A"\nkeyring = "b"',
            "names both api_key_env and keyring",
        ),
        (
            '[endpoints.c]\nbase_url = "http://h"\nkind = "ollama"\napi_key_env = "A"',
            "an endpoint of kind ollama has no api_key_env",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line_that_tells_no_secret(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text)
    told = str(raised.value)
    assert said in told and told.startswith("a file")
    assert "→" in told and "\n" not in told
    assert SECRET not in told


KEYS = ["kind", "base_url", "api_key_env", "keyring", "headers", "limit", "extra_body", "warm"]
VALUES = st.one_of(
    st.text(), st.integers(), st.booleans(), st.dictionaries(st.text(), st.text() | st.integers())
)


@given(st.text(), st.dictionaries(st.sampled_from(KEYS) | st.text(), VALUES))
def test_any_table_is_read_or_refused_in_one_line(name: str, table: dict[str, object]) -> None:
    try:
        of_tables([({"endpoints": {name: table}}, "here")])
    except UsageError as error:
        assert "\n" not in str(error)


# Secrets, where they are read


def test_a_key_is_read_from_the_environment_when_it_is_asked_for() -> None:
    endpoint = Endpoint("c", "http://h", api_key_env="KEY", headers={"X-T": "$TEAM", "X": "blue"})
    found = secrets_of(endpoint, {"KEY": " sk-1\n", "TEAM": "t-1"})
    assert (found.key, found.headers) == ("sk-1", {"X-T": "t-1", "X": "blue"})
    with pytest.raises(EngineUnavailable, match="KEY is not set → set it before Jupyter starts"):
        secrets_of(endpoint, {"TEAM": "t-1"})
    with pytest.raises(EngineUnavailable, match="TEAM is not set"):
        secrets_of(endpoint, {"KEY": "k"})
    with pytest.raises(EngineUnavailable, match="no header can carry") as raised:
        secrets_of(endpoint, {"KEY": "sk-\nhidden", "TEAM": "t"})
    assert "hidden" not in str(raised.value)


def test_a_key_is_read_from_the_systems_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {("mirador", "cluster"): "sk-kept"}
    ring = types.ModuleType("keyring")
    monkeypatch.setattr(ring, "get_password", lambda *at: kept.get(at), raising=False)
    monkeypatch.setitem(sys.modules, "keyring", ring)
    endpoint = Endpoint("cluster", "http://h", keyring="mirador")
    assert secrets_of(endpoint, {}).key == "sk-kept"
    kept.clear()
    with pytest.raises(EngineUnavailable, match="→ keyring set mirador cluster"):
        secrets_of(endpoint, {})

    def locked(*at: str) -> str:
        raise RuntimeError("locked: sk-kept")

    monkeypatch.setattr(ring, "get_password", locked)
    with pytest.raises(EngineUnavailable, match="does not open: RuntimeError →") as raised:
        secrets_of(endpoint, {})
    assert "sk-kept" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(EngineUnavailable, match="→ pip install keyring"):
        secrets_of(endpoint, {})


# Limiter


def test_so_many_go_on_at_once_and_the_first_that_came_is_next() -> None:
    order: list[str] = []

    async def main() -> None:
        turns, requests = Limiter(2), [question(str(number)) for number in range(6)]

        async def one(request: ChatRequest) -> None:
            async with turns.taken(request):
                order.append(request.model)
                assert not turns.awaits(request)
                await asyncio.sleep(1)

        tasks = [asyncio.create_task(one(request)) for request in requests]
        await asyncio.sleep(0.5)
        assert [turns.awaits(request) for request in requests] == [False] * 2 + [True] * 4
        tasks[3].cancel()
        await asyncio.wait(tasks)

    run(main())
    assert order == ["0", "1", "2", "4", "5"]


def test_an_endpoint_is_never_asked_more_at_once_than_it_allows(server: OpenAIServer) -> None:
    server.behaviours["brisk"] = (Say(ANSWER, pace=0.005), Done())

    async def main() -> list[str]:
        part = Part(server.endpoint(limit=2))
        engine = ByEndpoint({"cluster": part}, _nowhere)
        texts = await asyncio.gather(*(_text(engine, "cluster/brisk") for _ in range(6)))
        await engine.aclose()
        return texts

    assert asyncio.run(main()) == [ANSWER] * 6
    assert server.most == 2


async def _nowhere() -> Engine:
    raise EngineUnavailable("nothing runs at home", "start something")


async def _text(engine: Engine, model: str) -> str:
    async with aclosing(engine.stream(question(model))) as chunks:
        return "".join([chunk.text async for chunk in chunks])


# One engine of several


def test_a_models_name_says_where_it_runs() -> None:
    known = Endpoints({"cluster": Endpoint("cluster", "http://h/v1", limit=5, warm=True)})
    assert known.of("cluster/org/llama-70b") is known.known["cluster"]
    assert [known.of(name) for name in ("gemma2:9b", "hf.co/org/m", "cluster", "cluster/")] == [
        None
    ] * 4
    assert (known.at_once("cluster/m"), known.at_once("gemma2:9b")) == (5, 1)
    assert not known.cold("cluster/m") and not known.cold("gemma2:9b")
    request = Part(known.known["cluster"]).own(question("cluster/org/llama-70b"))
    assert request.model == "org/llama-70b"


def test_a_run_at_home_gets_the_homes_own_engine() -> None:
    home = ScriptedEngine()

    async def open_home() -> Engine:
        return home

    async def main() -> Engine:
        return await Endpoints({"c": Endpoint("c", "http://h")}).engine(["gemma2:9b"], open_home)

    assert run(main()) is home


def test_the_kind_says_which_engine_it_is() -> None:
    assert isinstance(Part(Endpoint("c", "http://h")).engine, OpenAICompatibleEngine)
    assert isinstance(Part(Endpoint("c", "http://h", "ollama")).engine, OllamaEngine)


def test_an_endpoint_that_is_set_otherwise_is_asked_anew(server: OpenAIServer) -> None:
    async def main() -> tuple[str, str]:
        endpoints = Endpoints({"c": Endpoint("c", "http://127.0.0.1:9/v1")})
        look = (await endpoints.look())[0]
        endpoints.know({"c": replace(server.endpoint(), name="c")})
        engine = await endpoints.engine(["c/good"], _nowhere)
        text = await _text(engine, "c/good")
        await endpoints.aclose()
        return type(look.error).__name__, text

    assert asyncio.run(main()) == ("EngineUnavailable", ANSWER)


def test_what_a_silence_means_is_told_where_it_can_be() -> None:
    async def main() -> list[bool | None]:
        cluster = Part(Endpoint("cluster", "http://h/v1", limit=1))
        lab = Part(Endpoint("lab", "http://h", "ollama"))
        engine = ByEndpoint({"cluster": cluster, "lab": lab}, _nowhere)
        asked = [question(name) for name in ("cluster/m", "cluster/n", "lab/m", "m")]

        async def take(request: ChatRequest) -> None:
            async with cluster.turns.taken(request):
                await asyncio.sleep(1)

        tasks = [asyncio.create_task(take(request)) for request in asked[:2]]
        await asyncio.sleep(0.5)
        told = [base.waits(engine, request) for request in asked]
        await asyncio.wait(tasks)
        return [*told, base.waits(ScriptedEngine(), asked[3])]

    assert run(main()) == [False, True, None, None, None]


def test_a_model_that_may_be_stuck_is_told_at_home_and_past_this_machine() -> None:
    home, away = OllamaEngine("127.0.0.1:9"), OllamaEngine("127.0.0.1:9")
    home._cut.add("m")
    away._cut.add("n")
    lab = Part(Endpoint("lab", "http://h", "ollama"))
    lab.engine = away

    async def open_home() -> Engine:
        return home

    async def main() -> list[bool]:
        engine = ByEndpoint({"lab": lab}, open_home)
        before = base.may_be_stuck(engine, "m")  # nothing was asked at home yet
        await engine.home()
        asked = ("m", "n", "lab/n", "lab/m")
        return [before, *(base.may_be_stuck(engine, name) for name in asked)]

    assert run(main()) == [False, True, False, True, False]


def test_models_past_this_machine_are_listed_and_stand_in_for_none(server: OpenAIServer) -> None:
    home = ScriptedEngine({"little": Script("hm")})

    async def open_home() -> Engine:
        return home

    async def main() -> list[ModelInfo]:
        gone = Part(Endpoint("gone", "http://127.0.0.1:9/v1"))
        engine = ByEndpoint({"cluster": Part(server.endpoint()), "gone": gone}, open_home)
        models = await engine.models()
        await engine.aclose()
        return models

    models = asyncio.run(main())
    assert ModelInfo("little") in models
    assert ModelInfo("cluster/good", away=True) in models
    assert not any(model.name.startswith("gone/") for model in models)
    instead = provision.substitute(DEFAULT_STAGES[0], models)
    assert instead and instead.model == "little"
    assert provision.substitute(DEFAULT_STAGES[0], [m for m in models if m.away]) is None


def test_only_what_is_to_be_warmed_is_and_nothing_there_is_unloaded(server: OpenAIServer) -> None:
    async def main() -> tuple[Loaded, list[ModelInfo]]:
        cold, warm = server.endpoint("cold"), server.endpoint("warm", warm=True)
        engine = ByEndpoint({"cold": Part(cold), "warm": Part(warm)}, _nowhere)
        await engine.load(question("cold/good"))
        assert server.requests == []
        loaded = await engine.load(question("warm/good"))
        await engine.unload("warm/good")
        found = loaded, await engine.resident()
        await engine.aclose()
        return found

    assert asyncio.run(main()) == (Loaded(), [ModelInfo("warm/good")])
    assert len(server.chats()) == 1


class There(ScriptedEngine):
    """A script past this machine, where nobody can tell what is in memory."""

    def waiting(self, request: ChatRequest) -> bool:
        return False


def scripted_there(script: Script, limit: int = LIMIT) -> ByEndpoint:
    """An endpoint that plays a script, so that its time may be the test's."""
    part = Part(Endpoint("cluster", "http://h/v1", limit=limit))
    part.engine = There({"m": script})
    return ByEndpoint({"cluster": part}, _nowhere)


async def run_there(engine: Engine) -> tuple[float, str]:
    """When the run of one stage ended, in seconds, and by which error, "" without."""

    async def opened() -> Engine:
        return engine

    stage = replace(DEFAULT_STAGES[0], model="cluster/m", timeout=10.0)
    try:
        await Run("Why?", [stage], opened, lambda event: None, clock=now).execute()
    except MiradorError as error:
        return now(), type(error).__name__
    return now(), ""


def test_a_silence_past_this_machine_has_no_excuse() -> None:
    """Nothing tells whether a model is being loaded there, which would be one."""
    engine = scripted_there(Script("late", first=60.0))
    assert run(run_there(engine)) == (10.0, "EngineSilent")


def test_who_waits_for_a_turn_is_not_given_up() -> None:
    async def main() -> list[tuple[float, str]]:
        engine = scripted_there(Script("in time", first=8.0), limit=1)
        return list(await asyncio.gather(*(run_there(engine) for _ in range(4))))

    assert run(main()) == [(8.0, ""), (16.0, ""), (24.0, ""), (32.0, "")]


# In a session

DEEP = DEFAULT_STAGES[1].model


def in_session(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    work: Callable[[Session], Awaitable[T]],
) -> T:
    """What the work gives in a session in a folder with this pyproject.toml; at home, a script."""
    (folder / "pyproject.toml").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(settings_, "user_file", lambda: folder / "none.toml")

    async def main() -> T:
        session = Session()
        session.use(ScriptedEngine({stage.model: Script("At home.") for stage in DEFAULT_STAGES}))
        session.configure({"engine": "scripted", "metrics": False})
        try:
            return await work(session)
        finally:
            await session.aclose()

    return asyncio.run(main())


def table(server: OpenAIServer, model: str, **more: object) -> str:
    own = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f"""
[tool.mirador.stages.synthesis]
model = "cluster/{model}"
[tool.mirador.endpoints.cluster]
base_url = "{server.base_url}"
{own}"""


def asked(stages: str) -> Callable[[Session], Awaitable[Answer]]:
    async def work(session: Session) -> Answer:
        return await session.start(Request("Why?", tuple(stages.split(","))))

    return work


def test_one_run_is_on_two_engines(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = asked("quick_response,synthesis")
    answer = in_session(tmp_path, monkeypatch, table(server, "good"), work)
    assert answer.engine == "scripted, no model + cluster"
    assert [stage.text for stage in answer.stages] == ["At home.", ANSWER]
    (chat,) = server.chats()
    assert chat.body["model"] == "good"
    assert chat.body["messages"][-2] == {"role": "assistant", "content": "At home."}


def test_a_stage_that_breaks_there_keeps_its_text_and_the_next_one_at_home_answers(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = asked("synthesis,quick_response")
    answer = in_session(tmp_path, monkeypatch, table(server, "dropped"), work)
    broken, home = answer.stages
    assert (broken.status, broken.text, home.text) == ("failed", PARTIAL, "At home.")
    assert "cluster broke off while dropped was at work" in str(broken.error)


def test_without_an_engine_at_home_the_endpoint_answers(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(ScriptedEngine):
        async def probe(self) -> None:
            raise EngineUnavailable("no engine is here", "start one")

    async def work(session: Session) -> Answer:
        session.use(Away())
        return await session.start(Request("Why?", ("quick_response", "synthesis")))

    answer = in_session(tmp_path, monkeypatch, table(server, "good"), work)
    assert answer.engine == "cluster"
    assert [(stage.status, stage.text) for stage in answer.stages] == [
        ("failed", ""),
        ("done", ANSWER),
    ]


def test_nothing_past_this_machine_is_warmed_or_brought_beside_a_stage(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(session: Session) -> list[str]:
        warmed = await session.readiness.warm()
        for _ in range(3):
            await session.start(Request("Why?", ("quick_response", "synthesis")))
        return [warmth.model for warmth in warmed]

    warmed = in_session(tmp_path, monkeypatch, table(server, "good"), work)
    assert warmed == [DEFAULT_STAGES[0].model, DEEP]
    assert {request.path for request in server.requests} <= {"/v1/models", "/v1/chat/completions"}
    assert len(server.chats()) == 3


# Listed and examined


def listed(session: Session) -> Awaitable[None]:
    return endpoint_verb.verb(session, lines.read("endpoints"))


def test_the_verb_lists_each_with_its_models_or_why_it_is_not_reachable(
    server: OpenAIServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.behaviours = {"b": (), "a\x1b[31m": ()}
    with FaultServer({"little": ()}) as ollama:
        text = f"""{table(server, "b")}
[tool.mirador.endpoints.lab]
kind = "ollama"
base_url = "{ollama.host}"
[tool.mirador.endpoints.gone]
base_url = "http://127.0.0.1:9/v1"
"""
        in_session(tmp_path, monkeypatch, text, listed)
    cluster, lab, gone = capsys.readouterr().out.splitlines()
    assert cluster.startswith(f"cluster  openai  {server.base_url}")
    assert "reachable, " in cluster and cluster.endswith(" ms; models: a[31m, b")
    assert lab.startswith("lab      ollama") and "models: little:latest" in lab
    assert "not reachable: gone does not answer at http://127.0.0.1:9/v1: connection" in gone
    assert "→" in gone


def test_without_an_endpoint_the_verb_says_how_to_set_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_session(tmp_path, monkeypatch, "[tool.mirador]", listed)
    assert "[tool.mirador.endpoints.cluster]" in capsys.readouterr().out


def test_the_doctor_examines_the_endpoints(
    server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(session: Session) -> list[tuple[str, str]]:
        found = [each async for each in examine(session, environ={})]
        assert not [each for each in found if each.topic == "models" and "synthesis" in each.what]
        return [(each.level, each.what) for each in found if each.topic == "endpoints"]

    text = table(server, "absent") + (
        '[tool.mirador.endpoints.open]\nbase_url = "http://nowhere.invalid/v1"\n'
        'api_key_env = "NO_SUCH_KEY"\n'
    )
    found = in_session(tmp_path, monkeypatch, text, work)
    assert [level for level, _ in found] == ["ok", "bad", "bad", "warn"]
    assert "does not list absent" in found[1][1]
    assert "NO_SUCH_KEY is not set" in found[2][1]
    assert "as clear text" in found[3][1]
