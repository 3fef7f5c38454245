"""`%mirador metrics` tells of the runs what they were: a slow one slow, a failed one failed."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirador_magic.commands.line import read
from mirador_magic.errors import UsageError
from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
from mirador_magic.session.session import Session
from mirador_magic.store import Recorder, Row, Store, path
from mirador_magic.workbench import metrics as analytics
from mirador_magic.workbench.metrics import Group, Report, Spread, report, summary, verb
from tests.notebook.test_kernel import NO_OLLAMA, SETUP
from tests.support.kernels import Kernel, kernel

QUICK = StageMetrics(
    "quick_response",
    "tiny:1b",
    "done",
    began=0.0,
    ttft=0.5,
    total=2.5,
    tpot=0.25,
    stall=0.3,
    prompt_tokens=20,
    output_tokens=9,
    load=0.1,
)
DEEP = replace(
    QUICK, stage="deep_analysis", model="big:7b", began=2.5, ttft=0.8, total=5.0, output_tokens=41
)
RUN = RunMetrics("answered", "Ollama 0.34.1", "medium (64 %): plan", 0.5, 7.5, (QUICK, DEEP))
SLOW = replace(RUN, useful=30.0, stages=(replace(QUICK, ttft=30.0, total=32.0), DEEP))
COLD = replace(RUN, useful=12.5, stages=(replace(QUICK, ttft=12.5, total=14.0, load=12.0), DEEP))
FAILED = replace(
    DEEP, ended="failed", ttft=None, tpot=None, output_tokens=None, load=None, error="EngineLost"
)
PARTIAL = replace(RUN, stages=(QUICK, FAILED))
LOST = RunMetrics(
    "failed", "", "", None, 0.1, (replace(FAILED, stage="quick_response", began=0.0),)
)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder is the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def recorded(*runs: RunMetrics, ago: float = 60.0, purpose: str = "ask") -> None:
    """Have these recorded, as if that many seconds ago."""
    recorder = Recorder(clock=lambda: time.time() - ago)
    for each in runs:
        recorder.record(
            each,
            purpose=purpose,  # type: ignore[arg-type]
            question="",
            texts={},
            keep_texts=False,
            keep_days=90,
        )
    recorder.close()


def figures(*runs: RunMetrics, by: str | None = None) -> dict[str, Group]:
    """The groups that the report of these runs has, by name."""
    recorded(*runs)
    told = report(Session(), by=by)  # type: ignore[arg-type]
    return {group.name: group for group in told.groups}


def test_a_deliberately_slow_first_token_shows_in_every_figure() -> None:
    told = figures(RUN, RUN, SLOW)["all runs"]
    assert told.first and told.warm
    assert told.first == told.warm == Spread(3, 31 / 3, 0.5, None, None, 0.5, 30.0)
    assert told.under_1s == pytest.approx(2 / 3)
    assert told.success == 1.0
    by_stage = figures(by="stage")["quick_response"]
    assert by_stage.first and by_stage.first.high == 30.0
    assert by_stage.under_1s == pytest.approx(2 / 3)


def test_a_failed_stage_shows_in_every_figure() -> None:
    told = figures(RUN, PARTIAL)["all runs"]
    assert (told.count, told.answered, told.partial, told.failed) == (2, 2, 1, 0)
    by_stage = figures(by="stage")
    failed = by_stage["deep_analysis"]
    assert (failed.count, failed.answered, failed.failed, failed.success) == (2, 1, 1, 0.5)
    assert failed.under_1s == 0.5  # what never came did not come within a second
    assert failed.first and failed.first.count == 1
    assert failed.total and failed.total.count == 1  # its time to fail is no time to answer
    assert by_stage["quick_response"].success == 1.0


def test_a_run_that_failed_is_no_success_and_not_fast() -> None:
    told = figures(RUN, LOST)["all runs"]
    assert (told.success, told.failed, told.under_1s) == (0.5, 1, 0.5)
    assert told.total and (told.total.count, told.total.low) == (1, 7.5)


def test_a_cold_start_shows_apart_from_the_warm_ones() -> None:
    told = figures(RUN, RUN, COLD)["all runs"]
    assert told.colds == 1
    assert told.first and told.warm and told.cold
    assert (told.warm.high, told.cold.low, told.first.high) == (0.5, 12.5, 12.5)
    by_model = figures(by="model")
    assert (by_model["tiny:1b"].colds, by_model["big:7b"].colds) == (1, 0)


def test_a_stopped_run_is_neither_a_success_nor_a_failure() -> None:
    stopped = replace(RUN, outcome="stopped", stages=(replace(QUICK, ended="stopped"),))
    interrupted = replace(stopped, outcome="interrupted")
    told = figures(RUN, stopped, interrupted)["all runs"]
    assert (told.answered, told.failed, told.stopped) == (1, 0, 2)


def test_what_no_engine_shownis_not_made_up() -> None:
    silent = replace(QUICK, prompt_tokens=None, output_tokens=None, tpot=None, load=None)
    told = figures(replace(RUN, stages=(silent,)))["all runs"]
    assert (told.prompt_tokens, told.output_tokens) == (None, None)
    assert (told.tpot, told.warm, told.cold) == (None, None, None)
    assert "–" in str(report(Session()))


def test_tokens_swaps_and_the_time_per_token() -> None:
    swapped = replace(DEEP, swapped=True, tpot=0.05)
    told = figures(replace(RUN, stages=(QUICK, swapped)))["all runs"]
    assert (told.prompt_tokens, told.output_tokens, told.swaps) == (40, 50, 1)
    assert told.tpot and told.tpot.mean == pytest.approx((0.25 * 8 + 0.05 * 40) / 48)


def test_by_engine_and_by_route() -> None:
    named = replace(RUN, route="", engine="embedded llama.cpp")
    assert set(figures(RUN, named, LOST, by="engine")) == {
        "Ollama 0.34.1",
        "embedded llama.cpp",
        "no engine",
    }
    assert set(figures(by="route")) == {
        "medium: quick_response → deep_analysis",
        "quick_response → deep_analysis",
        "quick_response",
    }


def test_stages_that_were_not_asked_are_not_counted() -> None:
    skipped = StageMetrics("synthesis", "big:7b")
    assert set(figures(replace(RUN, stages=(QUICK, skipped)), by="stage")) == {"quick_response"}


def test_only_what_was_asked_and_in_the_last_hours() -> None:
    recorded(RUN, ago=3 * 3600)
    recorded(RUN, RUN, purpose="benchmark")
    recorded(RUN)
    counts = [[g.count for g in report(Session(), hours).groups] for hours in (0.001, 1, 24)]
    assert counts == [[], [1], [2]]


ends = st.sampled_from(["answered", "partial", "failed", "stopped"])
times = st.none() | st.floats(0, 1e6)
tokens = st.none() | st.integers(0, 10**6)
a_row = st.tuples(
    st.sampled_from("ab"),
    ends,
    times,
    times,
    times,
    tokens,
    tokens,
    st.sampled_from([None, 0, 1]),
    st.integers(0, 3),
)


@settings(max_examples=40)
@given(st.lists(a_row))
def test_any_summary_adds_up(rows: list[Row]) -> None:
    groups = summary(rows)
    assert sum(group.count for group in groups) == len(rows)
    for group in groups:
        assert group.answered + group.failed + group.stopped == group.count
        assert 0 <= group.partial <= group.answered
        assert 0 <= group.under_1s <= 1
        known = sum(spread.count for spread in (group.warm, group.cold) if spread)
        assert known <= (group.first.count if group.first else 0)
        for each in (group.first, group.warm, group.cold, group.total, group.tpot):
            if each:
                ranks = [each.low, each.median, each.p95, each.p99, each.high]
                shown = [value for value in ranks if value is not None]
                assert shown == sorted(shown)
                assert each.low <= each.mean * (1 + 1e-9) and each.mean <= each.high * (1 + 1e-9)
    told = Report(24, None, tuple(groups), Path("runs.sqlite3"))
    assert "table" in told._repr_mimebundle_()["text/html"] or not rows
    assert len(told.to_csv().splitlines()) == 1 + len(groups)


@pytest.mark.parametrize(
    ("count", "p95", "p99"),
    [(1, None, None), (19, None, None), (20, 19, None), (99, 95, None), (100, 95, 99)],
)
def test_percentiles_are_by_nearest_rank_of_enough(
    count: int, p95: int | None, p99: int | None
) -> None:
    rows: list[Row] = [("a", "answered", float(n + 1), *[None] * 5, 0) for n in range(count)]  # type: ignore[misc]
    first = summary(rows)[0].first
    assert first and (first.p95, first.p99) == (p95, p99)


def test_the_table_as_text() -> None:
    recorded(RUN, RUN, SLOW, COLD, PARTIAL)
    assert str(report(Session())).splitlines() == EXPECTED.strip().splitlines()


EXPECTED = """
mirador · what was asked in the last 24 hours

          runs  answered  partly  < 1 s  tokens in  out  cold  swaps
