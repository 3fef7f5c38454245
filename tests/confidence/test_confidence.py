"""Confidence: measured from tokens, calibrated where labelled answers stand behind it, in bands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
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
    Calibration,
    Gauge,
    band,
    judged,
)
from mirador_magic.engines.known_models import SMOLLM2
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
from mirador_magic.stages import DEFAULT_STAGES, ModelStage

QUICK = ModelStage("quick_response", "tiny", 0.6, 5.0, "Be brief.")
SYNTHESIS = ModelStage("synthesis", "tiny", 0.7, 5.0, "Be thorough.")


def said(text: str, *logs: float, question: str = "") -> Gauge:
    """An answer that is over: a token for each word with what stands before it, the last log for the rest."""
    gauge = Gauge(question)
    for place, word in enumerate(re.findall(r"\W*\w+|\W+$", text)):
        gauge.add([logs[min(place, len(logs) - 1)]], word)
    gauge.end()
    return gauge


def measured_of(gauge: Gauge) -> float:
    assert gauge.measured is not None
    return gauge.measured


def words_of(*logs: float) -> Gauge:
    """An answer of so many different words, none of them a name."""
    return said(
        " ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(len(logs))), *logs
    )


LOGS = st.lists(st.floats(max_value=0.0, min_value=-9.0), min_size=1, max_size=120)


@given(LOGS)
def test_of_words_that_are_new_it_is_the_geometric_mean(logs: list[float]) -> None:
    assert measured_of(words_of(*logs)) == pytest.approx(math.exp(sum(logs) / len(logs)))


def test_names_and_numbers_weigh_as_much_as_all_words() -> None:
    gauge = said(
        "the composer came to Vienna around 1781", -0.1, -0.1, -0.1, -0.1, -2.0, -0.1, -3.0
    )
    words, names = (-0.1 - 0.1 - 2.0 - 0.1 - 3.0) / 5, (-2.0 - 3.0) / 2
    assert measured_of(gauge) == pytest.approx(math.exp((words + names) / 2))


@pytest.mark.parametrize(
    ("question", "right", "echo"),
    [
        (
            "What is the capital of Peru?",
            "The capital of Peru is Lima.",
            "What is the capital of Peru",
        ),
        ("Who wrote the novel Emma?", "The novel Emma was by Austen.", "Who wrote the novel Emma?"),
    ],
)
def test_an_echo_is_no_answer_however_sure(question: str, right: str, echo: str) -> None:
    """What is copied does not count: the right short fact is the surer one, though its name was at 60 %."""
    sure = [-0.01] * 12
    fact = said(right, *sure[: len(right.split()) - 1], math.log(0.6), question=question)
    assert measured_of(said(echo, *sure, question=question)) < 0.1
    assert measured_of(fact) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("times", [2, 12, 200])
def test_a_loop_is_as_sure_as_it_was_the_first_time(times: int) -> None:
    sentence = "Bees dance to tell where flowers stand. "
    once = said(sentence, *[-1.0] * 7)
    again = said(sentence * times, *[-1.0] * 7, *[-0.001])
    assert measured_of(again) == pytest.approx(measured_of(once))


@pytest.mark.parametrize("answer", ["B", "trumpet", "the trumpet"])
def test_one_of_the_questions_own_words_is_an_answer(answer: str) -> None:
    question = "Which is brass? (A) violin (B) trumpet (C) drum"
    assert measured_of(said(answer, math.log(0.7), question=question)) == pytest.approx(0.7)


def test_what_a_stage_copies_is_as_sure_as_where_it_was_first_said() -> None:
    known: dict[str, float] = {}
    for log in (-1.5, -0.001):
        gauge = Gauge("Who?", known)
        gauge.add([log], "gardeners.")
        gauge.end()
        assert measured_of(gauge) == pytest.approx(math.exp(-1.5))


def test_the_words_of_languages_without_spaces_count_each() -> None:
    gauge = said("天空是蓝色的", -0.5)
    assert 0.5 < measured_of(gauge) < 1


@pytest.mark.parametrize("strange", [math.nan, 0.7, math.inf])
def test_what_cannot_be_a_logarithm_counts_as_certain(strange: float) -> None:
    assert measured_of(said("quite so", strange)) == 1


def test_until_a_word_counts_nothing_is_measured() -> None:
    gauge = Gauge("Why?")
    for piece in ("The", " sk", "y"):
        gauge.add([-0.2], piece)
        assert gauge.measured is None
    gauge.add([-0.2], " is")
    assert gauge.measured == pytest.approx(math.exp(-0.4))


def test_a_word_without_end_is_looked_at_to_a_bound() -> None:
    gauge = Gauge()
    for _ in range(20_000):
        gauge.add([-0.001], "x")
    gauge.end()
    assert len(next(iter(gauge._said._mine))) == 64


@given(
    st.lists(st.tuples(st.text(max_size=8), st.floats(-9, 0)), max_size=60), st.text(max_size=60)
)
def test_whatever_is_written_it_is_a_share(parts: list[tuple[str, float]], question: str) -> None:
    gauge = Gauge(question)
    for text, log in parts:
        gauge.add([log], text)
        assert gauge.measured is None or 0 <= gauge.measured <= 1
    gauge.end()
    assert (gauge.measured is None) is (not parts)
    features = gauge.features(0.5)
    assert all(map(math.isfinite, features)) and 0 <= features.keeps <= 1 >= features.fresh >= 0


@given(st.text(max_size=40), st.integers(1, 5))
def test_it_does_not_matter_how_the_text_is_cut(text: str, size: int) -> None:
    whole, cut = Gauge(), Gauge()
    for place in range(0, len(text), size):
        cut.add([0.0], text[place : place + size])
    whole.add([0.0], text)
    for gauge in (whole, cut):
        gauge.end()
    assert whole._said._mine == cut._said._mine
    assert len(whole._said.names) == len(cut._said.names)


def test_without_probabilities_it_stays_declared() -> None:
    assert judged(Gauge(), QUICK, "tiny") == (0.6, "declared", None)


def test_uncalibrated_it_is_never_cyan() -> None:
    shown, *how = judged(words_of(*[0.0] * 50), QUICK, "tiny")
    assert (shown, *how) == (UNCALIBRATED_MOST, "measured", None)
    assert band(shown) is FAIR


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
    assert gauge.measured == pytest.approx(0.2)
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
    assert gauge._prose.seen + gauge._code.seen == count
    gauge.end()
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
    line = {"measure": confidence.MEASURE, "slope": 2.0, "intercept": -1.0, "answers": 140}
    file.write_text(json.dumps({"known": {"quick_response": line}}))
    confidence.forget()
    yield
    confidence.forget()


@pytest.mark.usefixtures("calibrated")
@pytest.mark.parametrize("name", ["known", "known:latest"])
def test_a_confidence_is_calibrated_where_answers_were_labelled(name: str) -> None:
    sure, how, answers = judged(words_of(*[-0.001] * 50), QUICK, name)
    unsure, _, _ = judged(words_of(*[-1.0] * 50), QUICK, name)
    assert (how, answers) == ("calibrated", 140)
    assert sure > unsure
    assert band(unsure) is UNSURE
    assert judged(words_of(*[-0.001] * 50), SYNTHESIS, name).how == "measured"


@pytest.mark.usefixtures("calibrated")
def test_what_another_measure_told_calibrates_nothing() -> None:
    file = confidence.user_file()
    file.write_text(file.read_text().replace(confidence.MEASURE, "tokens"))
    confidence.forget()
    assert judged(words_of(-0.1), QUICK, "known").how == "measured"


@pytest.mark.parametrize("stage", DEFAULT_STAGES, ids=lambda stage: stage.name)
def test_smollm2_is_calibrated_as_it_is_asked_by_default(stage: ModelStage) -> None:
    shown = judged(words_of(-0.1, -0.2), stage, SMOLLM2.name)
    assert shown.how == "calibrated" and shown.answers and shown.answers > 600
    other = replace(stage, system_prompt="You are a pirate.")
    assert judged(words_of(-0.1, -0.2), other, SMOLLM2.name).how == "measured"
    assert judged(words_of(-0.1, -0.2), stage, "gemma2:9b").how == "measured"


def test_the_users_own_labelled_answers_go_before_those_that_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = confidence.user_file()
    file.parent.mkdir(parents=True)
    line = {"measure": confidence.MEASURE, "slope": 2.0, "intercept": -1.0, "answers": 60}
    file.write_text(json.dumps({SMOLLM2.name: {"quick_response": line}}))
    confidence.forget()
    quick, deep, _ = (judged(words_of(-0.1), stage, SMOLLM2.name) for stage in DEFAULT_STAGES)
    assert quick.answers == 60 and deep.answers and deep.answers > 600
    confidence.forget()


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
    state(ChunkReceived(1.0, stage.name, "gulls ", (math.log(0.8),)))
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
    start, *rest = wrote(STAGE.name, "gulls dance", 0.8)
    found = state_after(start, thought, *rest).answer()[STAGE.name]
    assert found.measured == pytest.approx(0.8, abs=0.01)


def test_a_later_stage_knows_what_the_first_was_measured_at() -> None:
    first = "It holds: 42 of 42 tests pass."
    state = state_after(*wrote(STAGE.name, first, 0.7), *wrote(LATER.name, first, 0.99))
    one, two = state.answer().stages
    assert one.measured == two.measured == pytest.approx(0.7)
    assert one.features and two.features
    assert (one.features.before, one.features.fresh) == (0.0, 1.0)
    assert two.features.before == pytest.approx(math.log(0.7)) and two.features.fresh == 0.0


def test_a_stage_that_is_added_later_knows_what_was_said_before() -> None:
    past = state_after(*wrote(STAGE.name, "Gulls count waves.", 0.5)).answer()
    state = RunState(clock=lambda: 9.0, past=past)
    for event in (
        RunStarted(0.0, "why?", (LATER,)),
        *wrote(LATER.name, "Gulls count waves.", 0.99),
    ):
        state(event)
    assert state.answer()[LATER.name].measured == pytest.approx(0.5)
