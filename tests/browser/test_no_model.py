"""JupyterLab in Chromium where there is no Ollama and no model: from `%%mirador` to an answer by a click.

With MIRADOR_SCREENSHOTS naming a folder, the panel's picture is left there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_panel import shoot
from tests.support.index import Index
from tests.support.lab import WAIT_MS, LabServer, Notebook, open_page
from tests.support.without_model import without_model

FETCH = "Fetch smollm2 (93 MB) and ask"
LONG_MS = 4 * WAIT_MS  # a real model on a busy machine
CELLS = ["%load_ext mirador_magic", "%%mirador --fast\nWhat is the capital of France?", "1 + 1"]


@pytest.fixture
def bare(chromium: Path, smollm2: Path, tmp_path: Path) -> Iterator[tuple[Page, LabServer, Index]]:
    """A page of JupyterLab on such a machine, and the index that its pip asks."""
    with (
        without_model(tmp_path, smollm2) as (env, index),
        LabServer(tmp_path, **env) as lab,
        open_page(chromium, lab) as page,
    ):
        yield page, lab, index


@pytest.mark.timeout(600)
def test_one_click_from_the_cell_to_a_real_answer(bare: tuple[Page, LabServer, Index]) -> None:
    page, lab, index = bare
    notebook = Notebook(page, lab, "first", CELLS)
    notebook.run(0)
    notebook.start(1)
    output = notebook.output(1)
    button = output.get_by_role("button", name=FETCH)
    expect(button).to_be_visible(timeout=WAIT_MS)
    expect(output).to_contain_text("Ollama does not answer at http://127.0.0.1:9")
    expect(output).to_contain_text("small and often wrong")
    expect(output).to_contain_text("waits for a model")
    shoot(notebook, 1, "no-model-light")
    assert index.asked == [], "nothing is fetched unasked"
    notebook.start(2)  # waits, as behind an input()
    index.cut = 30_000_000
    button.click()
    expect(output).to_contain_text("of 92.9 MB", timeout=WAIT_MS)
    expect(button).to_have_count(0)
    shoot(notebook, 1, "fetching-light")
    index.go.set()
    notebook.wait(1, LONG_MS)
    expect(output).to_contain_text("smollm2", timeout=LONG_MS)
    expect(output).to_contain_text("calibrated (n=978)")
    expect(output).not_to_contain_text("waits for a model")
    expect(output.locator(".mirador-text").first).not_to_be_empty()
    shoot(notebook, 1, "fetched-light")
    notebook.wait(2)
    expect(notebook.output(2)).to_contain_text("2")


def test_stop_ends_the_waiting_and_the_saved_cell_says_what_was_missing(
    bare: tuple[Page, LabServer, Index],
) -> None:
    page, lab, index = bare
    notebook = Notebook(page, lab, "stopped", CELLS)
    notebook.run(0)
    notebook.start(1)
    output = notebook.output(1)
    expect(output.get_by_role("button", name=FETCH)).to_be_visible(timeout=WAIT_MS)
    output.get_by_role("button", name="Stop").click()
    notebook.wait(1)
    expect(output).to_contain_text("%mirador pull smollm2 (93 MB, Apache-2.0), once")
    expect(output.get_by_role("button", name=FETCH)).to_have_count(0)
    notebook.shut_down()
    notebook.save()
    notebook.close()
    notebook.open_without_kernel()
    expect(notebook.output(1)).to_contain_text("no model is here")
    assert index.asked == []
