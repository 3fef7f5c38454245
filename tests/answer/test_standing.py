"""The answer that stands: chosen, and not the last by default; every door follows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer, StageAnswer, Status, joined
from mirador_magic.confidence import How
from mirador_magic.views import static

QUESTION = "Who was the first person on the moon?"
ARMSTRONG = "The first person on the moon was Neil Armstrong."
GAGARIN = "The first person on the moon was Yuri Gagarin."


def stage(
    name: str,
    text: str,
    confidence: float = 0.5,
    how: How = "calibrated",
    status: Status = "done",
    is_cut: bool = False,
) -> StageAnswer:
    return StageAnswer(
        name, "tiny", confidence, status, text, how=how, answers=978, measured=0.4, is_cut=is_cut
    )


def answered(*stages: StageAnswer, question: str = QUESTION) -> Answer:
    return Answer(question, "embedded", stages, "answered", total=1.0)


QUICK = stage("quick_response", ARMSTRONG, 0.56)
LESS_SURE = answered(QUICK, stage("synthesis", GAGARIN, 0.35))


def test_a_clearly_surer_answer_stands_and_every_door_follows_it() -> None:
    why = "the answer of quick_response stands: synthesis is less sure: 35 % against 56 %"
    assert LESS_SURE.text == str(LESS_SURE) == LESS_SURE.as_("text") == ARMSTRONG
    assert static.as_written(LESS_SURE) == ARMSTRONG
    assert words.standing(LESS_SURE) == why
    shown = static.bundle(LESS_SURE)
    page, plain = shown["text/html"], shown["text/plain"]
    quick, _, synthesis = page.partition('aria-label="synthesis"')
    assert "<details open>" in quick and "<details open>" not in synthesis
    assert why in synthesis and GAGARIN in synthesis
    assert plain.rstrip().endswith(f"{why}\n{ARMSTRONG}") and GAGARIN in plain
    assert "35 % against 56 %" in shown["text/markdown"]


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (stage("synthesis", GAGARIN, 0.47), ""),  # not clearly
        (stage("synthesis", GAGARIN, 0.9), ""),
        (stage("synthesis", GAGARIN, 0.1, "measured"), ""),  # nothing says what that is worth
        (stage("synthesis", ARMSTRONG, 0.1), ""),  # the same words
        (stage("synthesis", f"{GAGARIN} He", 0.9, is_cut=True), "was cut off"),
        (stage("synthesis", "Here is more detail.", 0.9), "has no word of the question"),
        (stage("synthesis", "Neil!", 0.9), ""),  # a word of the answer before
        (stage("synthesis", GAGARIN, 0.1, status="stopped"), ""),
        (stage("synthesis", GAGARIN, 0.1, status="failed"), ""),
    ],
)
def test_what_a_later_answer_is_judged_by(later: StageAnswer, why: str) -> None:
    answer = answered(QUICK, later)
    found = answer.standing
    assert found and found.why == why
    takes_over = not why and later.status == "done"
    assert found.stage is (later if takes_over else QUICK)
    assert bool(words.standing(answer)) is bool(why)


def test_it_is_chosen_stage_by_stage() -> None:
    deep = stage("deep_analysis", GAGARIN, 0.2)
    last = stage("synthesis", f"{ARMSTRONG} That was in 1969.", 0.6)
    assert answered(QUICK, deep).text == ARMSTRONG
    assert answered(QUICK, deep, last).text == last.text
    assert words.standing(answered(QUICK, deep, last)) == ""


def test_both_cut_off_are_judged_by_what_they_are() -> None:
    cut = replace(QUICK, is_cut=True)
    assert answered(cut, stage("synthesis", GAGARIN, 0.9, is_cut=True)).text == GAGARIN


def test_where_none_came_to_its_end_the_last_that_was_begun_is_shown() -> None:
    begun = stage("synthesis", "It was", status="stopped")
    assert answered(stage("quick_response", "", status="failed"), begun).text == "It was"
    assert answered(stage("quick_response", "", status="failed")).text == ""


def test_what_is_added_to_an_answer_is_judged_too() -> None:
    later = answered(stage("synthesis", GAGARIN, 0.35))
    assert joined(answered(QUICK), later).text == ARMSTRONG


STATUSES: list[Status] = ["done", "stopped", "failed", "skipped", "waiting"]
STAGES = st.lists(
    st.builds(
        stage,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["", " ", ARMSTRONG, GAGARIN, "Hm."]),
        st.floats(0, 1),
        st.sampled_from(["calibrated", "measured", "declared"]),
        st.sampled_from(STATUSES),
        st.booleans(),
    ),
    max_size=4,
)


@given(STAGES, st.sampled_from(["", "?", QUESTION]))
def test_one_that_came_to_its_end_stands_whatever_they_are(
    stages: list[StageAnswer], question: str
) -> None:
    answer = answered(*stages, question=question)
    done = [each for each in stages if each.status == "done" and each.text.strip()]
    assert (answer.standing is None) is (not done)
    if answer.standing:
        assert answer.standing.stage in done
        assert bool(answer.standing.why) is bool(answer.standing.later)
        assert answer.text == answer.standing.stage.text
