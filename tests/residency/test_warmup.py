"""The warm-up on a scripted engine, in virtual time: every figure is exact."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirador_magic.answer.words import warmth_line
from mirador_magic.engines.base import ChatRequest, Loaded, ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.provision import substitute
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable
from mirador_magic.events import ChunkReceived, RunStarted, StageFinished, StageStarted, StreamEnd
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.pipeline import prompts
from mirador_magic.pipeline.run import Run
from mirador_magic.residency.history import History
from mirador_magic.residency.keep_alive import KEEP_ALIVE_BETWEEN
from mirador_magic.residency.warmup import Warmth, WarmUp
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from tests.support import recited
from tests.support.ollama_server import OllamaServer
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)


class Small(ScriptedEngine):
    """An engine with room for so many models; it lets go of the one with the shortest keep_alive."""

    def __init__(self, room: int, until: float | None = None) -> None:
        super().__init__(SCRIPTS)
        self.room = room
        self.until = until
        self.kept: dict[str, float] = {}

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        loaded = await super().load(request, keep_alive)
        self.kept[request.model] = keep_alive or 0
        others = sorted(set(self.loaded) - {request.model}, key=lambda model: self.kept[model])
        for model in others[: len(self.loaded) - self.room]:
            self.loaded.remove(model)
        return loaded

    async def resident(self) -> list[ModelInfo]:
        return [ModelInfo(name, until=self.until) for name in self.loaded]


SCRIPTS = {
    QUICK: Script("one two", load=1.0),
    DEEP: Script("three", load=4.0),
    SYNTHESIS: Script("four five", load=2.0),
}


def warm_up(engine: ScriptedEngine, folder: Path, **given: Any) -> WarmUp:
    async def opened() -> ScriptedEngine:
        return engine

    stages = given.pop("stages", DEFAULT_STAGES)
    history = History(folder / "history.json")
    return WarmUp(stages, opened, history=history, clock=now, **given)


def states(warming: WarmUp) -> list[str]:
    return [warmth.state for warmth in warming.state]


def test_every_model_is_loaded_with_its_own_prompt_the_first_stage_first(tmp_path: Path) -> None:
    engine, told = ScriptedEngine(SCRIPTS), list[Warmth]()

    async def main() -> WarmUp:
        warming = warm_up(engine, tmp_path)
        warming.watch(told.append)
        await warming.run()
        return warming

    warming = run(main())
    assert engine.warmed == [prompts.head(stage) for stage in DEFAULT_STAGES]
    assert [(w.stage, w.state, w.took) for w in warming.state] == [
        ("quick_response", "warm", 1.0),
        ("deep_analysis", "warm", 4.0),
        ("synthesis", "warm", 2.0),
    ]
    assert [w.state for w in told] == ["loading", "warm"] * 3


def test_what_is_prefilled_is_what_a_question_begins_with() -> None:
    for stage in DEFAULT_STAGES:
        head = prompts.head(stage)
        asked = prompts.request(stage, "What is a kernel?", [("quick_response", "A process.")])
        assert head.messages[0] == asked.messages[0]
        assert head.messages[1].role == asked.messages[1].role
        assert (head.model, head.options, head.think) == (asked.model, asked.options, asked.think)


def test_the_prompts_shared_beginning_is_what_it_was() -> None:
    """Byte for byte: another one costs every user's cache."""
    deep = prompts.request(DEFAULT_STAGES[1], "Why?", [("quick_response", "So.\nOr so.")])
    assert [message.content for message in deep.messages] == [
        "You are a helpful assistant. You explain in at most five sentences.",
        "Why?",
        "So.\nOr so.",
        "Explain that in more detail, in at most five sentences.",
    ]


def test_nothing_new_is_begun_while_a_run_is_under_way(tmp_path: Path) -> None:
    engine = ScriptedEngine(SCRIPTS | {QUICK: Script([30.0, "one"], load=1.0)})

    async def main() -> list[list[str]]:
        warming = warm_up(engine, tmp_path)
        task = asyncio.create_task(warming.run())
        await asyncio.sleep(0.5)

        async def opened() -> ScriptedEngine:
            return engine

        first = DEFAULT_STAGES[:1]
        asked = Run(
            "why?",
            [replace(first[0], timeout=99)],
            opened,
            lambda _: None,
            clock=now,
            during=warming.held,
        )
        running = asyncio.create_task(asked.execute())
        await asyncio.sleep(20)
        meanwhile = states(warming)
        await running
        await task
        return [meanwhile, states(warming)]

    assert run(main()) == [["warm", "cold", "cold"], ["warm", "warm", "warm"]]


