"""The tuner: what is set there is what is asked, each try is kept, and one may go back to any."""

from __future__ import annotations

import asyncio
import html
import shlex
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ipywidgets.widgets import widget

from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.tune import board, permanent
from mirador_magic.workbench.tune.blind_view import BlindView
from mirador_magic.workbench.tune.by_hand import SOURCE, Tuner
from mirador_magic.workbench.tune.grid import Grid, Progress
from mirador_magic.workbench.tune.live import FRAME, Live
from mirador_magic.workbench.tune.plan import plan_of
from mirador_magic.workbench.tune.record import record_of
from tests.notebook.test_kernel import NO_OLLAMA, SETUP, anew
from tests.support.kernels import Kernel, kernel
from tests.support.virtual_time import run

STAGE = "deep_analysis"
QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRADOR_ENGINE", "scripted")
    monkeypatch.setenv("MIRADOR_METRICS", "off")


def scripted() -> ScriptedEngine:
    return ScriptedEngine({model: Script("one two", pace=1.0) for model in (QUICK, DEEP)})


async def settled(seconds: float = 0.0) -> None:
    """So much time later (the loop's), and until what is ready has been done."""
    await asyncio.sleep(seconds)
    for _ in range(50):
        await asyncio.sleep(0)


def on_tuner(
    deeds: Callable[[Session, Tuner, ScriptedEngine], Awaitable[None]],
) -> None:
    """Do this with the tuner of a new session. No task and no widget may be left behind."""
    known = set(widget._instances)

    async def main() -> None:
        session, engine = Session(), scripted()
        session.use(engine)
        tuner = Tuner(session, STAGE)
        await settled()
        try:
            await deeds(session, tuner, engine)
        finally:
            tuner.close()
            await settled(5)

    run(main())
    assert set(widget._instances) == known


async def tried(tuner: Tuner, question: str = "why?", **fields: str) -> None:
    """Run the tuner with these in its fields."""
    tuner.fields.questions.value = question
    for key, value in fields.items():
        tuner.fields._of(key).value = value
    tuner.go.click()
    await settled(10)


def test_it_begins_with_what_is_in_force() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        fields = tuner.fields
        assert fields.model.value == DEEP
        assert fields.options["temperature"].value == "0.7"
        assert fields.system.value == session.stages[STAGE].system_prompt
        assert set(fields.model.options) == {QUICK, DEEP}
        tuner.use.click()
        await settled()
        assert "has these settings already" in tuner.status.value
        assert not session.notebook

    on_tuner(deeds)


def test_what_is_set_is_what_is_asked() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, system="Be brief.", model=QUICK, temperature="0.2", num_predict="9")
        (asked,) = engine.requests
        assert asked.model == QUICK
        assert asked.messages[0].content == "Be brief."
        assert (asked.options.temperature, asked.options.num_predict) == (0.2, 9)
        assert asked.options.top_p == 0.95
        (one,) = tuner.tries
        assert (one.answer, one.question, one.settings["temperature"]) == ("one two", "why?", 0.2)
        assert one.figures.ended == "done"
        assert not session.asked
        assert not session.notebook

    on_tuner(deeds)


def test_an_empty_field_leaves_it_to_the_stage() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, temperature="", model=" ")
        assert (engine.requests[0].model, engine.requests[0].options.temperature) == (DEEP, 0.7)

    on_tuner(deeds)


def test_each_question_is_a_try_and_tells_what_changed() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, "why?\n\n how? ")
        await tried(tuner, "how?", temperature="0.2")
        assert [each.question for each in tuner.tries] == ["why?", "how?", "how?"]
        labels = [label for label, _ in tuner.past.options]
        assert labels == ["1: the first", "2: another question", "3: temperature 0.7 → 0.2"]
        assert tuner.past.value == 3
        assert "try 3: temperature 0.7 → 0.2" in tuner.status.value

    on_tuner(deeds)


def test_one_may_go_back_to_any_try() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, "why?", temperature="0.2")
        await tried(tuner, "how?", temperature="0.9", system="Be brief.")
        tuner.past.value = 1
        tuner.back.click()
        await settled()
        assert tuner.fields.options["temperature"].value == "0.2"
        assert tuner.fields.system.value == session.stages[STAGE].system_prompt
        assert tuner.fields.questions.value == "why?"
        await tried(tuner)
        assert engine.requests[2] == engine.requests[0]

    on_tuner(deeds)


