"""The controls: what is set there is what the next cell uses, and the lamps tell what is warm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from ipywidgets.widgets import widget

from mirador_magic.engines.base import ChatRequest, Loaded
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineUnavailable, UsageError
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from mirador_magic.workbench.controls import SOURCE, Switchboard, route_of, switchboard
from tests.notebook.test_kernel import NO_OLLAMA, OLD_KERNEL, SETUP
from tests.support.kernels import Kernel, kernel
from tests.support.patience import PATIENCE
from tests.support.virtual_time import run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)


class Absent(ScriptedEngine):
    """An engine that may be away."""

    is_away = False

    async def probe(self) -> None:
        if self.is_away:
            raise EngineUnavailable("nobody answers", "start it")


def scripted() -> Absent:
    return Absent({model: Script("one two", load=3.0) for model in (QUICK, DEEP, SYNTHESIS)})


def on_board(
    monkeypatch: pytest.MonkeyPatch,
    deeds: Callable[[Session, Switchboard], Awaitable[None]],
    engine: ScriptedEngine | None = None,
) -> None:
    """Do this with the controls of a new session on a scripted engine. No task may be left behind."""
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.delenv("MIRADOR_DEFAULT_STAGES")

    async def main() -> None:
        session = Session()
        session.use(engine or scripted())
        board = switchboard(session)
        await settled()
        try:
            await deeds(session, board)
        finally:
            board.close()
            await settled()

    run(main())


async def settled(seconds: float = 0.0) -> None:
    """So much time later (the loop's), and until what is ready has been done."""
    await asyncio.sleep(seconds)
    for _ in range(50):
        await asyncio.sleep(0)


def lamps(board: Switchboard) -> list[str]:
    """The words of the lamps, in order."""
    shown = [board.rows[stage].lamp.value for stage in board.rows]
    return [each.partition("</span> ")[2].removesuffix("</span>") for each in shown]


def test_a_route_sets_the_default_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        assert board.route.value == "auto"
        for route, stages in {
            "fast": ("quick_response",),
            "balanced": ("quick_response", "synthesis"),
            "deep": ("quick_response", "deep_analysis", "synthesis"),
            "auto": (),
        }.items():
            board.route.value = route
            await settled()
            assert session.settings()["default_stages"] == stages
            assert [name for name, row in board.rows.items() if row.ask.value] == [*stages]
            assert board.route.value == route

    on_board(monkeypatch, deeds)


def test_ticks_make_a_route_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        board.rows["synthesis"].ask.value = True
        board.rows["deep_analysis"].ask.value = True  # both before the loop comes to either
        await settled()
        assert session.settings()["default_stages"] == ("deep_analysis", "synthesis")
        assert board.route.value == "own choice"
        board.rows["quick_response"].ask.value = True
        await settled()
        assert board.route.value == "deep"
        for row in board.rows.values():
            row.ask.value = False
        await settled()
        assert board.route.value == "auto"

    on_board(monkeypatch, deeds)


def test_a_route_is_known_by_its_stages() -> None:
    assert route_of(()) == "auto"
    assert route_of(["quick_response"]) == "fast"
    assert route_of(["synthesis", "quick_response"]) == "own choice"


def test_engine_and_flags_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        assert "set by MIRADOR_ENGINE" in board.engine.tooltip
        assert "MIRADOR_ENGINE sets engine" in board.status.value
        board.flags["streaming"].value = False
        board.flags["pre_warm"].value = False
        session.readiness.pre_warm = True
        await settled()
        assert not session.settings()["streaming"]
        assert not session.settings()["pre_warm"]
        assert not session.readiness.pre_warm
        board.engine.value = "embedded"
        await settled()
        assert session.settings().given("engine").source == SOURCE
        board.reset.click()
        await settled()
        assert session.notebook == {}
        assert (board.engine.value, board.flags["streaming"].value) == ("scripted", True)
        assert session.readiness.pre_warm
        assert "taken back: streaming, pre_warm, engine" in board.status.value

    monkeypatch.setenv("MIRADOR_MODELS", "/nonexistent")
    on_board(monkeypatch, deeds)


def test_reset_leaves_what_was_set_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        session.configure({"temperature": 0.5}, "configure()")
        board.route.value = "fast"
        await settled()
        board.reset.click()
        await settled()
        assert list(session.notebook) == ["temperature"]
        assert board.route.value == "auto"

    on_board(monkeypatch, deeds)


def test_a_model_is_set_and_a_bad_one_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        model = board.rows["synthesis"].model
        assert set(model.options) == {QUICK, DEEP, SYNTHESIS}
        model.value = QUICK
        await settled()
        assert session.stages["synthesis"].model == QUICK
        assert "set by controls()" in model.tooltip
        model.value = "  "
        await settled()
        assert model.value == QUICK
        assert session.stages["synthesis"].model == QUICK
        assert "is not a name → such as synthesis.model" in board.status.value
        model.value = "<b>none</b>"
        await settled()
        assert lamps(board)[2] == "not installed"
        assert "<b>none" not in board.rows["synthesis"].lamp.value

    on_board(monkeypatch, deeds)


def test_a_lamp_follows_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        assert lamps(board) == ["cold"] * 3
        row = board.rows["deep_analysis"]
        row.warm.click()
        await settled(1.5)
        assert lamps(board)[1].startswith("loading")
        assert row.warm.disabled
        await settled(2)
        assert lamps(board) == ["cold", "warm", "cold"]
        assert "is warm" in board.status.value
        assert not row.leave.disabled
        row.leave.click()
        await settled()
        assert lamps(board) == ["cold"] * 3
        assert "has left memory" in board.status.value

    on_board(monkeypatch, deeds)


class Keeping(ScriptedEngine):
    """An engine that writes down how many seconds it is told to keep each model."""

    def __init__(self) -> None:
        super().__init__({model: Script("one") for model in (QUICK, DEEP, SYNTHESIS)})
        self.kept: dict[str, float | None] = {}

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        self.kept[request.model] = keep_alive
        return await super().load(request, keep_alive)


def test_how_long_a_model_is_kept_is_what_the_next_warm_up_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Keeping()

    async def deeds(session: Session, board: Switchboard) -> None:
        await session.readiness.warm()
        unasked = dict(engine.kept)
        kept = board.rows["deep_analysis"].kept
        assert kept.value == ""
        kept.value = " 90 "
        await settled()
        assert kept.value == "90"
        assert "set by controls()" in kept.tooltip
        assert "set here: deep_analysis.keep_alive" in board.status.value
        await session.readiness.warm()
        assert engine.kept == {**unasked, DEEP: 90.0}
        kept.value = ""
        await settled()
        assert "taken back: deep_analysis.keep_alive" in board.status.value
        assert session.notebook == {}
        await session.readiness.warm()
        assert engine.kept == unasked

    on_board(monkeypatch, deeds, engine)


def test_a_click_warms_a_model_for_as_long_as_its_row_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Keeping()

    async def deeds(session: Session, board: Switchboard) -> None:
        row = board.rows["synthesis"]
        row.kept.value = "7200"
        row.warm.click()
        await settled(1)
        assert engine.kept == {SYNTHESIS: 7200.0}

    on_board(monkeypatch, deeds, engine)


def test_a_keep_alive_that_is_none_is_told_and_what_was_set_elsewhere_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        session.configure({"keep_alive": 600}, "configure()")
        board.refresh.click()
        await settled()
        kept = board.rows["synthesis"].kept
        assert kept.value == "600"
        for given in ("soon", "30 min"):
            kept.value = given
            await settled()
            assert kept.value == "600"
            assert "such as synthesis.keep_alive = 1800" in board.status.value
        kept.value = "60"
        await settled()
        assert session.stages["synthesis"].keep_alive == 60
        assert session.stages["deep_analysis"].keep_alive == 600
        kept.value = ""
        await settled()
        assert kept.value == "600"

    on_board(monkeypatch, deeds)


def test_any_other_setting_of_a_stage_is_set_shown_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        more = board.rows["synthesis"].more
        assert more.value == ""
        more.value = "think=low options.top_k=20"
        await settled()
        stage = session.stages["synthesis"]
        assert (stage.think, dict(stage.options.more)) == ("low", {"top_k": 20})
        assert session.stages["deep_analysis"].options.more == ()
        more.value = "options.top_k=30 temperature=hot"
        await settled()
        assert "is not a number" in board.status.value
        assert more.value == "think=low options.top_k=20"
        more.value = "options.top_k=30"
        await settled()
        stage = session.stages["synthesis"]
        assert (stage.think, dict(stage.options.more)) == (None, {"top_k": 30})
        board.reset.click()
        await settled()
        assert more.value == "" and not session.notebook

    on_board(monkeypatch, deeds)


def test_two_warm_ups_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = scripted()

    async def deeds(session: Session, board: Switchboard) -> None:
        for row in board.rows.values():
            row.warm.click()
        await settled(20)
        assert [asked.model for asked in engine.warmed] == [QUICK, DEEP, SYNTHESIS]
        assert lamps(board) == ["warm"] * 3

    on_board(monkeypatch, deeds, engine)


def test_ticking_pre_warm_warms_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        board.flags["pre_warm"].value = False
        await settled()
        board.flags["pre_warm"].value = True
        await settled(10)
        assert lamps(board) == ["warm"] * 3
        assert session.readiness.pre_warm

    on_board(monkeypatch, deeds)


def test_a_model_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(ScriptedEngine):
        async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
            raise EngineUnavailable("it is full", "make room")

    async def deeds(session: Session, board: Switchboard) -> None:
        board.rows["quick_response"].warm.click()
        await settled()
        assert lamps(board)[0] == "failed"
        assert "it is full → make room" in board.status.value

    on_board(monkeypatch, deeds, Refusing())


def test_an_engine_that_is_away_is_a_line_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = scripted()
    engine.is_away = True

    async def deeds(session: Session, board: Switchboard) -> None:
        assert "nobody answers → start it" in board.status.value
        board.rows["quick_response"].warm.click()
        board.rows["synthesis"].leave.click()
        await settled()
        assert "nobody answers → start it" in board.status.value
        engine.is_away = False
        board.refresh.click()
        await settled()
        assert "nobody answers" not in board.status.value
        assert "scripted, no model" in board.status.value

    with caplog.at_level(logging.WARNING):
        on_board(monkeypatch, deeds, engine)
    assert not caplog.records


def test_a_stage_of_ones_own_has_a_row_until_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        session.add_stage(ModelStage("critic", DEEP, 0.5, 10.0, ""))
        session.configure({"second.model": QUICK})
        board.refresh.click()
        await settled()
        assert list(board.rows) == [*(s.name for s in DEFAULT_STAGES), "critic", "second"]
        board.rows["critic"].ask.value = True
        board.rows["critic"].warm.click()
        await settled(5)
        assert session.settings()["default_stages"] == ("critic",)
        assert lamps(board) == ["cold", "warm", "cold", "warm", "cold"]  # one model, two lamps
        session.configure({"second.model": None})
        board.refresh.click()
        await settled()
        assert board.rows["second"].box not in board.children
        assert board.rows["critic"].box in board.children

    on_board(monkeypatch, deeds)


def test_settings_that_become_unreadable_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        monkeypatch.setenv("MIRADOR_STREAMING", "perhaps")
        board.rows["quick_response"].warm.click()
        await settled(5)
        assert "is neither on nor off" in board.status.value
        monkeypatch.delenv("MIRADOR_STREAMING")
        board.refresh.click()
        await settled()
        assert "is neither on nor off" not in board.status.value

    with caplog.at_level(logging.WARNING):
        on_board(monkeypatch, deeds)
    assert not caplog.records


def test_closing_ends_all_that_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        assert len(_instances()) > len(known)
        board.rows["deep_analysis"].warm.click()
        await settled(1)
        board.close()
        board.close()
        board.rows["synthesis"].ask.value = True  # a late message of the page
        await settled()
        assert session.notebook == {}

    known = _instances()
    on_board(monkeypatch, deeds)
    assert _instances() == known


def _instances() -> set[str]:
    return set(widget._instances)


def test_a_session_has_one_board_until_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deeds(session: Session, board: Switchboard) -> None:
        assert switchboard(session) is board
        board.close()
        other = switchboard(session)
        assert other is not board
        await settled()
        other.close()
        await settled()

    on_board(monkeypatch, deeds)


def test_without_a_loop_it_is_an_error_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"controls\(\) needs a notebook → %mirador settings"):
        switchboard(Session())


