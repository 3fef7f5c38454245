"""One question side by side: what is compared, in which order, what is shown of it and what is kept."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.display_functions import DisplayHandle
from ipywidgets.widgets.widget import _instances

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.run_state import RunState
from mirador_magic.commands.line import read
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineLost, UsageError
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StreamEnd,
)
from mirador_magic.pipeline.metrics import Meter, RunMetrics
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from mirador_magic.store import Store
from mirador_magic.views.answer_buttons import controls
from mirador_magic.workbench import compare as comparing
from mirador_magic.workbench.compare import SideBySide, page
from mirador_magic.workbench.compare.board import FRAME, Board
from mirador_magic.workbench.compare.columns import Column
from mirador_magic.workbench.compare.contest import Contest, Unseen, swapping_least
from mirador_magic.workbench.compare.variants import Variant, variants
from tests.notebook.test_kernel import NO_OLLAMA, SETUP, anew
from tests.support.kernels import Cell, Kernel, kernel
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
SCRIPTS = {
    "a": Script("The sky is blue. It is high."),
    "b": Script("The sky is very blue. It is high. Look up."),
    "c": Script(["Half of", EngineLost("the cable fell out", "plug it in")]),
    "slow": Script("".join(f"word{n} " for n in range(400)), first=1.0, pace=0.1),
    QUICK: Script("quick words"),
    DEEP: Script("deep words"),
}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedEngine:
    """Runs are not recorded, since that is a thread's; what is picked goes into a folder of its own."""
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setenv("MIRADOR_METRICS", "off")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("MIRADOR_DEFAULT_STAGES")
    return ScriptedEngine(SCRIPTS)


def on(engine: ScriptedEngine) -> Session:
    session = Session()
    session.use(engine)
    return session


def found(session: Session | None = None, **given: Any) -> list[Variant]:
    return variants(session or Session(), **given)[1]


def test_models_are_tried_on_quick_response_or_the_settings_first_stage(
    engine: ScriptedEngine,
) -> None:
    session = on(engine)
    assert [(each.name, each.stage, each.model) for each in found(session, models="a, b")] == [
        ("a", "quick_response", "a"),
        ("b", "quick_response", "b"),
    ]
    session.configure({"default_stages": "synthesis,quick_response"})
    assert {each.stage for each in found(session, models=["a", "b"])} == {"synthesis"}
    assert {each.stage for each in found(session, models="a,b", stages="deep_analysis")} == {
        "deep_analysis"
    }


def test_stages_are_themselves(engine: ScriptedEngine) -> None:
    kind, each = variants(on(engine), stages="deep_analysis,quick_response")
    assert kind == "stages"
    assert [(one.name, one.stage, one.model, one.confidence) for one in each] == [
        ("deep_analysis", "deep_analysis", DEEP, 0.85),
        ("quick_response", "quick_response", QUICK, 0.60),
    ]


