"""What is done beside a stage that writes: on a scripted engine, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirador_magic.engines.base import ChatRequest, Loaded, ModelInfo
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineBusy
from mirador_magic.events import (
    Event,
    NextPlanned,
    RunFinished,
    StageFinished,
    StageStarted,
    StreamEnd,
)
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.pipeline import prompts
from mirador_magic.residency.history import Effect, History
from mirador_magic.residency.plans import LEAST_PACE, Effects, Plan, choose, room, slowed
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
STAGES = DEFAULT_STAGES[:2]
WRITES = StreamEnd("stop", output_tokens=40, decode_s=2.0)


class Gpu(ScriptedEngine):
    """All of a model lies in a GPU's memory."""

    async def resident(self) -> list[ModelInfo]:
        return [ModelInfo(name, 100, vram=100) for name in self.loaded]


def engine(
    kind: type[ScriptedEngine] = ScriptedEngine, load: float = 0.8, writes: StreamEnd = WRITES
) -> ScriptedEngine:
    return kind(
        {
            QUICK: Script(" ".join(["word"] * 41), pace=0.05, load=0.3, end=writes),
            DEEP: Script("a deeper answer", load=load, end=replace(WRITES, load_s=load)),
        }
    )


def asked(engines: Sequence[ScriptedEngine], folder: Path) -> list[list[Event]]:
    """The events of one run after another, each on an engine with nothing in memory."""

    async def main() -> list[list[Event]]:
        return [await one(engine) for engine in engines]

    async def one(engine: ScriptedEngine) -> list[Event]:
        events: list[Event] = []
        history = History(folder / "history.json")
        orchestrator = StreamingOrchestrator(STAGES, engine, False, clock=now, history=history)
        await orchestrator.run("why?", events.append).execute()
        await asyncio.sleep(5)
        return events

    return run(main())


def plans(events: Sequence[Event]) -> list[str]:
    return [e.plan for e in events if isinstance(e, NextPlanned)]


def gap(events: Sequence[Event]) -> float:
    """From the first stage's end to the next one's first word."""
    ended = next(e.at for e in events if isinstance(e, StageFinished))
    first = next(
        e.at for e in events if getattr(e, "stage", "") == "deep_analysis" and hasattr(e, "text")
    )
    return round(first - ended, 3)


def test_a_load_goes_beside_the_stage_once_the_models_are_known_to_fit(
    tmp_path: Path,
) -> None:
    engines = [engine() for _ in range(3)]
    runs = asked(engines, tmp_path)
    assert [plans(events) for events in runs] == [[], ["load"], ["prefill"]]
    assert [gap(events) for events in runs] == [0.8, 0.0, 0.0]
    assert [e.warmed for e in engines] == [
        [],
        [ChatRequest(DEEP, [], STAGES[1].options, STAGES[1].think)],
        [prompts.request(STAGES[1], "why?", [])],  # the load took nothing from the stage
    ]


def test_beside_a_slow_stage_the_load_waits_on_a_cpu(tmp_path: Path) -> None:
    runs = asked([engine(writes=replace(WRITES, decode_s=2.5)) for _ in range(3)], tmp_path)
    assert [plans(events) for events in runs] == [[], [], []]


def test_beside_a_model_on_a_gpu_the_prompt_is_read_too(tmp_path: Path) -> None:
    engines = [engine(Gpu, load=1.5) for _ in range(2)]
    runs = asked(engines, tmp_path)
    assert [plans(events) for events in runs] == [[], ["prefill"]]
    assert engines[1].warmed == [prompts.request(STAGES[1], "why?", [])]


def test_a_model_that_is_there_is_let_be(tmp_path: Path) -> None:
    engines = [engine() for _ in range(2)]
    engines[1].loaded.append(DEEP)
    assert [plans(events) for events in asked(engines, tmp_path)] == [[], []]
    assert engines[1].warmed == []


def test_one_model_for_both_stages_is_let_be(tmp_path: Path) -> None:
    async def main() -> list[ChatRequest]:
        one = engine()
        stages = [replace(stage, model=QUICK) for stage in STAGES]
        for _ in range(2):
            orchestrator = StreamingOrchestrator(
                stages, one, False, clock=now, history=History(tmp_path / "h")
            )
            await orchestrator.run("why?", lambda _: None).execute()
        return one.warmed

    assert run(main()) == []


class Cramped(ScriptedEngine):
    """There is room for one model: the next one pushes it out."""

    async def _bring(self, model: str) -> float:
        if model not in self.loaded:
            self.loaded.clear()
        return await super()._bring(model)


def test_where_they_were_not_together_one_waits_for_the_other(tmp_path: Path) -> None:
    runs = asked([engine(Cramped) for _ in range(2)], tmp_path)
    assert [plans(events) for events in runs] == [[], []]
    assert [gap(events) for events in runs] == [0.8, 0.8]


def test_a_model_that_left_for_another_cause_is_no_want_of_room_for_good(tmp_path: Path) -> None:
    """Somebody unloaded it in one run; in the next ones nobody does."""
    runs = asked([engine(Cramped), engine(), engine()], tmp_path)
    assert [plans(events) for events in runs] == [[], [], ["load"]]


