"""Two real Ollamas behind a real LiteLLM proxy, one of which is killed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ollama as client
import psutil
import pytest

from mirador_magic.answer.answer import Answer
from mirador_magic.engines.endpoints import Endpoint, Secrets
from mirador_magic.engines.openai.errors import Faults
from mirador_magic.engines.openai.wire import Refusal, Told
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable
from mirador_magic.events import ChunkReceived
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings as settings_
from mirador_magic.stages import DEFAULT_STAGES
from tests.conftest import NEW
from tests.support.litellm_proxy import LiteLLMProxy, balanced
from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.real import ollama_binary
from tests.support.recited import DEEP, RECITED, SLOW, UNSURE, install

T = TypeVar("T")

SERVED = (DEEP, SLOW, UNSURE)
KEY = "TEAM_KEY"


@dataclass
class Cluster:
    """A proxy and the Ollamas behind it."""

    proxy: LiteLLMProxy
    ollamas: list[OllamaServer]

    def at_work(self, model: str) -> OllamaServer:
        """The one that has loaded this model."""
        (found,) = [each for each in self.ollamas if model in [held["name"] for held in each.ps()]]
        return found

    def runners(self) -> list[psutil.Process]:
        """The processes that hold the models."""
        return [
            process
            for each in self.ollamas
            for process in psutil.Process(each.pid).children(recursive=True)
        ]


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, reciting_models: dict[str, Path]
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "one").mkdir()
    (folder / "other").mkdir()
    with (
        OllamaServer(ollama_binary(NEW), folder / "one") as one,
        OllamaServer(ollama_binary(NEW), folder / "other") as other,
    ):
        ollamas = [one, other]
        for each in ollamas:
            install(each, {name: reciting_models[name] for name in SERVED})
        config = balanced(SERVED, [each.host for each in ollamas], rest=2)
        with LiteLLMProxy(folder / "proxy", config) as proxy:
            yield Cluster(proxy, ollamas)


@pytest.fixture
def project(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose pyproject.toml has the proxy as an endpoint; the key in the environment."""
    (tmp_path / "pyproject.toml").write_text(f"""
[tool.mirador.stages.synthesis]
model = "team/{SLOW}"
num_predict = 40000
[tool.mirador.stages.deep_analysis]
model = "team/{DEEP}"
[tool.mirador.stages.unsure]
model = "team/{UNSURE}"
temperature = 0
[tool.mirador.endpoints.team]
base_url = "{cluster.proxy.base_url}"
api_key_env = "{KEY}"
""")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEY, cluster.proxy.key)
    monkeypatch.setattr(settings_, "user_file", lambda: tmp_path / "none.toml")


def in_session(work: Callable[[Session], Awaitable[T]]) -> T:
    """What the work gives in a session with a script at home and the proxy past it."""

    async def main() -> T:
        session = Session()
        session.use(ScriptedEngine({DEFAULT_STAGES[0].model: Script("At home.")}))
        session.configure({"engine": "scripted", "metrics": False})
        try:
            return await work(session)
        finally:
            await session.aclose()

    return asyncio.run(main())


async def ask(session: Session, *stages: str) -> Answer:
    return await session.start(Request("Why is the sky blue?", stages))


