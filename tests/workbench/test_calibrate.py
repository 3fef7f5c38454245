"""Calibration: labelled questions are graded, and what was measured is set against what was right."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirador_magic import confidence
from mirador_magic.answer import words
from mirador_magic.answer.answer import StageAnswer
from mirador_magic.commands.line import read
from mirador_magic.confidence import Features, logit, sigmoid
from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from mirador_magic.workbench import calibrate as calibration
from mirador_magic.workbench.calibrate import figures, fit, kept, questions
from mirador_magic.workbench.calibrate.asking import calibrated
from mirador_magic.workbench.calibrate.figures import Pair
from mirador_magic.workbench.calibrate.fit import Point
from mirador_magic.workbench.calibrate.kept import Answered
from mirador_magic.workbench.calibrate.report import judgement, report
from tests.notebook.test_kernel import NO_OLLAMA, SETUP
from tests.support.kernels import kernel

run = asyncio.run  # threads are waited for, so the time is real; no script takes any

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def drawn(count: int, seed: int = 1, bend: float = 2.0) -> list[Point]:
    """Answers that are right as often as sigmoid(bend * logit(measured) - 1) says."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        measured = chance.uniform(0.2, 0.95)
        right = chance.random() < sigmoid(bend * logit(measured) - 1)
        found.append(Point(measured, right, chance.randrange(10, 400)))
    return found


def stepped(count: int) -> list[Point]:
    """Three of ten are right below 0.8, and all above: no line over the odds does that."""
    points = enumerate(drawn(count))
    return [Point(p.measured, p.measured > 0.8 or n % 10 < 3) for n, p in points]


def pairs_of(points: list[Point]) -> list[Pair]:
    return [(point.measured, point.right) for point in points]


@given(PAIRS)
def test_the_figures_are_those_of_their_formulas(pairs: list[Pair]) -> None:
    right = [p for p, y in pairs if y]
    wrong = [p for p, y in pairs if not y]
    found = figures.auroc(pairs)
    if right and wrong:
        wins = [(p > q) + 0.5 * (p == q) for p in right for q in wrong]
        assert found == pytest.approx(sum(wins) / len(wins))
    else:
        assert math.isnan(found)
    assert figures.brier(pairs) == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / len(pairs))
    assert 0 <= figures.ece(pairs) <= 1
    bins = figures.bins(pairs)
    assert sum(each.answers for each in bins) == len(pairs)
    sizes = [each.answers for each in bins]
    assert len(bins) == min(10, len(pairs)) and max(sizes) - min(sizes) <= 1


def test_a_confidence_that_says_what_it_is_has_no_calibration_error() -> None:
    honest = [(0.2, number < 2) for number in range(10)] + [(0.8, n < 8) for n in range(10)]
    assert figures.ece(honest * 5) == pytest.approx(0, abs=1e-9)
    assert figures.ece([(0.9, False)] * 20) == pytest.approx(0.9)


def test_an_interval_holds_its_figure_and_is_the_same_each_time() -> None:
    pairs = pairs_of(drawn(120))
    first, again = figures.figures(pairs), figures.figures(pairs)
    assert first == again
    for each in (first.auroc, first.brier, first.ece):
        assert 0 <= each.low <= each.value <= each.high <= 1
    assert first.auroc.excludes(0.5)


def test_from_fifty_answers_on_there_is_a_line_and_five_hundred_may_have_a_curve() -> None:
    points = drawn(600)
    assert fit.fitted(points[:49]) is None
    assert fit.lacks(points[:49]) == "1 more labelled answer is needed for a calibration"
    line = fit.fitted(points[:60])
    assert line and line.kind == "Platt's line" and line.calibration.answers == 60
    both = fit.fitted(points)
    assert both and both.kind == "Platt's line"  # which is how they were drawn
    curved = fit.fitted(stepped(600))
    assert curved and curved.kind == "the isotonic curve" and curved.calibration.steps


def test_one_sided_labels_make_no_calibration() -> None:
    all_right = [Point(p.measured, True) for p in drawn(80)]
    assert "only 0 are wrong" in fit.lacks(all_right)
    assert fit.fitted(all_right) is None