all runs     5     100 %       1   60 %        200  209     1      0

first text, from the question  n    mean  median      p95      p99     min     max
all runs                       5   8.8 s  0.50 s  too few  too few  0.50 s  30.0 s  █░░░░░░░░░
· warm                         4   7.9 s  0.50 s  too few  too few  0.50 s  30.0 s  █░░░░░░░░░
· cold                         1  12.5 s  12.5 s  too few  too few  12.5 s  12.5 s  ████

total, of what answered  n   mean  median      p95      p99    min    max
all runs                 5  7.5 s   7.5 s  too few  too few  7.5 s  7.5 s  ██████████

per token after the first  n      mean    median      p95      p99       min       max
all runs                   5  250.0 ms  250.0 ms  too few  too few  250.0 ms  250.0 ms  ██████████
"""


def test_percents_are_never_rounded_up_to_all() -> None:
    groups = summary(
        [("a", "answered", 0.5, 1.0, None, None, None, None, 0)] * 999
        + [("a", "failed", None, None, None, None, None, None, 0)]
    )
    assert "99 %" in str(Report(24, None, tuple(groups), Path("x")))


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen |= {tag, *(f"{tag}.{name}" for name, _ in attrs)}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_safe_and_needs_no_style_sheet() -> None:
    nasty = replace(QUICK, model="<script>alert(1)</script>\x1b[31m")
    recorded(replace(RUN, stages=(nasty,)))
    told = report(Session(), by="model")
    bundle = told._repr_mimebundle_()
    seen = Tags(bundle["text/html"]).seen
    assert seen <= {
        *("div", "div.style", "div.class", "table", "table.style", "tr", "td", "td.style"),
        *("span", "span.style"),
    }
    assert "&lt;script&gt;" in bundle["text/html"]
    for text in (*bundle.values(), told.to_json(), told.to_csv()):
        assert "\x1b" not in text and "\u001b" not in text


def test_a_name_is_no_formula_in_a_spreadsheet() -> None:
    model = '=HYPERLINK("http://a.example")'
    recorded(replace(RUN, stages=(replace(QUICK, model=model), replace(DEEP, model="a-b"))))
    names = [
        each["name"] for each in csv.DictReader(io.StringIO(report(Session(), by="model").to_csv()))
    ]
    assert sorted(names) == [f"'{model}", "a-b"]


def test_json_csv_and_frame_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(RUN, COLD, PARTIAL)
    told = report(Session(), by="stage")
    by_json = json.loads(told.to_json())
    assert (by_json["hours"], by_json["by"]) == (24, "stage")
    assert [each["name"] for each in by_json["groups"]] == ["quick_response", "deep_analysis"]
    quick = by_json["groups"][0]
    assert (quick["count"], quick["cold_median_s"], quick["success"]) == (3, 12.5, 1.0)
    by_csv = list(csv.DictReader(io.StringIO(told.to_csv())))
    frame = told.to_dataframe()
    for line, record in zip(by_csv, by_json["groups"], strict=True):
        row = frame.loc[record["name"]]
        for name, value in record.items():
            assert line[name] == ("" if value is None else str(value))
            if isinstance(value, int | float):
                assert row[name] == value
            elif value is None:
                assert math.isnan(row[name])


def test_a_frame_without_pandas_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="%pip install pandas"):
        report(Session()).to_dataframe()


def shown(line: str, session: Session | None = None) -> object:
    return asyncio.run(verb(session or Session(), read(line)))


def test_the_verb_shows_a_report_or_prints(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(RUN)
    assert isinstance(shown("metrics --by stage"), Report)
    assert shown("metrics --json") is None
    assert json.loads(capsys.readouterr().out)["groups"][0]["count"] == 1
    assert shown("metrics --csv --hours 1") is None
    assert capsys.readouterr().out.startswith("name,count,")


def test_the_verb_reads_what_this_session_has_just_recorded() -> None:
    session = Session()
    session.recorder = Recorder()
    session.recorder.record(
        RUN, purpose="ask", question="", texts={}, keep_texts=False, keep_days=90
    )
    told = shown("metrics", session)
    session.recorder.close()
    assert isinstance(told, Report) and told.groups[0].count == 1


def test_the_verb_clears(capsys: pytest.CaptureFixture[str]) -> None:
    recorded(RUN, RUN)
    assert shown("metrics --clear") is None
    assert capsys.readouterr().out.startswith("2 runs are forgotten")
    assert not report(Session()).groups
    with closing(Store()) as store:
        assert store.runs() == []


def test_without_runs_it_says_so() -> None:
    told = report(Session())
    assert str(told) == ("mirador · no figures of the last 24 hours → %mirador metrics --hours 168")
    Tags(told._repr_mimebundle_()["text/html"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("metrics --hours soon", "--hours soon is no number of hours"),
        ("metrics --hours 0", "--hours 24"),
        ("metrics --hours inf", "--hours 24"),
        ("metrics --by stages", "did you mean stage?"),
        ("metrics --by colour", "by: stage, model, engine, route"),
    ],
)
def test_what_cannot_be_read_is_one_line(line: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        shown(line)


def test_a_broken_file_is_one_line(data: Path) -> None:
    path().parent.mkdir(parents=True)
    path().write_bytes(b"no database " * 1000)
    with pytest.raises(UsageError, match="%mirador metrics --clear"):
        shown("metrics")
    shown("metrics --clear")
    assert isinstance(shown("metrics"), Report)


@pytest.fixture
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One of its own for each test: they look at what is imported, and break its store."""
    folder = tmp_path_factory.mktemp("data")
    with kernel(NO_OLLAMA | {"XDG_DATA_HOME": str(folder)}, SETUP) as running:
        yield running