def test_one_may_go_back_to_a_try_of_a_grid_with_all_that_it_set() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await Grid(session, plan_of(session, STAGE, [{"seed": 7, "top_p": 0.5}], ["q"])).run()
        await tried(tuner)
        tuner.past.value = 1
        tuner.back.click()
        await tried(tuner)
        assert [asked.options.seed for asked in engine.requests] == [7, None, 7]
        assert [asked.options.top_p for asked in engine.requests] == [0.5, 0.95, 0.5]
        tuner.use.click()
        await settled()
        assert (session.stages[STAGE].options.seed, session.stages[STAGE].options.top_p) == (7, 0.5)

    on_tuner(deeds)


def test_a_rating_is_the_chosen_trys() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        tuner.ratings[4].click()
        await settled()
        assert "there is no try yet → press Run" in tuner.status.value
        await tried(tuner)
        await tried(tuner)
        tuner.past.value = 1
        tuner.ratings[3].click()
        await settled()
        assert [each.rating for each in tuner.tries] == [4, None]
        assert tuner.past.value == 1
        assert tuner.past.options[0][0].endswith("· 4 of 5")

    on_tuner(deeds)


def test_use_sets_the_stage_and_tells_what_makes_it_permanent() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        tuner.fields.options["temperature"].value = "0.2"
        tuner.fields.system.value = 'Say "<b>why</b>".'
        tuner.use.click()
        await settled()
        stage = session.stages[STAGE]
        assert (stage.options.temperature, stage.system_prompt) == (0.2, 'Say "<b>why</b>".')
        assert session.notebook[f"{STAGE}.temperature"].source == SOURCE
        assert set(session.notebook) == {f"{STAGE}.temperature", f"{STAGE}.system"}
        sheet = tuner._sheet()
        set_here = {"system": 'Say "<b>why</b>".', "temperature": 0.2}
        for text in (permanent.python(STAGE, set_here), permanent.toml(STAGE, set_here)):
            assert text in sheet["text/plain"]
        assert "<b>why" not in sheet["text/html"] + tuner.status.value
        written = sheet["text/plain"].partition("for good\n")[2]
        assert tomllib.loads(written)["tool"]["mirador"]["stages"][STAGE] == set_here
        tuner.fields.options["temperature"].value = "0.7"  # as it was before the tuner
        tuner.use.click()
        await settled()
        assert session.stages[STAGE].options.temperature == 0.7

    on_tuner(deeds)


def test_any_other_setting_is_asked_comes_back_and_is_made_permanent() -> None:
    typed = """think=low num_ctx=model options.top_k=20 options.stop='["END", "a b"]'"""

    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        assert tuner.fields.more.value == ""
        tuner.fields.more.value = typed
        await tried(tuner)
        (asked,) = engine.requests
        assert dict(asked.options.more) == {"top_k": 20, "stop": ("END", "a b")}
        assert (asked.think, asked.options.num_ctx) == ("low", None)
        tuner.fields.more.value = ""
        await tried(tuner)
        said = html.unescape(tuner.status.value)
        assert """options.stop ["END", "a b"] → the engine's own, options.top_k 20 → the""" in said
        tuner.past.value = 1
        tuner.back.click()
        await settled()
        there = dict(each.split("=", 1) for each in shlex.split(tuner.fields.more.value))
        assert there == dict(each.split("=", 1) for each in shlex.split(typed))
        tuner.use.click()
        await settled()
        stage = session.stages[STAGE]
        assert dict(stage.options.more)["top_k"] == 20 and stage.think == "low"
        assert 'options.stop = ["END", "a b"]' in tuner._sheet()["text/plain"]
        tuner.fields.more.value = "think"
        tuner.go.click()
        await settled()
        assert "'think' has no value" in html.unescape(tuner.status.value)
        assert "more: think" in tuner.twin()["text/plain"]

    on_tuner(deeds)


@pytest.mark.parametrize(
    ("question", "fields", "message"),
    [
        ("why?", {"temperature": "hot"}, "is not a number → such as deep_analysis.temperature"),
        ("why?", {"num_predict": "0"}, "is not a count"),
        (" \n ", {}, "there is no question"),
    ],
)
def test_what_cannot_be_asked_is_a_line(
    question: str, fields: dict[str, str], message: str
) -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, question, **fields)
        assert message in tuner.status.value
        assert not engine.requests

    on_tuner(deeds)


