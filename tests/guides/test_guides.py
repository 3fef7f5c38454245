"""The guides of notebooks/ as a reader runs them: JupyterLab in Chromium, cell by cell, without Ollama.

SmolLM2 answers, a small real model. What it says is its own; what is looked at is that it is shown,
measured, compared, and kept in the saved notebook. The first guides run in `test_notebooks`.

With MIRADOR_SCREENSHOTS naming a folder, the guides' pictures are left there.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_panel import shoot
from tests.support.lab import WAIT_MS, LabServer, Notebook, open_page

LONG = 900.0  # seconds, in which even a busy machine has run a guide
LONG_MS = 600_000.0  # and one of its cells: a benchmark, or seventy questions
BRIEF = "You are a helpful assistant. You answer in one word."
KEPT_DATA = "kept"  # the folder, in the lab's, of what Mirador keeps for a user
GUIDES = Path(__file__).parents[2] / "notebooks"

# By guide: what stands below the cell that begins so, and its picture's name.
SHOWN: Mapping[str, Mapping[str, tuple[list[str], str]]] = {
    "03_warm_up_and_controls": {
        "%mirador warm --status": (["quick_response", "synthesis", "smollm2", "warm"], ""),
        "%mirador --fast": (["small and often wrong", "calibrated on 978 labelled answers"], ""),
        "from mirador_magic import asked": (["first word after", "ms"], ""),
        "from mirador_magic import prewarm": (["('smollm2', 'warm')"], ""),
        "model = reply": (["'warm'"], ""),
        "%mirador controls": (["warm", "smollm2 answers"], "controls-light"),
    },
    "04_benchmark": {
        "%%mirador benchmark --repeats 3 --json": (
            ["progressive", "traditional", "smollm2", "first useful text"],
            "benchmark-light",
        ),
        "%%mirador benchmark --repeats 1 --against": (["benchmark.json"], ""),
        "%%mirador benchmark --repeats 1 --stages": (["balanced against fast"], ""),
        "result.to_dataframe": (["question"], ""),
    },
    "05_monitoring": {
        "%mirador metrics": (["first text", "all runs"], "metrics-light"),
        "%mirador metrics --by model": (["smollm2"], ""),
        "%mirador dashboard": (["runs"], "dashboard-light"),
    },
    "06_compare_and_tune": {
        "%%mirador compare --system": (["brief", "teacher", "smollm2", "tok/s"], "compare-light"),
        "%%mirador compare --stages": (["deep_analysis", "tok/s"], ""),
        "%mirador tune": (["Use for this stage"], "tuner-light"),
        "found.frame": (["brief"], ""),
    },
    "07_calibration": {
        "%mirador calibrate labelled": (["smollm2", "AUROC", "Brier", "ECE"], "calibration-light"),
        "%mirador --stages quick_response": (["calibrated on 75 labelled answers"], ""),
    },
}

# What stands there in the notebook that was saved and comes without a kernel.
KEPT: Mapping[str, Mapping[str, list[str]]] = {
    "03_warm_up_and_controls": {"%mirador controls": ["mirador controls", "quick_response"]},
    "04_benchmark": {
        "%%mirador benchmark --repeats 3 --json": ["first useful text", "embedded llama.cpp"],
    },
    "05_monitoring": {
        "%mirador metrics": ["first text", "all runs"],
        "%mirador dashboard": ["first token", "answered"],
    },
    "06_compare_and_tune": {
        "%%mirador compare --system": ["brief", "teacher", "tok/s"],
        "%mirador tune": ["the first", "capital of France"],
        "found.frame": ["brief"],
    },
    "07_calibration": {
        "%mirador calibrate labelled": ["AUROC", "Brier", "ECE"],
        "%mirador --stages quick_response": ["calibrated on 75 labelled answers"],
    },
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[LabServer]:
    """JupyterLab on a machine without Ollama and without a model of the user's."""
    folder = tmp_path_factory.mktemp("lab-guides")
    nowhere = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(folder / "none")}
    with LabServer(folder, XDG_DATA_HOME=str(folder / KEPT_DATA), **nowhere) as running:
        shutil.copy(GUIDES / "labelled.jsonl", running.notebooks)
        yield running


@pytest.fixture(scope="module")
def page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    with open_page(chromium, lab) as opened:
        opened.set_viewport_size({"width": 1000, "height": 1600})
        yield opened


def _expect(output: Locator, text: str) -> None:
    """It is shown, or, where it says how a confidence was had, told where the pointer rests."""
    if text.startswith("calibrated on"):
        expect(output.locator(f'[title*="{text}"]').first).to_be_visible()
    else:
        expect(output).to_contain_text(text)


def _tune(output: Locator) -> None:
    """Two tries, the second one with another system prompt; then the stage is as in the second."""
    output.locator("textarea").nth(1).fill("What is the capital of France?")
    run = output.get_by_role("button", name="Run", exact=False).first
    run.click()
    expect(output).to_contain_text("the first", timeout=LONG_MS)
    output.locator("textarea").nth(0).fill(BRIEF)
    run.click()
    expect(output).to_contain_text("system −", timeout=LONG_MS)
    output.get_by_role("button", name="Use for this stage").click()
    expect(output).to_contain_text("[tool.mirador.stages.quick_response]", timeout=WAIT_MS)


@pytest.mark.timeout(LONG)
@pytest.mark.parametrize("guide", SHOWN)
def test_the_guide_does_what_it_says(page: Page, lab: LabServer, guide: str) -> None:
    # What another guide has kept would be shown here: what it calibrated, what it measured.
    shutil.rmtree(lab.folder / KEPT_DATA, ignore_errors=True)
    cells = [
        cell
        for cell in nbformat.read(GUIDES / f"{guide}.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    with contextlib.ExitStack() as end:
        notebook = Notebook(page, lab, guide, [cell.source for cell in cells])
        end.callback(notebook.discard)
        seen = set()
        for number, cell in enumerate(cells):
            notebook.run(number)
            failed = notebook.output(number).locator('[data-mime-type$="stderr"]')
            expects_error = "raises-exception" in cell.metadata.get("tags", [])
            assert bool(failed.count()) == expects_error, cell.source
            for start, (texts, picture) in SHOWN[guide].items():
                if cell.source.startswith(start) and start not in seen:
                    seen.add(start)
                    if start == "%mirador tune":
                        _tune(notebook.output(number))
                    for text in texts:
                        _expect(notebook.output(number), text)
                    if picture:
                        notebook.cell(number).evaluate("cell => cell.scrollIntoView()")
                        shoot(notebook, number, picture)
        assert seen == set(SHOWN[guide])
        notebook.shut_down()
        notebook.save()
        notebook.close()
        notebook.open_without_kernel()
        for start, texts in KEPT[guide].items():
            number = next(n for n, cell in enumerate(cells) if cell.source.startswith(start))
            for text in texts:
                _expect(notebook.output(number), text)
        for number in range(len(cells)):
            expect(notebook.output(number)).not_to_contain_text("Error displaying widget")
