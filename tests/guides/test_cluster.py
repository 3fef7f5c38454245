"""The guide past one machine, as a newcomer runs it, with LiteLLM's configuration as it stands there.

Two real Ollamas, a real LiteLLM proxy, and one of the Ollamas is killed while it writes.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from tests.conftest import NEW
from tests.support.litellm_proxy import free_port, litellm_binary
from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.real import ollama_binary
from tests.support.recited import DEEP, QUICK, RECITED, SLOW

GUIDE = Path(__file__).parents[2] / "notebooks" / "08_past_one_machine.ipynb"
PORTS = ("11441", "11442", "4011")  # the guide's


def wrapped(folder: Path, gguf: Path) -> Path:
    """A folder for the PATH whose `ollama` has the guide's model, which here writes on and slowly."""
    home = folder / "home"
    home.mkdir()
    with OllamaServer(ollama_binary(NEW), home, pace=0.05) as server:
        server.create(DEEP, gguf, num_thread=1)
    script = folder / "bin" / "ollama"
    script.parent.mkdir()
    own = f"HOME={home} OLLAMA_MODELS={home / 'models'} OLLAMA_NO_CLOUD=1"
    script.write_text(f'#!/bin/sh\ncd {home} && exec env {own} {ollama_binary(NEW)} "$@"\n')
    script.chmod(0o755)
    return script.parent


def executed(folder: Path, env: dict[str, str]) -> nbformat.NotebookNode:
    """The guide as it ran in this folder, at ports that are free."""
    text = GUIDE.read_text()
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)
    client = NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3")
    client.resources = {"metadata": {"path": str(folder)}}
    client.execute(env={**os.environ, **env})
    return notebook


def running_in(folder: Path) -> list[psutil.Process]:
    """The processes that are at work in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def said(notebook: nbformat.NotebookNode, start: str) -> str:
    """What stands below the cell that begins so, as plain text."""
    (cell,) = [each for each in notebook.cells if each.source.startswith(start)]
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def test_the_guide_shows_the_killed_server(
    ollama: OllamaServer, reciting_models: dict[str, Path], tmp_path: Path
) -> None:
    own = wrapped(tmp_path, reciting_models[SLOW])
    path = f"{own}:{os.environ['PATH']}:{litellm_binary().parent}"
    env = {"PATH": path, "OLLAMA_HOST": ollama.host, "MIRADOR_NUM_PREDICT": "300"}
    try:
        notebook = executed(tmp_path, env)
        assert running_in(tmp_path) == []
    finally:
        for process in running_in(tmp_path):
            process.kill()
    assert re.search(r"reachable, \d+ ms; models: gemma2:9b", said(notebook, "%mirador endpoints"))
    assert re.search(r"the Ollama at \d+ is gone", said(notebook, "run = "))
    kept = said(notebook, "answer = await run")
    assert RECITED[QUICK] in kept and RECITED[SLOW][:40] in kept and "failed" in kept
    error = said(notebook, "print(answer")
    assert error.startswith("failed\ncluster ") and "→ run the cell again" in error
    assert said(notebook, 'again["deep_analysis"]') == "'done'"
    assert "sk-" not in str([cell.get("outputs") for cell in notebook.cells])
