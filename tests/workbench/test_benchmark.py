"""The benchmark: what is asked, in which order, what is measured, and what may be said of it."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mirador_magic.session.session
from mirador_magic.commands.line import Line
from mirador_magic.commands.line import read as read_line
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineLost, EngineUnavailable, ModelMissing, UsageError
from mirador_magic.pipeline.run import Run
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.benchmark import THE_NINE, Benchmark, Point, files, load, measure, verb
from mirador_magic.workbench.benchmark.figures import change_sentence, ratios, rows, sentence
from mirador_magic.workbench.benchmark.plan import Arm, Trial, arms, seconds_left, trials
from mirador_magic.workbench.benchmark.plot import dots, picture, series, text_plot
from mirador_magic.workbench.benchmark.questions import of_text, read
from mirador_magic.workbench.benchmark.sheet import left, live, page, text
from mirador_magic.workbench.benchmark.suite import Progress, Suite
from mirador_magic.workbench.intervals import FEWEST
from tests.notebook.test_kernel import NO_OLLAMA, SETUP, anew
from tests.support.kernels import Cell, Kernel, kernel
from tests.support.patience import PATIENCE
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)

# Seconds until the first word and until the end: 0.2 and 0.4, 0.5 and 1.0, 0.1 and 0.6.
SCRIPTS = {
    QUICK: Script("one two three", first=0.2, pace=0.1, load=3.0),
    DEEP: Script("four five", first=0.5, pace=0.5, load=3.0),
    SYNTHESIS: Script("six seven", first=0.1, pace=0.5, load=3.0),
}


# --- what is asked -------------------------------------------------------------------------------


def test_without_questions_the_nine_are_asked() -> None:
    assert read(None) == THE_NINE
    assert len(set(THE_NINE)) == 9


def test_questions_come_from_a_list_a_file_a_column_or_a_cell(tmp_path: Path) -> None:
    lines, listed = tmp_path / "questions.txt", tmp_path / "questions.json"
    lines.write_text("why?\n\n  how?\nwhy?\n", encoding="utf-8")
    listed.write_text('["why?", "how?"]', encoding="utf-8")
    column = pandas.DataFrame({"q": ["why?", None, "how?"]})["q"]
    given = [["why?", "how?"], lines, str(listed), column, iter(["why?", "how?"])]
    for each in given:
        assert read(each) == ("why?", "how?")
    assert of_text("why?\n\n how?") == ("why?", "how?")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "no question in the list"),
        ("nowhere.txt", r"nowhere.txt cannot be read.*benchmark\(\["),
        (pandas.DataFrame({"q": ["why?"]}), r'give one: benchmark\(df\["question"\]\)'),
    ],
)
def test_questions_that_are_none_are_an_error(given: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read(given)


@pytest.mark.parametrize(("written", "told"), [("[1, 2]", "other things"), ("[why?", "no JSON")])
def test_a_file_that_cannot_be_meant_is_an_error(tmp_path: Path, written: str, told: str) -> None:
    file = tmp_path / "questions.json"
    file.write_text(written, encoding="utf-8")
    with pytest.raises(UsageError, match=told):
        read(file)


# --- what is compared, in which order ------------------------------------------------------------


def test_what_is_compared() -> None:
    assert arms() == (Arm("traditional", at_end=True), Arm("progressive"))
    quick = ("quick_response",)
    assert arms(["a", "b"]) == (Arm("a", quick, "a"), Arm("b", quick, "b"))
    both = ("quick_response", "synthesis")
    assert arms(stages=["fast", "quick_response+synthesis"]) == (
        Arm("fast", quick),
        Arm("quick_response+synthesis", both),
    )
    assert arms(["a"], ["balanced"]) == (
        Arm("traditional", both, "a", at_end=True),
        Arm("progressive", both, "a"),
    )


@pytest.mark.parametrize(
    ("models", "stages"), [(["a", "b"], ["fast", "deep"]), (["a", "a"], []), ([], ["deep", "deep"])]
)
def test_two_comparisons_at_once_or_one_with_itself_are_an_error(
    models: list[str], stages: list[str]
) -> None:
    with pytest.raises(UsageError):
        arms(models, stages)


@given(st.integers(2, 4), st.integers(1, 9), st.integers(1, 5))
def test_every_arm_answers_each_question_and_takes_its_turn_at_being_first(
    many: int, questions: int, repeats: int
) -> None:
    compared = [Arm(f"arm{number}") for number in range(many)]
    order = trials(compared, questions, repeats)
    assert len(set(order)) == len(order) == many * questions * (repeats + 1)
    assert [trial.cold for trial in order] == sorted(trial.cold for trial in order)
    groups = [order[at : at + many] for at in range(0, len(order), many)]
    for group in groups:
        assert len({(t.question, t.number, t.cold) for t in group}) == 1
        assert {t.arm.name for t in group} == {arm.name for arm in compared}
    firsts = Counter(group[0].arm.name for group in groups if not group[0].cold)
    if repeats % many == 0:
        assert set(firsts.values()) == {questions * repeats // many}


def test_the_time_left_tells_cold_from_warm() -> None:
    arm = Arm("a")
    warm, cold = Trial(arm, 0, 0, False), Trial(arm, 0, 0, True)
    assert seconds_left([], [warm]) is None
    assert seconds_left([(False, 2.0)], [warm, cold]) == 4.0
    assert seconds_left([(False, 2.0), (True, 10.0)], [warm, warm, cold]) == 14.0
    assert [left(None), left(0.2), left(90), left(600), left(9000)] == [
        "time left: not known yet",
        "about 1 s left",
        "about 90 s left",
        "about 10 min left",
        "about 2.5 h left",
    ]


# --- what may be said of it ----------------------------------------------------------------------


def measured(
    progressive: list[float], traditional: list[float], *, cold: bool = False, **more: Any
) -> Benchmark:
    """A benchmark of as many questions, each answered once by each arm in these seconds."""
    pairs = enumerate(zip(progressive, traditional, strict=True))
    points = [
        Point(arm, place, 0, cold, useful, total, rate=20.0)
        for place, (one, other) in pairs
        for arm, useful, total in (("traditional", other, other), ("progressive", one, other))
    ]
    questions = tuple(f"question {number}" for number in range(len(progressive)))
    machine = {"engine": "scripted", "mirador": "1", "CPUs": "2"}
    started = "2026-01-02T03:04:05+00:00"
    made = Benchmark(questions, arms(), tuple(points), len(points), started, machine)
    return replace(made, **more)


TEN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


def test_a_ratio_is_the_median_over_the_pairs() -> None:
    result = measured([each / 4 for each in TEN], TEN)
    useful, total = ratios(result)
    assert (useful.estimate.value, useful.estimate.count) == (0.25, 10)
    assert (useful.estimate.interval, total.estimate.value) == (
        total.estimate.interval
        and replace(total.estimate.interval, value=0.25, low=0.25, high=0.25),
        1.0,
    )
    assert sentence(result) == (
        "On these 10 questions, warm: progressive against traditional, the first useful text comes "
        "4.0 times sooner (4.0 to 4.0), and no difference is shown in the total time."
    )


def test_no_difference_is_shown_where_the_interval_holds_one() -> None:
    mixed = [each * (0.8 if place % 2 else 1.25) for place, each in enumerate(TEN)]
    (useful, _) = ratios(measured(mixed, TEN))
    assert useful.estimate.interval
    assert useful.estimate.interval.low < 1 < useful.estimate.interval.high
    told = "no difference is shown in the first useful text nor in the total time."
    assert sentence(measured(mixed, TEN)).endswith(told)


def test_what_comes_later_is_said_to() -> None:
    slower = sentence(measured([each * 3 for each in TEN], TEN))
    assert "the first useful text comes 3.0 times later (3.0 to 3.0)" in slower


@given(st.integers(FEWEST, 60))
def test_an_interval_leaves_out_as_many_as_one_time_in_twenty_allows(count: int) -> None:
    """A run's place says which rank it has; the true median is as likely below as above each."""
    times = [float(place) for place in range(1, count + 1)]
    (row,) = [r for r in rows(measured(times, times)) if r.arm == "progressive"]
    assert row.total and row.total.interval
    interval = row.total.interval
    cut = int(interval.low)
    assert interval.high == count + 1 - cut
    misses = [2 * sum(math.comb(count, k) for k in range(c)) / 2**count for c in (cut, cut + 1)]
    assert misses[0] <= 0.05 < misses[1]


