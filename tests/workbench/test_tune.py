"""Tuning by grid: the order of the tries, stop and go on, scores, the winner, the record, the blind view."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import logging
import random
import re
import sqlite3
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.commands.line import Line
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.pipeline.metrics import StageMetrics
from mirador_magic.session.session import Session
from mirador_magic.settings.settings import of_table
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.store import path
from mirador_magic.workbench import tune as tuning
from mirador_magic.workbench.tune import permanent
from mirador_magic.workbench.tune.blind import Blind
from mirador_magic.workbench.tune.grid import Grid, Progress
from mirador_magic.workbench.tune.plan import (
    Plan,
    Step,
    Variant,
    order,
    plan_of,
    remaining,
    untried,
)
from mirador_magic.workbench.tune.record import Record, record_of
from mirador_magic.workbench.tune.scoring import Expect, Score, score_of
from mirador_magic.workbench.tune.sheet import bundle
from mirador_magic.workbench.tune.table import Table
from mirador_magic.workbench.tune.tries import Settings, Try, changed, changes
from mirador_magic.workbench.tune.verdict import chance, values_of, verdict
from tests.support.virtual_time import now, run

STAGE = "deep_analysis"
DEEP = next(stage.model for stage in DEFAULT_STAGES if stage.name == STAGE)
SIX = [f"question {place}" for place in range(6)]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A scripted engine, and no store: its thread knows nothing of virtual time."""
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setenv("MIRADOR_METRICS", "off")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def session_of(**answers: str | Script) -> Session:
    """A session whose models answer so; the stage's own one says `own`."""
    session = Session()
    scripts = {DEEP: "own", **answers}
    session.use(
        ScriptedEngine(
            {
                model: each if isinstance(each, Script) else Script(each, pace=1.0)
                for model, each in scripts.items()
            }
        )
    )
    return session


def engine_of(session: Session) -> ScriptedEngine:
    engine = session.engines.named("scripted", session.settings())
    assert isinstance(engine, ScriptedEngine)
    return engine


def models(*names: str) -> list[dict[str, object]]:
    return [{"model": name} for name in names]


def table_of(
    session: Session,
    variants: Sequence[Mapping[str, object]],
    questions: Sequence[str],
    repeats: int = 1,
    score: Score | None = None,
    expect: Expect | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Table:
    plan = plan_of(session, STAGE, variants, questions, repeats)

    async def main() -> Table:
        grid = Grid(session, plan, score_of(score, expect, plan.questions), tell, now)
        return await grid.run()

    return run(main())


def a_try(asked: Settings, question: str = "why?", **given: Any) -> Try:
    return Try(1, 0.0, STAGE, asked, question, "so", StageMetrics(STAGE, "m", "done"), **given)


# what changed


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"temperature": 0.7}, {"temperature": 0.2}, ["temperature 0.7 → 0.2"]),
        ({}, {"seed": 7}, ["seed the engine's own → 7"]),
        ({"think": True}, {"think": False}, ["think on → off"]),
        ({"system": "Be brief."}, {"system": "Be very brief."}, ["system +“very”"]),
        ({"system": "Be brief."}, {"system": "Be kind."}, ["system −“brief.” +“kind.”"]),
        ({"system": "Be  brief."}, {"system": "Be brief."}, ["system spaced anew"]),
        ({"model": "a"}, {"model": "a"}, []),
        (
            {"model": "a", "top_p": 1.0},
            {"model": "b", "top_p": 0.9},
            ["model a → b", "top_p 1 → 0.9"],
        ),
    ],
)
def test_what_changed_is_told(before: Settings, after: Settings, told: list[str]) -> None:
    assert changes(before, after) == told


def test_a_try_tells_what_is_new_about_it() -> None:
    first = a_try({"seed": 1})
    assert changed(None, first) == "the first"
    assert changed(first, a_try({"seed": 1})) == "again"
    assert changed(first, a_try({"seed": 1}, "how?")) == "another question"
    assert changed(first, a_try({"seed": 2}, "how?")) == "seed 1 → 2"


