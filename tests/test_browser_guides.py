"""The guides of notebooks/ as a reader runs them: JupyterLab in Chromium, a real Ollama, cell by cell.

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

from tests.support.lab import LabServer, Notebook, open_page
from tests.support.ollama_server import OllamaServer
from tests.test_browser import shoot

GUIDES = Path(__file__).parent.parent / "notebooks"

# By guide: what stands below the cell that begins so, and its picture's name.
SHOWN: Mapping[str, Mapping[str, tuple[list[str], str]]] = {
    "03_warm_up_and_controls": {
        "%mirador warm --status": (["quick_response", "warm until"], ""),
        "from mirador_magic import asked": (["first word after", "ms"], ""),
        "from mirador_magic import prewarm": (["'warm'"], ""),
        "%mirador controls": (["warm until", "gemma2:9b leaves first"], "controls-light"),
    },
    "04_benchmark": {
        "%%mirador benchmark --repeats 2 --json": (
            ["progressive", "traditional", "Ollama"],
            "benchmark-light",
        ),
        "%%mirador benchmark --repeats 2 --against": (["benchmark.json"], ""),
        "%%mirador benchmark --repeats 2 --models": (["gemma2:9b"], ""),
        "result.to_dataframe": (["question"], ""),
    },
    "05_monitoring": {
        "%mirador metrics": (["first text", "all runs"], "metrics-light"),
        "%mirador metrics --by model": (["gemma2:9b"], ""),
        "%mirador dashboard": (["runs"], "dashboard-light"),
    },
    "06_compare_and_tune": {
        "%%mirador compare --models": (["gemma2:9b", "tok/s"], "compare-light"),
        "%mirador tune": (["Use for this stage"], "tuner-light"),
        "found.frame": (["brief"], ""),
    },
    "07_calibration": {
        "%mirador calibrate labelled": (["AUROC", "Brier", "ECE"], "calibration-light"),
        "%mirador --stages quick_response": (["calibrated", "n="], ""),
    },
}

# What stands there in the notebook that was saved and comes without a kernel.
KEPT: Mapping[str, Mapping[str, list[str]]] = {
    "03_warm_up_and_controls": {"%mirador controls": ["mirador controls", "gemma2:9b"]},
    "04_benchmark": {
        "%%mirador benchmark --repeats 2 --json": ["first useful text", "Ollama 0.34.1"],
    },
    "05_monitoring": {
        "%mirador metrics": ["first text", "all runs"],
        "%mirador dashboard": ["first token", "answered"],
    },
    "06_compare_and_tune": {
        "%%mirador compare --models": ["gemma2:9b", "tok/s"],
        "%mirador tune": ["temperature 0.7 → 0.2"],
        "found.frame": ["brief"],
    },
    "07_calibration": {
        "%mirador calibrate labelled": ["AUROC", "Brier", "ECE"],
        "%mirador --stages quick_response": ["calibrated", "n="],
    },
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, ollama: OllamaServer) -> Iterator[LabServer]:
    folder = tmp_path_factory.mktemp("lab-guides")
    with LabServer(folder, OLLAMA_HOST=ollama.host) as running:
        shutil.copy(GUIDES / "labelled.jsonl", running.notebooks)
        yield running


@pytest.fixture(scope="module")
def page(chromium: Path, lab: LabServer) -> Iterator[Page]:
    with open_page(chromium, lab) as opened:
        opened.set_viewport_size({"width": 1000, "height": 1600})
        yield opened


def _tune(output: Locator) -> None:
    """Two tries, the second one with another temperature; then the stage is as in the second."""
    output.locator("textarea").nth(1).fill("What should I focus on today?")
    output.get_by_role("button", name="Run", exact=False).first.click()
    expect(output).to_contain_text("the first")
    output.locator("input[type=text]").nth(1).fill("0.2")
    output.get_by_role("button", name="Run", exact=False).first.click()
    expect(output).to_contain_text("temperature 0.7 → 0.2")
    output.get_by_role("button", name="Use for this stage").click()
    expect(output).to_contain_text("[tool.mirador.stages.deep_analysis]")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("guide", SHOWN)
def test_the_guide_does_what_it_says(page: Page, lab: LabServer, guide: str) -> None:
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
                        expect(notebook.output(number)).to_contain_text(text)
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
                expect(notebook.output(number)).to_contain_text(text)
        for number in range(len(cells)):
            expect(notebook.output(number)).not_to_contain_text("Error displaying widget")