def test_a_stop_keeps_what_was_written_and_asks_no_other_question() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        tuner.fields.questions.value = "why?\nhow?"
        tuner.go.click()
        await settled(0.5)
        tuner.go.click()
        await settled()
        assert "a run is under way → stop it first" in tuner.status.value
        tuner.halt.click()
        await settled()
        (one,) = tuner.tries
        assert (one.answer, one.figures.ended) == ("one", "stopped")
        await tried(tuner)
        assert len(tuner.tries) == 2

    on_tuner(deeds)


def test_a_try_that_fails_is_kept_with_why() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        await tried(tuner, model="absent")
        assert "no script for &#x27;absent&#x27;" in tuner.status.value
        assert "no script for 'absent'" in tuner.tries[0].why

    on_tuner(deeds)


def test_closing_ends_the_run() -> None:
    async def deeds(session: Session, tuner: Tuner, engine: ScriptedEngine) -> None:
        tuner.fields.questions.value = "why?\nhow?"
        tuner.go.click()
        await settled(0.5)
        board.leave()
        tuner.go.click()  # a late message of the page
        await settled()
        assert engine.closed_early == [DEEP]
        assert not session.going
        assert len(engine.requests) == 1

    on_tuner(deeds)


def test_an_unknown_stage_is_an_error() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="did you mean deep_analysis"):
            Tuner(Session(), "deep_analysi")

    run(main())


def test_the_bar_is_painted_four_times_a_second_at_most() -> None:
    async def main() -> None:
        live = Live(lambda: None)
        shown: list[str] = []
        live.bar.observe(lambda change: shown.append(change["new"]), "value")
        for done in range(40):
            live(Progress(done, 40, 3.0))
            await asyncio.sleep(0.03)
        assert len(shown) == 5  # in 1.2 s
        assert "width:20%" in shown[1]
        await asyncio.sleep(2 * FRAME)
        assert "39 of 40 tries" in shown[-1]
        live.finish("<done>")
        assert live.twin()["text/plain"] == "<done>"
        assert "&lt;done&gt;" in live.twin()["text/html"]

    known = set(widget._instances)
    run(main())
    assert set(widget._instances) == known


def test_the_blind_view_has_buttons_and_ends_as_the_table() -> None:
    async def main() -> None:
        session = Session()
        session.use(ScriptedEngine({DEEP: Script("<img src=x> one"), QUICK: Script("two")}))
        variants = [{"model": DEEP, "name": "deep"}, {"model": QUICK, "name": "quick"}]
        table = await Grid(session, plan_of(session, STAGE, variants, ["why?"])).run()
        view = BlindView(table.blind(seed=1))
        for _ in range(2):
            assert "deep" not in view.card.value
            assert "quick" not in view.card.value
            assert "<img" not in view.card.value
            assert "quick" not in view.twin()["text/html"]
            view.buttons[4].click()
            await settled()
        assert view.is_closed
        assert "quick" in view.twin()["text/html"]
        assert {each.rating for each in record_of(session).of(STAGE)} == {5}

    known = set(widget._instances)
    run(main())
    assert set(widget._instances) == known


# in a kernel

BEGIN = """
from mirador_magic.workbench.tune import tune, tuner
seen.clear()
"""
TUNER = """
board = tuner("deep_analysis")
board
"""


def _send(kernel: Kernel, of: str, data: dict[str, Any]) -> None:
    comm = kernel.value(f"board.{of}.model_id").strip("'")
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    kernel.client.shell_channel.send(message)


def _set(kernel: Kernel, of: str, **state: object) -> None:
    _send(kernel, of, {"method": "update", "state": state, "buffer_paths": []})


def _click(kernel: Kernel, of: str) -> None:
    _send(kernel, of, {"method": "custom", "content": {"event": "click"}})


SEEN = """
from IPython.core.display_functions import DisplayHandle
seen = {}
update = DisplayHandle.update
def watch(self, shown, **given):
    seen.setdefault(self.display_id, []).append(shown)
    return update(self, shown, **given)
DisplayHandle.update = watch
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel(NO_OLLAMA, SETUP + SEEN) as running:
        yield running


@pytest.fixture
def notebook(shared: Kernel, tmp_path: Path) -> Kernel:
    """Without a try, a board or a setting of another test's."""
    anew(shared, tmp_path)
    shared.run(BEGIN)
    return shared