def test_few_pairs_have_no_interval_and_tell_nothing() -> None:
    few = measured([0.1] * (FEWEST - 1), [1.0] * (FEWEST - 1))
    assert all(ratio.estimate.interval is None for ratio in ratios(few))
    assert "5 pairs are too few to tell, 6 are the fewest" in sentence(few)
    assert "0.10, too few to tell" in text(few)
    one = sentence(replace(few, points=few.points[:3]))  # the second question has no pair
    assert one.startswith("On this question, warm: progressive against traditional, 1 pair is too")
    enough = measured([0.1] * FEWEST, [1.0] * FEWEST)
    assert "10 times sooner" in sentence(enough)


def test_of_a_wide_interval_the_sure_end_alone_is_told() -> None:
    wide = measured([0.002, 0.05, 0.05, 0.05, 0.05, 0.5], [1.0] * 6)
    assert "the first useful text comes at least 2.0 times sooner" in sentence(wide)
    slower = measured([1.0] * 6, [0.002, 0.05, 0.05, 0.05, 0.05, 0.5])
    assert "the first useful text comes at least 2.0 times later" in sentence(slower)


def test_cold_runs_are_told_where_there_are_no_warm_ones() -> None:
    assert "questions, cold: progressive" in sentence(measured(TEN, TEN, cold=True))
    nothing = replace(measured(TEN, TEN), points=())
    assert "nothing is shown" in sentence(nothing)


