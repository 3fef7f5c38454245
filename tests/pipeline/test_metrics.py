"""The figures of a run are those of its answer: no header, no blank and no thought counts as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineLost, EngineUnavailable
from mirador_magic.events import (
    ChunkReceived,
    EngineChosen,
    Event,
    ModelSwapped,
    RouteChosen,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
    StageSubstituted,
    StreamEnd,
    ThinkingReceived,
)
from mirador_magic.pipeline.metrics import Meter, RunMetrics, StageMetrics, percentile
from mirador_magic.pipeline.run import Run
from mirador_magic.pipeline.watchers import Watchers
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = DEFAULT_STAGES
LOST = EngineLost("the cable fell out")
WARM = StreamEnd("stop", prompt_tokens=20, output_tokens=5, load_s=0.1, prefill_s=0.2, decode_s=2.0)


def measured(*events: Event) -> RunMetrics:
    meter = Meter()
    for event in events:
        meter(event)
    return meter.metrics()


def quick(*events: Event, end: Event | None = None) -> StageMetrics:
    """The figures of a run's one stage, which was asked at 11 s."""
    over = [] if end is None else [end]
    told = measured(
        RunStarted(10.0, "why?", (QUICK,)), StageStarted(11.0, QUICK.name), *events, *over
    )
    return told.stages[0]


def chunk(at: float, text: str = "word", stage: str = QUICK.name) -> ChunkReceived:
    return ChunkReceived(at, stage, text)


def test_the_figures_of_a_stage_and_of_the_run() -> None:
    told = measured(
        RunStarted(10.0, "why?", (QUICK,)),
        EngineChosen(10.5, "Ollama 0.34.1"),
        StageStarted(11.0, QUICK.name),
        chunk(12.0),
        chunk(12.5),
        chunk(15.5),
        chunk(15.75),
        StageFinished(16.0, QUICK.name, WARM),
        RunFinished(17.0, "answered"),
    )
    stage = StageMetrics(
        QUICK.name,
        QUICK.model,
        "done",
        began=1.0,
        ttft=1.0,
        total=5.0,
        tpot=1.0,  # (5 - 1) / (5 - 1): of the engine's tokens, not of the four chunks
        stall=3.0,
        prompt_tokens=20,
        output_tokens=5,
        load=0.1,
        prefill=0.2,
        decode=2.0,
    )
    assert told == RunMetrics("answered", "Ollama 0.34.1", "", 2.0, 7.0, (stage,))
    assert stage.cold is False and told.cold is False
    assert stage.rate == 2.5
    assert (told.partial, told.output_tokens, told.error) == (False, 5, "")


def test_a_slow_first_token_is_told_as_slow_and_does_not_touch_the_pace() -> None:
    end = StageFinished(42.0, QUICK.name, replace(WARM, output_tokens=2))
    stage = quick(chunk(41.0), chunk(42.0), end=end)
    assert (stage.ttft, stage.tpot, stage.stall) == (30.0, 1.0, 1.0)


@pytest.mark.parametrize("blank", ["\n", "  \n\n", "\t", "\u00a0"])
def test_a_blank_first_chunk_is_no_first_token(blank: str) -> None:
    told = measured(
        RunStarted(10.0, "why?", (QUICK,)),
        StageStarted(11.0, QUICK.name),
        chunk(11.1, blank),
        chunk(14.0, "Because"),
        chunk(14.5, blank),
        chunk(16.0, "of it"),
    )
    assert told.useful == 4.0
    assert (told.stages[0].ttft, told.stages[0].stall) == (3.0, 1.5)


def test_only_blanks_are_no_text_at_all() -> None:
    stage = quick(chunk(11.5, " "), chunk(12.0, "\n"), end=StageStopped(13.0, QUICK.name))
    assert (stage.ttft, stage.stall, stage.total) == (None, None, 2.0)


def test_a_thought_is_no_answer_and_has_its_own_figure() -> None:
    stage = quick(
        ThinkingReceived(12.0, QUICK.name, "hm"),
        ThinkingReceived(18.0, QUICK.name, "well"),
        chunk(20.0),
        chunk(20.5),
        end=StageFinished(21.0, QUICK.name, replace(WARM, output_tokens=900)),
    )
    assert (stage.thought, stage.ttft, stage.stall) == (1.0, 9.0, 0.5)
    assert stage.tpot is None  # the 900 tokens are thoughts for the most part


