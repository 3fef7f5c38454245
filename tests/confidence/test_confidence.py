"""Confidence: measured from tokens, calibrated where labelled answers stand behind it, in bands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirador_magic import confidence
from mirador_magic.answer import words
from mirador_magic.answer.run_state import RunState
from mirador_magic.confidence import (
    FAIR,
    HELD,
    LOW,
    SURE,
    UNCALIBRATED_MOST,
    UNSURE,
    WINDOW,
    Calibration,
    Gauge,
    band,
    judged,
)
from mirador_magic.confidence.agreement import agreement
from mirador_magic.errors import EngineLost
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StageSubstituted,
    StreamEnd,
    ThinkingReceived,
)
from mirador_magic.stages import ModelStage

LOGS = st.lists(st.floats(max_value=0.0, min_value=-30.0), max_size=120)


def gauge_of(logprobs: list[float]) -> Gauge:
    gauge = Gauge()
    for log in logprobs:
        gauge.add([log])
    return gauge


def measured_of(logprobs: list[float]) -> float:
    measured = gauge_of(logprobs).measured
    assert measured is not None
    return measured


def by_definition(logprobs: list[float]) -> float:
    """The formula as the docstring has it, over the whole list at once."""
    logs = [max(log, -10.0) for log in logprobs]
    groups = [logs[max(end - WINDOW, 0) : end] for end in range(1, len(logs) + 1)]
    means = [math.exp(sum(group) / len(group)) for group in groups]
    lowest = min(means[WINDOW - 1 :], default=means[-1])
    place = math.ceil(0.1 * len(logs)) - 1
    quantile = sorted(math.exp(log) for log in logs)[place]
    return 0.5 * lowest + 0.3 * quantile + 0.2 * means[-1]


@given(LOGS)
@example([0.0] * 50)
def test_the_gauge_keeps_to_its_formula(logprobs: list[float]) -> None:
    if not logprobs:
        assert gauge_of(logprobs).measured is None
    else:
        measured = measured_of(logprobs)
        assert measured == pytest.approx(by_definition(logprobs), abs=0.3 / 64 + 1e-6)
        assert 0 <= measured <= 1


def test_one_unsure_sentence_is_not_outweighed_by_sure_ones() -> None:
    sure, unsure = [math.log(0.99)] * 200, [math.log(0.4)] * WINDOW
    assert measured_of(sure) == pytest.approx(0.99, abs=0.01)
    assert measured_of(sure + unsure + sure) < 0.75


@pytest.mark.parametrize("strange", [math.nan, 0.7, math.inf])
def test_what_cannot_be_a_logarithm_counts_as_certain(strange: float) -> None:
    assert measured_of([strange] * 10) == 1


def test_without_probabilities_it_stays_declared() -> None:
    assert judged(Gauge(), 0.6, "tiny", "quick_response") == (0.6, "declared", None)


def test_uncalibrated_it_is_never_cyan() -> None:
    shown, *how = judged(gauge_of([0.0] * 50), 0.6, "tiny", "quick_response")
    assert (shown, *how) == (UNCALIBRATED_MOST, "measured", None)
    assert band(shown) is FAIR


@given(st.lists(st.floats(0, 1), max_size=60), st.none() | st.floats(0, 1), st.floats(0, 1))
def test_whatever_is_usual_and_agreed_uncalibrated_it_is_never_cyan(
    past: list[float], agrees: float | None, declared: float
) -> None:
    gauge = gauge_of([-0.3] * 40)
    shown = judged(gauge, declared, "tiny", "synthesis", past=past, agrees=agrees)
    assert 0 <= shown.confidence <= UNCALIBRATED_MOST


def test_twenty_past_answers_move_the_declared_level_by_how_unusual_this_one_is() -> None:
    past = [0.80 + number / 200 for number in range(20)]  # 0.80 to 0.895

    def shown(log: float, known: list[float]) -> float:
        return judged(gauge_of([log] * 40), 0.7, "tiny", "synthesis", past=known).confidence

    unusual = math.log(0.3)
    assert shown(unusual, past[1:]) == pytest.approx(measured_of([unusual] * 40))
    # logit(0.7) - 0.35 * 2, at the clip
    assert shown(unusual, past) == pytest.approx(confidence.sigmoid(confidence.logit(0.7) - 0.7))
    assert shown(math.log(0.999), past) > 0.7 > shown(unusual, past)
    assert shown(unusual, [0.8] * 20) == pytest.approx(0.7)  # no spread, so nothing is unusual


def test_stages_that_agree_raise_it_and_stages_that_do_not_lower_it() -> None:
    def shown(agrees: float | None) -> float:
        gauge = gauge_of([math.log(0.6)] * 40)
        return judged(gauge, 0.7, "tiny", "synthesis", agrees=agrees).confidence

    assert shown(0.95) > shown(None) > shown(0.1)


@pytest.mark.parametrize(
    ("one", "alike", "unlike"),
    [
        ("It takes 42 ms with asyncio.run.", "With asyncio.run it takes 42 ms.", "It takes 7 ms."),
        ("That is safe.", "That is safe, yes.", "That is not safe."),
        ("Das ist sicher.", "Das ist ganz sicher.", "Das ist nicht sicher."),
        ("Es seguro.", "Es muy seguro.", "No es seguro."),
        ("这样做对我们是安全的", "这样做对我们是很安全的", "这样做对我们不是安全的"),
    ],
)
def test_numbers_names_and_negations_weigh_more_than_the_rest(
    one: str, alike: str, unlike: str
) -> None:
    assert agreement(one, one) == pytest.approx(1)
    assert agreement(one, alike) > agreement(one, unlike)


@given(st.text(max_size=80), st.text(max_size=80))
def test_agreement_is_a_share_and_has_no_direction(one: str, other: str) -> None:
    assert 0 <= agreement(one, other) <= 1
    assert agreement(one, other) == pytest.approx(agreement(other, one))


SURE_LOG, UNSURE_LOG = math.log(0.99), math.log(0.2)


def told(parts: list[tuple[str, float]]) -> Gauge:
    """Each part comes word by word, a token each."""
    gauge = Gauge()
    for text, log in parts:
        for word in re.findall(r"\s*\S+|\s+$", text):
            gauge.add([log], word)
    return gauge


@pytest.mark.parametrize("fence", ["```", "~~~~", "- ```", "> ```"])
def test_fenced_code_is_measured_apart(fence: str) -> None:
    prose = "So it is, word by word. " * 8
    code = f"\n{fence}python\n" + "x = 1 + 2\n" * 10 + fence.split()[-1] + "\n"
    gauge = told([(prose, UNSURE_LOG), (code, SURE_LOG), (prose, UNSURE_LOG)])
    assert gauge.measured == pytest.approx(measured_of([UNSURE_LOG] * 96), abs=0.02)
    assert gauge.code is not None and gauge.code > 0.9
    assert told([(code, SURE_LOG)]).measured == told([(code, SURE_LOG)]).code


def test_inline_code_is_prose() -> None:
    gauge = told([("Write `x` and ``y`` so: ```z``` here.\nThen more.", SURE_LOG)])
    assert gauge.code is None or gauge.measured is not None
    assert told([("Write `x` here.\n", SURE_LOG)]).code is None


@given(
    st.lists(
        st.tuples(st.text(alphabet="`~\n >-x", max_size=6), st.lists(st.floats(-9, 0), max_size=3)),
        max_size=40,
    )
)
def test_every_entry_counts_once_however_the_text_is_cut(
    chunks: list[tuple[str, list[float]]],
) -> None:
    gauge = Gauge()
    for text, logs in chunks:
        gauge.add(logs, text)
    count = sum(len(logs) for _, logs in chunks)
    assert gauge._prose._seen + gauge._code._seen == count
    assert (gauge.measured is None) is (count == 0)


def test_the_weakest_sentence_is_found() -> None:
    sure, unsure = "This part is well known to all of us here. ", "But that one is a mere guess. "
    parts = [(sure * 6, SURE_LOG), (unsure, UNSURE_LOG), (sure * 6, SURE_LOG)]
    gauge = told(parts)
    found = gauge.weakest("".join(text for text, _ in parts))
    window = f"{sure}{unsure}{sure}"
    assert found in window and found.endswith(".")
    assert gauge.weakest("one sentence") == ""
    assert told([("Too short. To tell.", UNSURE_LOG)]).weakest("Too short. To tell.") == ""


@given(st.text(max_size=400), st.lists(st.floats(-9, 0), min_size=40, max_size=60))
def test_the_weakest_sentence_is_one_of_the_texts(text: str, logs: list[float]) -> None:
    gauge = Gauge()
    size = max(len(text) // len(logs), 1)
    for place, log in enumerate(logs):
        gauge.add([log], text[place * size : (place + 1) * size])
    assert gauge.weakest(text) in text


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A calibration of the model `known` in quick_response, of 140 answers."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = confidence.user_file()
    file.parent.mkdir(parents=True)
    line = {"slope": 2.0, "intercept": -1.0, "answers": 140}
    file.write_text(json.dumps({"known": {"quick_response": line}}))
    confidence.forget()
    yield
    confidence.forget()


@pytest.mark.usefixtures("calibrated")
@pytest.mark.parametrize("name", ["known", "known:latest"])
def test_a_confidence_is_calibrated_where_answers_were_labelled(name: str) -> None:
    sure, how, answers = judged(gauge_of([-0.001] * 50), 0.6, name, "quick_response")
    unsure, _, _ = judged(gauge_of([-1.0] * 50), 0.6, name, "quick_response")
    assert (how, answers) == ("calibrated", 140)
    assert sure > unsure
    assert band(unsure) is UNSURE
    assert judged(gauge_of([-0.001] * 50), 0.6, name, "synthesis").how == "measured"


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_calibration_keeps_the_order(one: float, other: float) -> None:
    line = Calibration(slope=2.0, intercept=-1.0, answers=100)
    low, high = sorted((one, other))
    assert 0 < line(low) <= line(high) < 1
    curve = Calibration(0.0, 0.0, 500, ((0.2, 0.1), (0.5, 0.4), (0.9, 0.8)))
    assert 0.1 <= curve(low) <= curve(high) <= 0.8
    assert curve(0.35) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "name"), [(0.599, UNSURE), (0.6, LOW), (0.7, FAIR), (0.899, FAIR), (0.9, SURE)]
)
def test_the_bands_begin_where_the_panel_says(value: float, name: confidence.Band) -> None:
    assert band(value) is name


@pytest.mark.usefixtures("calibrated")
def test_the_panel_says_how_a_confidence_was_had() -> None:
    state = RunState(clock=lambda: 2.0)
    stage = ModelStage("quick_response", "tiny", 0.6, 5.0, "Be brief.")
    state(RunStarted(0.0, "why?", (stage,)))
    state(StageStarted(0.0, stage.name))
    assert words.trust(state.answer()[stage.name]) == "○ 60 % low declared"
    state(ChunkReceived(1.0, stage.name, "so", (math.log(0.8),) * 4))
    assert words.trust(state.answer()[stage.name]) == "● ~80 % fair measured"
    state(StageSubstituted(1.0, stage.name, "known", "ollama pull tiny"))
    said = words.trust(state.answer()[stage.name])
    assert re.fullmatch(r"● 0\.\d\d \w+ calibrated \(n=140\)", said)


def test_a_spare_model_says_once_what_it_is() -> None:
    state = state_after(
        StageSubstituted(1.0, STAGE.name, "smollm2", "ollama pull a", spare=True),
        StageSubstituted(1.0, LATER.name, "smollm2", "ollama pull b", spare=True),
    )
    (note,), none = (stage.notes for stage in state.answer().stages)
    assert "small and often wrong" in note and "%mirador pull qwen3-0.6b (0.6 GB" in note
    assert none == ()


@given(st.floats(0, 1))
def test_a_number_never_says_more_than_its_band(confidence: float) -> None:
    shown = int(words.percent(confidence).removesuffix(" %"))
    assert (shown == 100) is (confidence == 1)
    assert band(shown / 100) is band(confidence)
    two = float(words.decimals(confidence))
    assert (two == 1) is (confidence == 1)
    assert band(two) is band(confidence)


STAGE = ModelStage("quick_response", "tiny", 0.95, 5.0, "Be brief.")
LATER = ModelStage("synthesis", "tiny", 0.95, 5.0, "Be thorough.")


def state_after(*events: Event) -> RunState:
    state = RunState(clock=lambda: 9.0)
    for event in (RunStarted(0.0, "why?", (STAGE, LATER)), *events):
        state(event)
    return state


def wrote(stage: str, text: str, p: float) -> list[Event]:
    chunks = [
        ChunkReceived(1.0, stage, word, (math.log(p),)) for word in re.findall(r"\s*\S+", text)
    ]
    return [StageStarted(0.5, stage), *chunks, StageFinished(2.0, stage, StreamEnd("stop"))]


@pytest.mark.parametrize("logprobs", [(), (math.log(0.99),)])
@pytest.mark.parametrize(
    "end",
    [
        StageFinished(2.0, STAGE.name, StreamEnd("length")),
        StageFailed(2.0, STAGE.name, EngineLost("the cable fell out")),
    ],
)
def test_an_answer_that_is_not_whole_stays_gray(logprobs: tuple[float, ...], end: Event) -> None:
    chunk = ChunkReceived(1.0, STAGE.name, "half", logprobs)
    found = state_after(StageStarted(0.0, STAGE.name), chunk, end).answer()[STAGE.name]
    assert found.confidence == HELD
    assert band(found.confidence) is LOW
    assert "not above 69 %" in words.trust_told(found)


def test_thinking_does_not_count() -> None:
    thought = ThinkingReceived(0.6, STAGE.name, "a " * 90)
    start, *rest = wrote(STAGE.name, "so it is", 0.8)
    found = state_after(start, thought, *rest).answer()[STAGE.name]
    assert found.measured == pytest.approx(0.8, abs=0.01)


def test_a_later_stage_is_set_against_the_one_before_it() -> None:
    first = "It is safe: 42 of 42 tests pass."
    alike = state_after(*wrote(STAGE.name, first, 0.7), *wrote(LATER.name, first, 0.7))
    unlike = state_after(
        *wrote(STAGE.name, first, 0.7), *wrote(LATER.name, "Not safe, 3 fail.", 0.7)
    )
    more, less = (state.answer()[LATER.name] for state in (alike, unlike))
    assert more.agrees == pytest.approx(1) and less.agrees is not None and less.agrees < 0.5
    assert more.confidence > less.confidence
    assert alike.answer()[STAGE.name].agrees is None
    assert "agrees to 100 %" in words.trust_told(more)


def test_what_is_usual_is_looked_up_behind_the_first_words() -> None:
    asked: list[tuple[str, str]] = []

    def usual(model: str, stage: str) -> list[float]:
        asked.append((model, stage))
        return [0.9] * 20

    state = RunState(clock=lambda: 9.0, usual=usual)
    events = [RunStarted(0.0, "why?", (STAGE,)), *wrote(STAGE.name, "so it is", 0.5)]
    for event in events[:3]:
        state(event)
    assert (asked, state.answer()[STAGE.name].past) == ([], 0)
    for event in events[3:]:
        state(event)
    assert asked == [("tiny", STAGE.name)]
    assert "its last 20 answers" in words.trust_told(state.answer()[STAGE.name])