def test_in_a_notebook(notebook: Kernel) -> None:
    assert "mirador_magic.store" not in notebook.value("[m for m in __import__('sys').modules]")
    for _ in range(2):
        assert notebook.run("%%mirador --stages quick_response\nwhy?").status == "ok"
    cell = notebook.run("%mirador metrics --by stage")
    assert cell.status == "ok", cell.error
    (bundle,) = cell.shown
    assert "quick_response" in bundle["text/html"] and "<table" in bundle["text/html"]
    line = next(each for each in bundle["text/plain"].splitlines() if "quick_response" in each)
    assert line.split()[:4] == ["quick_response", "2", "100", "%"]
    assert json.loads(notebook.run("%mirador metrics --json").stdout)["groups"][0]["count"] == 2
    assert analytics.__name__ in notebook.value("[m for m in __import__('sys').modules]")


def test_a_broken_disk_costs_one_warning_and_no_answer(notebook: Kernel, tmp_path: Path) -> None:
    (tmp_path / "mirador").write_text("no folder")
    notebook.run("%mirador why?")  # the store is opened by the first run
    notebook.run(
        "import mirador_magic.session.session as sessions; session = sessions.current()\n"
        f"session.recorder.close(); session.recorder = None; os.environ['XDG_DATA_HOME'] = {str(tmp_path)!r}"
    )
    ask = "await session.start(sessions.Request('why?')); await asyncio.sleep(0)"
    cell = notebook.run(f"{ask}; print(session.recorder.flush())")
    assert cell.status == "ok" and "True" in cell.stdout
    assert cell.stdout.count("figures of runs are not kept") == 1
    assert "→ make the file" in cell.stdout
    answer = notebook.run("%mirador why?")
    assert answer.status == "ok" and "the last word" in answer.shown[0]["text/plain"]
    again = notebook.run("print(session.recorder.flush())")
    assert "not kept" not in answer.stdout + again.stdout
    report = notebook.run("%mirador metrics")
    assert report.status == "error" and len(report.error.splitlines()) == 1
