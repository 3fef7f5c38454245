"""The notebooks of the repo, and an answer in every tool that runs notebooks without a front end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import pytest

from mirador_magic import DEFAULT_STAGES
from tests.support.ollama_server import OllamaServer
from tests.support.recited import DEEP, QUICK, RECITED, SYNTHESIS

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "notebooks" / "01_quickstart.ipynb"
LONG = 600.0  # seconds, in which even a busy machine has ended
SANITIZE = ROOT / "tests" / "nbval_sanitize.cfg"
TEXTS = [RECITED[model] for model in (QUICK, DEEP, SYNTHESIS)]


@pytest.fixture
def on_ollama(ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that start during the test find the test's Ollama."""
    monkeypatch.setenv("OLLAMA_HOST", ollama.host)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A notebook that asks one question."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    for number, source in enumerate(["%load_ext mirador_magic", "%%mirador\nWhy is the sky blue?"]):
        cell = nbformat.v4.new_code_cell(source)
        cell["id"] = f"cell-{number}"
        notebook.cells.append(cell)
    path = tmp_path / "asked.ipynb"
    nbformat.write(notebook, path)
    return path


def tool(*command: str | Path) -> str:
    """The output of a tool of this environment, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True, timeout=LONG
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def execute(path: Path) -> None:
    """Run a notebook in place, as nbclient does."""
    tool("jupyter", "execute", "--inplace", path)


def is_answered(path: Path) -> None:
    """The notebook's second cell holds one whole static answer, and no widget."""
    outputs = nbformat.read(path, as_version=4).cells[1].outputs
    shown = [output.data for output in outputs if output.get("data")]
    assert len(shown) == 1
    assert set(shown[0]) == {"text/html", "text/markdown", "text/plain"}
    for text in TEXTS:
        assert text in shown[0]["text/plain"]


@pytest.mark.usefixtures("on_ollama")
def test_nbclient(asked: Path) -> None:
    execute(asked)
    is_answered(asked)


@pytest.mark.usefixtures("on_ollama")
def test_papermill(asked: Path, tmp_path: Path) -> None:
    tool("papermill", asked, tmp_path / "out.ipynb")
    is_answered(tmp_path / "out.ipynb")


@pytest.mark.usefixtures("on_ollama")
def test_nbconvert_execute(asked: Path) -> None:
    tool("nbconvert", "--execute", "--to", "notebook", "--inplace", asked)
    is_answered(asked)
    tool("nbconvert", "--to", "html", asked)
    page = asked.with_suffix(".html").read_text()
    for stage in DEFAULT_STAGES:
        assert f">{stage.name}</b>" in page
    assert "~89 % fair measured</span>" in page
    assert "everywhere&lt;/b&gt; in the sky" in page


@pytest.mark.usefixtures("on_ollama")
@pytest.mark.parametrize("mode", ["--nbval", "--nbval-lax"])
def test_nbval(asked: Path, mode: str) -> None:
    execute(asked)
    plugins = ("-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", asked.parent)
    said = tool("pytest", *plugins, mode, "--nbval-sanitize-with", SANITIZE, asked)
    assert "2 passed" in said


@pytest.mark.usefixtures("on_ollama")
def test_nbval_notices_another_answer(asked: Path) -> None:
    execute(asked)
    notebook = nbformat.read(asked, as_version=4)
    shown = notebook.cells[1].outputs[-1].data
    for kind in shown:
        shown[kind] = shown[kind].replace("scatters", "gathers")
    nbformat.write(notebook, asked)
    with pytest.raises(AssertionError, match="1 failed, 1 passed"):
        tool("pytest", "-c", os.devnull, "--nbval", "--nbval-sanitize-with", SANITIZE, asked)


@pytest.mark.usefixtures("on_ollama")
def test_the_quick_start_on_ollama(tmp_path: Path) -> None:
    copy = tmp_path / QUICKSTART.name
    shutil.copy(QUICKSTART, copy)
    execute(copy)
    notebook = nbformat.read(copy, as_version=4)
    shown = "\n".join(str(cell.get("outputs")) for cell in notebook.cells)
    assert RECITED[QUICK] in shown
    assert "Ollama 0.34.1" in shown


SAID = {
    "%mirador What is the capital": ["mirador · simple (", RECITED[QUICK]],
    "%mirador route": ["complex (", "stages: quick_response, deep_analysis, synthesis"],
    "%mirador --balanced": ["quick_response → synthesis"],
    "%mirador --stages quick_response,deep": ["quick_response → deep_analysis"],
    "--num-predict 100": [RECITED[QUICK]],
    "%mirador settings": ["0.2", "%config", "default_stages", "MIRADOR_DEFAULT_STAGES"],
    "--stages critic": [RECITED[QUICK]],
    "%mirador controls": ["mirador controls", "route: auto", f"critic: {QUICK}"],
    "--show-prompt\nWhich river flows through {city}? Our": [
        "Ulaanbaatar",
        "'north': 12",
        "{this}",
    ],
    "--raw --show-prompt": ["{city}"],
    "--context 2": ["KeyError: 'west'", "In [", "%%mirador --fast --raw --show-prompt"],
    "-c How many": [RECITED[QUICK]],
    "%mirador history": ["My team has nine people.", "↳ How many people"],
    "reply.to_markdown": ["## quick_response"],
    "len(words": ["True"],
    "quick_respons ": ["did you mean quick_response?"],
    "--temprature": ["did you mean --temperature?"],
    "gemma2:9c": ["did you mean gemma2:9b?", "ollama pull gemma2:9c", "installed: "],
    "--host 127.0.0.1:9": ["does not answer at http://127.0.0.1:9"],
    "two:11434": ["names 2 hosts"],
    "%mirador provision": ["quick_response  speed_optimizer_phi:latest  installed"],
    "%mirador doctor": ["Ollama 0.34.1", "first token"],
}