def test_a_failed_stage_is_told_and_makes_the_run_partial() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK, DEEP)),
        StageStarted(0.0, QUICK.name),
        chunk(0.5),
        StageFinished(1.0, QUICK.name, WARM),
        StageStarted(1.0, DEEP.name),
        chunk(2.0, stage=DEEP.name),
        StageFailed(4.0, DEEP.name, LOST),
        RunFinished(4.0, "answered"),
    )
    failed = told.stages[1]
    assert (failed.ended, failed.error) == ("failed", "EngineLost")
    assert (failed.ttft, failed.total) == (1.0, 3.0)
    assert failed.output_tokens is failed.tpot is failed.cold is None  # nobody told
    assert (told.outcome, told.partial, told.error) == ("answered", True, "EngineLost")


def test_a_failed_stage_that_wrote_nothing_has_no_first_token() -> None:
    stage = quick(end=StageFailed(12.0, QUICK.name, LOST))
    assert (stage.ttft, stage.stall, stage.total, stage.ended) == (None, None, 1.0, "failed")


def test_a_run_that_failed_is_not_partial() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK,)),
        StageStarted(0.0, QUICK.name),
        StageFailed(1.0, QUICK.name, LOST),
        RunFinished(1.0, "failed", LOST),
    )
    assert (told.outcome, told.partial, told.useful) == ("failed", False, None)


def test_a_run_that_found_no_engine_tells_why() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK,)),
        RunFinished(1.0, "failed", EngineUnavailable("nobody answers", "start it")),
    )
    assert (told.outcome, told.error) == ("failed", "EngineUnavailable")
    assert told.stages[0].ended == "skipped"


@pytest.mark.parametrize(("load", "cold"), [(12.0, True), (0.5, True), (0.49, False), (None, None)])
def test_a_cold_start_is_told_apart(load: float | None, cold: bool | None) -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK,)),
        StageStarted(0.0, QUICK.name),
        chunk(12.5),
        StageFinished(13.0, QUICK.name, replace(WARM, load_s=load)),
        RunFinished(13.0, "answered"),
    )
    assert told.stages[0].cold is cold and told.cold is cold
    assert told.useful == 12.5  # the wait for the model is part of what the user waited


def test_a_run_is_cold_where_its_first_stage_was() -> None:
    warm = StageMetrics("a", "m", "done", began=0.0, load=0.0)
    cold = StageMetrics("b", "n", "done", began=1.0, load=9.0)
    told = RunMetrics("answered", "e", "", 1.0, 2.0, (warm, cold))
    assert told.cold is False
    assert replace(told, stages=(cold, warm)).cold is True
    assert replace(told, stages=()).cold is None


def test_how_each_stage_ended() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK, DEEP, SYNTHESIS)),
        StageStarted(0.0, QUICK.name),
        chunk(1.0),
        StageFinished(2.0, QUICK.name, replace(WARM, reason="length")),
        StageStarted(2.0, DEEP.name),
        chunk(3.0, stage=DEEP.name),
        StageStopped(5.0, DEEP.name),
        RunFinished(5.0, "stopped"),
    )
    assert [each.ended for each in told.stages] == ["length", "stopped", "skipped"]
    assert told.outcome == "stopped" and not told.partial
    assert told.stages[1].total == 3.0
    assert told.stages[2] == StageMetrics(SYNTHESIS.name, SYNTHESIS.model)


def test_what_was_swapped_and_what_stood_in() -> None:
    stage = quick(
        StageSubstituted(11.0, QUICK.name, "other:1b", "ollama pull it"),
        chunk(12.0),
        ModelSwapped(13.0, QUICK.name, 4.0),
        end=StageFinished(13.0, QUICK.name, WARM),
    )
    assert (stage.model, stage.swapped) == ("other:1b", True)


def test_a_route_that_is_found_out_later_brings_its_stages() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK,)),
        StageStarted(0.0, QUICK.name),
        RouteChosen(0.1, "medium (64 %): why", (QUICK, SYNTHESIS)),
        chunk(1.0),
        StageFinished(2.0, QUICK.name, WARM),
        StageStarted(2.0, SYNTHESIS.name),
        chunk(2.5, stage=SYNTHESIS.name),
    )
    assert told.route == "medium (64 %): why"
    assert [each.ttft for each in told.stages] == [1.0, 0.5]
    assert told.useful == 1.0


def test_one_token_has_no_time_per_token() -> None:
    one = StageFinished(13.0, QUICK.name, replace(WARM, output_tokens=1))
    none = StageFinished(13.0, QUICK.name, StreamEnd("stop"))
    assert quick(chunk(12.0), end=one).tpot is None
    assert quick(chunk(12.0), end=none).tpot is None


def test_a_judged_run_has_the_confidence_of_its_stages() -> None:
    told = measured(
        RunStarted(0.0, "why?", (QUICK, DEEP)), StageStarted(0.0, QUICK.name), chunk(1.0)
    )
    judged = told.judged([(QUICK.name, 0.7, "measured"), (DEEP.name, 0.8, "declared")])
    assert [(each.confidence, each.how) for each in judged.stages] == [
        (0.7, "measured"),
        (None, "declared"),
    ]


