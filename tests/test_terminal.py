"""The magic in IPython in a terminal: text as it comes, Ctrl-C, and no escape code on a pipe."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETUP = """\
from mirador_magic import Script, ScriptedEngine, use_engine, DEFAULT_STAGES
quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
use_engine(ScriptedEngine({quick: Script("a quick draft"), deep: Script("a deep \\x1b]0;evil\\x07look"), synthesis: Script("the last word"), "long": Script("word " * 900, pace=0.05)}))
%load_ext mirador_magic
"""


class Terminal:
    """IPython on a pseudo terminal; `until` reads what it writes up to some text."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self._fd = fd
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, text: str, timeout: float = 60) -> str:
        """What came, up to and with this text."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._fd], [], [], max(0.0, left))
            assert ready, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self._fd, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text


@contextmanager
def ipython(**env: str) -> Iterator[Terminal]:
    """IPython with the magic loaded."""
    parent, child = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "IPython",
        "--simple-prompt",
        "--no-banner",
        "--colors=nocolor",
    ]
    process = subprocess.Popen(
        command,
        stdin=child,
        stdout=child,
        stderr=child,
        env={**os.environ, "MIRADOR_ENGINE": "scripted", "TERM": "xterm", **env},
        start_new_session=True,
    )
    os.close(child)
    terminal = Terminal(process, parent)
    try:
        terminal.until("In [1]:")
        for number, line in enumerate(SETUP.splitlines(), start=2):
            terminal.type(f"{line}\n")
            terminal.until(f"In [{number}]:")
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def test_a_cell_writes_each_stage_as_it_comes_and_the_value_is_not_shown_again() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("%%mirador\nwhy?\n\n\n")
        said = terminal.until("In [6]:")
        for text in ("a quick draft", "a deep ]0;evillook", "the last word"):
            assert said.count(text) == 1
        assert "\x1b]" not in said
        assert "▌ quick_response" in said
        assert "Out[5]: <Answer 'why?': answered, 3 of 3 stages>" in said
        terminal.type("_.text, mirador_answer.outcome\n")
        assert "('the last word', 'answered')" in terminal.until("In [7]:")
        terminal.type("%mirador What is this?\n")
        assert terminal.until("In [8]:").count("the last word") == 1
        terminal.type("%mirador last\n")
        assert terminal.until("In [9]:").count("the last word") == 1
        terminal.type("%%mirador --traditional\nwhy?\n\n\n")
        assert terminal.until("In [10]:").count("the last word") == 1


def test_colour_follows_the_confidence_where_colour_is_wanted() -> None:
    with ipython() as terminal:
        terminal.type("%mirador why\n")
        said = terminal.until("In [6]:")
        assert "\x1b[90m▌\x1b[0m quick_response" in said
        assert "\x1b[36m▌\x1b[0m synthesis" in said


def test_ctrl_c_keeps_what_was_written_and_leaves_nothing_running() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("%mirador --model long --stages quick_response why\n")
        terminal.until("word word word")
        os.kill(terminal.process.pid, signal.SIGINT)
        said = terminal.until("In [6]:")
        assert "RunInterrupted: what was written is kept" in said
        assert "Traceback" not in said
        terminal.type("mirador_answer.outcome, mirador_answer.text[:9]\n")
        assert "('interrupted', 'word word')" in terminal.until("In [7]:")
        terminal.type("%mirador --stages quick_response why\n")
        assert "word word" not in terminal.until("In [8]:")


def test_unloading_releases_the_models() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type(
            "from mirador_magic import session; e = session.current()._engines['scripted']\n"
        )
        terminal.until("In [6]:")
        terminal.type("%mirador why\n")
        terminal.until("In [7]:")
        terminal.type("n = len(e.loaded)\n")
        terminal.until("In [8]:")
        terminal.type("%unload_ext mirador_magic\n")
        terminal.until("In [9]:")
        terminal.type("(n, e.loaded)\n")
        assert "(3, [])" in terminal.until("In [10]:")


def test_the_background_needs_a_notebook_and_says_so() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("%mirador --bg why\n")
        assert "UsageError: --bg needs a notebook" in terminal.until("In [6]:")
