"""Which stages a question needs, and whether it is right on queries by authors that it has not seen."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.cli.stdin import pasted
from mirador_magic.interpolate.question import CELLS
from mirador_magic.routing import router
from mirador_magic.routing.ask import last
from mirador_magic.routing.features import features
from mirador_magic.stages import DEFAULT_STAGES
from training.router.figures import LEFT_OUT, QUERIES, macro_f1, read, swapped

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
        ("tea?", "simple"),
        ("coffee?", "simple"),
        ("Berlin", "simple"),
        ("democracy", "medium"),
        ("quit my job?", "complex"),
        ("should we rewrite it in rust", "complex"),
        ('translate "good night" into japanese', "simple"),
    ],
)
def test_plain_cases(query: str, complexity: str) -> None:
    assert router.route(query).complexity == complexity


def test_the_weights_are_those_of_the_features_as_they_are_now() -> None:
    """On queries that it was trained on it is nearly always right; on others features are lost."""
    rows = read(QUERIES / "g.jsonl", QUERIES / "orders.jsonl", QUERIES / "german.jsonl")
    right = sum(router.route(row["query"]).complexity == row["label"] for row in rows)
    assert right > 0.85 * len(rows)


def test_there_are_enough_queries_in_four_languages_and_no_two_are_the_same() -> None:
    rows = read(*QUERIES.glob("*.jsonl"))
    assert len(rows) >= 6000
    assert len({row["author"] for row in rows}) >= 50
    assert {row["lang"] for row in rows} == {"en", "es", "de", "zh"}
    assert {row["label"] for row in rows} == set(router.CLASSES)
    assert len({row["query"] for row in rows}) == len(rows)


def test_it_is_right_on_queries_by_authors_that_were_left_out() -> None:
    """Where `make router` sent each query by a fit that had seen none of its author's."""
    rows = read(*sorted(QUERIES.glob("*.jsonl")))
    told = {name[0]: name for name in router.CLASSES}
    routed = [told[letter] for letter in LEFT_OUT.read_text(encoding="utf-8").strip()]
    found = list(zip((row["label"] for row in rows), routed, strict=True))
    assert macro_f1(found) >= 0.78
    assert swapped(found) <= 0.03
    labels = Counter(truth for truth, _ in found)
    to_the_middle = Counter(truth for truth, route in found if route == "medium")
    assert all(to_the_middle[each] <= labels[each] / 2 for each in ("simple", "complex"))


def test_figures_of_routes() -> None:
    found = [
        ("simple", "simple"),
        ("simple", "complex"),
        ("medium", "medium"),
        ("complex", "medium"),
    ]
    assert macro_f1(found) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert swapped(found) == 0.25


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
        ((0.55, 0.0, 0.45), "medium"),  # either would be a swap too often
        ((0.6, 0.1, 0.3), "simple"),
        ((0.4, 0.15, 0.45), "medium"),
        ((0.3, 0.05, 0.65), "complex"),
        ((0.15, 0.15, 0.7), "complex"),
    ],
)
def test_the_answer_costs_least(likely: tuple[float, ...], complexity: str) -> None:
    assert router.CLASSES[router.decide(likely)] == complexity


def test_what_is_pasted_is_told_from_what_is_asked() -> None:
    read = features(f"which line fails?\n{PASTE}")
    assert {"#pasted", "#error", "#ends?"} <= set(read.marks)
    assert "traceback" not in read.said
    assert "fails" in read.said
    assert "traceback" in features(PASTE).said  # nothing but a paste is read itself


@pytest.mark.parametrize("told", [pasted("a b c\n" * 50), f"{CELLS}\n\nIn [1]:\n```\na b c\n```"])
def test_what_mirador_says_of_a_paste_is_not_asked(told: str) -> None:
    read = features(f"which word is missing?\n\n{told}")
    assert list(read.said) == ["which", "word", "is", "missing"]
    assert "#pasted" in read.marks