# what makes it permanent

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "system": st.text(),
        "model": st.text(min_size=1).filter(lambda text: text == text.strip() != ""),
        "temperature": st.floats(0, 2),
        "num_predict": st.integers(1, 10**6),
        "seed": st.integers(),
        "think": st.booleans() | st.sampled_from(["low", "high"]),
        "num_ctx": st.integers(1, 10**6) | st.just("model"),
        "keep_alive": st.just(-1.0) | st.floats(0, 1e6),
        "options.top_k": st.integers(),
        "options.stop": st.lists(st.text(min_size=1), min_size=1).map(tuple),
        "options.odd": st.booleans() | st.floats(-100, 100),
    },
)


@settings(max_examples=40)
@given(VALUES, st.sampled_from(["deep_analysis", "größe"]))
def test_the_toml_sets_what_it_says(values: dict[str, object], stage: str) -> None:
    table = tomllib.loads(permanent.toml(stage, values))["tool"]["mirador"]
    found = {key: each.value for key, each in of_table(table, "here").items()}
    assert found == {f"{stage}.{key}": value for key, value in values.items()}


@settings(max_examples=40)
@given(VALUES)
def test_the_python_sets_what_it_says(values: dict[str, object]) -> None:
    (line,) = ast.parse(permanent.python(STAGE, values)).body
    assert isinstance(line, ast.Expr) and isinstance(line.value, ast.Call)
    (given,) = line.value.keywords
    found = ast.literal_eval(given.value)
    assert found == {f"{STAGE}.{key}": value for key, value in values.items()}


# the plan

STEPS = st.lists(
    st.builds(
        lambda model, ctx, question, repeat: Step(
            Variant(model, {}, {"model": model, "num_ctx": ctx}), question, repeat
        ),
        st.sampled_from(["a", "b", "c:latest"]),
        st.sampled_from([2048, 4096]),
        st.sampled_from(["q", "r"]),
        st.integers(0, 1),
    )
)


@settings(max_examples=50)
@given(STEPS, st.lists(st.sampled_from(["a", "b", "c"])))
def test_models_swap_least_and_nothing_is_lost(steps: list[Step], resident: list[str]) -> None:
    ordered = order(steps, resident)
    assert sorted(ordered, key=repr) == sorted(steps, key=repr)
    swaps = sum(one.load != other.load for one, other in pairwise(ordered))
    assert swaps == max(len({step.load for step in steps}) - 1, 0)
    here = [step.load[0] in resident for step in ordered]
    assert here == sorted(here, reverse=True)


def test_a_plan_asks_whole_rounds() -> None:
    plan = plan_of(Session(), STAGE, [{"seed": 1}, {"seed": 2}], ["q", "r"], 2)
    asked = [(step.repeat, step.question, step.variant.name) for step in order(plan.steps)]
    assert asked == [
        (repeat, question, name)
        for repeat in (0, 1)
        for question in ("q", "r")
        for name in ("seed 1", "seed 2")
    ]


def test_variants_have_names_that_differ() -> None:
    long = "Answer in the way that is most useful to those who know nothing of it"
    plan = plan_of(
        Session(),
        STAGE,
        [{}, {"temperature": 0.2, "name": "cold"}, {"system": f"{long}."}, {"system": f"{long}!"}],
        "why?",
    )
    names = [variant.name for variant in plan.variants]
    assert names[:2] == ["as it is", "cold"]
    assert names[2].endswith("… (3)")
    assert names[3].endswith("… (4)")
    assert plan.questions == ["why?"]