def test_the_line_is_the_one_that_the_answers_were_drawn_by() -> None:
    line = fit.platt(drawn(4000))
    assert line.slope == pytest.approx(2.0, abs=0.25)
    assert line.intercept == pytest.approx(-1.0, abs=0.2)


def test_where_surer_answers_are_worse_the_line_is_flat() -> None:
    against = [Point(point.measured, not point.right) for point in drawn(300)]
    line = fit.platt(against)
    share = sum(point.right for point in against) / len(against)
    assert line.slope == 0
    assert line(0.1) == line(0.9) == pytest.approx(share, abs=0.02)


@given(PAIRS)
def test_the_curve_rises_and_stays_off_certainty(pairs: list[Pair]) -> None:
    curve = fit.isotonic([Point(*pair) for pair in pairs])
    shares = [share for _, share in curve.steps]
    assert shares == sorted(shares)
    assert all(0 < curve(p) < 1 for p, _ in pairs)
    places = [place for place, _ in curve.steps]
    assert places == sorted(places)


def featured(count: int, seed: int = 1) -> list[Point]:
    """Answers that are right where `keeps` is high, whatever was measured of them."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        keeps = chance.random()
        logs = [chance.uniform(-3, 0) for _ in range(5)]
        features = Features._make([*logs, keeps, 1.0, 0.0])
        found.append(Point(chance.random(), chance.random() < keeps, 0, features))
    return found


def test_features_are_weighed_where_there_are_enough_answers_that_have_them() -> None:
    points = featured(400)
    few, enough = fit.fitted(points[:149]), fit.fitted(points)
    assert few and few.kind == "Platt's line"
    assert enough and enough.kind == "its features"
    keeps = Features._fields.index("keeps")
    weights = enough.calibration.weights
    assert max(weights, key=abs) == weights[keeps] > 0
    assert figures.auroc(enough.cross_validated) > 0.7 > figures.auroc(few.cross_validated)
    old = [Point(point.measured, point.right) for point in points]
    without = fit.fitted([*points[1:], old[0]])
    assert without and without.kind == "Platt's line"  # one of them tells no features


def test_the_regression_is_the_one_that_the_answers_were_drawn_by() -> None:
    """p = sigmoid(1.5 * x - 1), by hand: the ridge and Platt's targets draw it in a little."""
    chance = random.Random(2)
    points = []
    for _ in range(4000):
        x = chance.gauss(0, 1)
        features = Features._make([x, *[0.0] * 7])
        points.append(Point(0.5, chance.random() < sigmoid(1.5 * x - 1), 0, features))
    found = fit.regression(points)
    assert found.weights[0] == pytest.approx(1.5, abs=0.2)
    assert found.intercept == pytest.approx(-1, abs=0.2)
    assert set(found.weights[1:]) == {0.0}


@given(
    st.lists(st.tuples(st.tuples(*[st.floats(-5, 5)] * 8), st.booleans()), min_size=2, max_size=40)
)
def test_a_regression_ends_whatever_the_features_are(
    rows: list[tuple[tuple[float, ...], bool]],
) -> None:
    points = [Point(0.5, right, 0, Features(*features)) for features, right in rows]
    found = fit.regression(points)
    assert all(0 <= fit.said(found, point) <= 1 for point in points)


def test_cross_validation_never_asks_a_fit_about_its_own_answers() -> None:
    points = drawn(100)

    def by_heart(known: Sequence[Point]) -> confidence.Calibration:
        seen = {point.measured for point in known}
        assert len(seen) == 90
        return _Recall(0.0, 0.0, 0, seen=frozenset(seen))

    told = fit.cross_validated(points, by_heart)
    assert [y for _, y in told] == [point.right for point in points]
    assert {p for p, _ in told} == {0.0}


