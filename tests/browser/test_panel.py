"""The product as its reader meets it: JupyterLab in Chromium, a real kernel and a real Ollama.

The models of this Ollama recite at a pace that is kept for them: a text stands in many paintings
before it is whole.
With MIRADOR_SCREENSHOTS naming a folder, pictures of what the tests look at are left there.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import ollama
import pytest
from playwright.sync_api import Locator, Page, Request, expect

from mirador_magic import DEFAULT_STAGES
from tests.conftest import NEW
from tests.support.lab import LabServer, Notebook, dark, open_page, painted, record
from tests.support.ollama_server import OllamaServer
from tests.support.real import ollama_binary
from tests.support.recited import RECITED, SLOW, while_it_goes_on
from tests.support.reciting_gguf import LONG_WINDED, TINY, write

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
TIDE, HOSTILE = "tide:latest", "hostile:latest"

MARKUP = (
    "<script>window.pwned=1</script> <img src=x onerror='window.pwned=1'> </div></div></pre> "
    "<style>*{display:none}</style> is typed"
)
TEXTS = {
    QUICK: (
        "Begin with the one task that others wait for, then put two small duties behind it. If "
        "nothing is urgent, choose what you have avoided longest: it is probably what matters."
    ),
    DEEP: (
        "Three things compete for today, but only your report has a date: Thursday. A rough outline "
        "buys two nights of rest, & half an hour may tell why tests fail."
    ),
    SYNTHESIS: (
        "Write the outline first, for at most ninety minutes, then look into those failing tests "
        "with whoever changed them last. Both drafts agree so far. They differ about small duties: "
        "do three of them at four o'clock, when nobody expects much, and let any others wait. Before "
        "you leave, read it once more, mark what is missing, finish its smallest part."
    ),
    TIDE: RECITED[SLOW],
    HOSTILE: f"{MARKUP} ![seen](http://mirador.invalid/pixel.png)",
}
PACE = 0.03  # seconds a token

LOAD = f"""\
%load_ext mirador_magic
%mirador stage endless --model {TIDE} --confidence 0.3
%mirador stage hostile --model {HOSTILE} --confidence 0.6"""
ASK = "%%mirador --deep\nWhat should I focus on today?"
PANEL = ".mirador"
STAGE = f"{PANEL} .mirador-text"

LOOK = {
    "unsure": "3px dashed rgb(128, 128, 128)",
    "low": "3px solid rgb(128, 128, 128)",
    "fair": "3px solid as text",
    "sure": "3px solid rgb(8, 145, 178)",
}
BARS = """output => [...output.querySelectorAll('[style*="border-left"]')].map(stage => {
    const {borderLeftWidth, borderLeftStyle, borderLeftColor, color} = getComputedStyle(stage);
    const shown = borderLeftColor == color ? 'as text' : borderLeftColor;
    return [stage.textContent, `${borderLeftWidth} ${borderLeftStyle} ${shown}`];
})"""

Open = Callable[..., Notebook]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaServer]:
    """An Ollama whose models recite the texts of this module, all of them in memory at once."""
    folder = tmp_path_factory.mktemp("slow-ollama")
    with OllamaServer(
        ollama_binary(NEW), folder, pace=PACE, OLLAMA_MAX_LOADED_MODELS="5"
    ) as running:
        for number, (model, text) in enumerate(TEXTS.items()):
            shape, loop = (LONG_WINDED, True) if model == TIDE else (TINY, False)
            gguf = write(folder / f"{number}.gguf", text, shape=shape, loop=loop)
            running.create(model, gguf, num_thread=1)
        yield running


@pytest.fixture(scope="module")
def limit(server: OllamaServer) -> float:
    """In which the endless model answers again if it was ended."""
    return while_it_goes_on(server, TIDE)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, server: OllamaServer) -> Iterator[LabServer]:
    with LabServer(tmp_path_factory.mktemp("lab"), OLLAMA_HOST=server.host) as running:
        yield running


@pytest.fixture(scope="module")
def page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    with open_page(chromium, lab) as opened:
        yield opened


@pytest.fixture
def open_notebook(page: Page, lab: LabServer, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a notebook of these cells behind one that loads the magic."""
    with contextlib.ExitStack() as end:

        def opened(*cells: str) -> Notebook:
            notebook = Notebook(page, lab, request.node.name, [LOAD, *cells])
            end.callback(notebook.discard)
            return notebook

        yield opened