class TwoNames(ScriptedEngine):
    """Both models are of the same weights; in memory they are under the one that was asked first."""

    def is_same(self, one: str, other: str) -> bool:
        return True

    async def _bring(self, model: str) -> float:
        return 0.0 if self.loaded else await super()._bring(model)


def test_a_second_name_of_the_same_weights_is_there_too(tmp_path: Path) -> None:
    history = History(tmp_path / "history.json")
    both = [engine(TwoNames, load=0.0) for _ in range(2)]
    assert [plans(events) for events in asked(both, tmp_path)] == [[], []]
    assert [one.warmed for one in both] == [[], []] and history.fit("scripted", [QUICK, DEEP])


def test_a_model_that_left_in_between_changes_the_plan(tmp_path: Path) -> None:
    """It was seen in memory, and yet it was loaded when it was asked: so they do not fit."""

    class Leaving(ScriptedEngine):
        async def resident(self) -> list[ModelInfo]:
            return [ModelInfo(QUICK), ModelInfo(DEEP)]

    history = History(tmp_path / "history.json")
    history.fitted("scripted", [QUICK, DEEP], True)
    asked([engine(Leaving)], tmp_path)
    assert history.fit("scripted", [QUICK, DEEP]) is False


class Slowing(ScriptedEngine):
    """A load takes all the power there is: the stage beside it stands nearly still."""

    async def stream(self, request: ChatRequest):  # type: ignore[no-untyped-def]
        async for chunk in super().stream(request):
            if self.loading:
                await asyncio.sleep(0.3)
            yield chunk

    loading = False

    async def load(self, request: ChatRequest, keep_alive: float | None = None):  # type: ignore[no-untyped-def]
        self.loading = True
        try:
            await asyncio.sleep(9)
            return await super().load(request, keep_alive)
        except asyncio.CancelledError:
            self.called_off = True
            raise
        finally:
            self.loading = False


def test_a_load_that_slows_the_stage_is_called_off_and_not_tried_again(tmp_path: Path) -> None:
    engines = [engine(), engine(Slowing), engine(Slowing)]
    runs = asked(engines, tmp_path)
    assert [plans(events) for events in runs] == [[], ["load"], []]
    assert getattr(engines[1], "called_off", False)
    assert not hasattr(engines[2], "called_off")


def test_a_stop_ends_what_goes_on_beside(tmp_path: Path) -> None:
    """And nothing is left behind: the loop of these tests looks for tasks."""
    asked([engine()], tmp_path)
    stopped = engine(load=0.9)

    async def main() -> list[Event]:
        events: list[Event] = []
        history = History(tmp_path / "history.json")
        orchestrator = StreamingOrchestrator(STAGES, stopped, False, clock=now, history=history)
        running = orchestrator.run("why?", events.append)
        task = asyncio.create_task(running.execute())
        await asyncio.sleep(0.5)
        running.stop()
        await task
        await asyncio.sleep(0)
        return events

    events = run(main())
    assert plans(events) == ["load"]
    assert isinstance(events[-1], RunFinished) and events[-1].outcome == "stopped"
    assert [e.stage for e in events if isinstance(e, StageStarted)] == ["quick_response"]
    assert DEEP not in stopped.loaded


def alone(pace: float, gap: float = 2.0) -> list[Effect]:
    """What a plain sequence did."""
    return [Effect(pace, 1.0, 0.0, gap)]


def beside(pace: float, share: float, lost: float, gap: float) -> list[Effect]:
    """What another plan did."""
    return [Effect(pace, share, lost, gap)]


SEQUENCE = alone(40.0)
ON_GPU, PARTLY, ON_CPU = (ModelInfo("m", 100, vram=vram) for vram in (100, 60, 0))


@pytest.mark.parametrize(
    ("effects", "running", "plan"),
    [
        ({}, ON_GPU, "sequence"),
        ({"sequence": SEQUENCE}, ON_GPU, "prefill"),
        ({"sequence": SEQUENCE}, ON_CPU, "load"),
        ({"sequence": alone(19.0)}, ON_CPU, "sequence"),  # half of it is too slow
        ({"sequence": SEQUENCE, "prefill": beside(38.0, 0.9, 0.2, 0.1)}, ON_GPU, "load"),
        (
            {
                "sequence": SEQUENCE,
                "prefill": beside(38.0, 0.9, 0.2, 0.1),
                "load": beside(39.0, 1.0, 0.0, 1.0),
            },
            ON_GPU,
            "prefill",
        ),
        ({"sequence": SEQUENCE, "load": beside(15.0, 0.4, 2.1, 0.1)}, ON_CPU, "sequence"),
        ({"sequence": alone(24.0, 90.0), "load": beside(9.0, 0.4, 0.1, 0.1)}, ON_CPU, "sequence"),
        ({"sequence": SEQUENCE, "load": beside(30.0, 0.9, 0.1, 1.0)}, ON_CPU, "prefill"),
        ({"sequence": SEQUENCE, "load": beside(30.0, 0.8, 0.1, 1.0)}, ON_CPU, "load"),
        (
            {
                "sequence": SEQUENCE,
                "load": beside(37.0, 0.9, 0.1, 1.0),
                "prefill": beside(37.0, 0.9, 0.1, 0.2),
            },
            ON_CPU,
            "prefill",
        ),
        ({"sequence": alone(9.0)}, ON_GPU, "sequence"),  # no pace to give away
        (
            {
                "sequence": SEQUENCE,
                "load": beside(9.0, 0.2, 0.0, 0.0) + beside(40.0, 0.8, 0.0, 0.0),
            },
            ON_CPU,
            "sequence",
        ),
    ],
)
def test_the_plan_is_the_one_that_ends_both_stages_first(
    effects: Effects, running: ModelInfo, plan: Plan
) -> None:
    assert choose(effects, running) == plan