def test_what_failed_is_counted_and_makes_no_figure() -> None:
    good = measured([0.5] * 7, [1.0] * 7)
    bad = [
        Point("progressive", 0, 1, False, 0.001, 0.002, partial=True, error="EngineLost"),
        Point("progressive", 1, 1, False, None, 0.001, outcome="failed", error="EngineLost"),
    ]
    result = replace(good, points=(*good.points, *bad))
    (row,) = [row for row in rows(result) if row.arm == "progressive"]
    assert (row.runs, row.failed) == (9, 2)
    assert row.useful and row.useful.value == 0.5
    assert ratios(result) == ratios(good)
    assert "7 of 9" in text(result)
    assert "2 not counted, which failed wholly or in part: EngineLost" in text(result)


def test_a_question_that_came_before_is_compared_with_itself() -> None:
    then = measured([each / 2 for each in TEN], TEN, machine={"engine": "old", "CPUs": "2"})
    now_ = measured(TEN, TEN, earlier=then, earlier_name="then.json")
    told = change_sentence(now_)
    assert "progressive against then.json, the first useful text comes 2.0 times later" in told
    assert "traditional against then.json, no difference is shown" in told
    assert "compared with then.json, of 2026-01-02T03:04:05+00:00; there it was engine old" in text(
        now_
    )
    others = replace(then, questions=tuple(f"other {n}" for n in range(len(TEN))))
    assert "is of the same arms on the same questions" in change_sentence(
        replace(now_, earlier=others)
    )


# --- how it is shown -----------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>\x1b[31m"


def test_what_is_shown_is_text_whatever_was_asked() -> None:
    evil = replace(
        measured([0.5] * 7, TEN[:7]),
        arms=(Arm("traditional", at_end=True), Arm(EVIL)),
        machine={"engine": EVIL},
        notes=(EVIL,),
    )
    evil = replace(
        evil,
        points=tuple(
            replace(each, arm=EVIL) if each.arm == "progressive" else each for each in evil.points
        ),
    )
    evil = replace(evil, earlier=evil, earlier_name=EVIL)
    for shown in (page(evil, plotted=True), live(evil, None, EVIL)):
        assert "<script" not in shown
        assert "&lt;script" in shown
        assert "\x1b" not in shown
    assert "\x1b" not in text(evil)


