"""Another package's engine and stages: a tiny one is built, installed, and asked."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mirador_magic import plugins
from mirador_magic.engines.scripted import ScriptedEngine
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.session.session import Request, Session
from mirador_magic.settings.settings import layer
from mirador_magic.settings.values import ENGINES, engines
from tests.support.patience import PATIENCE

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "mirador-echo"
version = "1.0"

[project.entry-points."mirador_magic.engines"]
echo = "mirador_echo:EchoEngine"
ollama = "mirador_echo:EchoEngine"
missing = "mirador_nowhere:Engine"
angry = "mirador_echo:angry"
empty = "builtins:object"

[project.entry-points."mirador_magic.stages"]
critic = "mirador_echo:CRITIC"
synthesis = "mirador_echo:CRITIC"
spoilt = "mirador_echo:SPOILT"
other = "mirador_echo:CRITIC"
"""
CODE = """
from mirador_magic import ModelStage, Script, ScriptedEngine

CRITIC = ModelStage("critic", "echo", 0.5, 30.0, "Find what is wrong.")


class EchoEngine(ScriptedEngine):
    name = "echo"

    def __init__(self) -> None:
        super().__init__({"echo": Script("it echoes")})


def angry() -> None:
    raise OSError("no such\\ndevice")


def __getattr__(name: str) -> object:
    if name.isupper():
        raise RuntimeError(f"{name} was never written")
    raise AttributeError(name)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    project, site = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "mirador_echo.py").write_text(CODE)
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", *install, "--target", str(site), str(project)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(plugins, "_seen", {})
    for name in [each for each in sys.modules if each.startswith("mirador_echo")]:
        monkeypatch.delitem(sys.modules, name)


def answered(session: Session, *stages: str, **settings: object) -> str:
    async def main() -> str:
        answer = await session.start(
            Request("why?", stages or None, settings=layer(settings, "a test"))
        )
        await session.aclose()
        return answer.text

    return asyncio.run(main())


@pytest.mark.usefixtures("installed")
def test_its_engine_answers_its_stage() -> None:
    assert answered(Session(), "critic", engine="echo") == "it echoes"


@pytest.mark.usefixtures("installed")
def test_its_names_are_listed_behind_our_own_which_they_do_not_replace() -> None:
    session = Session()
    assert [*session.stages] == ["quick_response", "deep_analysis", "synthesis", "critic"]
    assert session.stages["synthesis"].model != "echo"
    assert engines()[:4] == ENGINES and "echo" in engines()[4:]
    assert session.engines.named("ollama", session.settings()).label.startswith("Ollama")


@pytest.mark.usefixtures("installed")
def test_it_may_be_set_like_any_other() -> None:
    session = Session()
    session.configure({"engine": "echo", "critic.timeout": 5, "default_stages": "critic"})
    rows = {row.name: row.value for row in session.shown_settings()}
    assert (rows["engine"], rows["critic.timeout"], rows["default_stages"]) == (
        "echo",
        "5",
        "critic",
    )
    assert asyncio.run(session.engine()).label == ScriptedEngine().label


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing", "ModuleNotFoundError: No module named 'mirador_nowhere'"),
        ("angry", "OSError: no such device"),
        ("empty", "it has no probe, models, resident, load, unload, stream, aclose"),
    ],
)
def test_a_broken_engine_costs_one_line_where_it_is_asked_for(name: str, why: str) -> None:
    session = Session()
    with pytest.raises(EngineUnavailable) as caught:
        answered(session, "critic", engine=name)
    said = f"the engine '{name}' of mirador-echo cannot be used: {why}"
    assert str(caught.value) == f"{said} → mend mirador-echo, or remove it"
    assert answered(session, engine="scripted", default_stages="synthesis")


@pytest.mark.usefixtures("installed")
def test_a_broken_stage_costs_one_line_and_its_name_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = Session()
    with caplog.at_level(logging.WARNING):
        assert "spoilt" not in session.stages and "critic" in session.stages
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and not any("\n" in line for line in told)
    assert "RuntimeError: SPOILT was never written" in told[1]
    with pytest.raises(UsageError, match="'other' of mirador-echo .* it is no ModelStage named"):
        answered(session, "other", engine="scripted")


def test_nobody_looks_for_others_before_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(kind: object) -> tuple[str, ...]:
        raise AssertionError(f"looked for each {kind}")

    monkeypatch.setattr(plugins, "names", look)
    session = Session()
    assert answered(session, engine="scripted", default_stages="quick_response")
    assert answered(session, "critic", **{"engine": "scripted", "critic.model": "gemma2:9b"})


def test_a_name_that_nobody_brings_is_an_error_as_ever() -> None:
    session = Session()
    with pytest.raises(UsageError, match="there is no stage 'critic'"):
        answered(session, "critic", engine="scripted")
    with pytest.raises(UsageError, match="is no engine; there are: auto, ollama"):
        answered(session, engine="echo")


def test_the_shell_asks_it_too_and_importing_mirador_does_not_import_it(site: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(site)}
    ask = ["-m", "mirador_magic", "--engine", "echo", "--stages", "critic", "why?"]
    assert "it echoes" in _python(ask, env)
    assert "mirador_echo" not in _python(
        ["-c", "import sys, mirador_magic; print(*sys.modules)"], env
    )


def _python(arguments: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return done.stdout