def test_files_are_system_prompts_by_their_names(engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [tmp_path / "one.md", tmp_path / "two.md", tmp_path / "other" / "two.md"]
    for file in files:
        file.write_text(f"Be {file.parent.name}/{file.stem}.", encoding="utf-8")
    each = found(on(engine), systems=",".join(map(str, files)))
    assert [one.name for one in each] == ["one", str(files[1]), str(files[2])]
    told = [one.settings["quick_response.system"].value for one in each]
    assert told == [file.read_text() for file in files]
    named = found(on(engine), systems={"brief": "Be brief.", "long": "Take your time."})
    assert [one.name for one in named] == ["brief", "long"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "not two to compare → %%mirador compare --models a,b"),
        ({"models": "a"}, "not two to compare"),
        ({"models": "a,"}, "not two to compare"),
        ({"models": "a,b,a"}, "a is named twice"),
        ({"stages": "quick_response,quick_response"}, "quick_response is named twice"),
        ({"stages": "quick_response,deep_analyses"}, "did you mean deep_analysis?"),
        ({"models": "a,b", "systems": {"x": "", "y": ""}}, "differ at once"),
        ({"models": "a,b", "stages": "quick_response,synthesis"}, "name one stage at most"),
        ({"systems": "/nonexistent/one.md,two.md"}, "one.md cannot be read: No such file"),
    ],
)
def test_what_cannot_be_compared_is_one_line_with_its_cure(
    engine: ScriptedEngine, options: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        found(on(engine), **options)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_told(engine: ScriptedEngine, tmp_path: Path) -> None:
    (tmp_path / "one.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is no text in UTF-8"):
        found(on(engine), systems=[tmp_path / "one.md", tmp_path / "two.md"])


def columns(models: list[str]) -> list[Column]:
    return [Column(Variant(str(at), "s", model, 0.5), "why?") for at, model in enumerate(models)]


@given(st.lists(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")))
def test_each_model_is_loaded_once_and_those_in_memory_come_first(
    models: list[str], resident: set[str]
) -> None:
    asked = swapping_least(columns(models), resident)
    order = [column.variant.model for column in asked]
    assert sorted(order) == sorted(models)
    loads = sum(before != after for before, after in zip([None, *order], order, strict=False))
    assert loads == len(set(models))
    there = [model in resident for model in order]
    assert there == sorted(there, reverse=True)


def test_without_a_reason_the_order_is_the_given_one() -> None:
    models = ["b:latest", "a", "c", "b"]
    order = [each.variant.model for each in swapping_least(columns(models), set())]
    assert order == ["b:latest", "b", "a", "c"]


def compared(session: Session, models: str) -> SideBySide:
    kind, each = variants(session, models=models)
    return SideBySide("why?", kind, each)


def asked(engine: ScriptedEngine, models: str) -> SideBySide:
    """A comparison of these models, once it is over."""
    session = on(engine)

    async def main() -> SideBySide:
        result = compared(session, models)
        await Contest(session, result.columns).run(Unseen())
        return result

    return run(main())


def test_each_model_is_asked_the_same_and_a_failure_stops_no_other(engine: ScriptedEngine) -> None:
    engine.loaded.append("b")
    result = asked(engine, "a,c,b")
    assert [each.model for each in engine.requests] == ["b", "a", "c"]
    assert len({str(each.messages) for each in engine.requests}) == 1
    assert {name: str(answer) for name, answer in result.answers.items()} == {
        "a": "The sky is blue. It is high.",
        "c": "Half of",
        "b": "The sky is very blue. It is high. Look up.",
    }
    assert [result.metrics[name].stages[0].ended for name in "acb"] == ["done", "failed", "done"]
    assert result.failure() is None
    assert list(result.answers) == ["a", "c", "b"]
    assert str(result["b"]) == str(result.answers["b"])


def test_a_comparison_is_no_part_of_what_was_asked(engine: ScriptedEngine) -> None:
    session = on(engine)

    async def main() -> None:
        result = compared(session, "a,b")
        await Contest(session, result.columns).run(Unseen())

    run(main())
    assert not session.asked
    assert not session.going


def test_where_all_fail_the_first_cause_is_raised(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.scripts["d"] = Script([EngineLost("another one")])
    monkeypatch.setattr(comparing, "current", lambda: on(engine))
    with pytest.raises(EngineLost, match="the cable fell out"):
        run(comparing.compare("why?", models="c,d"))


def test_prompts_reach_the_model(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "current", lambda: on(engine))
    prompts = {"brief": "Be brief.", "kind": "Be kind."}
    result = run(comparing.compare("why?", systems=prompts))
    assert result.names == ["brief", "kind"]
    assert [each.messages[0].content for each in engine.requests] == ["Be brief.", "Be kind."]


def test_a_question_is_needed(engine: ScriptedEngine) -> None:
    with pytest.raises(UsageError, match="there is no question to compare"):
        run(comparing.compare(" ", models="a,b"))


class Watching(Unseen):
    """A view that does something when a column begins."""

    def __init__(self, deed: Callable[[Handle], object]) -> None:
        self.deed = deed

    def began(self, column: Column, handle: Handle) -> None:
        self.deed(handle)


def test_a_stop_keeps_what_was_written_and_asks_no_more(engine: ScriptedEngine) -> None:
    session = on(engine)

    async def main() -> SideBySide:
        result = compared(session, "a,slow,b")
        contest = Contest(session, result.columns)
        stops = Watching(lambda _: asyncio.get_running_loop().call_later(3.05, contest.stop))
        await contest.run(stops)
        return result

    result = run(main())
    assert [column.stage.status for column in result.columns] == ["done", "stopped", "skipped"]
    assert result["slow"].text.split() == [f"word{n}" for n in range(21)]
    assert engine.closed_early == ["slow"]
    assert "skipped" in page.block(result, result.columns[2])
    assert "■ stopped: 21 words kept" in str(result)


def test_a_cancel_keeps_what_was_written_and_goes_on_as_one(engine: ScriptedEngine) -> None:
    session = on(engine)

    async def main() -> SideBySide:
        result = compared(session, "a,slow,b")
        contest = Contest(session, result.columns)
        task = asyncio.create_task(contest.run(Unseen()))
        await asyncio.sleep(3.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return result

    result = run(main())
    assert [column.stage.status for column in result.columns] == ["done", "stopped", "skipped"]
    assert "■ interrupted: 21 words kept" in str(result)
    assert engine.closed_early == ["slow"]
    assert not session.going


class Told:
    """A run that is over: its events, folded as a session does."""

    def __init__(self, *events: Event) -> None:
        state, meter = RunState(lambda: 0.0), Meter()
        for event in events:
            state(event)
            meter(event)
        self.answer: Answer = state.answer()
        self.metrics: RunMetrics = meter.metrics()


def told(model: str, *events: Event) -> Column:
    """A column of this model, for which this happened."""
    stage = ModelStage("quick_response", model, 0.6, 10.0, "")
    column = Column(Variant(model, stage.name, model, 0.6), "why?")
    begun = (RunStarted(0.0, "why?", (stage,)), StageStarted(0.0, stage.name))
    column.handle = cast(Handle, Told(*begun, *events))
    return column


def finished(text: str, first: float, end: StreamEnd) -> tuple[Event, ...]:
    """It wrote this from `first` on, and was through a second later."""
    return (
        ChunkReceived(first, "quick_response", text),
        StageFinished(first + 1, "quick_response", end),
        RunFinished(first + 1, "answered"),
    )


END = StreamEnd("stop", output_tokens=40, load_s=0.0, decode_s=0.8)
LOST = EngineLost("the cable fell out", "plug it in")
FAST = told("fast", *finished("The sky is blue.", 0.25, END))
COLD = told("cold", *finished("The sky is red.", 3.5, StreamEnd("stop", 9, 1, load_s=3.2)))
LATE = told("late", *finished("The sky is blue.", 7.0, END))
FAILED = told(
    "failed",
    ChunkReceived(0.25, "quick_response", "Half"),
    StageFailed(1.0, "quick_response", LOST),
    RunFinished(1.0, "failed", LOST),
)


def of(*made: Column) -> SideBySide:
    result = SideBySide("Why is the sky blue?", "models", [])
    result.columns = made
    return result


def test_each_column_tells_its_figures_and_what_differs() -> None:
    assert str(of(FAST, COLD, LATE, FAILED)).split("\n\n") == [
        "mirador · compares 4 models · Why is the sky blue?",
        (
            "fast · quick_response · done · 1.2 s · 50 tok/s · ○ 60 % low declared\n"
            "The sky is blue.\n(first token 0.25 s · 40 tokens)"
        ),
        (
            "cold · quick_response · done · 4.5 s · ○ 60 % low declared\nThe sky is red.\n"
            "(first token 3.5 s, 3.2 s of it loading · 1 token)\n"
            "(↺ compared with fast: changes 1 sentence)"
        ),
        (
            "late · quick_response · done · 8.0 s · 50 tok/s · ○ 60 % low declared\n"
            "The sky is blue.\n(first token 7.0 s · 40 tokens)\n(↺ repeats fast)"
        ),
        (
            "failed · quick_response · failed · 1.0 s\nHalf\n"
            "(the cable fell out → plug it in)\n(first token 0.25 s)\n(1 word kept)"
        ),
    ]


def test_the_twin_tells_the_same_without_a_kernel() -> None:
    shown = page.bundle(of(FAST, COLD, FAILED))
    assert set(shown) == {"text/html", "text/plain"}
    html = shown["text/html"]
    for text in (
        "first token 0.25 s · 40 tokens",
        "3.2 s of it loading",
        "plug it in",
        "<details",
        "compared with fast: changes 1 sentence",
        "flex-wrap:wrap",
    ):
        assert text in html
    assert html.count("<section") == 3
    assert "3px solid #d0453a" in html
    for absent in ("<style", "<script", "<svg", "<button"):
        assert absent not in html


def test_without_a_first_answer_nothing_is_compared() -> None:
    assert "↺" not in str(of(FAILED, FAST, COLD))


def test_names_and_texts_cannot_break_out() -> None:
    evil = "<script>x</script>\x1b[31m\u202e"
    result = of(told(evil, *finished(evil, 0.1, END)), FAST)
    result.question = evil
    shown = page.bundle(result, "run")
    assert "<script" not in shown["text/html"]
    assert not re.search("[\x1b\u202e]", "".join(shown.values()))


def test_a_pick_is_shown_told_and_kept(engine: ScriptedEngine) -> None:
    session = on(engine)
    session.configure({"metrics": True})
    result = of(FAST, COLD)
    result._keep = lambda which: comparing._kept(session, which)
    seen: list[str | None] = []
    result.watchers.append(lambda: seen.append(result.chosen))
    assert page.bundle(result, "run")["text/html"].count("This one</button>") == 2
    result.pick("fast")
    result.pick("cold")
    assert seen == ["fast", "cold"]
    assert str(result).count("(✓ this one)") == 1
    assert "(✓ this one)" in page.block(result, COLD)
    assert page.bundle(result, "run")["text/html"].count("This one</button>") == 1
    kept = Store().choices()
    assert [(each.kind, each.options, each.chosen) for each in kept] == [
        ("models", ["fast", "cold"], "fast"),
        ("models", ["fast", "cold"], "cold"),
    ]
    assert {each.question for each in kept} == {""}
    session.configure({"keep_texts": True})
    result.pick("fast")
    assert Store().choices()[-1].question == "Why is the sky blue?"


def test_a_pick_is_not_kept_where_figures_are_not(engine: ScriptedEngine) -> None:
    result = of(FAST, COLD)
    result._keep = lambda which: comparing._kept(on(engine), which)
    result.pick("fast")
    assert Store().choices() == []
    assert result.chosen == "fast"


def test_a_pick_that_cannot_be_kept_says_why_and_is_shown(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    session = on(engine)
    session.configure({"metrics": True})
    result = of(FAST, COLD)
    result._keep = lambda which: comparing._kept(session, which)
    result.pick("fast")
    assert "(✓ this one · not kept: " in str(result)


def test_a_name_that_was_not_compared_is_an_error() -> None:
    with pytest.raises(UsageError, match=re.escape("'fats' was not compared → did you mean fast?")):
        of(FAST, COLD).pick("fats")
    with pytest.raises(UsageError, match="pick one of: fast, cold"):
        of(FAST, COLD).pick("zzz")


def test_in_a_terminal_the_answers_stand_below_each_other(
    engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run(comparing.verb(on(engine), read("compare --models a,b", "why?")))
    said = capsys.readouterr().out.split("\n\n")
    assert said[0] == "mirador · compares 2 models · why?"
    assert said[1].startswith("a · quick_response · done")
    assert "\nThe sky is blue. It is high.\n(first token 0.0" in said[1]
    assert "(↺ compared with a: changes 1 sentence, adds 1)" in said[2]
    assert "\x1b" not in "".join(said)


class Sent:
    """What went to the page: displays, and the values that widgets were given, with their times."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.values: list[tuple[float, str]] = []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    sent = Sent()

    def show(self: DisplayHandle, shown: object, **_: object) -> None:
        sent.shown.append(shown)

    def send_state(self: ipywidgets.Widget, key: object = None) -> None:
        if key is not None and "value" in str(key):
            sent.values.append((now(), self.value))

    monkeypatch.setattr(DisplayHandle, "display", show)
    monkeypatch.setattr(DisplayHandle, "update", show)
    monkeypatch.setattr(ipywidgets.Widget, "send_state", send_state)
    yield sent
    controls().close()
    controls.cache_clear()


def on_board(
    engine: ScriptedEngine,
    models: str,
    beside: Callable[[Board], Coroutine[Any, Any, None]] | None = None,
) -> SideBySide:
    """A comparison that is drawn live, once it is over."""
    session = on(engine)

    async def main() -> SideBySide:
        result = compared(session, models)
        contest = Contest(session, result.columns)
        board = Board(result, contest.stop)
        task = asyncio.create_task(beside(board)) if beside else None
        await comparing._ask_all(contest, result, board)
        if task:
            await task
        return result

    return run(main())


def test_columns_wait_write_and_are_done_and_the_twin_takes_their_place(
    engine: ScriptedEngine, sent: Sent
) -> None:
    states: list[list[str]] = []

    async def look(board: Board) -> None:
        for _ in range(3):
            await asyncio.sleep(0.7)
            shown = [_values(side) for side in board._sides.values()]
            found = [re.search(r"waiting|asked|writing|done", each) for each in shown]
            states.append([each[0] if each else "" for each in found])

    engine.scripts["b"] = Script("one two", first=1.0, pace=0.5)
    on_board(engine, "a,b,slow", look)
    assert states == [
        ["done", "asked", "waiting"],
        ["done", "writing", "waiting"],
        ["done", "done", "asked"],
    ]
    assert isinstance(sent.shown[0], ipywidgets.VBox)
    twin = sent.shown[-1]["text/html"]
    for text in ("one two", "word0 word1", "The sky is blue", "This one</button>"):
        assert text in twin


def _values(widget: ipywidgets.Widget) -> str:
    """The HTML in a widget and in all within it."""
    inner = "".join(map(_values, getattr(widget, "children", ())))
    return f"{getattr(widget, 'value', '')}{inner}"


def test_the_first_words_come_at_once_and_then_four_frames_a_second(
    engine: ScriptedEngine, sent: Sent
) -> None:
    engine.scripts["b"] = Script("".join(f"word{n} " for n in range(2000)), first=1.1, pace=0.005)
    on_board(engine, "a,b")
    times = sorted({at for at, _ in sent.values})
    assert min(at for at, value in sent.values if "word" in value) == pytest.approx(1.1)
    assert len(times) <= times[-1] / FRAME + 4
    assert len(times) > 0.5 * times[-1] / FRAME


def test_what_is_sent_grows_with_the_text_and_not_with_its_square(
    engine: ScriptedEngine, sent: Sent
) -> None:
    for count in (300, 2000):
        sent.values.clear()
        text = "a **word** stands here.\n\n" * (count // 4)
        engine.scripts["b"] = Script(text, pace=0.002)
        on_board(engine, "a,b")
        assert sum(len(value) for _, value in sent.values) < 6 * len(text)


def test_at_the_end_no_widget_is_left_but_those_that_all_panels_share(
    engine: ScriptedEngine, sent: Sent
) -> None:
    on_board(engine, "a,b")
    before = set(_instances)
    on_board(engine, "a,b,slow,c")
    assert set(_instances) == before


def test_a_click_on_stop_ends_it_well(engine: ScriptedEngine, sent: Sent) -> None:
    async def click(board: Board) -> None:
        await asyncio.sleep(3.05)
        board._box.children[0].click()

    result = on_board(engine, "slow,b", click)
    assert [column.stage.status for column in result.columns] == ["stopped", "skipped"]
    assert "■ stopped: 21 words kept" in sent.shown[-1]["text/html"]


def test_a_pick_redraws_the_twin(engine: ScriptedEngine, sent: Sent) -> None:
    result = on_board(engine, "a,b")
    assert "✓ this one" not in sent.shown[-1]["text/html"]
    drawn = len(sent.shown)
    result.pick("b")
    assert len(sent.shown) == drawn + 1
    assert "✓ this one" in sent.shown[-1]["text/html"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel(NO_OLLAMA | {"MIRADOR_PRE_WARM": "0"}, SETUP) as running:
        yield running


@pytest.fixture
def page_kernel(shared: Kernel, tmp_path: Path) -> Kernel:
    """Without a model in memory, which would come first, and without a widget that hears clicks."""
    anew(shared, tmp_path)
    return shared


def opened(cell: Cell) -> str | None:
    """The id of the one widget that hears clicks, if this cell made it."""
    ids = [each["comm_id"] for each in cell.of("comm_open") if "_esm" in str(each)]
    return str(ids[0]) if ids else None


def test_a_cell_shows_its_twin_and_a_click_picks_and_is_kept(page_kernel: Kernel) -> None:
    cell = page_kernel.run(f"%%mirador compare --models {QUICK},{DEEP}\nwhy?")
    assert cell.status == "ok", cell.error
    (shown,) = cell.shown
    assert set(shown) == {"text/html", "text/plain"}
    assert "a quick draft" in shown["text/plain"]
    assert "a deep look" in shown["text/plain"]
    names = re.findall(r"mirador-run-(\w+)", shown["text/html"])
    content = {"act": "run", "run": names[0], "stage": "1"}
    data = {"method": "custom", "content": content}
    session = page_kernel.client.session
    click = session.msg("comm_msg", {"comm_id": opened(cell), "data": data})
    page_kernel.client.shell_channel.send(click)
    page_kernel.until("mirador_comparison.chosen")
    assert page_kernel.value("mirador_comparison.chosen") == repr(DEEP)
    again = page_kernel.run("mirador_comparison")
    assert "✓ this one" in again.shown[0]["text/html"]
    kept = "__import__('mirador_magic.store').store.Store().choices()[-1]"
    assert page_kernel.value(f"{kept}.chosen, {kept}.kind") == f"({DEEP!r}, 'models')"


def test_the_interrupt_keeps_what_was_written_and_stops_run_all(page_kernel: Kernel) -> None:
    msg_id = page_kernel.send(f"%%mirador compare --models {QUICK},long,{DEEP}\nwhy?")
    seen = []
    for message in page_kernel.watch(msg_id):
        seen.append(message)
        if "word1 word2 word3" in json.dumps(message["content"], default=str):
            break
    queued = page_kernel.send("print('must not run')")
    page_kernel.manager.interrupt_kernel()
    cell = page_kernel.finish(msg_id)
    cell.messages[:0] = seen
    assert cell.status == "error"
    assert cell.error.startswith("RunInterrupted: ")
    assert page_kernel.finish(queued).reply["content"]["status"] == "aborted"
    (shown,) = cell.shown
    assert set(shown) == {"text/html", "text/plain"}
    for text in ("a quick draft", "■ interrupted: ", "skipped"):
        assert text in shown["text/plain"]
    assert page_kernel.value("list(mirador_comparison.answers)") == repr([QUICK, "long"])


def test_captured_it_is_shown_once(page_kernel: Kernel) -> None:
    captured = f"%%capture out\n%%mirador compare --models {QUICK},{DEEP}\nwhy?"
    assert page_kernel.run(captured).status == "ok"
    assert page_kernel.value("len(out.outputs)") == "1"


def test_an_error_is_one_line(page_kernel: Kernel) -> None:
    cell = page_kernel.run("%%mirador compare --models a\nwhy?")
    assert cell.status == "error"
    assert cell.error.startswith("UsageError: there are not two to compare → ")