def test_what_is_cut_out_of_a_long_question_leaves_its_fences_whole() -> None:
    for length in range(1, 80):  # wherever the cuts fall
        cell = f"In [1]:\n```\nwords of a cell {'and more ' * length}\n```\n"
        read = features(f"which word is missing?\n{cell * 60}")
        assert list(read.said) == ["which", "word", "is", "missing"]


def test_the_beginning_and_the_end_of_a_long_question_count() -> None:
    read = features(f"alpha {'x ' * 20000} omega")
    assert {"alpha", "omega"} <= set(read.said)
    assert len(read.grams) < 1000


def test_what_is_asked_behind_a_story_is_read_for_itself() -> None:
    story = "We have a plan, a budget and four teams. The roadmap is a joke. What's the plural of crisis?"
    assert last(story.lower()) == "what's the plural of crisis?"
    read = features(story)
    assert "!meaning" in read.cues
    assert "!plan" not in read.cues
    assert "?plan" in read.cues
    assert last("what is the plural of crisis?") == ""  # the whole ask is read anyway


def test_a_word_that_no_query_had_counts_by_what_it_means() -> None:
    weights = router.load()
    unseen = ("trombone", "geyser", "orchid")
    assert not any(word in weights.features for word in unseen)
    for word in unseen:
        meant = router.route(f"{word} {word[::-1]}").probabilities
        assert meant != router.route(f"{word[::-1]} {word[::-1]}").probabilities
    assert len(weights.meanings) > 20000
    assert {"für", "qué", "café"} <= set(weights.meanings)
    assert all(re.fullmatch(r"[^\W\d_]+", word) for word in weights.meanings)
    assert not any("ġ" in word for word in weights.meanings)  # a space, as tokens spell it


def test_nothing_of_it_is_loaded_before_a_question_is_asked() -> None:
    code = "import sys, mirador_magic; print([name for name in sys.modules if '.routing.' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mirador_magic.routing.router']"


def test_the_words_say_whose_they_are_and_under_which_licence() -> None:
    assert "SmolLM2" in router.MEANINGS.read_text(encoding="utf-8").partition("\n")[2][:100]
    licence = router.MEANINGS.with_suffix(".LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert router.MEANINGS.stat().st_size + router.WEIGHTS.stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("tea?", "a few plain words"),
        ("why is the sky blue", "asks why (“why”)"),
        ("What is photosynthesis?", "asks what something is (“what is”)"),
        ("What is the capital of Peru?", "asks for one fact (“capital of”)"),
        ("what's 12% of 250", "asks for a small edit or sum (“12% of”)"),
        ("mean vs median", "compares (“vs”)"),
        ("plan my sabbatical", "asks for something to be planned or built (“plan”)"),
        ("Erkläre mir Blockchain", "asks how (“erkläre”)"),
        ("¿Cuántos planetas hay?", "asks for one fact (“cuántos”)"),
        ("sell the house?", "a large matter in few words"),
    ],
)
def test_reasons_are_such_as_a_reader_can_check(query: str, why: str) -> None:
    assert router.route(query).reasons[0] == why


def test_where_it_is_unsure_it_says_between_what() -> None:
    routes = [router.route(row["query"]) for row in read(*QUERIES.glob("*.jsonl"))]
    unsure = [each for each in routes if each.reasons[0].startswith("the middle, as it is unsure")]
    likeliest = [max(each.probabilities, key=each.probabilities.__getitem__) for each in unsure]
    assert {each.complexity for each in unsure} == {"medium"}
    assert set(likeliest) == {"simple", "complex"}
    simple, medium, complex_ = (
        f"{100 * share:.0f} %" for share in unsure[0].probabilities.values()
    )
    assert unsure[0].reasons == (
        f"the middle, as it is unsure: simple {simple}, medium {medium}, complex {complex_}",
    )


@given(st.text())
def test_every_route_has_a_reason_and_none_is_long(text: str) -> None:
    found = router.route(text)
    assert 1 <= len(found.reasons) <= 3
    assert all(reason and len(reason) < 90 for reason in found.reasons)
