"""The magic in real kernels: every way a cell can meet the loop, on ipykernel 7 and 6.

A scripted engine plays the models here, so that a run can be held where a test needs it; the
engines have their own tests, and test_end_to_end puts all of it together.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kernels import Cell, Kernel, kernel
from tests.support.ollama_server import OllamaServer

OLD_KERNEL = Path(sys.prefix) / "ipykernel6"
NO_OLLAMA = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": "/nonexistent"}

# Whether a task `t` runs code of the package, wherever the checkout lies.
OURS = r"__import__('re').search(r'mirador_magic/(\w+/)*\w+\.py', repr(t))"

SETUP = """
%load_ext mirador_magic
import asyncio, gc
import ipywidgets
from mirador_magic import (Script, ScriptedEngine, use_engine, DEFAULT_STAGES)
quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
engine = ScriptedEngine({
    quick: Script("a quick draft", pace=0.02),
    deep: Script("a deep look", pace=0.15),
    synthesis: Script("the last word", pace=0.02),
    "held": Script(["a deep", 3600.0, " look"]),
    "long": Script(["".join(f"word{n} " for n in range(500)), 3600.0], pace=0.05),
})
use_engine(engine)
import os; os.environ["MIRADOR_ENGINE"] = "scripted"
"""


ANEW = """
%unload_ext mirador_magic
from mirador_magic.session import session as sessions
from mirador_magic.views import answer_buttons as clicks
await sessions.current().closing
sessions.current.cache_clear()
clicks.controls().close()
clicks.controls.cache_clear()
"""


def anew(running: Kernel, data: Path) -> None:
    """Give a kernel that tests share what one begins with: a session, an engine, an empty store.

    It costs a moment where another kernel costs a second.
    """
    for code in (ANEW, f"import os; os.environ['XDG_DATA_HOME'] = {str(data)!r}\n{SETUP}"):
        cell = running.run(code)
        assert cell.status == "ok", cell.error


@pytest.fixture(params=["ipykernel 7", "ipykernel 6"], scope="module")
def any_kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """One kernel of each kind, for the tests that leave it as it was."""
    env = NO_OLLAMA | ({"PYTHONPATH": str(OLD_KERNEL)} if request.param == "ipykernel 6" else {})
    with kernel(env, SETUP) as running:
        version = running.value("__import__('ipykernel').__version__")
        assert version.startswith(f"'{request.param[-1]}."), version
        yield running


@pytest.fixture
def new_kernel() -> Iterator[Kernel]:
    with kernel(NO_OLLAMA, SETUP) as running:
        yield running


def answered(cell: Cell) -> None:
    """The cell shows one static answer of three stages, and no widget."""
    assert cell.status == "ok", cell.error
    shown = [data for data in cell.shown if data]
    assert len(shown) == 1
    assert set(shown[0]) == {"text/html", "text/markdown", "text/plain"}
    for text in ("a quick draft", "a deep look", "the last word"):
        assert text in shown[0]["text/plain"]


WAYS = {
    "awaited": "%%mirador\nwhy?",
    "with options": "%%mirador --stages quick_response,deep_analysis,synthesis\nwhy?",
    "a line": "%mirador why?",
    "an assigned line": "x = %mirador why is that?",
    "a line after code": "y = 1\n%mirador ask why not",
    "a line in a block": "if True:\n    %mirador why so",
    "a question in a loop": "q = 'it'\nfor n in [1]:\n    %mirador what is {q}, a p-value?",
    "into a dict": "d = {}\nd['a'] = %mirador why is that?\nassert d['a'].text == 'the last word'",
    "into an attribute": "class A: ...\nA.b = %mirador why?\nassert A.b.text == 'the last word'",
    "returned": "def f():\n    return %mirador why?\nassert f().text == 'the last word'",
    "timed": "%time %mirador why is that?",
    "a line under %%time": "%%time\nd = {}\nd['a'] = %mirador why is that?",
    "under %%time": "%%time\n%%mirador\nwhy?",
    "autoawait off": "%%mirador\nwhy?",
    "called": "ip = get_ipython()\nx = ip.run_cell_magic('mirador', '', 'why?')",
    "called in a function": "def f():\n    return get_ipython().run_line_magic('mirador', 'why')\na = f()",
    "run_cell": "r = get_ipython().run_cell('%mirador why', store_history=False)",
    "buffered": "%%mirador --traditional\nwhy?",
    "the old name of buffered": "%%mirador --v2\nwhy?",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_answers_and_the_queued_cell_runs(any_kernel: Kernel, way: str) -> None:
    any_kernel.run("%autoawait " + ("off" if way == "autoawait off" else "on"))
    first = any_kernel.send(WAYS[way])
    second = any_kernel.send("print('second')")
    answered(any_kernel.finish(first))
    assert any_kernel.finish(second).stdout.strip() == "second"
    assert any_kernel.value("mirador_answer.text") == "'the last word'"
    any_kernel.run("%autoawait on")


@pytest.mark.parametrize("code", ["%mirador?", "x = %mirador?", "engine?", "%time?"])
def test_help_stays_help(any_kernel: Kernel, code: str) -> None:
    cell = any_kernel.run(code)
    assert cell.status == "ok", cell.error
    assert cell.reply["content"]["payload"] and not cell.shown


def test_under_capture_the_answer_is_captured_once(any_kernel: Kernel) -> None:
    first = any_kernel.send("%%capture seen\n%%mirador\nwhy?")
    second = any_kernel.send("print('second')")
    cell = any_kernel.finish(first)
    assert cell.status == "ok", cell.error
    assert not cell.shown
    assert any_kernel.finish(second).stdout.strip() == "second"
    answered(any_kernel.run("seen.show()"))


def test_the_value_is_the_answer_and_is_shown_once(any_kernel: Kernel) -> None:
    answered(any_kernel.run("%%mirador reply <<\nwhy?"))
    for name in ("_", "reply", "mirador_answer", "Out[max(Out)]"):
        found = any_kernel.value(f"{name}.text, {name}.outcome, {name}['synthesis'].status")
        assert found == "('the last word', 'answered', 'done')", name
    answered(any_kernel.run("reply"))
    answered(any_kernel.run("%mirador last"))


@pytest.mark.parametrize("way", ["an assigned line", "under %%time", "called in a function"])
def test_a_value_that_no_cell_ended_with_is_shown_where_it_is_asked_for(
    any_kernel: Kernel, way: str
) -> None:
    any_kernel.run(WAYS[way])
    answered(any_kernel.run("mirador_answer"))
    answered(any_kernel.run("from IPython.display import display\ndisplay(mirador_answer)"))


def test_a_running_cell_paints_each_stage(any_kernel: Kernel) -> None:
    """What it has so far, in the widgets: the rest would take an hour."""
    messages = any_kernel.watch(
        any_kernel.send("%%mirador --model held --stages deep_analysis\nwhy?")
    )
    for message in messages:
        if message["msg_type"] in ("comm_open", "comm_msg") and "a deep" in str(message["content"]):
            break
    any_kernel.manager.interrupt_kernel()
    (end,) = [m["content"] for m in messages if m["msg_type"] == "update_display_data"][-1:]
    assert "a deep" in end["data"]["text/plain"] and "a deep look" not in end["data"]["text/plain"]


def test_an_answer_stands_between_what_was_printed_before_and_after_it(any_kernel: Kernel) -> None:
    cell = any_kernel.run("print('before', end='')\n%mirador why?\nprint('after', end='')")
    assert cell.status == "ok", cell.error
    order = [
        message["content"].get("text", message["msg_type"])
        for message in cell.messages
        if message["msg_type"] in ("stream", "display_data", "update_display_data")
    ]
    assert order[:2] == ["before", "display_data"]
    assert order[-2:] == ["update_display_data", "after"]


def test_a_display_that_fails_takes_nothing_with_it(any_kernel: Kernel) -> None:
    code = """from mirador_magic.kernel.io_thread import flush, send