def shoot(notebook: Notebook, number: int, name: str) -> None:
    """Leave a picture of a cell, where pictures are wanted."""
    if folder := os.environ.get("MIRADOR_SCREENSHOTS"):
        box = notebook.cell(number).bounding_box()
        assert box is not None
        picture = Path(folder) / f"{name}.png"
        notebook.page.screenshot(path=picture, clip={**box, "height": box["height"] + 8})


def wait_for_live(notebook: Notebook, number: int, text: str) -> Locator:
    """The cell's live panel, once this much of the text is painted in it."""
    notebook.wait_for_text(number, text)
    return notebook.output(number).locator(PANEL)


def check_bars(output: Locator, stages: int) -> None:
    """Each stage of the twin has the bar that belongs to its word of confidence."""
    bars = output.evaluate(BARS)
    assert len(bars) == stages
    for text, look in bars:
        word = re.search(r"\d+ % (unsure|low|fair|sure)", text)
        assert word, text
        assert look == LOOK[word[1]], text


def check_twin(notebook: Notebook, number: int, *models: str) -> None:
    """The cell shows the whole texts of these models, once, and nothing of the live panel."""
    output = notebook.output(number)
    twin = output.locator(f".jp-RenderedHTML:not(:has({PANEL}))")  # the panel begins as HTML too
    expect(twin).to_have_count(1)
    expect(output.locator(".jp-OutputArea-output")).to_have_count(1)  # not also as Out[…]
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    shown = output.text_content() or ""
    assert [shown.count(TEXTS[model]) for model in models] == [1] * len(models), shown
    assert "Error displaying widget" not in shown
    expect(output.get_by_text(TEXTS[models[-1]])).to_be_visible()
    check_bars(output, len(models))


def test_three_stages_stream_and_the_answer_stands(open_notebook: Open) -> None:
    notebook = open_notebook(ASK)
    notebook.run(0)
    record(notebook.page, STAGE)
    notebook.start(1)
    wait_for_live(notebook, 1, "Three things compete for today")
    expect(notebook.output(1).get_by_role("button", name="Stop")).to_be_visible()
    notebook.wait(1)
    check_twin(notebook, 1, QUICK, DEEP, SYNTHESIS)
    shoot(notebook, 1, "finished-light")
    stages = painted(notebook.page)
    assert len(stages) == 3
    for texts, model in zip(stages, (QUICK, DEEP, SYNTHESIS), strict=True):
        check_growth(texts, TEXTS[model])


def check_growth(texts: list[str], whole: str) -> None:
    """Parts of the stage's text were painted, more than one, and each was more than the one before."""
    first = whole.split()[0]
    grown = [text[text.index(first) :].rstrip() for text in texts if first in text]
    parts = [part for part in dict.fromkeys(grown) if part != whole]
    assert len(parts) > 1, texts
    assert all(whole.startswith(part) for part in parts)
    assert parts == sorted(parts, key=len)


def test_stop_ends_the_cell_at_once_and_keeps_the_text(
    open_notebook: Open, server: OllamaServer, limit: float
) -> None:
    notebook = open_notebook("%%mirador --stages endless\nWhat now?", "6 * 7")
    notebook.run(0)
    notebook.start(1)
    panel = wait_for_live(notebook, 1, "gulls counts any wave")
    panel.get_by_role("button", name="Stop").click()
    notebook.wait(1)  # the model is endless: only the click can end the cell
    output = notebook.output(1)
    expect(output).to_contain_text("stopped after")
    expect(output).to_contain_text("■ stopped:")
    expect(output).to_contain_text("nobody but gulls counts any wave")
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    check_bars(output, 1)
    shoot(notebook, 1, "stopped-light")
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("42")
    check_free(server, TIDE, limit)


def check_free(server: OllamaServer, model: str, limit: float) -> None:
    """Ollama is not busy with the model any more: it would not answer a second request."""
    options = {"num_predict": 3, "num_ctx": 4096}
    with ollama.Client(server.host, timeout=limit) as client:
        answer = client.chat(model, [{"role": "user", "content": "Still there?"}], options=options)
    assert answer.eval_count == 3


def test_the_interrupt_button_keeps_the_text_and_ends_run_all(
    open_notebook: Open, server: OllamaServer, limit: float
) -> None:
    notebook = open_notebook("%%mirador --stages endless\nWhat now?", "6 * 7", "7 * 8")
    notebook.run_all()
    wait_for_live(notebook, 1, "gulls counts any wave")
    notebook.interrupt()
    notebook.wait(1)
    output = notebook.output(1)
    error = output.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
    expect(error).to_have_text(re.compile(r"^\s*RunInterrupted: [^\n]*kept[^\n]*\s*$"))
    expect(output).to_contain_text("interrupted after")
    expect(output).to_contain_text("nobody but gulls counts any wave")
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    shoot(notebook, 1, "interrupted-light")
    for number in (2, 3):
        expect(notebook.prompt(number)).to_have_text("[ ]:")
        expect(notebook.output(number)).to_be_empty()
    check_free(server, TIDE, limit)