def test_stages_on_one_model_share_it_with_the_first_ones_prompt(tmp_path: Path) -> None:
    engine = ScriptedEngine({"one": Script("a", load=3.0)})
    stages = [replace(stage, model="one") for stage in DEFAULT_STAGES]

    async def main() -> list[str]:
        warming = warm_up(engine, tmp_path, stages=stages)
        await warming.run()
        return states(warming)

    assert run(main()) == ["warm"] * 3
    assert engine.warmed == [prompts.head(stages[0])]


def test_the_model_that_stands_in_is_warmed_too(tmp_path: Path) -> None:
    engine = ScriptedEngine({"other": Script("a")})

    async def main() -> list[tuple[str, str]]:
        warming = warm_up(engine, tmp_path, substitute=substitute)
        await warming.run()
        return [(w.model, w.state) for w in warming.state]

    assert run(main()) == [("other", "warm")] * 3


def test_a_model_that_is_missing_does_not_keep_the_others_cold(tmp_path: Path) -> None:
    engine = ScriptedEngine({name: script for name, script in SCRIPTS.items() if name != DEEP})

    async def main() -> WarmUp:
        warming = warm_up(engine, tmp_path)
        await warming.run()
        return warming

    warming = run(main())
    assert states(warming) == ["warm", "failed", "warm"]
    assert DEEP in warming.state[1].why and "→" in warming.state[1].why


@pytest.mark.parametrize(
    ("room", "states_then", "left"),
    [
        (2, ["warm", "evicted", "warm"], [QUICK, SYNTHESIS]),
        (1, ["warm", "evicted", "cold"], [QUICK]),
    ],
)
def test_what_does_not_fit_together_is_not_pushed_in(
    tmp_path: Path, room: int, states_then: list[str], left: list[str]
) -> None:
    """The first stage's model is the last to go: every run begins with it."""
    engine = Small(room)

    async def main() -> WarmUp:
        warming = warm_up(engine, tmp_path)
        await warming.run()
        return warming

    warming = run(main())
    assert states(warming) == states_then
    assert engine.loaded == left
    assert warming.state[1].why == "left memory while another one was loaded"


def test_two_names_of_the_same_weights_are_both_warm(tmp_path: Path) -> None:
    """The engine lists the one that was asked first."""

    class TwoNames(ScriptedEngine):
        def is_same(self, one: str, other: str) -> bool:
            return {one, other} <= {QUICK, DEEP} or one == other

        async def resident(self) -> list[ModelInfo]:
            return [each for each in await super().resident() if each.name != DEEP]

    async def main() -> WarmUp:
        warming = warm_up(TwoNames(SCRIPTS), tmp_path)
        await warming.run()
        await warming.refresh()
        return warming

    warming = run(main())
    assert states(warming) == ["warm"] * 3
    assert warming.history.fit("scripted", [QUICK, DEEP, SYNTHESIS])


def test_the_next_time_it_knows_how_long_it_takes(tmp_path: Path) -> None:
    told: list[Warmth] = []

    async def main() -> None:
        for engine in (ScriptedEngine(SCRIPTS), ScriptedEngine(SCRIPTS)):
            warming = warm_up(engine, tmp_path)
            warming.watch(told.append)
            await warming.run()

    run(main())
    loading = [(w.model, w.expected) for w in told if w.state == "loading"]
    assert loading[:3] == [(model, None) for model in SCRIPTS]
    assert loading[3:] == [(QUICK, 1.0), (DEEP, 4.0), (SYNTHESIS, 2.0)]


def heard(warming: WarmUp, stage: str, load_s: float) -> None:
    """What the warm-up hears of a run of this stage that loads for so long."""
    listen = warming.listener()
    listen(RunStarted(9.0, "why?", DEFAULT_STAGES))
    listen(StageStarted(9.0, stage))
    listen(ChunkReceived(9.0, stage, "So"))
    listen(StageFinished(9.0, stage, StreamEnd("stop", load_s=load_s)))


def test_a_run_tells_what_has_left_memory(tmp_path: Path) -> None:
    async def main() -> WarmUp:
        warming = warm_up(ScriptedEngine(SCRIPTS), tmp_path)
        await warming.run()
        heard(warming, "deep_analysis", 2.5)
        heard(warming, "synthesis", 0.01)
        return warming

    warming = run(main())
    assert [w.why for w in warming.state] == [
        "",
        "was seen in memory, and still took 2.5 s to load",
        "",
    ]


