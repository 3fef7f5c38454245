"""What a newcomer calls first: `ask()`, `use_engine()`, `reset()`."""

from __future__ import annotations

import asyncio
import warnings

import pytest

import mirador_magic
from mirador_magic import Script, ScriptedEngine
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES


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