async def until(true: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110  (other processes tell nobody)
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("project")
def test_two_ollamas_behind_a_proxy_answer_beside_the_home() -> None:
    async def work(session: Session) -> Answer:
        return await ask(session, "quick_response", "deep_analysis", "unsure")

    answer = in_session(work)
    home, deep, unsure = answer.stages
    assert [each.text for each in answer.stages] == ["At home.", RECITED[DEEP], RECITED[UNSURE]]
    assert (deep.how, unsure.how) == ("measured", "measured")  # the proxy hands them on
    assert deep.tokens and home.status == deep.status == "done"


@pytest.mark.usefixtures("project")
def test_a_server_killed_while_it_writes_leaves_the_text_and_the_next_runs_succeed(
    cluster: Cluster,
) -> None:
    killed: list[OllamaServer] = []

    async def work(session: Session) -> tuple[Answer, list[Answer]]:
        handle = session.start(Request("Why is the sky blue?", ("quick_response", "synthesis")))
        heard = 0

        def kill(event: object) -> None:
            nonlocal heard
            heard += isinstance(event, ChunkReceived) and event.stage == "synthesis"
            if heard == 10 and not killed:
                killed.append(cluster.at_work(SLOW))
                killed[0].kill()

        handle.watch(kill)
        return await handle, [await ask(session, "deep_analysis") for _ in range(6)]

    try:
        broken, next_ones = in_session(work)
    finally:
        for each in killed:
            each.stop()
            each.start()
    home, away = broken.stages
    assert (home.status, home.text) == ("done", "At home.")
    assert away.status == "failed"
    assert len(away.text) > 20 and (RECITED[SLOW] * 1000).startswith(away.text)
    assert re.match(r"team (gave up|broke off) while slow:latest was at work: ", str(away.error))
    assert "→ run the cell again" in str(away.error)
    shown = broken._repr_mimebundle_()
    assert away.text[:60] in shown["text/plain"] and "failed" in shown["text/plain"]
    assert [each.text for each in next_ones] == [RECITED[DEEP]] * 6
    assert {each.outcome for each in next_ones} == {"answered"}


@pytest.mark.usefixtures("project")
def test_a_server_killed_before_its_first_word_is_not_noticed(cluster: Cluster) -> None:
    """Eight at once, on both servers, whose models are held until one of the servers is gone."""
    one, other = cluster.ollamas
    for each in cluster.ollamas:
        with client.Client(each.host) as asking:
            asking.chat(DEEP, [{"role": "user", "content": "Why?"}])

    async def work(session: Session) -> list[Answer]:
        runners = cluster.runners()
        for process in runners:
            process.suspend()
        try:
            runs = [asyncio.create_task(ask(session, "deep_analysis")) for _ in range(8)]
            open_to = cluster.proxy.connections
            await until(lambda: open_to(one.host) + open_to(other.host) >= 8)
            one.kill()
        finally:
            for process in runners:
                process.resume()
        return await asyncio.gather(*runs)

    try:
        answers = in_session(work)
    finally:
        one.stop()
        one.start()
    assert [each.text for each in answers] == [RECITED[DEEP]] * 8
    assert {stage.status for each in answers for stage in each.stages} == {"done"}


@pytest.mark.usefixtures("project")
def test_with_no_server_left_it_is_one_line_and_all_is_well_when_they_are_back(
    cluster: Cluster,
) -> None:
    async def fails(session: Session) -> EngineUnavailable:
        with pytest.raises(EngineUnavailable) as caught:
            await ask(session, "deep_analysis")
        return caught.value

    for each in cluster.ollamas:
        each.kill()
        each.stop()
    try:
        error = in_session(fails)
    finally:
        for each in cluster.ollamas:
            each.start()
    assert re.match(r"team (has no server of|failed|takes no more)", str(error)), error
    assert "\n" not in str(error)
    assert in_session(lambda session: again(session)).text == RECITED[DEEP]


async def again(session: Session) -> Answer:
    """Asked until the proxy has forgotten that its servers were gone."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await ask(session, "deep_analysis")
            except EngineUnavailable:
                await asyncio.sleep(0.5)


def test_a_proxy_whose_servers_all_rest_is_not_taken_for_a_busy_one() -> None:
    told = Told(429, "No deployments available for selected model. All are in cooldown.", after=30)
    fault = Faults(Endpoint("team", "http://h/v1"), Secrets()).of(Refusal(told), "gemma2:9b")
    assert type(fault.error) is EngineUnavailable
    assert str(fault.error).startswith("team has no server of gemma2:9b left (HTTP 429): No depl")
    assert fault.passing