def test_the_saved_page_needs_no_style_sheet_and_no_script() -> None:
    shown = page(measured([0.5] * 7, TEN[:7]), plotted=True)
    assert not re.search(r"<(style|script|svg)|var\(", shown)


def test_the_saved_page_holds_every_figure_and_where_it_was_measured() -> None:
    result = measured([each / 4 for each in TEN], TEN)
    for shown in (page(result, plotted=True), text(result)):
        plain = re.sub(r"<[^>]+>", " ", shown)
        for told in (
            "progressive against traditional",
            sentence(result),
            "1.4 s (0.50 s to 2.2 s)",
            "0.25 (0.25 to 0.25)",
            "mirador 1",
            "CPUs 2",
            "2026-01-02",
        ):
            assert told in plain, told


def test_while_it_runs_the_table_fills_and_the_bar_grows() -> None:
    whole = measured([each / 4 for each in TEN], TEN)
    half = replace(whole, points=whole.points[:10])
    shown = live(half, 75.0, "progressive, warm: why?")
    assert "width:50.0%" in shown
    for told in ("10 of 20 runs", "about 75 s left", "progressive, warm: why?", "0.75 s"):
        assert told in shown
    assert "not known yet" in live(replace(whole, points=()), None, "")


def test_every_point_is_in_the_plot() -> None:
    result = measured([each / 4 for each in TEN], TEN)
    assert sum(len(line.values) for line in series(result)) == 30
    assert dots(result).count("border-radius:4px") == 30
    lines = [line.split("│")[1] for line in text_plot(result).splitlines() if "│" in line]
    assert [sum(1 if c == "·" else int(c) for c in line if c != " ") for line in lines] == [10] * 3
    assert lines[1].startswith("·")
    assert lines[0].endswith("·")
    alike = measured([1.0] * 12, [1.0] * 12)
    assert "+" in text_plot(alike)
    assert text_plot(replace(result, points=())) == "no run came to its end"


def test_a_picture_is_drawn_where_matplotlib_is(monkeypatch: pytest.MonkeyPatch) -> None:
    result = measured([0.0, *TEN[1:]], TEN)
    png = picture(result)
    assert png and png.startswith(b"\x89PNG")
    assert picture(replace(result, points=())) is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert picture(result) is None


