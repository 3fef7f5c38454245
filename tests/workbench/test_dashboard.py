"""The dashboard: what runs and what ran, truthfully, in a notebook and on a terminal of any size."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipywidgets.widgets import widget

from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.engines.base import ModelInfo
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.events import (
    ChunkReceived,
    Event,
    Outcome,
    RouteChosen,
    RunStarted,
    StageStarted,
    StageSubstituted,
    StreamEnd,
    ThinkingReceived,
)
from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from mirador_magic.store import Recorder, StoredRun, path
from mirador_magic.workbench.dashboard import markup
from mirador_magic.workbench.dashboard import widget as widgets
from mirador_magic.workbench.dashboard.board import NO_RUN, Board, going_line, plain, when
from mirador_magic.workbench.dashboard.feed import AGAIN, FRAME, IDLE, QUESTION, Feed
from mirador_magic.workbench.dashboard.figures import Figures, fold, percent, spark, tiles
from mirador_magic.workbench.dashboard.going import Going, Pace
from mirador_magic.workbench.dashboard.page import KEYS, page
from mirador_magic.workbench.dashboard.widget import Dashboard
from tests.notebook.test_kernel import NO_OLLAMA, SETUP
from tests.support.kernels import Kernel, kernel
from tests.support.patience import PATIENCE
from tests.support.virtual_time import now, run
from tests.views.test_terminal import HIDE, SHOW, Terminal, ipython

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
NOON = 1_800_000_000.0


def ran(
    useful: float | None = 0.5,
    outcome: Outcome = "answered",
    *,
    tokens: int | None = 10,
    load: float = 0.0,
    failed: bool = False,
    question: str = "",
) -> StoredRun:
    """A run of two stages that is over; with `failed` its second stage did not answer."""
    first = StageMetrics("quick", "tiny", "done", began=0.0, load=load, output_tokens=tokens)
    second = StageMetrics("deep", "large", "failed" if failed else "done", began=1.0)
    return stored(RunMetrics(outcome, "Ollama", "", useful, 3.0, (first, second)), question)


def stored(metrics: RunMetrics, question: str = "") -> StoredRun:
    return StoredRun(1, NOON, "ask", question, metrics, {})


def figures(*runs: StoredRun) -> Figures:
    """Of these runs, the oldest first."""
    return fold(runs[::-1])


def told(*runs: StoredRun) -> str:
    return " · ".join(f"{value} {what}" for value, what in tiles(figures(*runs)))


def test_the_figures_are_those_of_the_runs() -> None:
    found = figures(*(ran(number / 10) for number in range(1, 21)))
    assert found.first == pytest.approx(1.05)
    assert found.slowest == (1.9, "p95")
    assert figures(ran(0.4), ran(0.2)).slowest == (0.4, "slowest")  # too few for a p95
    assert (found.soon, found.answered, found.partial, found.cold) == (9, 20, 0, 0)
    assert found.tokens == [10] * 20
    assert [past.run.useful for past in found.last] == [2.0, 1.9, 1.8, 1.7, 1.6]


def test_a_slow_first_token_a_failed_stage_and_a_cold_start_each_show() -> None:
    fine = [ran(0.5)] * 3
    assert told(*fine) == (
        "0.50 s first token, mean · 0.50 s slowest · 100 % under 1 s · 100 % answered"
        " · 30 tokens · 10 a run"
    )
    slow = told(*fine, ran(4.5))
    assert "1.5 s first token, mean · 4.5 s slowest · 75 % under 1 s · 100 % answered" in slow
    partial = told(*fine, ran(0.5, failed=True))
    assert "100 % answered" in partial
    assert partial.endswith("1 partial")
    cold = told(*fine, ran(9.0, load=8.0))
    assert "1 cold" in cold
    assert "75 % under 1 s" in cold
    (past,) = figures(ran(9.0, load=8.0, failed=True)).last
    assert past.ended == "partial, cold"


def test_a_run_without_an_answer_counts_against_both_shares() -> None:
    found = told(ran(0.5), ran(None, "failed", tokens=None), ran(None, "stopped", tokens=None))
    assert "0.50 s first token, mean" in found
    assert "33 % under 1 s · 33 % answered · 10 tokens · 10 a run" in found


def test_no_figure_is_told_that_nobody_measured() -> None:
    assert told(ran(None, "failed", tokens=None)) == "0 % under 1 s · 0 % answered"
    assert tiles(Figures()) == []


def test_a_share_is_all_or_none_only_where_it_is() -> None:
    assert [percent(hits, 1000) for hits in (0, 1, 500, 999, 1000)] == [
        *("0 %", "1 %", "50 %", "99 %", "100 %")
    ]


def test_the_bars_are_shares_of_the_highest() -> None:
    assert spark([1.0, 2.0, None, 8.0, 0.0]) == "▁▂×█▁"
    assert spark([0.0]) == "▁"
    assert spark([]) == ""


@settings(max_examples=50)
@given(st.lists(st.none() | st.floats(0, 1e6), max_size=120))
def test_there_is_a_bar_for_each_run(firsts: list[float | None]) -> None:
    bars = spark(firsts)
    assert len(bars) == len(firsts)
    assert {bar == "×" for bar in bars} == {first is None for first in firsts}


def test_a_time_has_its_date_a_day_later() -> None:
    assert re.fullmatch(r"\d\d:\d\d", when(NOON, NOON + 3600))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", when(NOON, NOON + 90000))


STAGES = tuple(ModelStage(name, f"{name}-model", 0.5, 9.0, "") for name in ("quick", "deep"))


def paced(*events: Event, answer: Answer | None = None, at: float = 0.0) -> Pace:
    pace = Pace(answer or Answer("", "", ()), at)
    for event in events:
        pace(event)
    return pace


def test_a_run_under_way_is_told_from_its_events() -> None:
    pace = paced(RunStarted(10.0, "why?", STAGES), StageStarted(10.1, "quick"))
    assert pace.going(10.5) == Going(
        "why?", "quick", "quick-model", (1, 2), "asked", 0.5, None, None
    )
    pace(ThinkingReceived(10.6, "quick", "hm"))
    pace(ChunkReceived(10.8, "quick", " \n"))
    assert pace.going(10.9).first is None
    pace(ChunkReceived(11.0, "quick", "one"))
    for number in range(20):
        pace(ChunkReceived(11.0 + number / 20, "quick", " more"))
    going = pace.going(12.0)
    assert (going.status, going.first, going.rate) == ("writing", 1.0, 20.0)
    assert going_line(going) == (
        "quick · 2.0 s · ~20 tok/s · writing · stage 1 of 2 · first token 1.0 s · quick-model"
    )
    assert pace.going(16.0).rate == 4.0  # nothing came since
    pace(StageStarted(13.0, "deep"))
    pace(StageSubstituted(13.1, "deep", "other", "pull it"))
    going = pace.going(13.5)
    assert (going.stage, going.model, going.place) == ("deep", "other", (2, 2))
    assert (going.status, going.first, going.rate) == ("asked", 1.0, None)


def test_tokens_are_counted_by_their_probabilities_where_these_are_told() -> None:
    pace = paced(RunStarted(0.0, "why?", STAGES), StageStarted(0.0, "quick"))
    pace(ChunkReceived(1.0, "quick", "a", (-0.1, -0.1)))
    pace(ChunkReceived(2.0, "quick", "b c d", (-0.1, -0.2, -0.3)))
    assert pace.going(2.0).rate == 3.0


def test_stages_that_the_route_adds_are_counted() -> None:
    pace = paced(RunStarted(0.0, "why?", STAGES[:1]), StageStarted(0.0, "quick"))
    assert pace.going(0.0).place == (1, 1)
    pace(RouteChosen(0.0, "complex", STAGES))
    assert pace.going(0.0).place == (1, 2)


def test_a_run_that_has_begun_is_taken_on() -> None:
    stages = (
        StageAnswer("quick", "tiny", 0.5, "done", "yes"),
        StageAnswer("deep", "large", 0.5, "writing", "half"),
    )
    answer = Answer("why?", "Ollama", stages, first_token=0.2, total=5.0)
    pace = paced(answer=answer, at=100.0)
    assert pace.going(101.0) == Going("why?", "deep", "large", (2, 2), "writing", 6.0, 0.2, None)
    pace(ChunkReceived(101.0, "deep", " it"))
    pace(ChunkReceived(102.0, "deep", " is"))
    going = pace.going(102.0)
    assert (going.first, going.rate) == (0.2, 1.0)


GOING = Going("Why is the sky blue?", "quick_response", "phi", (1, 3), "writing", 3.21, 0.2, 41.4)
MODELS = (ModelInfo("gemma2:9b", 5_400_000_000, until=NOON), ModelInfo("phi:latest", 300_000_000))


def board(*runs: StoredRun, going: Sequence[Going] = (GOING,), **more: Any) -> Board:
    return Board(tuple(going), figures(*runs), MODELS, "Ollama 0.34.1", **more)


def shown(of: Board, width: int, height: int) -> list[str]:
    return [line.plain for line in page(of, width, height, NOON)]


def test_the_smallest_terminal_has_all_that_matters() -> None:
    lines = shown(board(*[ran(0.5)] * 99, ran(3.0, load=2.0)), 40, 10)
    assert len(lines) == 10
    assert lines[0] == "mirador dashboard"
    assert lines[-1] == KEYS
    assert lines[1] == "▌ quick_response · 3.2 s · ~41 tok/s · …"
    assert lines[2] == "  Why is the sky blue?"
    assert lines[3:6] == [
        "0.53 s first token, mean · 0.50 s p95",
        "99 % under 1 s · 100 % answered · 1 cold",
        "1,000 tokens · 10 a run",
    ]
    assert lines[6].startswith("100 runs ▂▂▂")
    assert lines[6].endswith("█ highest 3.0 s")
    assert re.match(r"● \d\d:\d\d · 3.0 s · 3.0 s · answered", lines[7])
    assert lines[8].startswith("Ollama 0.34.1: in memory gemma2:9b 5.4")


def test_a_larger_one_has_the_last_five_and_air() -> None:
    lines = shown(board(*[ran(question=f"question {number}") for number in range(9)]), 100, 30)
    last = [line for line in lines if line.startswith("●")]
    assert [line.rpartition(" · ")[2] for line in last] == [
        f"question {number}" for number in (8, 7, 6, 5, 4)
    ]
    assert "" in lines
    assert "in memory gemma2:9b 5.4 GB until " in "\n".join(lines)
    assert "phi 300 MB" in "\n".join(lines)


def test_a_note_is_not_cut_and_names_commands_as_the_place_has_them() -> None:
    of = Board(notes=("nobody answers here → %mirador doctor tells what is wrong with it",))
    lines = [line.plain for line in page(of, 40, 10, NOON, lambda line: line.replace("%", ""))]
    assert " ".join(line.strip() for line in lines).count("mirador doctor tells what is wrong") == 1
    assert NO_RUN.replace("%", "") in lines


HOSTILE = ["\x1b]0;evil\x07", "\x9b31m", "\r\n", "漢字", "\u202e", "[red]", "<b>&", "word ", "é"]
TEXTS = st.lists(st.sampled_from(HOSTILE), max_size=12).map("".join)


@settings(max_examples=50)
@given(st.integers(40, 200), st.integers(10, 60), TEXTS, st.integers(0, 12), st.integers(0, 120))
def test_it_fits_into_every_terminal(
    width: int, height: int, text: str, going: int, runs: int
) -> None:
    each = Going(text, text, text, (1, 1), "writing", 1e5, 1e4, 1e6)
    past = [ran(0.4, question=text), ran(None, "failed"), ran(12345.6, failed=True)] * 40
    lines = page(board(*past[:runs], going=[each] * going, notes=(text,)), width, height, NOON)
    assert len(lines) == height
    assert lines[-1].plain == KEYS
    for line in lines:
        assert line.cell_len <= width
        assert line.plain.isprintable()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 10))
def test_it_bears_a_smaller_one(width: int, height: int) -> None:
    lines = page(board(*[ran()] * 5), width, height, NOON)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_the_page_of_a_notebook_is_escaped_and_needs_no_style_sheet() -> None:
    evil = "<img src=x onerror=alert(1)> & \x1b[31m"
    of = board(
        ran(question=evil),
        ran(None, "failed"),
        going=[replace(GOING, question=evil)],
        notes=(evil,),
    )
    of = replace(of, resident=(ModelInfo(evil),), engine=evil)
    saved = markup.twin(of, NOON)
    live = markup.going_html(of) + markup.past_html(of.figures, NOON) + markup.foot_html(of)
    for text in (saved["text/html"], live):
        assert "&lt;img" in text
        assert not re.search(r"<(img|style|script|svg)|\x1b", text)
    assert set(saved) == {"text/html", "text/plain"}
    for text in saved.values():
        assert "%mirador dashboard" in text
        assert "under 1 s" in text
        assert "Why is the sky" not in text  # what ran then does not run where it is read


def test_an_empty_board_says_how_to_fill_it() -> None:
    assert NO_RUN in plain(Board(), NOON)
    assert "%mirador QUESTION" in markup.twin(Board(), NOON)["text/html"]
    assert "nothing runs" in markup.going_html(Board())


class Telling(ScriptedEngine):
    """An engine that keeps when it was asked what is in memory; it may be away, or slow to tell."""

    def __init__(self) -> None:
        end = StreamEnd("stop", 5, 20, 0.0, 0.1, 2.0)
        super().__init__(
            {
                model: Script("one two three", pace=1.0, end=end)
                for model in (QUICK, DEEP, SYNTHESIS)
            }
        )
        self.asked: list[float] = []
        self.given_up: list[float] = []
        self.slowness = 0.0
        self.is_away = False

    async def probe(self) -> None:
        if self.is_away:
            raise EngineUnavailable("nobody answers", "start it")

    async def resident(self) -> list[ModelInfo]:
        self.asked.append(now())
        try:
            await asyncio.sleep(self.slowness)
        except asyncio.CancelledError:
            self.given_up.append(now())
            raise
        return await super().resident()


class Bench:
    """A session on a scripted engine, in virtual time, and a folder of its own for the runs."""

    def __init__(self) -> None:
        self.engine = Telling()
        self.session = Session()
        self.session.use(self.engine)

    def start(self, question: str = "why?") -> Any:
        return self.session.start(Request(question, ("quick_response",)))

    async def ask(self, question: str = "why?") -> None:
        """Ask, and have it written."""
        with contextlib.suppress(EngineUnavailable):
            await self.start(question)
        await settled()
        assert self.session.recorder
        assert self.session.recorder.flush()


async def settled(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)
    for _ in range(50):
        await asyncio.sleep(0)


async def _inline(do: Callable[..., Any], *given: Any) -> Any:
    """In the place of a thread, which virtual time would not wait for."""
    return do(*given)


Actions = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Actions], None]:
    """Does this in virtual time. No task may be left behind."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setattr(asyncio, "to_thread", _inline)

    def do(deeds: Actions) -> None:
        async def main() -> None:
            there = Bench()
            try:
                await deeds(there)
            finally:
                await there.session.aclose()
                await settled()

        run(main())

    return do