class _Recall(confidence.Calibration):
    """1 for what it was fitted to, 0 for what it never saw."""

    def __init__(
        self, slope: float, intercept: float, answers: int, *, seen: frozenset[float]
    ) -> None:
        super().__init__(slope, intercept, answers)
        object.__setattr__(self, "seen", seen)

    def __call__(self, measured: float, features: Sequence[float] = ()) -> float:
        return float(measured in self.seen)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "text", "right"),
    [
        ({"exact": "Paris"}, "  **paris.** ", True),
        ({"exact": ["Paris", "Lutetia"]}, "Lutetia", True),
        ({"exact": "Paris"}, "It is Paris.", False),
        ({"number": 391}, "17 * 23 = 391.", True),
        ({"number": 391}, "391 is what 17 * 23 gives, not 400.", False),
        ({"number": 1234.5}, "That makes 1,234.5", True),
        ({"number": -3}, "so x = −3", True),
        ({"number": 3.14159, "within": 0.01}, "about 3.14", True),
        ({"number": 3}, "three", False),
        ({"pattern": r"goethe"}, "Johann Wolfgang von Goethe.", True),
        ({"pattern": r"^yes"}, "No.\nYes.", True),
        ({"pattern": r"goethe"}, "Schiller.", False),
        ({"thumbs": True}, "Perhaps.", None),
    ],
)
def test_an_answer_is_graded_by_its_label(
    row: dict[str, object], text: str, right: bool | None
) -> None:
    (labelled,) = questions.read([{"question": "q", **row}])
    assert labelled.grade(text) is right


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "questions.jsonl:2 is no JSON"),
        ('{"exact": "x"}', "questions.jsonl:2 has no question"),
        ('["x"]', "questions.jsonl:2 has no question"),
        ('{"question": "q"}', "questions.jsonl:2 has no labels"),
        ('{"question": "q", "exact": "x", "number": 1}', "questions.jsonl:2 has 2 labels"),
        ('{"question": "q", "number": "x"}', "'x' is not a number"),
        ('{"question": "q", "pattern": "("}', "is no regular expression"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "q", "exact": "x"}\n' + line + "\n")
    with pytest.raises(UsageError, match=said.replace("(", r"\(")) as error:
        questions.read(file)
    assert error.value.cure


def test_a_file_that_is_not_there_and_one_without_questions_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        questions.read(tmp_path / "none.jsonl")
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(UsageError, match="has no questions"):
        questions.read(tmp_path / "empty")


def test_a_dataframe_is_read_by_its_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"question": ["a", "b"], "exact": ["x", None], "number": [math.nan, 3]}
    )
    assert [each.how for each in questions.read(frame)] == ["exact", "number"]


def calibration_of(model: str, stage: str = "quick_response") -> confidence.Calibration | None:
    return confidence.calibration_of(model, ModelStage(stage, model, 0.5, 5.0, "Be brief."))


def answered(points: list[Point], stage: str = "quick_response") -> list[Answered]:
    return [Answered("tiny:latest", stage, f"q{i}", point) for i, point in enumerate(points)]


def test_answers_add_up_and_a_question_asked_again_is_not_counted_twice(tmp_path: Path) -> None:
    file, points = tmp_path / "kept.json", drawn(60)
    assert kept.keep(answered(points[:40]), file) == [("tiny", "quick_response")]
    kept.keep(answered(points), file)
    (found,) = kept.read(file).values()
    assert list(found.values()) == [Point(round(p.measured, 5), p.right, p.length) for p in points]
    assert "q1" not in found and "q1" not in file.read_text()
    assert kept.clear(["synthesis"], file) == 0
    assert kept.clear(None, file) == 60
    assert kept.read(file) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"tiny": 3}', '{"tiny": {"s": {"labelled": [[1]]}}}'])
def test_a_file_that_is_somebody_elses_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "kept.json").write_text(text)
    assert kept.read(tmp_path / "kept.json") == {}


def test_one_that_cannot_be_written_is_told_with_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be kept") as error:
        kept.keep(answered(drawn(1)), tmp_path / "file" / "kept.json")
    assert str(tmp_path / "file") in error.value.cure


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own; the file that is kept in it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    confidence.forget()
    yield confidence.user_file()
    confidence.forget()


def test_a_calibration_is_kept_from_fifty_answers_on(own: Path) -> None:
    assert calibration_of("tiny") is None
    kept.keep(answered(drawn(49)))
    assert calibration_of("tiny") is None  # one too few
    kept.keep(answered(drawn(60)))
    known = calibration_of("tiny:latest")
    assert known and known.answers == 60
    kept.keep([Answered("other", "synthesis", str(i), p) for i, p in enumerate(drawn(50))])
    both = [calibration_of(*of) for of in KEPT_OF]
    assert [each and each.answers for each in both] == [60, 50]