def test_a_click_streams_into_the_panel_and_the_tries_stand_below(notebook: Kernel) -> None:
    cell = notebook.run(TUNER)
    assert cell.status == "ok", cell.error
    controls, _, tries = cell.shown
    assert "application/vnd.jupyter.widget-view+json" in controls
    assert "run this cell to go on" in controls["text/plain"]
    assert "0 tries" in tries["text/plain"]
    _set(notebook, "fields.questions", value="why?")
    _set(notebook, "fields.system", value="Be brief.")
    _click(notebook, "go")
    notebook.until("board.tries and not board._handle")
    shown, table = "seen[board._below[0].display_id]", "seen[board._below[1].display_id]"
    assert notebook.value(f"type({shown}[-2]).__name__") == "'VBox'"  # live while it wrote
    assert "a deep look" in notebook.value(f"{shown}[-1]['text/html']")
    for kind in ("text/html", "text/plain"):
        assert "a deep look" in notebook.value(f"{table}[-1]['{kind}']")
    assert notebook.value("engine.requests[-1].messages[0].content") == "'Be brief.'"
    _click(notebook, "use")
    notebook.until("'in this session' in board.status.value")
    assert "tool.mirador.stages" in notebook.value(f"{table}[-1]['text/plain']")
    cell = notebook.run("%%mirador --stages deep_analysis\nhow?")
    assert cell.status == "ok", cell.error
    assert notebook.value("engine.requests[-1].messages[0].content") == "'Be brief.'"


def test_what_stands_there_after_closing_needs_no_kernel(notebook: Kernel) -> None:
    cell = notebook.run(
        "other = tuner()\ndisplay(other)\nawait asyncio.sleep(0)\nother.close()\n"
        "while not other._looking.done(): await asyncio.sleep(0)"
    )
    assert cell.status == "ok", cell.error
    assert [set(each) for each in cell.shown] == [{"text/html", "text/plain"}] * 3
    notebook.until("not any('mirador tuner' in t.get_name() for t in asyncio.all_tasks())")


def test_the_verb_is_the_tuner(notebook: Kernel) -> None:
    cell = notebook.run("%mirador tune synthesis")
    assert cell.status == "ok", cell.error
    assert "mirador tuner of synthesis" in cell.shown[0]["text/plain"]
    cell = notebook.run("%mirador tune syn")
    assert "there is no stage 'syn'" in cell.error


def test_a_grid_in_a_cell_leaves_a_line_and_is_a_table(notebook: Kernel) -> None:
    cell = notebook.run(
        "found = await tune('deep_analysis', [{'model': quick}, {'model': deep}], ['q', 'r'],"
        " expect='deep')\nfound"
    )
    assert cell.status == "ok", cell.error
    line, table = cell.shown
    assert set(line) == {"text/html", "text/plain"}
    assert "no difference shown" in line["text/plain"]
    assert "model" in table["text/html"]
    assert "a deep look" in table["text/html"]
    assert notebook.value("list(found.frame.score)") == "[0.0, 1.0, 0.0, 1.0]"
    cell = notebook.run("found.blind()")
    assert "application/vnd.jupyter.widget-view+json" in cell.shown[0]
    assert "quick draft" not in cell.shown[0]["text/html"]


def test_an_interrupt_leaves_a_line_and_the_same_cell_goes_on(notebook: Kernel) -> None:
    code = "long = await tune('synthesis', [{}, {'model': 'long'}], ['q'])"
    msg_id = notebook.send(code)
    for message in notebook.watch(msg_id):
        if "1 of 2 tries" in str(message["content"]):
            notebook.manager.interrupt_kernel()
            break
    cell = notebook.finish(msg_id)
    assert cell.status == "error"
    (line,) = cell.of("update_display_data")
    assert "the same tune() again goes on" in line["data"]["text/plain"]
    notebook.run("engine.scripts['long'] = Script('short')")
    cell = notebook.run(code)
    assert cell.status == "ok", cell.error
    assert notebook.value("[each.answer for each in long.tries]") == "['the last word', 'short']"
