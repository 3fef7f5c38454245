"""Front ends that never change what they have shown: the answer stands there once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pexpect
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebook.test_kernel import NO_OLLAMA, SETUP, any_kernel  # noqa: F401  (its fixture)
from tests.support.kernels import Kernel
from tests.support.patience import PATIENCE

ASKED = "%mirador --stages quick_response,synthesis why is that?"
TEXTS = ("a quick draft", "the last word")


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **NO_OLLAMA, "TERM": "xterm", "IPYTHONDIR": str(folder)}


def stands_once(text: str) -> None:
    for each in TEXTS:
        assert text.count(each) == 1, text


@pytest.mark.parametrize("person", [True, False])
@pytest.mark.parametrize(
    "way", [ASKED, f"x = {ASKED}", f"%time {ASKED}", f"for n in [1]:\n    {ASKED}"]
)
def test_a_client_that_passes_updates_over_is_shown_the_answer_once(
    any_kernel: Kernel,  # noqa: F811
    person: bool,
    way: str,
) -> None:
    cell = any_kernel.run(way, person=person, page=False)
    assert cell.status == "ok", cell.error
    assert not cell.of("update_display_data") and not cell.of("comm_open")
    shown = [each["data"]["text/plain"] for each in cell.of("display_data")]
    assert len(shown) == (0 if person else 1)
    stands_once("\n".join([cell.stdout.partition("CPU times")[0], *shown]))
    again = any_kernel.run("mirador_answer", person=person, page=False)
    stands_once(again.of("display_data")[0]["data"]["text/plain"])


def test_its_words_come_as_they_are_written(any_kernel: Kernel) -> None:  # noqa: F811
    asked = any_kernel.send("%mirador --model held --stages deep_analysis why", page=False)
    said = ""
    for message in any_kernel.watch(asked):
        said += message["content"].get("text", "")
        if "\na deep" in said:  # the rest would take an hour
            break
    any_kernel.manager.interrupt_kernel()
    assert "RunInterrupted" in any_kernel.finish(asked).error


def test_an_interrupt_of_ask_reaches_a_loop_that_waits_and_ends_the_run(
    any_kernel: Kernel,  # noqa: F811
) -> None:
    any_kernel.run(
        "from mirador_magic import ask\nfrom mirador_magic.session.session import current\n"
        "started = []\n"
        "current().started.append(started.append)\n"
        "current().started.append(lambda run: run.watch(lambda _: print(run.answer.text)))"
    )
    asked = any_kernel.send("await ask('why', stages=['deep_analysis'], model='held')")
    for message in any_kernel.watch(asked):
        if "a deep" in message["content"].get("text", ""):
            break
    any_kernel.manager.interrupt_kernel()
    error = any_kernel.finish(asked).error
    assert error and "EngineSilent" not in error
    assert any_kernel.value("started[0].answer.outcome") == "'interrupted'"
    any_kernel.run("del current().started[-2:]")


def test_a_page_beside_a_console_on_the_same_kernel_is_drawn(any_kernel: Kernel) -> None:  # noqa: F811
    any_kernel.run(ASKED, page=False)
    stands_once(any_kernel.run(ASKED).shown[0]["text/plain"])
    cell = any_kernel.run("%mirador last", page=False)
    stands_once(cell.stdout)
    assert not cell.shown


def test_a_kernel_s_output_is_no_terminal_even_where_it_says_so(any_kernel: Kernel) -> None:  # noqa: F811
    """Spyder's says so, and its console follows no escape code that moves the cursor."""
    any_kernel.run("import sys\ntype(sys.stdout).isatty = lambda self: True")
    said = (
        any_kernel.run(ASKED, page=False).stdout
        + any_kernel.run("%mirador last", page=False).stdout
    )
    any_kernel.run("type(sys.stdout).isatty = lambda self: False")
    assert "the last word" in said and "\x1b" not in said


def test_controls_that_nobody_could_click_are_one_line(any_kernel: Kernel) -> None:  # noqa: F811
    cell = any_kernel.run("%mirador controls", page=False)
    assert cell.error == "UsageError: controls need a notebook → %mirador settings"


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Any]:
    """A real `jupyter console` on a pseudo terminal, its first cells run."""
    started = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--simple-prompt"],
        env=environment(tmp_path),
        encoding="utf-8",
        timeout=PATIENCE,
        dimensions=(40, 120),
    )
    try:
        started.expect(r"In \[1\]: ")
        told(started, 1, "%load_ext mirador_magic")
        told(started, 2, f"exec({SETUP.replace('%load_ext mirador_magic', '')!r})")
        yield started
    finally:
        started.close(force=True)


def told(console: Any, number: int, line: str) -> str:
    """What the console writes for its cell of this number."""
    console.sendline(line)
    console.expect(rf"In \[{number + 1}\]: ")
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminal")
def test_jupyter_console_shows_the_answer_once(console: Any) -> None:
    stands_once(told(console, 3, ASKED))
    stands_once(told(console, 4, "mirador_answer"))
    stands_once(told(console, 5, "%mirador last"))
    assert "'the last word'" in told(console, 6, "mirador_answer.text")
    begun = told(console, 7, f"job = {ASKED.replace('--stages', '--bg --stages')}")
    stands_once(begun + told(console, 8, "(await job).outcome"))


def test_jupyter_run_shows_the_answer_once(tmp_path: Path) -> None:
    files = {"begins.py": SETUP, "asks.py": ASKED}
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_client.runapp", *files],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    stands_once(done.stdout)


def written(outputs: Sequence[NotebookNode]) -> str:
    (output,) = [each for each in outputs if each.output_type != "stream"]
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    return str(output.data["text/plain"])


def test_nbclient_and_papermill_keep_the_answer_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NO_OLLAMA.items():
        monkeypatch.setenv(name, value)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    asks = new_notebook(cells=[new_code_cell(SETUP), new_code_cell(ASKED)], metadata=kernel)
    nbformat.write(asks, tmp_path / "asks.ipynb")
    NotebookClient(asks, timeout=PATIENCE).execute()
    stands_once(written(asks.cells[1].outputs))
    papermill.execute_notebook(
        tmp_path / "asks.ipynb", tmp_path / "done.ipynb", progress_bar=False, log_output=False
    )
    done = nbformat.read(tmp_path / "done.ipynb", 4)
    stands_once(written(done.cells[-1].outputs))
