"""Notebook 7, whose page is another application than JupyterLab's: the panel, Stop, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, expect

from tests.support.lab import READY, LabServer, browse

LOAD = """\
%load_ext mirador_magic
from mirador_magic import (DEFAULT_STAGES, Script, ScriptedEngine, use_engine)
texts = ["**Bold** words first.", "Held: the rest", "Final."]
scripts = [Script(texts[0]), Script([texts[1], 3600.0]), Script(texts[2])]
engine = ScriptedEngine({s.model: each for s, each in zip(DEFAULT_STAGES, scripts)})
use_engine(engine)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    with LabServer(
        tmp_path_factory.mktemp("notebook7"), MIRADOR_ENGINE="scripted", MIRADOR_PRE_WARM="0"
    ) as running:
        yield running


def _run(page: Page, number: int) -> None:
    """Run a cell as a reader does."""
    page.locator(".jp-Cell").nth(number).locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")


def test_the_panel_lives_stops_and_stays(chromium: Path, server: LabServer) -> None:
    cells = [LOAD, "%%mirador --deep\nWhat now?", "mirador_answer.outcome"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=metadata)
    nbformat.write(notebook, server.notebooks / "seven.ipynb")
    with browse(chromium) as page:
        page.goto(f"{server.url}notebooks/seven.ipynb")
        expect(page.locator("#jp-top-bar, #top-panel").first).to_be_visible()
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
        page.evaluate(READY)
        _run(page, 0)
        expect(page.locator(".jp-InputPrompt").nth(0)).to_have_text("[1]:")
        _run(page, 1)
        output = page.locator(".jp-Cell").nth(1).locator(".jp-Cell-outputArea")
        expect(output.locator(".mirador-text strong")).to_have_text("Bold")
        expect(output).to_contain_text("Held: the rest")
        output.get_by_role("button", name="Stop").click()
        expect(page.locator(".jp-InputPrompt").nth(1)).to_have_text("[2]:")
        expect(output).to_contain_text("stopped: 3 words kept")
        expect(output.locator(".jupyter-button")).to_have_count(0)
        expect(output.get_by_role("button", name="Copy").first).to_be_visible()
        _run(page, 2)
        expect(page.locator(".jp-Cell").nth(2)).to_contain_text("'stopped'")