def test_a_run_loads_what_is_cold_and_nobody_calls_that_a_swap(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    async def main() -> WarmUp:
        warming = warm_up(ScriptedEngine(SCRIPTS), tmp_path)
        warming.watch(lambda w: told.append((w.stage, w.state)))
        heard(warming, "deep_analysis", 2.5)
        return warming

    assert [w.why for w in run(main()).state] == ["", "", ""]
    assert told == [("deep_analysis", "loading"), ("deep_analysis", "warm")]


def test_what_was_kept_too_long_is_cold_again(tmp_path: Path) -> None:
    """The time until which the engine keeps it has passed: the next load is no surprise."""

    async def main() -> WarmUp:
        warming = warm_up(Small(3, until=100.0), tmp_path, wall=lambda: 101.0)
        await warming.run()
        heard(warming, "deep_analysis", 2.5)
        return warming

    warming = run(main())
    assert [w.why for w in warming.state] == ["", "", ""]
    assert [w.until for w in warming.state] == [100.0, 101.0 + KEEP_ALIVE_BETWEEN, 100.0]
    assert warming.leaves_first() == DEEP


def test_a_stage_may_say_how_long_its_model_is_kept(tmp_path: Path) -> None:
    engine = Small(3)
    stages = [replace(stage, keep_alive=60.0 + at) for at, stage in enumerate(DEFAULT_STAGES)]

    async def opened() -> Small:
        return engine

    async def main() -> None:
        await WarmUp(stages, opened, history=History(tmp_path / "history.json")).run()

    run(main())
    assert list(engine.kept.values()) == [60.0, 61.0, 62.0]


def test_the_engine_is_asked_what_is_there(tmp_path: Path) -> None:
    engine = ScriptedEngine(SCRIPTS)

    async def main() -> WarmUp:
        warming = warm_up(engine, tmp_path)
        await warming.run()
        engine.loaded.remove(DEEP)
        await warming.refresh()
        return warming

    assert states(run(main())) == ["warm", "cold", "warm"]


def test_an_engine_that_starts_later_is_warmed_after_the_first_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")

    class Late(ScriptedEngine):
        up = False

        async def probe(self) -> None:
            if not self.up:
                raise EngineUnavailable("not yet", "wait")

    engine = Late(SCRIPTS)

    async def main() -> list[str]:
        session = Session()
        session.use(engine)
        await session.readiness.keep_warm()
        assert engine.loaded == []
        engine.up = True
        await session.start(Request("why?", stages=("quick_response",)))
        await asyncio.sleep(60)
        loaded = list(engine.loaded)
        await session.aclose()
        return loaded

    assert run(main()) == [QUICK, DEEP, SYNTHESIS]


def test_models_that_are_named_are_warmed_behind_the_warm_up_that_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    engine = ScriptedEngine(SCRIPTS | {"own": Script("words", load=1.0)})

    async def main() -> tuple[list[str], list[Warmth], list[Warmth]]:
        session = Session()
        session.use(engine)
        first = asyncio.create_task(session.readiness.warm())
        await asyncio.sleep(0.5)
        session.configure({"synthesis.temperature": 0.1})  # another one is known from now on
        await session.readiness.look()
        named = asyncio.create_task(session.readiness.warm(["nothere", "own"]))
        return engine.loaded, await first, await named

    loaded, first, named = run(main())
    assert loaded == [QUICK, DEEP, SYNTHESIS, "own"]
    assert [each.state for each in first] == ["warm", "warm", "warm"]
    assert [(each.model, each.state) for each in named] == [("nothere", "failed"), ("own", "warm")]


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    async def none() -> ScriptedEngine:
        raise EngineUnavailable("none here", "start one")

    async def main() -> None:
        await WarmUp(DEFAULT_STAGES, none, history=History(tmp_path / "h"), clock=now).run()

    with pytest.raises(EngineUnavailable):
        run(main())


@pytest.mark.parametrize(
    ("warmth", "line"),
    [
        (Warmth("quick", "m:latest"), "quick  m:latest  cold"),
        (Warmth("quick", "m", "loading", since=5.0), "quick  m  loading 12 s"),
        (
            Warmth("quick", "m", "loading", since=5.0, expected=20.0),
            "quick  m  loading 12 s of about 20 s",
        ),
        (
            Warmth("quick", "m", "warm", size=815_000_000, took=2.1),
            "quick  m  warm, took 2.1 s, 815 MB",
        ),
        (Warmth("quick", "m", "failed", why="no\x1b[2J"), "quick  m  failed, no[2J"),
    ],
)
def test_its_state_as_a_line(warmth: Warmth, line: str) -> None:
    assert warmth_line(warmth, 17.0) == line


def test_a_real_ollama_keeps_the_first_stages_model_longest(each_ollama: OllamaServer) -> None:
    models = (recited.QUICK, recited.DEEP, recited.SYNTHESIS)
    stages = [
        replace(stage, model=name) for stage, name in zip(DEFAULT_STAGES, models, strict=True)
    ]

    async def main() -> list[Warmth]:
        async with StreamingOrchestrator(stages, OllamaEngine(each_ollama.host), False) as asked:
            await asked.warm()
            return asked.warmup.state

    for warmth in asyncio.run(main()):
        assert (warmth.state, warmth.why) == ("warm", "")
        assert warmth.size > 0
    until = {model["name"]: model["expires_at"] for model in each_ollama.ps()}
    assert until[recited.QUICK] > until[recited.SYNTHESIS] > until[recited.DEEP]