def test_a_reopened_notebook_shows_the_answer_without_a_kernel(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages deep_analysis,synthesis\nWhat now?")
    notebook.run(0)
    notebook.run(1)
    notebook.save()
    check_file(notebook.path)
    notebook.shut_down()
    notebook.close()
    notebook.open_without_kernel()
    assert not notebook.is_trusted(1)
    check_twin(notebook, 1, DEEP, SYNTHESIS)
    folded = notebook.output(1).get_by_text(TEXTS[DEEP])
    expect(folded).to_be_hidden()
    shoot(notebook, 1, "reopened-light")
    notebook.output(1).get_by_text("deep_analysis", exact=True).click()
    expect(folded).to_be_visible()
    with dark(notebook.page):
        check_bars(notebook.output(1), 2)


def check_file(path: Path) -> None:
    """The saved answer is text in three forms, and no widget is needed to read it."""
    saved = json.loads(path.read_text())
    (output,) = saved["cells"][1]["outputs"]
    assert set(output["data"]) == {"text/html", "text/markdown", "text/plain"}
    assert "widgets" not in saved["metadata"]
    assert "application/vnd.jupyter.widget" not in path.read_text()


def test_two_background_runs_beside_a_cell_end_in_their_own_cells(open_notebook: Open) -> None:
    notebook = open_notebook(
        "%%mirador --bg --stages quick_response\nWhat first?",
        "%%mirador --bg --stages deep_analysis\nWhat else?",
        "%%mirador --stages synthesis\nWhat now?",
    )
    notebook.run_all()
    notebook.page.wait_for_function(f"() => document.querySelectorAll('{PANEL}').length === 3")
    for number, model in enumerate((QUICK, DEEP, SYNTHESIS), 1):
        check_twin(notebook, number, model)


def test_the_question_decides_the_first_line_says_why_and_a_click_goes_deeper(
    open_notebook: Open,
) -> None:
    notebook = open_notebook("%%mirador\nWhat is the capital of France?")
    notebook.run(0)
    notebook.run(1)
    check_twin(notebook, 1, QUICK)
    output = notebook.output(1)
    expect(output).to_contain_text("mirador · simple (")
    output.get_by_role("button", name="Go deeper").click()
    wait_for_live(notebook, 1, "Three things compete")
    check_twin(notebook, 1, QUICK, DEEP)
    expect(output).to_contain_text("mirador · simple (")


def test_after_a_reload_in_mid_run_the_whole_answer_can_be_had(open_notebook: Open) -> None:
    notebook = open_notebook(ASK, "%mirador last")
    notebook.run(0)
    notebook.start(1)
    wait_for_live(notebook, 1, "Begin with")
    notebook.reload()
    notebook.run(2)
    check_twin(notebook, 2, QUICK, DEEP, SYNTHESIS)


def test_what_a_model_writes_is_shown_as_typed_and_does_nothing(open_notebook: Open) -> None:
    notebook = open_notebook("%%mirador --stages hostile,endless\nWhat is this?")
    asked: list[str | None] = []

    def note(request: Request) -> None:
        asked.append(urlsplit(request.url).hostname)

    notebook.page.on("request", note)
    notebook.run(0)
    notebook.start(1)
    panel = wait_for_live(notebook, 1, "gulls")
    check_harmless(notebook.page, panel)
    shoot(notebook, 1, "hostile-light")
    panel.get_by_role("button", name="Stop").click()
    notebook.wait(1)
    check_harmless(notebook.page, notebook.output(1))
    check_bars(notebook.output(1), 2)
    notebook.save()
    notebook.close()
    notebook.open()
    expect(notebook.output(1)).to_contain_text("is typed")
    assert notebook.is_trusted(1)
    check_harmless(notebook.page, notebook.output(1))
    assert set(asked) <= {"127.0.0.1", None}  # None: data that the page holds itself


def check_harmless(page: Page, shown: Locator) -> None:
    """The model's markup is there as text, and nothing of it as markup."""
    assert MARKUP in (shown.text_content() or "")
    expect(shown.locator("script, img, pre")).to_have_count(0)
    assert page.evaluate("() => window.pwned") is None