def test_a_plan_is_known_by_what_it_asks() -> None:
    def name(*given: Any) -> str:
        return plan_of(Session(), STAGE, *given).name

    one = name([{"seed": 1, "name": "x"}], ["q"])
    assert one == name([{"seed": "1"}], ["q", " q "])
    assert one != name([{"seed": 1}], ["r"])
    assert one != name([{"seed": 2}], ["q"])
    assert one != name([{"seed": 1}], ["q"], 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("deep_analysi", [{}], ["q"]), "no stage 'deep_analysi'.*did you mean deep_analysis"),
        ((STAGE, [{"temprature": 1}], ["q"]), "no setting.*did you mean temperature"),
        ((STAGE, [{"temperature": "hot"}], ["q"]), "is not a number"),
        ((STAGE, [{"engine": "ollama"}], ["q"]), "no setting"),
        ((STAGE, ["cold"], ["q"]), "'cold' is no variant"),
        ((STAGE, [], ["q"]), "there is no variant"),
        ((STAGE, [{}], []), "a question is missing"),
        ((STAGE, [{}], ["q", "  "]), "a question is missing"),
        ((STAGE, [{}], ["q"], 0), "repeats = 0"),
        (
            (STAGE, [{"seed": 1}, {"seed": "1", "name": "x"}], ["q"]),
            "'seed 1' and 'x' are the same",
        ),
    ],
)
def test_what_cannot_be_asked_is_an_error_in_one_line(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_of(Session(), *given)


def test_what_is_done_is_not_asked_again() -> None:
    plan = plan_of(Session(), STAGE, [{"seed": 1}], ["q", "r"])
    asked = plan.variants[0].settings
    done = a_try(asked, "q")
    failed = Try(1, 0.0, STAGE, asked, "r", "", StageMetrics(STAGE, "m", "failed"))
    assert [step.question for step in remaining(plan.steps, [done, failed])] == ["r"]
    assert untried(plan.steps, [done, failed]) == []
    assert len(remaining(plan.steps, [a_try(asked, "q", repeat=1)])) == 2


# the grid


def test_every_variant_answers_every_question_and_models_swap_least() -> None:
    session = session_of(a="one two", b="three")
    table = table_of(session, [*models("a", "b"), {"model": "a", "seed": 1}], ["q", "r"], 2)
    asked = [request.model for request in engine_of(session).requests]
    assert asked == ["a"] * 8 + ["b"] * 4
    assert len(table.tries) == 12
    assert table.missing == 0
    rows = table.rows()
    assert {row["variant"]: row["answer"] for row in rows} == {
        "model a": "one two",
        "model b": "three",
        "model a, seed 1": "one two",
    }
    seeds = [request.options.seed for request in engine_of(session).requests]
    assert seeds.count(1) == 4
    assert not session.asked


def test_the_model_in_memory_is_asked_first() -> None:
    session = session_of(a="one", b="two")
    engine_of(session).loaded.append("b")
    table_of(session, models("a", "b"), ["q"])
    assert [request.model for request in engine_of(session).requests] == ["b", "a"]


def test_the_time_left_is_that_of_the_tries_so_far() -> None:
    heard: list[Progress] = []
    session = session_of(a="one two three")  # a word a second, but for the first
    table_of(session, models("a"), ["q", "r", "s"], tell=heard.append)
    assert [(each.done, each.total, each.left) for each in heard] == [
        (0, 3, None),
        (1, 3, 4.0),
        (2, 3, 2.0),
    ]
    assert str(heard[1]) == "1 of 3 tries · about 0:04 left · model a: r"


def test_a_stop_keeps_what_is_done_and_the_same_call_goes_on() -> None:
    session = session_of(a="one two three")
    plan = plan_of(session, STAGE, models("a"), ["q", "r", "s"])

    async def stopped() -> Table:
        grid = Grid(session, plan)
        going = asyncio.create_task(grid.run())
        await asyncio.sleep(3)  # the second one has begun at 2
        grid.stop()
        return await going

    first = run(stopped())
    assert [row["question"] for row in first.rows()] == ["q"]
    assert first.missing == 2
    assert "1 of 3 tries were made → the same tune() again goes on from here" in str(first)
    assert engine_of(session).closed_early == ["a"]
    again = table_of(session, models("a"), ["q", "r", "s"])
    assert [row["question"] for row in again.rows()] == ["q", "r", "s"]
    assert again.tries[0] == first.tries[0]
    assert len(engine_of(session).requests) == 4
    table_of(session, models("a"), ["q", "r", "s"])  # all was done: this is another grid
    assert len(engine_of(session).requests) == 7


def test_a_stop_between_two_tries_makes_no_other() -> None:
    session = session_of(a="one")
    plan = plan_of(session, STAGE, models("a"), ["q", "r"])
    grid = Grid(session, plan, tell=lambda progress: grid.stop() if progress.done else None)
    assert run(grid.run()).missing == 1


def test_an_interrupt_ends_the_run_and_the_same_call_goes_on() -> None:
    session = session_of(a="one two three")
    plan = plan_of(session, STAGE, models("a"), ["q", "r"])

    async def interrupted() -> None:
        going = asyncio.create_task(Grid(session, plan).run())
        await asyncio.sleep(3)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going

    run(interrupted())
    assert engine_of(session).closed_early == ["a"]
    assert not session.going
    assert table_of(session, models("a"), ["q", "r"]).missing == 0
    assert len(engine_of(session).requests) == 3


def test_a_variant_that_fails_is_told_and_the_others_are_compared() -> None:
    session = session_of(a="one")
    table = table_of(session, models("a", "absent"), ["q"], expect="one")
    assert [row["ended"] for row in table.rows()] == ["done", "failed"]
    assert "no script for 'absent'" in str(table.rows()[1]["error"])
    assert "0, 1 failed" in str(table)
    assert table.missing == 0
    assert table.winner is None


def test_no_engine_is_an_error_that_keeps_what_is_done() -> None:
    class Leaving(ScriptedEngine):
        async def probe(self) -> None:
            if self.requests:
                raise EngineUnavailable("nobody answers", "start it")

    session = Session()
    session.use(Leaving({"a": Script("one")}))
    plan = plan_of(session, STAGE, models("a"), ["q", "r"])

    async def main() -> None:
        grid = Grid(session, plan)

        def forget(progress: Progress) -> None:
            session.engines.forget()

        grid.tell = forget
        with pytest.raises(EngineUnavailable, match="nobody answers"):
            await grid.run()

    run(main())
    assert [each.question for each in record_of(session).of(STAGE)] == ["q"]


# scores


def test_the_users_own_score_may_wait() -> None:
    async def score(question: str, answer: str) -> float:
        await asyncio.sleep(1)
        return len(answer) + len(question) / 10

    table = table_of(session_of(a="one", b="three"), models("a", "b"), ["q"], score=score)
    assert [row["score"] for row in table.rows()] == [3.1, 5.1]


@pytest.mark.parametrize(
    ("expect", "scores"),
    [
        ("ONE", [1.0, 0.0]),
        (re.compile("ONE"), [0.0, 0.0]),
        (["one", "three"], [1.0, 1.0]),
        ({"q": "^one$", " r ": "t.*e"}, [1.0, 1.0]),
    ],
)
def test_expected_patterns_give_one_or_nothing(expect: Expect, scores: list[float]) -> None:
    score = score_of(None, expect, ["q", "r"])
    assert score
    assert [score("q", "one"), score("r", "three")] == scores


@pytest.mark.parametrize(
    ("score", "expect", "message"),
    [
        (len, "a", "both given"),
        (None, "(", r"'\(' is no pattern"),
        (None, ["a"], "1 patterns for 2 questions"),
        (None, {"q": "a"}, "no pattern for 'r'"),
    ],
)
def test_what_cannot_score_is_an_error(score: Any, expect: Expect, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        score_of(score, expect, ["q", "r"])


@pytest.mark.parametrize("value", ["good", None, float("nan")])
def test_a_score_that_is_no_number_is_an_error_and_the_try_is_kept(value: Any) -> None:
    session = session_of(a="one")
    with pytest.raises(UsageError, match="is not a number"):
        table_of(session, models("a"), ["q"], score=lambda question, answer: value)
    assert len(record_of(session).of(STAGE)) == 1


# the winner


def means(*scores: float) -> dict[str, float]:
    return {f"question {place}": score for place, score in enumerate(scores)}


def test_six_questions_that_all_say_the_same_show_a_winner() -> None:
    found = verdict({"plain": means(*[0] * 6), "brief": means(*[1] * 6)})
    assert found.winner == "brief"
    assert found.text == (
        "brief is better: score 1.00 against 0.00 of plain, "
        "+1.00 (95 %: +1.00 to +1.00) over 6 questions"
    )


@pytest.mark.parametrize(
    "scores",
    [
        ([1.0] * 5, [0.0] * 5),  # five questions fall so by chance in one case of sixteen
        ([1.0], [0.0]),
        ([1, 0, 0, 1, 0, 1], [0.0] * 6),  # three that differ
        ([1, 0] * 10, [0, 1] * 10),
        ([0.5] * 20, [0.5] * 20),
    ],
)
def test_what_chance_may_have_done_is_no_winner(scores: Any) -> None:
    one, other = scores
    found = verdict({"one": means(*one), "other": means(*other)})
    assert found.winner is None
    assert found.text.startswith("no difference shown: ")


def test_a_winner_leads_each_other_variant() -> None:
    values = {"a": means(*[1] * 9), "b": means(*[1] * 8, 0), "c": means(*[0] * 9)}
    assert verdict(values).winner is None
    del values["b"]
    assert verdict(values).winner == "a"


def test_one_variant_alone_wins_nothing() -> None:
    assert "fewer than two variants" in verdict({"a": means(1, 1)}).text


def test_equal_variants_seldom_have_a_winner() -> None:
    rng = random.Random(11)
    values = [
        {name: means(*(rng.random() for _ in range(8))) for name in ("a", "b")} for _ in range(80)
    ]
    winners = sum(verdict(each).winner is not None for each in values)
    assert winners <= 0.08 * len(values)


@settings(max_examples=20)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=16))
def test_chance_knows_no_direction(differences: list[float]) -> None:
    found = chance(differences)
    assert 0 < found <= 1
    assert chance([-each for each in differences]) == found
    if not any(differences):
        assert found == 1