BOARD = """
from mirador_magic.session.session import current
from mirador_magic.workbench.controls import (Switchboard, switchboard)
board = switchboard(current())
board
"""


class Page:
    """The page's side of the controls in a kernel: what is shown there, and what it sends."""

    def __init__(self, kernel: Kernel, subshell: str | None) -> None:
        self.kernel = kernel
        self.subshell = subshell
        cell = kernel.run(BOARD)
        assert cell.status == "ok", cell.error
        (self.shown,) = cell.shown

    def set(self, widget: str, **state: object) -> None:
        self._send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def click(self, widget: str) -> None:
        self._send(widget, {"method": "custom", "content": {"event": "click"}})

    def _send(self, widget: str, data: dict[str, Any]) -> None:
        comm = self.kernel.value(f"board.{widget}.model_id").strip("'")
        message = self.kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if self.subshell:
            message["header"]["subshell_id"] = self.subshell
        self.kernel.client.shell_channel.send(message)


@pytest.fixture(params=["ipykernel 7", "ipykernel 7, a subshell", "ipykernel 6"], scope="module")
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    env = NO_OLLAMA | ({"PYTHONPATH": str(OLD_KERNEL)} if "6" in request.param else {})
    with kernel(env, SETUP) as running:
        yield Page(running, _subshell(running) if "subshell" in request.param else None)