# --- files ---------------------------------------------------------------------------------------


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    result = measured([each / 4 for each in TEN], TEN, notes=("a note",))
    path = tmp_path / "folder" / "result.json"
    files.save(result, path)
    assert load(path) == result
    assert json.loads(result.to_json())["questions"][0] == "question 0"
    assert [each.name for each in path.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    "written", ["", "[]", "{}", '{"mirador_benchmark": 2}', "not JSON", '"mirador_benchmark"']
)
def test_a_file_that_holds_none_is_an_error(tmp_path: Path, written: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(written, encoding="utf-8")
    with pytest.raises(UsageError, match="holds no benchmark"):
        load(path)
    with pytest.raises(UsageError, match=r"cannot be read.*--json FILE"):
        load(tmp_path / "nowhere.json")


def test_a_run_of_a_question_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    told = json.loads(measured(TEN, TEN).to_json())
    told["questions"] = ["one"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UsageError, match="holds no benchmark"):
        load(path)


def test_the_last_one_is_kept_without_the_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no benchmark was kept yet"):
        load("last")
    then = measured([each / 2 for each in TEN], TEN)
    files.save_last(then, texts=False)
    assert "question 0" not in files.last_file().read_text(encoding="utf-8")
    again = replace(measured(TEN, TEN), earlier=load("last"), earlier_name="last")
    assert "progressive against last, the first useful text comes 2.0 times later" in (
        change_sentence(again)
    )
    files.save_last(then, texts=True)
    assert load("last").questions == then.questions


def test_a_row_of_the_data_frame_is_a_run() -> None:
    table = measured([each / 4 for each in TEN], TEN).to_dataframe()
    assert len(table) == 20
    assert list(table[table.arm == "progressive"].useful) == [each / 4 for each in TEN]
    assert table.question[0] == "question 0"


# --- running it ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def measured_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go by the loop's clock, on scripts; nothing of them is stored."""
    monkeypatch.setattr(mirador_magic.session.session, "Run", functools.partial(Run, clock=now))
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setenv("MIRADOR_METRICS", "off")


def session_of(engine: ScriptedEngine) -> Session:
    session = Session()
    session.use(engine)
    return session


def benchmarked(engine: ScriptedEngine, asked: Any = ("why?",), **options: Any) -> Benchmark:
    async def main() -> Benchmark:
        return await measure(session_of(engine), asked, **options)

    return run(main())


def of(result: Benchmark, arm: str, *, cold: bool = False) -> list[Point]:
    return [each for each in result.points if (each.arm, each.cold) == (arm, cold)]


def test_both_arms_are_run_and_their_ratio_is_exact() -> None:
    engine = ScriptedEngine(SCRIPTS)
    result = benchmarked(engine, ["why?", "how?"], repeats=3)
    assert len(result.points) == result.planned == 2 * 2 * (3 + 1)
    assert len(engine.requests) == 3 * len(result.points)  # each run asked its three stages
    for each in of(result, "progressive"):
        assert each.useful == pytest.approx(0.2)
        assert each.total == pytest.approx(2.0)
        assert each.stages == ("quick_response", "deep_analysis", "synthesis")
    for each in of(result, "traditional"):
        assert each.useful == each.total == pytest.approx(2.0)
    assert f"quick_response {QUICK}, deep_analysis {DEEP}, synthesis {SYNTHESIS}" in text(result)
    useful, total = (each for each in ratios(result) if not each.cold)
    assert (useful.estimate.count, total.estimate.count) == (6, 6)
    assert useful.estimate.value == pytest.approx(0.1)
    assert total.estimate.value == pytest.approx(1.0)


def test_the_arms_take_turns_at_being_first() -> None:
    result = benchmarked(ScriptedEngine(SCRIPTS), ["why?", "how?"], repeats=2)
    firsts = [each.arm for each in result.points[::2]]
    assert firsts[:4] == ["traditional", "progressive", "progressive", "traditional"]


def test_cold_runs_begin_with_no_model_in_memory_and_warm_ones_with_theirs() -> None:
    engine = ScriptedEngine(SCRIPTS)
    result = benchmarked(engine, stages=["quick_response"], repeats=2)
    assert [each.useful for each in of(result, "progressive")] == pytest.approx([0.2, 0.2])
    assert [each.useful for each in of(result, "progressive", cold=True)] == pytest.approx([3.2])
    assert [each.total for each in of(result, "traditional", cold=True)] == pytest.approx([3.4])
    assert [asked.model for asked in engine.warmed] == [QUICK]  # once, and measured by nobody
    (useful, _) = (ratio for ratio in ratios(result) if ratio.cold)
    assert useful.estimate.value == pytest.approx(3.2 / 3.4)


def test_a_slow_first_word_is_in_every_figure() -> None:
    slow = {**SCRIPTS, QUICK: Script("one two three", first=5.2, pace=0.1)}
    result = benchmarked(ScriptedEngine(slow), stages=["quick_response"], repeats=6)
    (row,) = [row for row in rows(result) if row.arm == "progressive" and not row.cold]
    assert row.useful and row.useful.value == pytest.approx(5.2)
    assert "5.2 s" in text(result)
    assert "1.04 times sooner" in sentence(result)


def test_models_are_compared_on_the_same_stage() -> None:
    engine = ScriptedEngine({**SCRIPTS, "a": SCRIPTS[QUICK], "b": SCRIPTS[DEEP]})
    result = benchmarked(engine, models=["a", "b"], repeats=6)
    assert {each.models for each in of(result, "b")} == {("b",)}
    assert {each.stages for each in result.points} == {("quick_response",)}
    assert sentence(result) == (
        "On this question, warm: b against a, the first useful text comes 2.5 times later (2.5 to "
        "2.5), and the whole answer is there 2.5 times later (2.5 to 2.5)."
    )


def test_routes_are_compared_on_the_same_question() -> None:
    result = benchmarked(ScriptedEngine(SCRIPTS), stages=["fast", "deep"], repeats=6)
    assert result.title == "deep against fast"
    assert sentence(result) == (
        "On this question, warm: deep against fast, the whole answer is there 5.0 times later (5.0 "
        "to 5.0), and no difference is shown in the first useful text."
    )


class Clinging(ScriptedEngine):
    """An engine that lets go of no model."""

    async def unload(self, model: str) -> None:
        await asyncio.sleep(0)


def test_where_the_engine_keeps_its_models_no_run_is_called_cold() -> None:
    result = benchmarked(Clinging(SCRIPTS), ["why?", "how?"], repeats=1)
    assert len(result.points) == 4
    assert not any(each.cold for each in result.points)
    (note,) = result.notes
    assert note.startswith("no cold runs: scripted, no model keeps ")


def test_a_stage_that_fails_is_told_and_not_timed() -> None:
    class Failing(ScriptedEngine):
        """Its connection breaks in the third answer of the second stage."""

        async def stream(self, request: Any) -> Any:
            asked = sum(each.model == DEEP for each in self.requests)
            if request.model == DEEP and asked == 2:
                self.requests.append(request)
                raise EngineLost("the cable fell out")
            async for chunk in super().stream(request):
                yield chunk

    result = benchmarked(Failing(SCRIPTS), repeats=3)
    (failed,) = [each for each in result.points if not each.counts]
    assert failed.partial
    assert failed.error == "EngineLost"
    kept = {row.arm: row.failed for row in rows(result) if not row.cold}
    assert sum(kept.values()) == 1
    assert [ratio.estimate.count for ratio in ratios(result) if not ratio.cold] == [2, 2]
    assert "1 not counted, which failed wholly or in part: EngineLost" in text(result)


def test_a_model_that_is_missing_is_an_error_at_once() -> None:
    engine = ScriptedEngine({**SCRIPTS, "a": SCRIPTS[QUICK]})
    with pytest.raises(ModelMissing, match="no script for 'b'"):
        benchmarked(engine, models=["a", "b"])
    assert len(engine.requests) <= 3


def test_an_engine_that_goes_away_ends_it_and_what_was_measured_is_kept() -> None:
    class Leaving(ScriptedEngine):
        async def resident(self) -> Any:
            if len(self.requests) >= 12:
                raise EngineUnavailable("nobody answers", "start it")
            return await super().resident()

    result = benchmarked(Leaving(SCRIPTS), repeats=9)
    assert len(result.points) == 4
    assert result.notes == ("nobody answers → start it",)

    class Absent(ScriptedEngine):
        async def probe(self) -> None:
            raise EngineUnavailable("nobody answers", "start it")

    with pytest.raises(EngineUnavailable):
        benchmarked(Absent(SCRIPTS))


def suite_of(engine: ScriptedEngine, **options: Any) -> tuple[Session, Suite]:
    session = session_of(engine)
    compared = arms(stages=["quick_response"])
    return session, Suite(session, ["why?"], compared, 5, clock=now, **options)


def test_a_stop_keeps_what_was_measured_and_not_the_run_that_it_ended() -> None:
    async def main() -> None:
        engine = ScriptedEngine(SCRIPTS)
        _, suite = suite_of(engine)
        task = asyncio.create_task(suite.run())
        await asyncio.sleep(3.0 + 3 * 0.4 + 0.1)  # the warm-up, three runs, and a part of one
        suite.stop()
        await task
        assert len(suite.result.points) == 3
        assert suite.result.notes == ("stopped after 3 of 12 runs",)
        assert engine.closed_early == [QUICK]
        assert not suite.is_through

    run(main())


def test_an_interrupt_ends_the_run_and_keeps_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "result.json"

    async def main() -> None:
        engine = ScriptedEngine(SCRIPTS)
        session = session_of(engine)
        session.readiness.pre_warm = True
        work = measure(session, ["why?"], stages=["quick_response"], file=file)
        task = asyncio.create_task(work)
        await asyncio.sleep(3.0 + 2 * 0.4 + 0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.closed_early == [QUICK]
        assert not session.going
        assert session.readiness.pre_warm
        await session.readiness.aclose()

    run(main())
    assert len(load(file).points) == 2


def test_nothing_is_told_while_a_run_is_measured() -> None:
    told: list[Progress] = []

    async def main() -> None:
        session, suite = suite_of(ScriptedEngine(SCRIPTS))

        def tell(progress: Progress) -> None:
            assert not session.going
            told.append(progress)

        suite.tell = tell
        await suite.run()

    run(main())
    assert [len(each.result.points) for each in told] == [*range(12), 12]
    assert told[0].left is None
    assert told[0].doing == "traditional, warm: why?"
    # of the three runs before, the first one waited for the warm-up: 3.4, 0.4 and 0.4 seconds
    assert told[3].left == pytest.approx(9 * 4.2 / 3)
    assert told[-1].left == 0
    assert told[-1].doing == ""


def test_a_pre_warm_that_begins_meanwhile_waits_until_all_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A notebook's extension begins to keep its models warm some time after it was loaded."""
    monkeypatch.delenv("MIRADOR_DEFAULT_STAGES")

    async def main() -> None:
        engine = ScriptedEngine(SCRIPTS)
        session = session_of(engine)
        # both go through quick_response alone, and leave the other models cold
        suite = Suite(session, ["List three things", "Give me three tips"], arms(), 1, clock=now)
        task = asyncio.create_task(suite.run())
        await asyncio.sleep(9.3)
        session.readiness.pre_warm = True
        await task
        cold = [each.total for each in suite.result.points if each.cold]
        assert cold == pytest.approx([3.4] * 4)
        assert [asked.model for asked in engine.warmed] == [QUICK, DEEP, SYNTHESIS]
        assert session.readiness.pre_warm
        await session.readiness.aclose()

    run(main())


def test_a_benchmark_beside_another_run_measures_nothing() -> None:
    async def main() -> None:
        session, suite = suite_of(ScriptedEngine(SCRIPTS))
        handle = session.start(Request("and this?"))
        with pytest.raises(UsageError, match="a run is under way"):
            await suite.run()
        await handle
        await suite.run()
        assert len(session.asked) == 1

    run(main())


def test_an_unknown_stage_is_an_error_before_anything_runs() -> None:
    engine = ScriptedEngine(SCRIPTS)
    with pytest.raises(UsageError, match="there is no stage 'quick'"):
        benchmarked(engine, stages=["quick"])
    assert not engine.warmed


def test_what_cannot_be_written_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("", encoding="utf-8")
    file = in_the_way / "result.json"
    result = benchmarked(ScriptedEngine(SCRIPTS), repeats=1, file=file)
    assert len(result.points) == 4
    assert "could not be written" in result.notes[-1]


def line(text: str, cell: str | None = None) -> Line:
    return read_line(text, cell)


def test_the_verb_reads_its_options_and_the_cell_below_it(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    asked = line(f"benchmark --repeats 2 --stages fast,deep --json {file}", "why?\nhow?\n")

    async def main() -> object:
        return await verb(session_of(ScriptedEngine(SCRIPTS)), asked)

    result = run(main())
    assert isinstance(result, Benchmark)
    assert "deep against fast" in str(result)
    assert "…" not in repr(result)
    kept = load(file)
    assert kept.questions == ("why?", "how?")
    assert len(kept.points) == 2 * 2 * 3
    against = line(f"benchmark --repeats 1 --stages fast,deep --against {file}", "why?")

    async def again() -> object:
        return await verb(session_of(ScriptedEngine(SCRIPTS)), against)

    assert "ratio to then" in str(run(again()))


def test_a_count_that_is_none_is_an_error() -> None:
    async def main(text: str) -> None:
        await verb(session_of(ScriptedEngine(SCRIPTS)), line(text))

    for wrong in ("benchmark --repeats many", "benchmark --repeats 0"):
        with pytest.raises(UsageError, match="repeats"):
            run(main(wrong))


# --- in a notebook -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel(NO_OLLAMA, SETUP) as running:
        yield running


@pytest.fixture
def notebook(shared: Kernel, tmp_path: Path) -> Kernel:
    """Where no benchmark was run yet that one could be compared with."""
    anew(shared, tmp_path)
    return shared


@pytest.fixture
def asked_by_magic(notebook: Kernel) -> Cell:
    return notebook.run("%%mirador benchmark --repeats 1 --stages quick_response\nwhy?\nhow?")


def outputs(cell: Cell) -> list[Mapping[str, str]]:
    assert cell.status == "ok", cell.error
    return [each for each in cell.shown if each]


def test_the_saved_notebook_holds_table_and_picture_and_no_widget(
    notebook: Kernel, asked_by_magic: Cell
) -> None:
    table, image = outputs(asked_by_magic)
    assert set(table) == {"text/html", "text/plain"}
    assert "8 runs" in table["text/plain"]
    assert "progressive / traditional, warm" in table["text/html"]
    assert base64.b64decode(image["image/png"]).startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" not in image
    live_view = asked_by_magic.of("display_data")[0]["data"]
    assert "application/vnd.jupyter.widget-view+json" in live_view
    left_behind = "[t for t in asyncio.all_tasks() if 'mirador run' in t.get_name()]"
    assert notebook.value(left_behind) == "[]"


def test_python_has_the_same_and_compares_with_the_last(
    notebook: Kernel, asked_by_magic: Cell
) -> None:
    code = "from mirador_magic import benchmark\n"
    code += "result = await benchmark(['why?', 'how?'], stages=['quick_response'], repeats=1, "
    code += "against='last')"
    table, _ = outputs(notebook.run(code))
    assert "ratio to then" in table["text/plain"]
    assert notebook.value("len(result.points)") == "8"
    again, _ = outputs(notebook.run("result.show()"))
    assert again == table


def test_a_click_on_stop_keeps_what_is_measured(notebook: Kernel) -> None:
    """The click is sent as soon as the second answer is asked for: the third never ends."""
    notebook.run("engine.scripts['long'] = Script('word ' * 3, pace=0.01)")
    notebook.run(
        "import mirador_magic.workbench.benchmark.suite as suites\n"
        "tell = suites.Suite._tell\n"
        "def told(self, doing):\n"
        "    tell(self, doing)\n"
        "    if len(self.result.points) == 2:\n"
        "        engine.scripts['long'] = Script(['word ', 3600.0])\n"
        "        print('two')\n"
        "suites.Suite._tell = told"
    )
    asked = notebook.send("%mirador benchmark --models long --stages quick_response why?")
    button, messages = "", []
    for message in notebook.watch(asked):
        messages.append(message)
        content = message["content"]
        if message["msg_type"] == "comm_open":
            if content["data"]["state"].get("_model_name") == "ButtonModel":
                button = content["comm_id"]
        elif message["msg_type"] == "stream" and "two" in content["text"]:
            data = {"method": "custom", "content": {"event": "click"}}
            click = notebook.client.session.msg("comm_msg", {"comm_id": button, "data": data})
            notebook.client.shell_channel.send(click)
    table, *_ = outputs(Cell(notebook._reply(asked, PATIENCE), messages))
    assert "stopped after 2 of 8 runs" in table["text/plain"]
    notebook.run("suites.Suite._tell = tell")