@st.composite
def stage_events(draw: st.DrawFn, name: str, at: float) -> list[Event]:
    """A stage's events from `at` on, as events.py orders them."""
    gaps = st.floats(0, 100)
    events: list[Event] = [StageStarted(at, name)]
    thoughts = draw(st.integers(0, 2))
    for number in range(thoughts + draw(st.integers(0, 6))):
        at += draw(gaps)
        text = draw(st.sampled_from(["word", " ", "\n", " word"]))
        is_thought = number < thoughts
        events.append(
            ThinkingReceived(at, name, text) if is_thought else ChunkReceived(at, name, text)
        )
    at += draw(gaps)
    end = StreamEnd("stop", output_tokens=draw(st.none() | st.integers(0, 50)))
    ends: tuple[Event, ...] = (
        StageFinished(at, name, end),
        StageFailed(at, name, LOST),
        StageStopped(at, name),
    )
    return [*events, draw(st.sampled_from(ends))]


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    at = draw(st.floats(0, 1e6))
    events: list[Event] = [RunStarted(at, "why?", DEFAULT_STAGES)]
    for stage in DEFAULT_STAGES[: draw(st.integers(0, 3))]:
        events += draw(stage_events(stage.name, events[-1].at + draw(st.floats(0, 10))))
    return [*events, RunFinished(events[-1].at, "answered")]


def of_answer(events: Sequence[Event], stage: str) -> list[float]:
    """When the stage's chunks came, from its first text on."""
    chunks = [each for each in events if isinstance(each, ChunkReceived) and each.stage == stage]
    written = [place for place, each in enumerate(chunks) if each.text.strip()]
    return [each.at for each in chunks[written[0] :]] if written else []


@settings(max_examples=60)
@given(runs())
def test_any_run_is_told_as_its_events_are(events: list[Event]) -> None:
    told = measured(*events)
    began = {each.stage: each.at for each in events if isinstance(each, StageStarted)}
    firsts = []
    for stage in told.stages:
        times = of_answer(events, stage.stage)
        firsts += times[:1]
        if stage.stage not in began:
            assert stage.ended == "skipped" and stage.began is stage.total is None
        elif times:
            assert stage.ttft == times[0] - began[stage.stage]
            gaps = [later - sooner for sooner, later in pairwise(times)]
            assert stage.stall == max(gaps, default=0.0)
            assert stage.total is not None and stage.ttft <= stage.total
        else:
            assert stage.ttft is stage.stall is stage.tpot is None
    assert told.useful == (firsts[0] - events[0].at if firsts else None)
    assert told.total == events[-1].at - events[0].at


@settings(max_examples=40)
@given(runs(), st.data())
def test_there_are_figures_at_any_time(events: list[Event], data: st.DataObject) -> None:
    seen = data.draw(st.integers(0, len(events)))
    told, whole = measured(*events[:seen]), measured(*events)
    for so_far, after in zip(told.stages, whole.stages, strict=False):
        assert so_far.ttft in (None, after.ttft)
        assert (so_far.stall or 0.0) <= (after.stall or 0.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_with_at_least_so_many_below(
    values: list[float], share: float
) -> None:
    found = percentile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= math.ceil(share * len(values))
    assert sum(value < found for value in values) <= share * len(values)


def of_scripts(scripts: dict[str, Script]) -> RunMetrics:
    """The figures of a run through all three stages, in virtual time."""

    async def main() -> RunMetrics:
        engine, meter = ScriptedEngine(scripts), Meter()

        async def opened() -> ScriptedEngine:
            return engine

        await Run("why?", DEFAULT_STAGES, opened, Watchers([meter]), clock=now).execute()
        return meter.metrics()

    return run(main())


def test_a_run_on_an_engine_is_told_truthfully() -> None:
    end = StreamEnd("stop", output_tokens=3, load_s=4.0)
    told = of_scripts(
        {
            QUICK.model: Script("one two three", first=2.0, pace=0.5, load=4.0, end=end),
            DEEP.model: Script(["one", LOST], first=1.0),
            SYNTHESIS.model: Script("one two three", thinking="hm", pace=1.0),
        }
    )
    assert [each.ended for each in told.stages] == ["done", "failed", "done"]
    slow, failed, thinking = told.stages
    assert (slow.ttft, slow.total, slow.cold) == (6.0, 7.0, True)
    assert slow.tpot == pytest.approx(0.5)
    assert (failed.ttft, failed.error) == (1.0, "EngineLost")
    assert (thinking.thought, thinking.ttft, thinking.tpot) == (0.0, 0.0, None)
    assert (told.useful, told.total) == (6.0, 10.0)
    assert told.partial and told.cold