@pytest.mark.parametrize(
    ("running", "pace", "possible"),
    [
        (ON_GPU, 40.0, ("prefill", "load")),
        (ON_GPU, 10.0, ()),
        (PARTLY, 40.0, ("load",)),
        (ON_CPU, 20.0, ("load",)),
        (ON_CPU, 19.9, ()),
    ],
)
def test_what_may_be_tried_beside_a_model(
    running: ModelInfo, pace: float, possible: tuple[Plan, ...]
) -> None:
    assert room(running, {"sequence": alone(pace)}) == possible


def chunks(*paces: tuple[float, float]) -> list[float]:
    """When the chunks of a stage come that begins at 0: so many a second, for so many seconds."""
    times, at = [0.0], 0.0
    for pace, seconds in paces:
        times += [at + number / pace for number in range(1, round(pace * seconds) + 1)]
        at += seconds
    return times


@pytest.mark.parametrize(
    ("times", "until", "pace", "share", "lost"),
    [
        (chunks((40, 1), (20, 1), (40, 3)), 2.0, 20.0, 0.5, 0.5),
        (chunks((20, 1), (20, 1), (20, 3)), 2.0, 20.0, 1.0, 0.0),  # a slow hour
        (chunks((40, 2), (30, 3)), 2.0, 40.0, 1.0, 0.0),  # a longer context is slower: no gain
        (chunks((40, 1), (20, 1), (40, 0.3)), 2.0, 20.0, 0.4, 0.6),  # it ended soon: its usual pace
        (chunks((40, 1), (20, 1)), 2.0, 20.0, 0.4, 0.6),
        (chunks((40, 3)), 1.001, 40.0, 1.0, 0.0),  # too short for any chunk to come
        (chunks((40, 1)), 1.0, 50.0, 1.0, 0.0),  # nothing came beside it
    ],
)
def test_what_a_stage_lost_is_told_by_its_own_pace_right_behind(
    times: list[float], until: float, pace: float, share: float, lost: float
) -> None:
    assert slowed(times, 1.0, until, usual=50.0) == pytest.approx((pace, share, lost), abs=0.03)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(st.floats(0, 9) | finite, min_size=1).map(sorted),
    st.floats(0, 9) | finite,
    st.floats(0, 9),
    st.floats(1, 99),
)
@example([5e-324], 0.0, 0.0, 1.0)  # half of it is 0
def test_whatever_came_a_stage_keeps_a_share_and_loses_no_less_than_nothing(
    times: list[float], began: float, took: float, usual: float
) -> None:
    pace, share, lost = slowed(times, began, began + took, usual)
    assert pace >= 0
    assert 0 <= share <= 1
    assert lost >= 0


class SlowHour(ScriptedEngine):
    """The machine has more to do than in the other runs, whatever Mirador does."""

    async def stream(self, request: ChatRequest):  # type: ignore[no-untyped-def]
        async for chunk in super().stream(request):
            await asyncio.sleep(self.pause)
            yield chunk

    pause = 0.04


def test_a_slow_hour_is_not_the_plans_doing(tmp_path: Path) -> None:
    engines = [engine(), engine(SlowHour, writes=replace(WRITES, decode_s=3.6)), engine()]
    runs = asked(engines, tmp_path)
    assert [plans(events) for events in runs] == [[], ["load"], ["prefill"]]
    known = History(tmp_path / "history.json").effects("scripted", [QUICK, DEEP], "load")
    assert LEAST_PACE < known[0].pace < 12
    assert known[0].share > 0.9


class Refusing(SlowHour):
    """Slow, and with no room for a load."""

    pause = 0.08

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        raise EngineBusy("there is no room for one more", "ask again")


def test_what_comes_behind_a_load_that_failed_is_not_its_doing(tmp_path: Path) -> None:
    asked([engine(), engine(Refusing, writes=replace(WRITES, decode_s=5.2))], tmp_path)
    (known,) = History(tmp_path / "history.json").effects("scripted", [QUICK, DEEP], "load")
    assert known.share > 0.9
    assert known.gap == pytest.approx(0.84, abs=0.1)
