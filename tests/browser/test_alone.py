"""JupyterLab in Chromium on a machine without Ollama: SmolLM2 answers, a small real model.

Its words are its own, so that nothing here depends on them; the seed is for the pictures alone, which
are left in the folder that MIRADOR_SCREENSHOTS names. A module of its own, since Playwright runs once
at a time and the other one keeps its page open.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_panel import PANEL, check_bars, check_file, shoot
from tests.support.lab import LabServer, Notebook, dark, open_page

LONG = 600.0  # seconds, in which even a busy machine has answered
LONG_MS = LONG * 1000
LOAD = "%load_ext mirador_magic\n%config MiradorMagics.seed = 7"
NOTE = "SmolLM2, a real model of 135 million parameters, small and often wrong"
LIST = "List three ways to find outliers in a column"
SECOND_WRITES = f"""() => {{
    const texts = [...document.querySelectorAll('{PANEL} .mirador-text')];
    const panel = document.querySelector('{PANEL}');
    return texts.length == 2 && texts[1].textContent.length > 200
        && panel.querySelector('.mirador-writing') && panel.textContent.includes('waiting');
}}"""

Open = Callable[..., Notebook]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[LabServer]:
    """JupyterLab on a machine without Ollama and without a model of the user's."""
    folder = tmp_path_factory.mktemp("lab-alone")
    nowhere = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(folder / "none")}
    with LabServer(folder, **nowhere) as running:
        yield running


@pytest.fixture(scope="module")
def page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    with open_page(chromium, lab) as opened:
        opened.set_viewport_size({"width": 1000, "height": 1800})  # for whole pictures
        yield opened


@pytest.fixture
def open_notebook(page: Page, lab: LabServer, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens a notebook of these cells behind one that loads the magic, and runs that one."""
    with contextlib.ExitStack() as end:

        def opened(*cells: str) -> Notebook:
            notebook = Notebook(page, lab, request.node.name, [LOAD, *cells])
            end.callback(notebook.discard)
            notebook.run(0)
            return notebook

        yield opened


def check_answered(output: Locator, stages: int) -> None:
    """The static answer alone stands there: each stage with its words, its bar and a calibrated number."""
    twin = output.locator(f".jp-RenderedHTML:not(:has({PANEL}))")  # the panel begins as HTML too
    expect(twin).to_have_count(1, timeout=LONG_MS)
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    expect(output).to_contain_text("embedded llama.cpp")
    expect(output).to_contain_text(NOTE)
    check_bars(output, stages)
    shown = output.text_content() or ""
    assert len(re.findall(r"● 0\.\d\d \w+ calibrated \(n=978\)\s*\S", shown)) == stages


@pytest.mark.timeout(LONG)
def test_the_first_has_answered_while_the_second_writes_and_stop_keeps_its_words(
    open_notebook: Open,
) -> None:
    notebook = open_notebook(f"%%mirador --deep\n{LIST}")
    notebook.start(1)
    notebook.page.wait_for_function(SECOND_WRITES, timeout=LONG_MS)
    shoot(notebook, 1, "live-light")
    output = notebook.output(1)
    words = output.locator(".mirador-text").nth(1).text_content() or ""
    output.get_by_role("button", name="Stop").click()
    notebook.wait(1, LONG_MS)
    expect(output).to_contain_text("stopped after")
    expect(output).to_contain_text("■ stopped:")
    expect(output.locator(".jupyter-widgets")).to_have_count(0)
    assert " ".join(words.split()[:20]) in " ".join((output.text_content() or "").split())


@pytest.mark.timeout(LONG)
def test_the_answer_stands_in_the_dark_theme_and_in_the_saved_notebook(
    open_notebook: Open,
) -> None:
    notebook = open_notebook(
        f"%%mirador --stages quick_response,deep_analysis\n{LIST}",
        "%%mirador --stages quick_response,deep_analysis\n"
        "Write a Python function that returns the mean of a list",
    )
    for number in (1, 2):
        notebook.run(number, LONG_MS)
        check_answered(notebook.output(number), 2)
    notebook.output(2).get_by_text("quick_response", exact=True).click()
    with dark(notebook.page):
        check_bars(notebook.output(2), 2)
        shoot(notebook, 2, "view-done-dark")
    notebook.save()
    check_file(notebook.path)
    notebook.shut_down()
    notebook.close()
    notebook.open_without_kernel()
    assert not notebook.is_trusted(1)
    for number in (1, 2):
        check_answered(notebook.output(number), 2)
    notebook.output(1).get_by_text("quick_response", exact=True).click()
    with dark(notebook.page):
        check_bars(notebook.output(1), 2)
        shoot(notebook, 1, "reopened-dark")


@pytest.mark.timeout(LONG)
def test_a_simple_question_ends_with_the_first_stage_and_a_click_goes_deeper(
    open_notebook: Open,
) -> None:
    notebook = open_notebook("%%mirador\nWhat is photosynthesis?")
    notebook.run(1, LONG_MS)
    output = notebook.output(1)
    check_answered(output, 1)
    expect(output).to_contain_text("mirador · simple (")
    output.get_by_role("button", name="Go deeper").click()
    expect(output).to_contain_text("deep_analysis", timeout=LONG_MS)
    check_answered(output, 2)
    expect(output).to_contain_text("mirador · simple (")
    shoot(notebook, 1, "route-light")