send(lambda: 1 / 0)
send(lambda: display('shown'))
flush()"""
    cell = any_kernel.run(code)
    assert cell.status == "ok", cell.error
    assert [data["text/plain"] for data in cell.shown] == ["'shown'"]


PATCHED = "import nest_asyncio; nest_asyncio.apply()"


@pytest.mark.parametrize("path", ["", str(OLD_KERNEL)], ids=["ipykernel 7", "ipykernel 6"])
def test_a_loop_that_the_user_patched_with_nest_asyncio_loses_no_cell(path: str) -> None:
    with kernel(NO_OLLAMA | {"PYTHONPATH": path}, SETUP) as running:
        running.run(PATCHED)
        for way in ("awaited", "under %%time", "called"):
            cells = [running.send(WAYS[way]), *(running.send(f"print({n})") for n in range(3))]
            answered(running.finish(cells[0]))
            said = [running.finish(cell).stdout.strip() for cell in cells[1:]]
            assert said == ["0", "1", "2"], way
        nested = "import asyncio\nasyncio.get_event_loop().run_until_complete(asyncio.sleep(0, 7))"
        assert (
            running.run(nested).shown[0]["text/plain"] == "7"
        )  # the user's own nesting still works


@pytest.mark.parametrize("path", ["", str(OLD_KERNEL)], ids=["ipykernel 7", "ipykernel 6"])
def test_without_nest_asyncio2_it_still_answers_and_loses_no_cell(path: str) -> None:
    with kernel(NO_OLLAMA | {"PYTHONPATH": path}, SETUP) as running:
        running.run("import sys; sys.modules['nest_asyncio2'] = None")
        cells = [running.send(WAYS["called"]), running.send("print('second')")]
        answered(running.finish(cells[0]))
        assert running.finish(cells[1]).stdout.strip() == "second"
        refused = running.run("call = get_ipython().run_line_magic\ncall('mirador', '--bg why')")
        if not path:  # a thread ran it, whose loop ends with the cell
            assert refused.error.startswith("UsageError: --bg needs a notebook")


def start(
    running: Kernel, code: str, until: str = "word0 word1"
) -> tuple[str, list[dict[str, object]]]:
    """Send a cell and wait until its panel shows some text."""
    msg_id = running.send(code)
    seen: list[dict[str, object]] = []
    for message in running.watch(msg_id):
        seen.append(message)
        if until in str(message["content"]):
            return msg_id, seen
    raise AssertionError(f"the cell ended before it showed {until!r}")


LONG = {
    "awaited": "%%mirador --model long --stages quick_response\nwhy?",
    "nested": "%%time\n%%mirador --model long --stages quick_response\nwhy?",
}


@pytest.mark.parametrize("way", LONG)
def test_an_interrupt_keeps_the_text_ends_the_stream_and_stops_run_all(
    any_kernel: Kernel, way: str
) -> None:
    any_kernel.run("engine.closed_early.clear()")
    msg_id, _ = start(any_kernel, LONG[way])
    queued = any_kernel.send("print('must not run')")
    any_kernel.manager.interrupt_kernel()
    cell = any_kernel.finish(msg_id)
    if way == "awaited":  # %%time itself swallows the interrupt, as it does with any code
        assert cell.status == "error"
        assert (
            cell.error
            == "RunInterrupted: what was written is kept → %mirador last, or mirador_answer"
        )
        assert any_kernel.finish(queued).reply["content"]["status"] == "aborted"
    else:
        any_kernel.finish(queued)
    found = any_kernel.value(
        "mirador_answer.outcome, mirador_answer.text.startswith('word0 word1')"
    )
    assert found == "('interrupted', True)"
    assert any_kernel.value("engine.closed_early") == "['long']"
    assert "■ interrupted:" in any_kernel.run("mirador_answer").shown[0]["text/plain"]
    assert any_kernel.run("1 + 1").shown[0]["text/plain"] == "2"


def test_a_click_on_stop_ends_an_awaited_cell_well_and_run_all_goes_on(new_kernel: Kernel) -> None:
    msg_id, seen = start(new_kernel, LONG["awaited"], until="word7 word8")  # the button is there
    queued = new_kernel.send("print('second')")
    button = next(
        message["content"]["comm_id"]  # type: ignore[index]
        for message in seen
        if message["msg_type"] == "comm_open" and "ButtonModel" in str(message["content"])
    )
    new_kernel.press(button)
    cell = new_kernel.finish(msg_id)
    cell.messages[:0] = seen
    assert cell.status == "ok", cell.error
    assert "■ stopped:" in cell.shown[0]["text/plain"]
    assert new_kernel.finish(queued).stdout.strip() == "second"
    assert new_kernel.value("mirador_answer.outcome") == "'stopped'"
    assert new_kernel.value("engine.closed_early") == "['long']"


def test_ipykernel_6_has_no_button_in_an_awaited_cell_and_says_what_to_do(
    any_kernel: Kernel,
) -> None:
    cell = any_kernel.run("%%mirador\nwhy?")
    old = any_kernel.value("__import__('ipykernel').__version__").startswith("'6")
    assert ("ButtonModel" in str(cell.of("comm_open"))) is not old
    assert ("to stop, interrupt the kernel" in str(cell.of("comm_open"))) is old


def test_a_background_run_leaves_the_cell_at_once_and_can_be_awaited_stopped_and_read(
    any_kernel: Kernel,
) -> None:
    any_kernel.run("engine.closed_early.clear()")
    cell = any_kernel.run("%%mirador job << --bg --model long --stages quick_response\nwhy?")
    assert cell.status == "ok", cell.error
    assert any_kernel.value("job.done, job.answer.outcome") == "(False, None)"
    any_kernel.until("job.answer.text")
    answered(any_kernel.run("%%mirador\nmeanwhile?"))  # another run at the same time
    assert any_kernel.value("job.done") == "False"
    stopped = any_kernel.run("job.stop()\nprint((await job).outcome)")
    assert stopped.stdout.strip() == "stopped"
    assert (
        any_kernel.value("mirador_answer.outcome, engine.closed_early") == "('stopped', ['long'])"
    )
    whole = any_kernel.run("%%mirador job << --bg\nagain?")
    assert whole.status == "ok"
    assert any_kernel.run("print((await job).text)").stdout.strip() == "the last word"


def test_a_background_run_that_fails_says_so_when_it_is_awaited(any_kernel: Kernel) -> None:
    assert any_kernel.run("%%mirador job << --bg --model nothere\nwhy?").status == "ok"
    cell = any_kernel.run("await job")
    assert cell.error.startswith("ModelMissing: the scripted engine has no script for 'nothere'")
    assert "\n" not in cell.error


def test_nothing_is_left_behind(any_kernel: Kernel) -> None:
    any_kernel.run("%%mirador\nwarm up")
    count = f"len([t for t in asyncio.all_tasks() if {OURS}]), "
    count += "len(ipywidgets.widgets.widget._instances)"
    before = any_kernel.value(count)
    for way in ("awaited", "under %%time", "a line", "buffered"):
        any_kernel.run(WAYS[way])
    any_kernel.run("%%mirador job << --bg --model long\nwhy?")
    assert not any_kernel.value(count).startswith("(0, ")  # the count does see what is there
    any_kernel.run("job.stop()\nawait job")
    assert any_kernel.value(count) == before
    assert before.startswith("(0, ")


def test_warm_tells_each_stage_and_status_tells_it_again(new_kernel: Kernel) -> None:
    cell = new_kernel.run("%mirador warm")
    assert cell.status == "ok", cell.error
    status = new_kernel.run("%mirador warm --status").stdout
    for stage in ("quick_response", "deep_analysis", "synthesis"):
        assert re.search(rf"{stage}  \S+  warm", cell.stdout + status)
    only = new_kernel.run("%mirador warm long").stdout
    assert re.search(r"quick_response  long  warm, took", only)
    listed = "from mirador_magic import prewarm\n"
    listed += "print([w.state for w in await prewarm(['nothere', 'long'])])"
    assert new_kernel.run(listed).stdout.strip() == "['failed', 'warm']"


def test_the_status_tells_until_when_each_model_stays_and_who_leaves_first(
    ollama: OllamaServer,
) -> None:
    with kernel({"OLLAMA_HOST": ollama.host}, "%load_ext mirador_magic") as started:
        started.run("%mirador warm")
        run = started.run("%%mirador\nwhy?")  # it changes until when they stay
        assert (run.status, run.stdout) == ("ok", "")
        lines = started.run("%mirador warm --status").stdout.splitlines()
    for line, name in zip(lines, ("quick_response", "deep_analysis", "synthesis"), strict=False):
        assert re.match(rf"{name}  \S+  warm until \d\d:\d\d, .*\d+ [MG]B", line)
    assert lines[3:] == ["when room is needed, gemma2:9b leaves first"]


def test_the_panel_tells_how_ready_the_models_are(new_kernel: Kernel) -> None:
    cell = new_kernel.run("%mirador warm\n%mirador --stages deep_analysis,quick_response why?")
    painted = "".join(map(str, cell.messages))
    assert re.search(r"quick_response.{0,200}waiting · warm", painted)


BAD = {
    "%%mirador\n": "UsageError: there is no question → write it below %%mirador, or after %mirador",
    "%%mirador --stage x\nq": "UsageError: there is no option --stage here;",
    "%%mirador --stages quik\nq": "UsageError: there is no stage 'quik';",
    "%%mirador --stages ,\nq": "UsageError: no stage is left to run",
    "%%mirador --engine olama\nq": "did you mean ollama?",
    "%mirador stage 2x --model m": "UsageError: stage name '2x' is not a plain word",
    "%mirador stage x": "UsageError: stage x has no model",
    "%%mirador --model nothere\nq": "ModelMissing: the scripted engine has no script for 'nothere'",
}


@pytest.mark.parametrize("code", BAD)
def test_a_mistake_is_one_line_and_ends_the_cell_in_error(any_kernel: Kernel, code: str) -> None:
    cell = any_kernel.run(code)
    assert cell.status == "error"
    assert BAD[code] in cell.error
    assert "\n" not in cell.error


def test_no_engine_at_all_is_one_line_that_names_both_cures(any_kernel: Kernel) -> None:
    any_kernel.run("import sys; sys.modules['xllamacpp'] = None")
    cell = any_kernel.run("%%mirador --engine auto\nwhy?")
    any_kernel.run("del sys.modules['xllamacpp']")
    assert re.match(
        r"EngineUnavailable: Ollama does not answer at http://127\.0\.0\.1:9", cell.error
    )
    assert "ollama serve" in cell.error
    assert cell.error.endswith("pip install xllamacpp")
    assert "\n" not in cell.error


def test_a_stage_of_ones_own_by_the_magic_and_by_python(any_kernel: Kernel) -> None:
    any_kernel.run("%mirador stage critic --model long --system 'Find the flaw.' --num-predict 9")
    any_kernel.run(
        "from mirador_magic import ModelStage, add_stage\n"
        "add_stage(ModelStage('judge', deep, 0.7, 5.0, 'Judge.'))"
    )
    any_kernel.run("engine.scripts['long'] = Script('flawed')\n")
    cell = any_kernel.run("%%mirador --stages judge,critic,quick_response\nwhy?")
    assert cell.status == "ok", cell.error
    assert any_kernel.value("[s.name for s in mirador_answer.stages]") == (
        "['judge', 'critic', 'quick_response']"
    )
    asked = any_kernel.value("engine.requests[-2].messages[0].content, engine.requests[-2].options")
    assert "'Find the flaw.'" in asked
    assert "num_predict=9" in asked
    any_kernel.run(
        "engine.scripts['long'] = Script([''.join(f'word{n} ' for n in range(500)), 3600.0], pace=0.05)"
    )


def test_status_names_the_engine_and_the_stages(any_kernel: Kernel) -> None:
    answered(any_kernel.run("%%mirador\nwhy?"))  # the models are in memory since
    said = any_kernel.run("%mirador").stdout
    assert "engine: scripted, no model" in said
    assert re.search(r"deep_analysis +gemma2:9b +in memory", said)


def test_unloading_ends_what_goes_on_in_the_background_and_keeps_its_words(
    new_kernel: Kernel,
) -> None:
    new_kernel.run("%mirador --bg --stages quick_response --model long job << why?")
    new_kernel.until("job.answer.text")
    assert new_kernel.run("%unload_ext mirador_magic").status == "ok"
    assert new_kernel.run("print((await job).outcome)").stdout.strip() == "stopped"
    new_kernel.run("from mirador_magic.session.session import current; await current().closing")
    assert new_kernel.value("job.answer.text.startswith('word'), current().going") == "(True, [])"
    threads = "[t.name for t in __import__('threading').enumerate() if 'mirador' in t.name]"
    assert new_kernel.value(threads) == "[]"


def test_the_manual_and_the_extension_can_be_had_again(new_kernel: Kernel) -> None:
    manual = new_kernel.run("%mirador?").reply["content"]["payload"][0]["data"]["text/plain"]
    assert "--traditional" in manual
    assert new_kernel.run("%reload_ext mirador_magic").status == "ok"
    answered(new_kernel.run("%%mirador\nwhy?"))
    assert new_kernel.value("len(engine.loaded)") == "3"
    assert new_kernel.run("%unload_ext mirador_magic").status == "ok"
    assert new_kernel.value("engine.loaded") == "[]"  # the models are released
    assert "not found" in new_kernel.run("%%mirador\nwhy?").stdout