def test_what_is_kept_of_a_curve_is_read_back(own: Path) -> None:
    kept.keep(answered(stepped(600)))
    known = calibration_of("tiny")
    assert known and known.answers == 600 and known.steps
    assert known(0.9) > 0.9
    assert known(0.3) < 0.5


def test_what_is_kept_of_features_is_read_back(own: Path) -> None:
    points = featured(200)
    kept.keep(answered(points))
    known = calibration_of("tiny")
    assert known and len(known.weights) == len(Features._fields)
    (found,) = kept.read().values()
    assert [point.features and point.features.keeps for point in found.values()] == [
        point.features and round(point.features.keeps, 4) for point in points
    ]


def test_what_another_measure_told_is_left_out(own: Path) -> None:
    kept.keep(answered(drawn(60)))
    own.write_text(own.read_text().replace('"measure": "words"', '"measure": "tokens"'))
    confidence.forget()
    assert calibration_of("tiny") is None and kept.read() == {}


def test_a_users_file_that_was_edited_costs_no_answer(own: Path) -> None:
    own.parent.mkdir(parents=True)
    line = '{"measure": "words", "slope": 1, "intercept": 0, "answers": 50}'
    own.write_text(
        f'{{"tiny": {{"quick_response": {{"slope": "steep"}}, "s": 3}}, "x": [], "y": {{"s": {line}}}}}'
    )
    confidence.forget()
    assert calibration_of("tiny") is None
    assert calibration_of("y", "s")


KEPT_OF = [("tiny", "quick_response"), ("other", "synthesis")]