def _subshell(running: Kernel) -> str:
    channel = running.client.control_channel
    channel.send(running.client.session.msg("create_subshell_request", {}))
    return str(channel.get_msg(timeout=PATIENCE)["content"]["subshell_id"])


def test_what_is_set_is_what_the_next_cell_uses(page: Page) -> None:
    fast = "list(board.route._options_labels).index('fast: 1 of 3 stages')"
    page.set("route", index=int(page.kernel.value(fast)))
    page.set("rows['quick_response'].model", value="long")
    page.kernel.until("current().stages['quick_response'].model == 'long'")
    page.set("rows['quick_response'].model", value="")  # comes back
    page.kernel.until(
        "board.rows['quick_response'].model.value == 'long' and 'not a name' in board.status.value"
    )
    page.kernel.run("engine.scripts['long'] = Script('a long word')")
    cell = page.kernel.run("%%mirador\nwhy?")
    assert cell.status == "ok", cell.error
    assert page.kernel.value("[(s.name, s.model, s.text) for s in mirador_answer.stages]") == (
        "[('quick_response', 'long', 'a long word')]"
    )
    page.click("reset")
    page.kernel.until("not {*current().notebook} - {'engine'}")  # which use_engine() set


def test_warm_and_let_go_are_clicks(page: Page) -> None:
    page.kernel.until("not board._is_looking")
    page.kernel.run("engine.loaded.clear()")
    page.click("refresh")
    page.click("rows['deep_analysis'].warm")
    page.kernel.until(
        "'warm' in board.rows['deep_analysis'].lamp.value and engine.loaded == [deep]"
    )
    page.click("rows['deep_analysis'].leave")
    page.kernel.until("not engine.loaded")


def test_what_is_saved_can_be_read_without_a_kernel(page: Page) -> None:
    assert "application/vnd.jupyter.widget-view+json" in page.shown
    for kind in ("text/html", "text/plain"):
        for text in ("run this cell", "route: deep (quick_response, ", "quick_response"):
            assert text in page.shown[kind]


def test_closing_leaves_text_and_no_task(page: Page) -> None:
    cell = page.kernel.run("other = Switchboard(current())\ndisplay(other)\nother.close()")
    assert cell.status == "ok", cell.error
    (shown,) = cell.shown
    assert set(shown) == {"text/html", "text/plain"}
    page.kernel.until("not any('mirador controls' in t.get_name() for t in asyncio.all_tasks())")