def test_repeats_of_one_question_count_once() -> None:
    tries = [a_try({}, "q", name="a", score=score, repeat=at) for at, score in enumerate((1, 0))]
    assert values_of(tries, "score") == {"a": {"q": 0.5}}
    assert values_of(tries, "rating") == {}


def test_a_grid_names_the_better_variant() -> None:
    session = session_of(good="It scatters.", bad="It is painted.")
    table = table_of(session, models("bad", "good"), SIX, expect="scatter")
    assert table.winner == "model good"
    assert "model good is better: score 1.00 against 0.00 of model bad" in str(table)
    assert "██████████ 1.00 (0.61–1.00)" in str(table)


def test_without_a_score_the_table_says_how_to_have_one() -> None:
    table = table_of(session_of(a="one"), models("a"), ["q"])
    assert "give tune() score= or expect=, or rate the answers" in str(table)
    assert table.winner is None


# what is shown


def test_the_table_is_a_frame_too() -> None:
    table = table_of(session_of(a="one two"), models("a"), ["q", "r"], expect="two")
    frame = table.frame
    assert list(frame["answer"]) == ["one two", "one two"]
    assert list(frame["score"]) == [1.0, 1.0]
    assert {"variant", "question", "ttft", "total", "tokens", "confidence"} <= set(frame.columns)