class Knowing(ScriptedEngine):
    """Is right, and sure, about even numbers; wrong, and unsure, about a part of the odd ones."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        number = int(request.messages[-1].content.split()[0].strip("#"))
        sure = number % 2 == 0
        told = Script(f"It is {number if sure or number % 3 == 0 else 0}.")
        self.scripts = dict.fromkeys((QUICK, DEEP, SYNTHESIS), told)
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                yield Chunk(chunk.text, "", (math.log(0.9 if sure else 0.5),), chunk.end)


def labelled(count: int) -> list[dict[str, object]]:
    return [{"question": f"#{n} what number is this?", "number": n} for n in range(1, count + 1)]


def session_on(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    session = Session()
    session.use(engine)
    return session


def test_labelled_questions_calibrate_the_stages_and_the_panel_says_so(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(Knowing(), monkeypatch)
    told: list[tuple[int, int]] = []

    async def main() -> tuple[calibration.Report, str]:
        stages = ["quick_response"]
        found = await calibrated(
            session, labelled(60), stages, lambda n, of, _: told.append((n, of))
        )
        answer = await session.start(Request("#2 what number is this?", ("quick_response",)))
        await session.aclose()
        return found, words.trust(answer["quick_response"])

    found, said = run(main())
    (judged,) = found.judgements
    assert (judged.answers, judged.stage, judged.lacks) == (60, "quick_response", "")
    assert judged.right.value == pytest.approx(40 / 60)
    assert judged.measured.auroc.value == pytest.approx(0.875)
    assert judged.calibrated and judged.calibrated.ece.value < judged.measured.ece.value
    assert said.endswith("calibrated (n=60)")
    assert told[0] == (0, 60) and told[-1] == (60, 60)
    assert len(session.asked) == 1  # what is asked to calibrate is nobody's question


def test_too_few_are_kept_and_what_is_missing_is_said(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(Knowing(), monkeypatch)
    found = run(calibrated(session, labelled(20), ["quick_response"]))
    assert "30 more labelled answers are needed" in str(found)
    assert str(report()) == str(found)
    assert calibration_of(QUICK) is None


def test_an_engine_without_log_probabilities_is_told(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(ScriptedEngine(), monkeypatch)
    with pytest.raises(UsageError, match="log-probabilities"):
        run(calibrated(session, labelled(2)))


def test_thumbs_are_asked_for_and_may_be_passed_over(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(Knowing(), monkeypatch)
    asked = [{"question": f"#{n} is it nice?", "thumbs": True} for n in range(3)]
    says: list[bool | None] = [True, None, False]

    def judge(question: str, stage: StageAnswer) -> bool | None:
        return says[int(question[1])]

    found = run(calibrated(session, asked, ["quick_response"], judge=judge))
    assert [(each.answers, each.right.value) for each in found.judgements] == [(2, 0.5)]


def do(session: Session, line: str) -> object:
    return run(calibration.verb(session, read(line)))


def test_the_verb_takes_thumbs_for_the_last_answer_shows_and_clears(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = session_on(Knowing(), monkeypatch)
    with pytest.raises(UsageError, match="no answer to judge"):
        do(session, "calibrate up")
    with pytest.raises(UsageError, match="on which questions"):
        do(session, "calibrate")

    async def ask() -> None:
        await session.start(Request("#4 what?", ("quick_response",)))

    run(ask())
    do(session, "calibrate down")
    assert "this answer of quick_response is wrong" in capsys.readouterr().out
    assert "1 labelled answer, 0 % right" in str(do(session, "calibrate --show"))
    do(session, "calibrate --clear")
    assert "1 labelled answer forgotten" in capsys.readouterr().out
    assert "nothing is calibrated yet" in str(do(session, "calibrate --show"))


def test_what_was_graded_is_kept_though_the_rest_is_interrupted(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_on(Knowing(), monkeypatch)

    async def main() -> None:
        def tell(done: int, total: int, seconds: float) -> None:
            if done == 3:
                task.cancel()

        work = calibrated(session, labelled(9), ["quick_response"], tell)
        task = asyncio.ensure_future(work)
        await asyncio.wait({task})
        assert task.cancelled()
        assert not session.going

    run(main())
    assert len(kept.read()[QUICK.removesuffix(":latest"), "quick_response"]) == 3


def test_the_report_escapes_names_and_draws_its_bars_as_text() -> None:
    told = calibration.Report((judgement("<b>m</b>", "s", drawn(80)),))
    shown = told._repr_mimebundle_()
    assert "<b>m</b>" not in shown["text/html"] and "&lt;b&gt;m" in shown["text/html"]
    assert shown["text/plain"].count(" of 8\n") == 9  # ten bins of eight
    assert "cross-validated" in shown["text/plain"]
    assert "length alone" in shown["text/plain"]
    assert "<style" not in shown["text/html"] and "<svg" not in shown["text/html"]


def test_the_picture_is_drawn_by_matplotlib() -> None:
    pytest.importorskip("matplotlib")
    told = calibration.Report((judgement("$m$", "s", drawn(80)), judgement("n", "t", drawn(20))))
    png = told.png()
    assert png and png.startswith(b"\x89PNG")


KNOWING = """
import math
from mirador_magic.engines.base import Chunk

KEPT_OF = [("tiny", "quick_response"), ("other", "synthesis")]


class Knowing(ScriptedEngine):
    async def stream(self, request):
        number = int(request.messages[-1].content.split()[0])
        self.scripts = dict.fromkeys((quick, deep, synthesis), Script(f"It is {number % 3}."))
        async for chunk in super().stream(request):
            yield Chunk(chunk.text, "", (math.log(0.9 - 0.2 * (number % 3)),), chunk.end)

use_engine(Knowing())
"""


def test_in_a_notebook_the_report_is_html_with_a_picture(tmp_path: Path) -> None:
    rows = [{"question": f"{n} modulo 3, or 1?", "number": min(n % 3, 1)} for n in range(60)]
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = NO_OLLAMA | {"XDG_DATA_HOME": str(tmp_path)}
    with kernel(env, SETUP + KNOWING) as running:
        cell = running.run(f"%mirador calibrate --stages quick_response {file}")
        assert cell.status == "ok", cell.error
        assert "60 of 60 questions" in cell.stdout
        picture, shown = cell.shown[-2:]
        assert picture["image/png"] and "quick_response" in shown["text/html"]
        assert "60 labelled answers, 67 % right" in shown["text/plain"]
        asked = running.run("%%mirador --stages quick_response\n1 modulo 3?")
        assert "calibrated (n=60)" in asked.shown[0]["text/plain"]
        assert running.run("%mirador calibrate --show").shown[-1] == shown