@contextmanager
def fed(there: Bench, **more: Any) -> Iterator[tuple[Feed, list[tuple[float, Board]]]]:
    """An open feed, and what it painted when."""
    painted: list[tuple[float, Board]] = []
    feed = Feed(there.session, lambda board: painted.append((now(), board)), clock=now, **more)
    feed.open()
    try:
        yield feed, painted
    finally:
        feed.close()


def test_what_runs_is_shown_and_then_what_ran(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        with fed(there) as (_, painted):
            await settled(2.5)
            assert painted[-1][1].figures.runs == ()
            handle = there.start("Why is it so?")
            begun = now()
            await settled(2 * FRAME)
            times = [at for at, _ in painted if at >= begun]
            assert times[0] >= begun + FRAME  # the first token comes first
            (going,) = painted[-1][1].going
            assert (going.question, going.stage) == ("Why is it so?", "quick_response")
            await handle
            await settled()
            assert there.session.recorder
            there.session.recorder.flush()
            await settled(FRAME + IDLE)
            last = painted[-1][1]
            assert last.going == ()
            (past,) = last.figures.runs
            assert (past.ended, past.tokens, past.question) == ("answered", 20, "")
            gaps = [later - at for (at, _), (later, _) in itertools.pairwise(painted)]
            assert min(gaps) >= FRAME * 0.999

    bench(deeds)


def test_runs_of_another_kernel_show_once_they_are_kept(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        with fed(there) as (_, painted):
            await settled(1)
            other = Recorder()
            kept: dict[str, Any] = {"texts": {}, "keep_texts": True, "keep_days": 90}
            other.record(ran(0.7).run, purpose="ask", question="from afar", **kept)
            other.record(ran(0.1).run, purpose="benchmark", question="a trial", **kept)
            other.close()
            await settled(IDLE)
            (past,) = painted[-1][1].figures.runs
            assert (past.question, past.run.useful) == ("from afar", 0.7)

    bench(deeds)


def test_a_run_that_is_under_way_already_is_shown(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        handle = there.start()
        await settled(1.5)
        with fed(there) as (_, painted):
            await settled(0.1)
            assert [going.stage for going in painted[-1][1].going] == ["quick_response"]
            await handle

    bench(deeds)


def test_the_engine_is_asked_seldom_and_never_beside_a_run(
    bench: Callable[[Actions], None],
) -> None:
    async def deeds(there: Bench) -> None:
        with fed(there) as (_, painted):
            await settled(0.1)
            assert there.engine.asked == [0.0]
            assert painted[-1][1].resident is None
            await settled(AGAIN - 1)
            assert there.engine.asked == [0.0]
            assert painted[-1][1].resident == ()
            await settled(2 * IDLE + FRAME)
            assert len(there.engine.asked) == 2
            there.engine.asked.clear()
            handle = there.start()
            await settled(1.9)
            assert there.engine.asked == []
            await handle
            await settled(2 * FRAME + IDLE)
            assert len(there.engine.asked) == 1
            await settled(FRAME + IDLE)
            board = painted[-1][1]
            assert [model.name for model in board.resident or ()] == [QUICK]
            assert board.engine == "scripted, no model"

    bench(deeds)


def test_the_asking_ends_where_a_run_begins(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        there.engine.slowness = 4.0
        with fed(there):
            await settled(1)
            handle = there.start()
            await settled()
            assert there.engine.given_up == [pytest.approx(1.0)]
            there.engine.slowness = 0.0
            await handle

    bench(deeds)


def test_an_engine_that_is_away_is_told(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        there.engine.is_away = True
        with fed(there) as (feed, painted):
            await settled(2)
            assert painted[-1][1].notes == ("nobody answers → start it",)
            assert painted[-1][1].resident is None
            feed.ask()
            await settled(2)
            there.engine.is_away = False
            feed.ask()
            await settled(10)
            assert not painted[-1][1].notes

    bench(deeds)


def test_a_file_that_cannot_be_read_is_told_until_it_can(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        file = path()
        file.parent.mkdir(parents=True)
        file.write_text("no database, but a text of some length " * 40)
        with fed(there) as (_, painted):
            await settled(2)
            (note,) = painted[-1][1].notes
            assert "%mirador metrics --clear" in note
            file.unlink()
            await there.ask()
            await settled(2)
            assert not painted[-1][1].notes
            assert len(painted[-1][1].figures.runs) == 1

    bench(deeds)


def test_runs_that_are_not_kept_are_told(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        there.session.configure({"metrics": False})
        with fed(there) as (_, painted):
            await there.start()
            await settled(2)
            assert painted[-1][1].notes[-1].startswith("metrics is off")

    bench(deeds)


def test_the_test_question_is_asked_once_at_a_time_and_stopped_with_the_board(
    bench: Callable[[Actions], None],
) -> None:
    async def deeds(there: Bench) -> None:
        with fed(there) as (feed, painted):
            feed.ask()
            feed.ask()
            await settled(2 * FRAME)
            assert [going.question for going in painted[-1][1].going] == [QUESTION]
            assert QUESTION in str(there.engine.requests[0].messages)
            await settled(60)
            feed.ask()
            assert len(there.session.asked) == 1
            await settled(0.5)
        await settled()
        assert there.session.going == []
        assert there.session.asked[-1].outcome == "stopped"

    bench(deeds)


def test_closing_leaves_no_task_no_timer_and_no_ear(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        with fed(there) as (feed, painted):
            await settled(1.3)
        assert there.session.started == []
        count = len(painted)
        await there.ask()
        await settled(100)
        assert len(painted) == count
        assert feed.task
        assert feed.task.cancelled()
        await feed.aclose()

    bench(deeds)


def test_the_widget_shows_it_and_nothing_is_sent_again(bench: Callable[[Actions], None]) -> None:
    async def deeds(there: Bench) -> None:
        await there.ask()
        known = set(widget._instances)
        opened = widgets.of(there.session)
        assert widgets.of(there.session) is opened
        assert "100 %</b>" in opened.past.value  # from the first moment on
        await settled(2)
        assert "nothing runs" in opened.now.value
        assert "in memory" in opened.foot.value
        sent: list[object] = []
        for each in (opened.now, opened.past, opened.foot):
            each.observe(sent.append)
        await settled(20)
        assert sent == []
        opened.ask.click()
        await settled(1)
        assert QUESTION in opened.now.value
        assert 0 < len(sent) <= 4 * 1 + 1
        opened.leave.click()
        await settled()
        assert set(widget._instances) == known
        assert widgets.of(there.session) is not opened
        widgets.leave(there.session)
        await settled()

    bench(deeds)


def test_a_board_that_is_closed_tells_of_all_that_has_ended(
    bench: Callable[[Actions], None],
) -> None:
    async def deeds(there: Bench) -> None:
        opened = Dashboard(there.session)
        await there.start("the last one")
        await settled()
        opened.close()
        assert len(opened._board.figures.runs) == 1
        opened.close()
        await settled()

    bench(deeds)


def test_without_a_loop_it_is_an_error_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"dashboard\(\) needs a notebook → %mirador dashboard"):
        widgets.of(Session())


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    data = {"XDG_DATA_HOME": str(tmp_path_factory.mktemp("data"))}
    with kernel(NO_OLLAMA | data, SETUP) as running:
        yield running


def test_in_a_notebook_it_lives_while_cells_run_and_leaves_text(notebook: Kernel) -> None:
    cell = notebook.run(
        "from mirador_magic.workbench.dashboard import dashboard\nboard = dashboard()\nboard"
    )
    assert cell.status == "ok", cell.error
    (first,) = cell.shown
    assert "application/vnd.jupyter.widget-view+json" in first
    assert NO_RUN in first["text/plain"]
    background = notebook.run("handle = %mirador --bg --model long --stages quick_response on?")
    assert background.status == "ok", background.error
    notebook.until("'long' in board.now.value and 'tok/s' in board.now.value")
    assert notebook.run("%%mirador\nwhy?").status == "ok"
    notebook.until("'answered' in board.past.value")
    notebook.run("handle.stop()\nawait handle")
    notebook.until("'nothing runs' in board.now.value and 'stopped' in board.past.value")
    again = notebook.run("%mirador dashboard")
    assert again.status == "ok", again.error
    assert "50 % answered" in again.shown[-1]["text/plain"]
    closed = notebook.run("display(board)\nboard.close()")
    assert closed.status == "ok", closed.error
    assert set(closed.shown[0]) == {"text/html", "text/plain"}
    for text in ("50 %", "stopped", "%mirador dashboard"):
        assert text in closed.shown[0]["text/html"]
    notebook.until("not any('mirador dashboard' in t.get_name() for t in asyncio.all_tasks())")


SHELL = """
import asyncio, sys
from mirador_magic import (DEFAULT_STAGES, Script, ScriptedEngine)
from mirador_magic.cli.shell import here
from mirador_magic.workbench.dashboard.terminal import show
from mirador_magic.session.session import Session

async def main():
    session = Session()
    session.use(ScriptedEngine({stage.model: Script("so it is " * 4, pace=0.1) for stage in DEFAULT_STAGES}))
    try:
        await show(session, here)
    finally:
        await session.aclose()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    print("left:", len(left))

asyncio.run(main())
"""
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"


class Window(Terminal):
    """A terminal with the dashboard on it."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, child: int) -> None:
        super().__init__(process, fd)
        self.fd, self._child = fd, child

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._child)

    def frame(self, text: str) -> list[str]:
        """The lines of the first frame that holds this text and has come whole."""
        said = self.until(text)
        said = said[said.rindex("\x1b[H") :] + self.until(KEYS)
        return [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line) for line in said.split("\r\n")]


@contextmanager
def window(data: Path, width: int = 80, height: int = 24) -> Iterator[Window]:
    parent, child = pty.openpty()
    env = {**os.environ, "MIRADOR_ENGINE": "scripted", "TERM": "xterm", "XDG_DATA_HOME": str(data)}
    env["MIRADOR_DEFAULT_STAGES"] = "quick_response"
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        env.pop(name, None)
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", SHELL], stdin=child, stdout=child, stderr=child, env=env
    )
    try:
        yield Window(process, parent, child)
    finally:
        process.kill()
        process.wait()
        os.close(parent)
        os.close(child)


def test_on_a_terminal_t_asks_and_q_leaves_it_as_it_was(tmp_path: Path) -> None:
    with window(tmp_path) as there:
        before = there.modes
        lines = there.frame("nothing runs")
        assert NO_RUN.replace("%", "") in [line.rstrip() for line in lines]
        assert len(lines) == 24
        there.type("\x1b[Atx")
        frame = there.frame("tok/s")
        assert any(line.startswith("▌ quick_response · ") for line in frame)
        assert any(QUESTION in line for line in frame)
        answered = there.frame("100 % answered")
        assert any(re.match(r"● \d\d:\d\d · .* · answered · quick_response", s) for s in answered)
        there.resize(40, 10)
        while len(small := there.frame("mirador dashboard")) != 10:
            assert len(small) == 24
        assert all(len(line) <= 40 for line in small)
        there.type("q")
        end = there.until("left: 0")
        assert end.index(SHOW) < end.index("left: 0")
        assert BACK in end
        assert there.process.wait(PATIENCE) == 0
        assert there.modes == before


def test_ctrl_c_leaves_it_too_and_ends_what_it_asked(tmp_path: Path) -> None:
    with window(tmp_path, 40, 10) as there:
        before = there.modes
        start = there.until(HIDE)
        assert ALTERNATE in start
        there.frame("nothing runs")
        there.type("t")
        there.frame("tok/s")
        os.kill(there.process.pid, signal.SIGINT)
        end = there.until("left: 0")
        assert BACK in end
        assert "Traceback" not in end
        assert there.process.wait(PATIENCE) == 0
        assert there.modes == before


def test_down_a_pipe_it_is_printed_once(tmp_path: Path) -> None:
    env = {**os.environ, "MIRADOR_ENGINE": "scripted", "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "mirador_magic", "dashboard"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [line.replace("%", "") for line in done.stdout.splitlines()] == [
        "mirador dashboard",
        NO_RUN.replace("%", ""),
        "scripted, no model: in memory no model",
    ]


def test_the_magic_shows_it_on_a_terminal_and_the_shell_goes_on(tmp_path: Path) -> None:
    with ipython(NO_COLOR="1", XDG_DATA_HOME=str(tmp_path)) as terminal:
        terminal.type("%mirador dashboard\n")
        terminal.until(KEYS)
        terminal.type("t")
        terminal.until("100 % answered")
        os.kill(terminal.process.pid, signal.SIGINT)
        assert "Error" not in terminal.until("In [6]:")
        terminal.type("%mirador dashboard\n")
        terminal.until(KEYS)
        terminal.type("q")
        assert BACK in terminal.until("In [7]:")
        terminal.type("1 + 1\n")
        assert "Out[7]: 2" in terminal.until("In [8]:")


def test_what_follows_the_runs_and_fails_is_dropped_and_costs_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")

    def broken(handle: Handle) -> None:
        raise ValueError("no board")

    async def main() -> tuple[str, int]:
        session = Session()
        session.started.append(broken)
        answer = await session.start(Request("why?", stages=("quick_response",)))
        await session.aclose()
        return str(answer.outcome), len(session.started)

    assert run(main()) == ("answered", 0)
    assert "no board" in caplog.text


def test_a_run_that_is_cancelled_before_its_first_step_is_none_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")

    async def main() -> int:
        session = Session()
        handle = session.start(Request("why?", stages=("quick_response",)))
        await handle.interrupt()
        await session.aclose()
        return len(session.going)

    assert run(main()) == 0
