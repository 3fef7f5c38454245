"""What a newcomer calls first: `ask()`, `use_engine()`, `reset()`."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace

import pytest

import mirador_magic
from mirador_magic import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.session.request import deeper
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.fault_server import FaultServer


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    made = Session()
    monkeypatch.setattr("mirador_magic.api.current", lambda: made)
    monkeypatch.setenv("MIRADOR_ENGINE", "ollama")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    return made


def _scripted(name: str) -> ScriptedEngine:
    engine = ScriptedEngine({stage.model: Script(f"{name} says.") for stage in DEFAULT_STAGES})
    engine.name = name
    return engine


@pytest.mark.parametrize("name", ["scripted", "mine"])
def test_an_engine_that_is_given_answers_at_once_until_told_otherwise(
    session: Session, name: str
) -> None:
    mirador_magic.use_engine(_scripted(name))
    answer = asyncio.run(mirador_magic.ask("why?", depth="simple"))
    assert answer.text == f"{name} says."
    mirador_magic.configure(engine="ollama")
    with pytest.raises(mirador_magic.MiradorError, match="does not answer"):
        asyncio.run(mirador_magic.ask("why?", depth="simple"))


def test_a_reset_forgets_the_last_answer_too(session: Session) -> None:
    mirador_magic.use_engine(_scripted("scripted"))
    asyncio.run(mirador_magic.ask("why?", depth="simple"))
    assert session.last
    mirador_magic.reset()
    assert session.last is None and not mirador_magic.asked()


@pytest.mark.parametrize("name", ["text", "code", "stages", "to_markdown"])
def test_an_answer_that_was_not_awaited_says_so(session: Session, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError) as raised:
            getattr(mirador_magic.ask("why?"), name)
    assert str(raised.value) == f"ask() has not been awaited → (await ask(…)).{name}"


def test_an_ollama_without_a_model_is_one_line_with_a_small_one_to_pull(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer({}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        with pytest.raises(EngineUnavailable) as raised:
            asyncio.run(mirador_magic.ask("why?"))
    assert "has no model → a small one" in str(raised.value)
    assert "ollama pull qwen3:0.6b" in raised.value.cure
    assert session.last is None or deeper(session.last) is None


def test_what_was_answered_can_be_gone_on_from(session: Session) -> None:
    mirador_magic.use_engine(_scripted("scripted"))
    answer = asyncio.run(mirador_magic.ask("why?", stages=["quick_response"]))
    assert deeper(answer) == "deep_analysis"
    assert deeper(replace(answer, stages=(replace(answer.stages[0], text=""),))) is None