@pytest.mark.usefixtures("on_ollama")
def test_daily_use_on_ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the guide does what it says, the slips in one line each."""
    monkeypatch.setenv("MIRADOR_DEFAULT_STAGES", "auto")
    check_daily_use(tmp_path, SAID)


# What a real model answers is its own to say: below these cells stands that one did.
MEASURED = re.compile(  # calibrated, unless a setting asks otherwise than what was calibrated
    r"smollm2 · done · [\d.]+ s(?: · \d+ tok/s)? · ● (?:0\.\d\d \w+ calibrated \(n=978\)|~\d+ % \w+ measured)\n\S"
)
SAID_ALONE: Mapping[str, Sequence[str | re.Pattern[str]]] = {
    "%mirador What is the capital": ["mirador · simple (", "small and often wrong", MEASURED],
    "%mirador --balanced": ["quick_response → synthesis"],
    "%mirador --stages quick_response,deep": ["quick_response → deep_analysis", MEASURED],
    "--num-predict 100": [MEASURED],
    "%mirador settings": ["0.2", "%config", "default_stages", "MIRADOR_DEFAULT_STAGES"],
    "--stages critic": ["critic · smollm2 · done"],
    "%mirador controls": ["mirador controls", "route: auto", "critic: smollm2"],
    "-c How many": [MEASURED],
    "%mirador history": ["My team has nine people.", "↳ How many people"],
    "reply.to_markdown": ["## quick_response"],
    "len(words": ["True"],
    "gemma2:9c": ["there is no model gemma2:9c", "installed: smollm2"],
    "--host 127.0.0.1:9": ["does not answer at http://127.0.0.1:9"],
    "%mirador provision": ["Ollama does not answer at http://127.0.0.1:9"],
    "%mirador doctor": ["embedded llama.cpp answers in its place", "first token"],
}


@pytest.mark.timeout(LONG)
@pytest.mark.usefixtures("smollm2")
def test_daily_use_without_ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same guide on the small real model; the other ones run in the browser's tests, and in the demo."""
    for name, value in alone(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MIRADOR_DEFAULT_STAGES", "auto")
    check_daily_use(tmp_path, SAID_ALONE)


def alone(folder: Path) -> dict[str, str]:
    """The environment of a kernel on a machine without Ollama and without a model of the user's."""
    return {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(folder / "none")}


def check_daily_use(folder: Path, said: Mapping[str, Sequence[str | re.Pattern[str]]]) -> None:
    copy = folder / "02_daily_use.ipynb"
    shutil.copy(QUICKSTART.with_name(copy.name), copy)
    execute(copy)
    cells = [cell for cell in nbformat.read(copy, as_version=4).cells if cell.cell_type == "code"]
    for start, texts in said.items():
        (cell, *_) = [cell for cell in cells if start in cell.source]
        for text in texts:
            assert re.search(
                text if isinstance(text, re.Pattern) else re.escape(text), told(cell)
            ), (
                start,
                text,
                told(cell),
            )
    for cell in cells:
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(failed) == ("raises-exception" in cell.metadata.get("tags", [])) or (
            cell.source == "%mirador provision"
        ), cell.source
        if failed and cell.source.startswith("%"):
            assert len(failed[0].traceback) == 1, failed
    assert "there is no question" in told(next(c for c in cells if c.source.strip() == "%%mirador"))


def told(cell: nbformat.NotebookNode) -> str:
    """All that a cell shows, as plain text."""
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", "") + "\n".join(output.get("traceback", ())))
        parts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


@pytest.mark.timeout(LONG)
@pytest.mark.usefixtures("smollm2")
def test_the_demo_without_ollama(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notebooks.demo"],
        check=False,
        cwd=ROOT,
        env=os.environ | alone(tmp_path),
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ollama does not answer at http://127.0.0.1:9" in done.stdout
    assert "embedded llama.cpp runs smollm2." in done.stdout
    assert "It answers\nanything, fluently, and is often wrong" in done.stdout
    deep, quick, *_ = re.findall(
        r"What is photosynthesis.*?▸|What is the cap.*?▸", done.stdout, re.DOTALL
    )
    assert len(re.findall(r"smollm2 · done .* ● 0\.\d\d \w+ calibrated \(n=978\)\n\S", deep)) == 3
    assert len(re.findall(r"smollm2 · done .* ● 0\.\d\d \w+ calibrated \(n=978\)\n\S", quick)) == 1
    assert "small and often wrong" in deep
    assert done.stderr == ""
