"""JupyterLab in Chromium on a machine without Ollama: the phrase book answers, and the bars differ.

A module of its own, since Playwright runs once at a time and the other one keeps its page open.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.lab import LabServer, Notebook, open_page
from tests.test_browser import BARS, check_bars, shoot, wait_for_live


@pytest.fixture(scope="module")
def lab_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab on a machine without Ollama and without a model of the user's."""
    folder = tmp_path_factory.mktemp("lab-alone")
    nowhere = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(folder / "none")}
    with LabServer(folder, MIRADOR_PACE="60", **nowhere) as running:
        yield running


def test_without_ollama_the_bars_tell_what_the_phrase_book_knows(
    chromium: Path, lab_alone: LabServer, request: pytest.FixtureRequest
) -> None:
    questions = ("How do I read a CSV file?", "Which river flows through Ulaanbaatar?")
    cells = [
        "%load_ext mirador_magic",
        *(f"%%mirador --deep\n{question}" for question in questions),
    ]
    with open_page(chromium, lab_alone) as page, contextlib.ExitStack() as end:
        page.set_viewport_size({"width": 1000, "height": 1800})  # for whole pictures
        notebook = Notebook(page, lab_alone, request.node.name, cells)
        end.callback(notebook.discard)
        notebook.run(0)
        notebook.start(1)
        panel = wait_for_live(notebook, 1, "deep_analysis")
        expect(panel.get_by_role("button", name="Stop")).to_be_visible()
        notebook.wait(1)
        notebook.run(2)
        shown = []
        for number, name in ((1, "known-light"), (2, "unknown-light")):
            output = notebook.output(number)
            expect(output).to_contain_text("embedded llama.cpp, slowed to 60 tok/s")
            expect(output).to_contain_text("a phrase book, not an assistant")
            shoot(notebook, number, name)
            check_bars(output, 3)
            shown.append(" ".join(text for text, _ in output.evaluate(BARS)))
        known, unknown = shown
        assert len(re.findall(r"● 0\.\d\d sure calibrated \(n=794\)", known)) == 3
        assert len(re.findall(r"● 0\.\d\d (?:unsure|low) calibrated", unknown)) == 3
