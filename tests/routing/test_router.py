"""Which stages a question needs. How well the router does on unseen queries: training/router/train.log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.routing import router
from mirador_magic.stages import DEFAULT_STAGES

QUERIES = Path(__file__).parents[2] / "training" / "router" / "queries"
PASTE = """Traceback (most recent call last):
  File "a.py", line 3, in <module>
    main()
ValueError: invalid literal for int() with base 10: 'x'
"""


@pytest.mark.parametrize(
    ("query", "complexity"),
    [
        ("What is the capital of France?", "simple"),
        ("what does etl stand for", "simple"),
        ("How can I be more productive?", "medium"),
        ("Analyze my career trajectory and provide recommendations", "complex"),
        ("plan my sabbatical", "complex"),
        ("¿Cuál es la capital de Perú?", "simple"),
    ],
)
def test_plain_cases(query: str, complexity: str) -> None:
    assert router.route(query).complexity == complexity


def test_the_weights_are_those_of_the_features_as_they_are_now() -> None:
    """On queries that it was trained on it is nearly always right; on others features are lost."""
    rows = [json.loads(line) for line in (QUERIES / "g.jsonl").read_text().splitlines()]
    right = sum(router.route(row["query"]).complexity == row["label"] for row in rows)
    assert right > 0.85 * len(rows)


def test_there_are_enough_queries_in_four_languages_and_no_two_are_the_same() -> None:
    rows = [
        json.loads(line)
        for file in QUERIES.glob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    assert len(rows) >= 1500
    assert {row["lang"] for row in rows} == {"en", "es", "de", "zh"}
    assert {row["label"] for row in rows} == set(router.CLASSES)
    assert len({row["query"] for row in rows}) == len(rows)


def test_every_route_begins_with_the_quick_stage_and_names_default_stages() -> None:
    known = [stage.name for stage in DEFAULT_STAGES]
    assert set(router.STAGES) == set(router.CLASSES)
    for stages in router.STAGES.values():
        assert stages[:1] == router.FIRST
        assert sorted(stages, key=known.index) == list(stages)
    assert list(router.STAGES["complex"]) == known


@given(st.text())
def test_any_text_has_a_route(text: str) -> None:
    found = router.route(text)
    assert abs(sum(found.probabilities.values()) - 1) < 1e-9
    assert found.stages == router.STAGES[found.complexity]
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("likely", "complexity"),
    [
        ((0.9, 0.05, 0.05), "simple"),
        ((0.05, 0.9, 0.05), "medium"),
        ((0.1, 0.1, 0.8), "complex"),
        ((0.36, 0.28, 0.36), "medium"),  # unsure
        ((0.55, 0.0, 0.45), "complex"),  # too likely complex to be cut short
        ((0.66, 0.0, 0.34), "simple"),
        ((0.35, 0.2, 0.45), "complex"),
        ((0.3, 0.05, 0.65), "complex"),
    ],
)
def test_the_answer_costs_least(likely: tuple[float, ...], complexity: str) -> None:
    assert router.CLASSES[router.decide(likely)] == complexity


def test_what_is_pasted_is_told_from_what_is_asked() -> None:
    marks, words, _ = router.features(f"which line fails?\n{PASTE}")
    assert {"#pasted", "#error", "#ends?"} <= set(marks[0])
    assert "traceback" not in words[0]
    assert "fails" in words[0]
    marks, words, _ = router.features(PASTE)  # nothing but a paste is read itself
    assert "traceback" in words[0]


def test_the_beginning_and_the_end_of_a_long_question_count() -> None:
    long = "x " * 20000
    _, words, grams = router.features(f"alpha {long} omega")
    assert {"alpha", "omega"} <= set(words[0])
    assert len(grams[0]) < 1000