def test_what_a_model_or_a_user_wrote_stays_text() -> None:
    hostile = "<script>x</script>\x1b[31m<img src=x>"
    session = session_of(a=hostile)
    variants = [{"model": "a", "name": hostile}, {}]
    table = table_of(session, variants, [f"why {hostile}"], expect="x")
    shown = table._repr_mimebundle_()
    sheet = bundle(STAGE, table.tries, {"in Python": hostile})
    for each in (shown, sheet):
        assert "<script" not in each["text/html"]
        assert "<img" not in each["text/html"]
        assert "&lt;script&gt;" in each["text/html"]
        assert not re.search(r"<(style|svg)|.<[^>]* class=", each["text/html"])
    assert "\x1b" not in shown["text/plain"]


def test_the_sheet_tells_each_try_by_what_changed() -> None:
    session = session_of(a="one", b="two")
    table_of(session, models("a", "b"), ["q"])
    text = bundle(STAGE, record_of(session).of(STAGE))["text/plain"]
    title, heads, first, second = text.splitlines()
    assert title == "mirador tuner · deep_analysis · 2 tries"
    assert heads.split()[:4] == ["try", "changed", "question", "answer"]
    assert "the first" in first
    assert "model a → b" in second
    assert "two" in second


def test_in_a_terminal_the_verb_prints_the_tries() -> None:
    session = session_of(a="one")
    table_of(session, models("a"), ["q"])
    text = str(run(tuning.verb(session, Line("tune", STAGE))))
    assert "1 try" in text
    assert "await tune('deep_analysis', variants, questions)" in text
    with pytest.raises(UsageError, match="there is no stage 'x'"):
        run(tuning.verb(session, Line("tune", "x")))


