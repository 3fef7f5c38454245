"""Confidence: measured from tokens, calibrated where labelled answers stand behind it, in bands."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirador_magic import confidence, phrasebook
from mirador_magic.confidence import (
    FAIR,
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
from mirador_magic.events import ChunkReceived, RunStarted, StageStarted, StageSubstituted
from mirador_magic.stages import ModelStage
from mirador_magic.views import words
from mirador_magic.views.run_state import RunState

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
    assert judged(Gauge(), 0.6, "tiny", "quick_response") == (0.6, "declared")


def test_uncalibrated_it_is_never_cyan() -> None:
    shown, how = judged(gauge_of([0.0] * 50), 0.6, "tiny", "quick_response")
    assert (shown, how) == (UNCALIBRATED_MOST, "measured")
    assert band(shown) is FAIR


@pytest.mark.parametrize("name", [phrasebook.NAME, f"{phrasebook.NAME}:latest"])
def test_the_phrase_books_confidence_is_calibrated(name: str) -> None:
    sure, how = judged(gauge_of([-0.001] * 50), 0.6, name, "quick_response")
    unsure, _ = judged(gauge_of([-1.0] * 50), 0.6, name, "quick_response")
    assert how == "calibrated"
    assert sure > unsure
    assert band(unsure) is UNSURE


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_calibration_keeps_the_order(one: float, other: float) -> None:
    line = Calibration(slope=2.0, intercept=-1.0, answers=100)
    low, high = sorted((one, other))
    assert 0 < line(low) <= line(high) < 1


@pytest.mark.parametrize(
    ("value", "name"), [(0.599, UNSURE), (0.6, LOW), (0.7, FAIR), (0.899, FAIR), (0.9, SURE)]
)
def test_the_bands_begin_where_the_panel_says(value: float, name: confidence.Band) -> None:
    assert band(value) is name


def test_the_panel_says_how_a_confidence_was_had() -> None:
    state = RunState(clock=lambda: 2.0)
    stage = ModelStage("quick_response", "tiny", 0.6, 5.0, "Be brief.")
    state(RunStarted(0.0, "why?", (stage,)))
    state(StageStarted(0.0, stage.name))
    assert words.trust(state.answer()[stage.name]) == "○ 60 % low declared"
    state(ChunkReceived(1.0, stage.name, "so", (math.log(0.8),) * 4))
    assert words.trust(state.answer()[stage.name]) == "● ~80 % fair measured"
    state(StageSubstituted(1.0, stage.name, phrasebook.NAME, "ollama pull tiny"))
    (way_out,) = state.answer()[stage.name].notes
    assert way_out.endswith("→ ollama pull tiny")
    assert re.fullmatch(r"● \d+ % \w+ calibrated", words.trust(state.answer()[stage.name]))


@given(st.floats(0, 1))
def test_a_number_never_says_more_than_its_band(confidence: float) -> None:
    shown = int(words.percent(confidence).removesuffix(" %"))
    assert (shown == 100) is (confidence == 1)
    assert band(shown / 100) is band(confidence)
