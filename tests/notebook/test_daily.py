"""What daily use needs, in a real kernel: routes, settings, the cell's text, conversation, capture.

A scripted engine plays the models; the sixth notebook's tests ask a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.test_kernel import NO_OLLAMA, SETUP
from tests.support.kernels import Kernel, kernel
from tests.support.patience import PATIENCE

ROUTED = NO_OLLAMA | {"MIRADOR_DEFAULT_STAGES": "auto"}
TALK = """
engine = ScriptedEngine({
    quick: Script("quick: three fences\\n\\n```python\\nx = 41\\nx + 1\\n```"),
    deep: Script("deep"),
    synthesis: Script('{"sky": "blue"}'),
})
use_engine(engine)
def told(): return [m.content for m in engine.requests[-1].messages]
def asked(): return [r.model for r in engine.requests]
"""


@pytest.fixture(scope="module")
def daily() -> Iterator[Kernel]:
    with kernel(ROUTED, SETUP + TALK) as running:
        running.run("%mirador warm\nfrom mirador_magic import configure")
        yield running


@pytest.fixture(autouse=True)
def fresh(daily: Kernel) -> None:
    """Each test begins with no request, no conversation and nothing set."""
    daily.run("engine.requests.clear()\n%mirador reset")


SIMPLE = "What is the capital of France?"
COMPLEX = (
    "Design a plan to move our 40 dashboards from two vendors to one within a quarter, with three "
    "analysts, no downtime and a budget that may be cut, and tell how to convince the sales team"
)


def test_the_question_decides_the_stages_and_the_first_line_says_why(daily: Kernel) -> None:
    cell = daily.run(f"%%mirador\n{SIMPLE}")
    assert cell.shown[0]["text/plain"].startswith("mirador · simple (")
    assert daily.value("asked() == [quick]") == "True"
    daily.run("engine.requests.clear()")
    cell = daily.run(f"%%mirador\n{COMPLEX}")
    assert cell.shown[0]["text/plain"].startswith("mirador · complex (")
    assert daily.value("asked() == [quick, deep, synthesis]") == "True"
    assert daily.value("mirador_answer.route").startswith("'complex (")


@pytest.mark.parametrize(
    ("option", "models"),
    [
        ("--fast", "[quick]"),
        ("--balanced", "[quick, synthesis]"),
        ("--deep", "[quick, deep, synthesis]"),
        ("--stages deep_analysis --fast", "[deep]"),
    ],
)
def test_the_line_overrides_the_route(daily: Kernel, option: str, models: str) -> None:
    daily.run(f"%%mirador {option}\n{COMPLEX if option == '--fast' else SIMPLE}")
    assert daily.value(f"asked() == {models}") == "True"
    assert daily.value("mirador_answer.route") == "''"


def test_the_line_s_depth_is_stronger_than_the_stages_that_are_set(daily: Kernel) -> None:
    daily.run("configure(default_stages=['synthesis'])")
    daily.run("%%mirador --fast\nwhy?")
    daily.run("%%mirador\nwhy?")
    daily.run("configure(default_stages=None)")
    assert daily.value("asked() == [quick, synthesis]") == "True"


def test_route_tells_without_asking(daily: Kernel) -> None:
    said = daily.run(f"%mirador route {SIMPLE}").stdout
    assert said.startswith("simple (")
    assert "stages: quick_response\n" in said
    assert "medium" in said.splitlines()[2]
    assert daily.value("asked()") == "[]"
    assert "of which question?" in daily.run("%mirador route").error


def test_the_line_sets_options_for_all_stages_or_for_one(daily: Kernel) -> None:
    daily.run(
        "%%mirador --deep --temperature 0.1 --top-p 0.5 --num-predict 77 --seed 3 --timeout 5 "
        "--system 'Be brief.' deep_analysis.temperature=0.3\nwhy?"
    )
    assert daily.value("[r.options.temperature for r in engine.requests]") == "[0.1, 0.3, 0.1]"
    assert daily.value("{r.options.num_predict for r in engine.requests}") == "{77}"
    assert daily.value("engine.requests[0].options.seed, engine.requests[0].options.top_p") == (
        "(3, 0.5)"
    )
    assert daily.value("told()[0]") == "'Be brief.'"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--temprature 1", "did you mean --temperature?"),
        ("--temperature hot", "the line: temperature = 'hot' is not a number"),
        ("--stages quick_respons", "did you mean quick_response?"),
        ("--engine olama", "did you mean ollama?"),
        ("--host one:1,two:2", "names 2 hosts, and a cell asks one"),
        ("--as jsn", "did you mean json?"),
        ("--context many", "--context many is not a count of cells"),
        ("-c", "there is no answer to continue → ask without -c first"),
        ("critic.temperature=1", "the line: there is no stage 'critic'"),
    ],
)
def test_a_mistake_is_one_line_that_helps(daily: Kernel, line: str, said: str) -> None:
    cell = daily.run(f"%%mirador {line}\nwhy?")
    assert said in cell.error
    assert "\n" not in cell.error
    assert daily.value("asked()") == "[]"


def test_config_and_configure_set_what_the_next_cell_uses(daily: Kernel) -> None:
    assert daily.run("%config MiradorMagics.temperature = 0.25").status == "ok"
    daily.run("configure(**{'quick_response.num_predict': 9})")
    daily.run("%%mirador --fast\nwhy?")
    assert daily.value("engine.requests[0].options.temperature") == "0.25"
    assert daily.value("engine.requests[0].options.num_predict") == "9"
    rows = daily.run("%mirador settings").stdout
    assert "quick_response.temperature      0.25" in " ".join(rows.split("\n")) or "0.25" in rows
    assert "%config" in rows
    assert "configure()" in rows
    assert "MIRADOR_DEFAULT_STAGES" in rows
    wrong = daily.run("%config MiradorMagics.engine = 'olama'")
    assert "did you mean ollama?" in wrong.stdout + wrong.error + str(wrong.of("stream"))
    daily.run("configure(temperature=None, **{'quick_response.num_predict': None})")
    daily.run("%%mirador --fast\nwhy?")
    assert daily.value("engine.requests[-1].options.temperature") == "0.1"


def test_a_project_sets_its_own_and_a_slip_in_it_is_one_line(daily: Kernel, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        "[tool.mirador]\ndefault_stages = ['critic']\n"
        "[tool.mirador.stages.critic]\nmodel = 'c'\nsystem = 'Find the flaw.'\n"
    )
    here = daily.value("os.getcwd()")
    daily.run(f"os.chdir({str(tmp_path)!r}); os.environ.pop('MIRADOR_DEFAULT_STAGES')")
    daily.run("%mirador why is that?")
    assert daily.value("asked(), told()[0]") == "(['c'], 'Find the flaw.')"
    project.write_text("[tool.mirador]\nengin = 'ollama'\n")
    error = daily.run("%mirador why is that?").error
    assert "did you mean engine?" in error
    assert "\n" not in error
    daily.run(f"os.chdir({here}); os.environ['MIRADOR_DEFAULT_STAGES'] = 'auto'")


def test_braces_name_what_the_notebook_has_and_nothing_else(daily: Kernel) -> None:
    daily.run("city = 'Paris'\n1 / 0")
    daily.run("40 + 2")
    number = int(daily.value("len(In)"))
    daily.run(f"%%mirador --fast\nIn {{city}}: {{nothing}}, {{Out[{number - 1}]}}? {{Err}}")
    told = daily.value("told()[-1]")
    assert "In Paris: {nothing}, 42?" in told
    assert "ZeroDivisionError" in told
    daily.run("%%mirador --fast --raw\nIn {city}?")
    assert daily.value("told()[-1]") == "'In {city}?'"


def test_the_last_cells_can_be_told_and_the_prompt_be_seen(daily: Kernel) -> None:
    daily.run("first = 'one'")
    daily.run("first + ' more'")
    cell = daily.run("%%mirador --context 2 --show-prompt\nWhat did I do?")
    assert "first = 'one'" in cell.stdout
    assert "'one more'" in cell.stdout or "one more" in cell.stdout
    assert "[user]" in cell.stdout
    assert daily.value("asked()") == "[]"


def test_a_conversation_goes_on_until_it_is_reset(daily: Kernel) -> None:
    daily.run("%%mirador --fast\nMy name is Ada.")
    daily.run("%%mirador --fast -c\nWhat is my name?")
    assert daily.value("[m.role for m in engine.requests[-1].messages]") == (
        "['system', 'user', 'assistant', 'user']"
    )
    assert daily.value("told()[1]") == "'My name is Ada.'"
    daily.run("%%mirador --fast --continue\nAnd now?")
    assert daily.value("len(told())") == "6"
    listed = daily.run("%mirador history").stdout.splitlines()
    assert listed[0].startswith("1  My name is Ada.")
    assert listed[1].startswith("2  ↳ What is my name?")
    daily.run("%mirador reset")
    assert "nothing was asked yet" in daily.run("%mirador history").stdout
    assert "no answer to continue" in daily.run("%%mirador -c\nand?").error


def test_a_conversation_is_cut_to_the_context_and_it_is_said(daily: Kernel) -> None:
    daily.run("%%mirador --fast\n" + "many words " * 400)
    cell = daily.run("%%mirador --fast -c --num-ctx 512\nWhat did I say?")
    assert "first turn did not fit into the context of 512 tokens" in cell.shown[0]["text/plain"]
    assert daily.value("len(told())") == "2"


def test_an_answer_is_captured_as_what_one_needs(daily: Kernel) -> None:
    daily.run("%%mirador --fast reply <<\nwhy?")
    assert daily.value("reply.text.splitlines()[0]") == "'quick: three fences'"
    assert daily.value("list(s.name for s in reply.stages)") == "['quick_response']"
    assert daily.value("reply.to_markdown().splitlines()[0]") == "'## quick_response'"
    daily.run("%%mirador --fast --as code snippet <<\nwhy?")
    assert daily.value("snippet") == r"'x = 41\nx + 1\n'"
    daily.run("value = %mirador --stages synthesis --as json why?")
    assert daily.value("value") == "{'sky': 'blue'}"
    assert (
        "UsageError: the answer is no JSON" in daily.run("%%mirador --fast --as json\nwhy?").error
    )
    cell = daily.run("reply.insert()")
    (payload,) = cell.reply["content"]["payload"]
    assert (payload["source"], payload["text"]) == ("set_next_input", "x = 41\nx + 1")


def test_words_complete(daily: Kernel) -> None:
    def completed(code: str) -> list[str]:
        daily.client.complete(code, len(code))
        while True:
            reply = daily.client.get_shell_msg(timeout=PATIENCE)
            if reply["msg_type"] == "complete_reply":
                return list(reply["content"]["matches"])

    assert "settings" in completed("%mirador se")
    assert completed("%%mirador --stages quick_response,syn") == ["synthesis"]
    assert "--temperature" in completed("%%mirador --te")
    assert completed("%mirador --engine em") == ["embedded"]
    assert "--status" in completed("%mirador warm --")
    assert completed("%mirador pull smo") == ["smollm2"]
    assert any("print" in each for each in completed("pri"))


def test_the_manual_is_the_whole_of_it(daily: Kernel) -> None:
    cell = daily.run("%%mirador?")
    (payload,) = cell.reply["content"]["payload"]
    text = payload["data"]["text/plain"]
    for word in ("--fast", "--context", "%mirador doctor", "--as KIND", "{df.head()}"):
        assert word in text


def test_an_options_value_may_be_a_name_of_the_notebook(daily: Kernel) -> None:
    daily.run("heat, which = 0.3, 'quick_response'")
    daily.run("%mirador --stages {which} --temperature {heat} why?")
    assert daily.value("engine.requests[-1].options.temperature") == "0.3"
    assert daily.value("[each.name for each in mirador_answer.stages]") == "['quick_response']"
    assert "{heet}" in str(daily.run("%mirador --temperature {heet} why?").error)


def test_python_says_the_same_as_the_magic(daily: Kernel) -> None:
    daily.run("from mirador_magic import ask, asked as listed, in_force, route, reset")
    daily.run("a = await ask('why?', stages=['quick_response'], temperature=0.7)")
    assert daily.value("engine.requests[-1].options.temperature") == "0.7"
    daily.run("b = await ask('and?', depth='simple', follow=True)")
    assert daily.value("b.turns[0][0], [each.question for each in listed()]") == (
        "('why?', ['why?', 'and?'])"
    )
    assert daily.value("route('What is 2+2?').complexity") == "'simple'"
    assert daily.value("[row.source for row in in_force() if row.name == 'engine']") == (
        "['use_engine()']"
    )