def test_tune_is_for_the_session_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(a="one")
    monkeypatch.setattr(tuning, "current", lambda: session)
    table = run(tuning.tune(STAGE, models("a"), ["q"], expect="one"))
    assert [row["score"] for row in table.rows()] == [1.0]


def test_the_tuner_without_a_loop_is_an_error_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"tuner\(\) needs a notebook → %mirador tune"):
        tuning.tuner()


# the blind view


def rated(blind: Blind, rating: Callable[[Try], int]) -> None:
    while not blind.is_over:
        blind.rate(rating(blind.card))


def test_the_blind_view_shows_no_name_and_its_ratings_find_the_winner() -> None:
    session = session_of(good="It scatters.", bad="It is painted.")
    table = table_of(session, models("bad", "good"), SIX)
    blind = table.blind(seed=3)
    seen = []
    while not blind.is_over:
        assert "model" not in str(blind)
        assert blind.card.question in str(blind)
        seen.append((blind.card.question, blind.card.answer))
        blind.rate(5 if "scatters" in blind.card.answer else 2)
    assert sorted(seen) == sorted((each.question, each.answer) for each in table.tries)
    questions = [question for question, _ in seen]
    assert all(questions.index(each) // 2 * 2 == questions.index(each) for each in questions)
    assert len({answer for _, answer in seen[::2]}) == 2  # now the one first, now the other
    assert table.winner == "model good"
    assert "rating 5.00 against 2.00 of model bad" in str(blind)
    assert {each.rating for each in record_of(session).of(STAGE)} == {5, 2}


def test_one_may_go_back_and_skip() -> None:
    table = table_of(session_of(a="one"), models("a"), ["q", "r"])
    blind = table.blind()
    blind.back()
    blind.rate(1)
    blind.back()
    assert blind.heading == "answer 1 of 2 · rated 1"
    blind.rate(4)
    blind.skip()
    blind.skip()
    assert blind.is_over
    assert sorted(each.rating or 0 for each in table.tries) == [0, 4]
    with pytest.raises(UsageError, match="all answers were seen"):
        blind.rate(3)


@pytest.mark.parametrize("rating", [0, 6, 2.5])
def test_a_rating_is_one_of_five(rating: Any) -> None:
    table = table_of(session_of(a="one"), models("a"), ["q"])
    for rate in (table.blind().rate, lambda rating: table.rate(1, rating)):
        with pytest.raises(UsageError, match="is not in 1..5"):
            rate(rating)


def test_nothing_done_is_nothing_to_rate() -> None:
    plan = Plan(STAGE, [], [])
    with pytest.raises(UsageError, match="no answer to rate"):
        Table(plan, Record(Session()), []).blind()


# the record


def kept(session: Session, variants: Sequence[Mapping[str, object]], questions: list[str]) -> Table:
    """A grid in real time, so that the store's threads may work."""
    plan = plan_of(session, STAGE, variants, questions)

    async def main() -> Table:
        try:
            return await Grid(session, plan).run()
        finally:
            record_of(session).flush()
            await session.aclose()

    return asyncio.run(main())


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRADOR_METRICS", "on")


@pytest.mark.usefixtures("stored")
def test_another_kernel_has_settings_figures_and_ratings_but_no_texts() -> None:
    session = session_of(a=Script("a secret answer"))
    table = kept(session, [{"model": "a", "seed": 7}], ["a secret question"])
    table.rate(1, 4)
    record_of(session).flush()
    (tried,) = Record(Session()).of(STAGE)
    assert (tried.settings["seed"], tried.rating, tried.is_done) == (7, 4, True)
    assert tried.figures == table.tries[0].figures
    assert tried.question == tried.answer == ""
    assert all(b"secret" not in file.read_bytes() for file in path().parent.iterdir())
    assert "(not kept)" in bundle(STAGE, [tried])["text/plain"]


@pytest.mark.usefixtures("stored")
def test_options_of_an_engine_are_tried_and_recorded() -> None:
    variants: list[dict[str, object]] = [
        {"options.top_k": 1, "model": "a"},
        {"options": {"top_k": 2, "stop": ["END"]}, "model": "a", "think": "low"},
        {"model": "a", "keep_alive": "30m", "num_ctx": "model"},
    ]
    session = session_of(a=Script("one"))
    names = [row["variant"] for row in kept(session, variants, ["why?"]).rows()]
    assert names[0] == "options.top_k 1, model a" and "stop" in str(names[1])
    asked = [dict(each.options.more) for each in engine_of(session).requests]
    assert asked == [{"top_k": 1}, {"stop": ("END",), "top_k": 2}, {}]
    one, two, three = Record(Session()).of(STAGE)
    assert (one.settings["options.top_k"], two.settings["options.stop"]) == (1, ["END"])
    assert (three.settings["keep_alive"], three.settings["num_ctx"]) == (1800, "model")
    told = changed(one, two)
    assert "options.top_k 1 → 2" in told and "think the engine's own → low" in told
    mine = dataclasses.replace(two, settings={**two.settings, "options.stop": ("END",)})
    assert changes(two.settings, mine.settings) == []


@pytest.mark.usefixtures("stored")
def test_with_texts_another_kernel_goes_on_with_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRADOR_KEEP_TEXTS", "on")
    session = session_of(a=Script("one"))
    plan = plan_of(session, STAGE, models("a"), ["q", "r"])

    async def stopped() -> None:
        grid = Grid(session, plan, tell=lambda progress: grid.stop() if progress.done else None)
        await grid.run()
        record_of(session).flush()
        await session.aclose()

    asyncio.run(stopped())
    other = session_of(a=Script("one"))
    table = kept(other, models("a"), ["q", "r"])
    assert [row["answer"] for row in table.rows()] == ["one", "one"]
    assert [request.messages[-1].content for request in engine_of(other).requests] == ["r"]


@pytest.mark.usefixtures("stored")
def test_a_store_that_fails_costs_one_warning_and_no_try(caplog: pytest.LogCaptureFixture) -> None:
    path().parent.mkdir(parents=True)
    path().write_bytes(b"no database" * 100)
    session = session_of(a=Script("one"))
    with caplog.at_level(logging.WARNING, "mirador_magic.workbench.tune"):
        table = kept(session, models("a"), ["q", "r"])
        table.rate(1, 3)
        record_of(session).flush()
    assert len(table.tries) == 2
    (told,) = [
        each for each in caplog.records if each.name == "mirador_magic.workbench.tune.record"
    ]
    assert "the tries are kept in this kernel alone" in told.getMessage()


@pytest.mark.usefixtures("stored")
def test_a_try_of_another_version_is_left_out() -> None:
    session = session_of(a=Script("one"))
    kept(session, models("a"), ["q"])
    with sqlite3.connect(path()) as connection:
        connection.execute("UPDATE tries SET json = json_set(json, '$.later', 1)")
        connection.execute(
            "INSERT INTO tries (at, stage, json) VALUES (0, ?, '{\"other\": 1}')", (STAGE,)
        )
    connection.close()
    assert [each.number for each in Record(Session()).of(STAGE)] == [1]
