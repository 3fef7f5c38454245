"""The magic in a terminal: text as it comes, Markdown at a stage's end, nothing odd on a pipe."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.answer.run_state import RunState
from mirador_magic.errors import EngineLost
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
    StreamEnd,
    ThinkingReceived,
)
from mirador_magic.stages import ModelStage
from mirador_magic.views.terminal import TerminalView
from mirador_magic.views.terminal_text import console_of, head_of
from tests.support.patience import PATIENCE

COLOUR = re.compile(r"\x1b\[[\d;]*\b(?:[349][0-7]|10[0-7]|[34]8;[\d;]*)m")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

SETUP = """\
from mirador_magic import (Script, ScriptedEngine, use_engine, DEFAULT_STAGES)
quick, deep, synthesis = (stage.model for stage in DEFAULT_STAGES)
use_engine(ScriptedEngine({quick: Script("a quick draft"), deep: Script("a deep \\x1b]0;evil\\x07look"), synthesis: Script("the last word"), "long": Script(["".join(f"word{n} " for n in range(900)), 3600.0], pace=0.05)}))
%load_ext mirador_magic
"""


class Screen:
    """What stands on a terminal and what has scrolled out at its top, which nothing can change.

    An escape code that is none of ours is an error.
    """

    _ESCAPE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([^\x1b])", re.DOTALL)

    def __init__(self, said: str, height: int = 25) -> None:
        self.rows = [""]
        self._height, self._row, self._column = height, 0, 0
        end = 0
        for found in self._ESCAPE.finditer(said):
            assert found.start() == end, f"a foreign escape code: {said[end : end + 20]!r}"
            end = found.end()
            arguments, code, character = found.groups()
            self._put(character) if character else self._steer(code, arguments)

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)

    def _put(self, character: str) -> None:
        if character == "\n":
            self._row, self._column = self._row + 1, 0
            self.rows += [""] * (self._row == len(self.rows))
        elif character == "\r":
            self._column = 0
        else:
            assert character.isprintable() or character == "\t", repr(character)
            row = self.rows[self._row].ljust(self._column)
            self.rows[self._row] = row[: self._column] + character + row[self._column + 1 :]
            self._column += 1

    def _steer(self, code: str, arguments: str) -> None:
        if code == "A":
            top = max(0, len(self.rows) - self._height)
            self._row = max(top, self._row - int(arguments))
        elif code == "K":
            assert arguments == "2"
            self.rows[self._row] = ""
        else:
            assert code == "m" or f"\x1b[{arguments}{code}" in (HIDE, SHOW), (code, arguments)


class Terminal:
    """IPython on a pseudo terminal; `until` reads what it writes up to some text."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self._fd = fd
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, text: str, timeout: float = PATIENCE) -> str:
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
        env={**os.environ, "MIRADOR_ENGINE": "scripted", "TERM": "xterm", "COLORTERM": "", **env},
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


QUESTION = "How do I sort a list in Python?"
LONG = 600.0  # seconds, in which even a busy machine has answered


def read_on(fd: int) -> bytes:
    """What a pseudo terminal says next; nothing once its program is gone."""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def test_a_cell_writes_each_stage_as_it_comes_and_the_value_is_not_shown_again() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("%%mirador\nwhy?\n\n\n")
        said = terminal.until("In [6]:")
        shown = Screen(said)
        for text in ("a quick draft", "a deep ]0;evillook", "the last word", "▌ quick_response"):
            assert shown.text.count(text) == 1
        assert "\x1b]" not in said
        assert not COLOUR.search(said)
        assert "Out[5]: <Answer 'why?': answered, 3 of 3 stages>" in said
        terminal.type("_.text, mirador_answer.outcome\n")
        assert "('the last word', 'answered')" in terminal.until("In [7]:")
        terminal.type("%mirador What is this?\n")
        assert Screen(terminal.until("In [8]:")).text.count("the last word") == 1
        terminal.type("%mirador last\n")
        again = Screen(terminal.until("In [9]:")).text
        assert again.count("the last word") == 1
        assert "▌ synthesis" in again
        terminal.type("%%mirador --traditional\nwhy?\n\n\n")
        assert terminal.until("In [10]:").count("the last word") == 1


def test_a_question_mark_at_the_end_is_the_question_s_wherever_the_line_stands() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("for n in [1, 2]:\n    %mirador --stages synthesis why {n}?\n\n")
        assert Screen(terminal.until("In [6]:")).text.count("the last word") == 2
        for number, line in enumerate(("d = {}; d['a'] = %mirador", "mirador"), start=7):
            terminal.type(f"{line} --stages synthesis is it so?\n")
            assert Screen(terminal.until(f"In [{number}]:")).text.count("the last word") == 1
        terminal.type("d['a'].question\n")
        assert "'is it so?'" in terminal.until("In [9]:")


def test_colour_follows_the_confidence_where_colour_is_wanted() -> None:
    with ipython() as terminal:
        terminal.type("%mirador why\n")
        said = terminal.until("In [6]:")
        assert "\x1b[90m▌\x1b[0m \x1b[1mquick_response\x1b[0m" in said
        assert "▌ \x1b[1msynthesis\x1b[0m" in said
        assert "\x1b[36m" not in said  # 95 % that are only declared do not look sure


def test_a_dumb_terminal_gets_no_escape_code() -> None:
    with ipython(TERM="dumb") as terminal:
        terminal.type("%mirador why\n")
        said = terminal.until("In [6]:")
        assert "\x1b" not in said
        assert said.count("the last word") == 1


def test_a_pipe_gets_no_escape_code_and_costs_no_rich() -> None:
    code = "%load_ext mirador_magic\n%mirador why\nimport sys; print('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=nocolor", "-c", code],
        env={**os.environ, "MIRADOR_ENGINE": "scripted", "TERM": "xterm", "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "▌ quick_response" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.endswith("False\n")


def test_ctrl_c_keeps_what_was_written_and_leaves_nothing_running() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type("%mirador --model long --stages quick_response why\n")
        said = terminal.until("word1 word2 word3")
        os.kill(terminal.process.pid, signal.SIGINT)
        said += terminal.until("In [6]:")
        assert len(re.findall(r"word\d+(?:\s+word\d+)+", Screen(said).text)) == 1
        assert "■ interrupted" in said
        assert said.rindex(SHOW) > said.rindex(HIDE)
        assert "RunInterrupted: what was written is kept" in said
        assert "Traceback" not in said
        terminal.type("mirador_answer.outcome, mirador_answer.text[:11]\n")
        assert "('interrupted', 'word0 word1')" in terminal.until("In [7]:")
        terminal.type("%mirador --stages quick_response why\n")
        assert "word0 word1" not in terminal.until("In [8]:")


def test_answers_of_several_threads_stand_one_behind_another() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type(
            "from concurrent.futures import ThreadPoolExecutor as Pool; call = get_ipython()\n"
        )
        terminal.until("In [6]:")
        terminal.type(
            "ask = lambda n: call.run_line_magic('mirador', f'--stages synthesis why {n}')\n"
        )
        terminal.until("In [7]:")
        terminal.type("answers = list(Pool(3).map(ask, range(3)))\n")
        _, *shown = Screen(terminal.until("In [8]:")).text.split("▌ synthesis")
        assert len(shown) == 3
        for each in shown:
            assert re.search(r"declared\nthe last word\n\nmirador · synthesis · [^▌]*total", each)
        terminal.type("[each.text for each in answers]\n")
        assert str(["the last word"] * 3) in terminal.until("In [9]:")


def test_unloading_releases_the_models() -> None:
    with ipython(NO_COLOR="1") as terminal:
        terminal.type(
            "from mirador_magic.session.session import current; s = current(); "
            "e = s.engines.named('scripted', s.settings())\n"
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


class Tty(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


class Played:
    """A run played by hand on a view: each event reaches the run's state first, as in a session."""

    def __init__(
        self,
        out: io.StringIO,
        *,
        coloured: bool = True,
        buffered: bool = False,
        confidence: float = 0.8,
        model: str = "tiny",
    ) -> None:
        self.out = out
        self.now = 0.0
        self.state = RunState(clock=lambda: self.now)
        self.answer: Callable[[], Answer] = self.state.answer
        self.view = TerminalView(lambda: self.answer(), out, coloured=coloured, buffered=buffered)
        self.view.show()
        stages = tuple(ModelStage(name, model, confidence, 9.0, "") for name in ("quick", "deep"))
        self.tell(RunStarted(0.0, "why?", stages))
        self.tell(StageStarted(0.0, "quick"))

    def tell(self, event: Event) -> None:
        self.now = event.at
        self.state(event)
        self.view(event)

    def write(self, text: str, at: float = 1.0) -> None:
        self.tell(ChunkReceived(at, "quick", text))

    def finish(self, at: float = 2.0) -> None:
        self.tell(StageFinished(at, "quick", StreamEnd("stop")))
        self.tell(RunFinished(at, "answered"))

    def screen(self, height: int = 25) -> Screen:
        return Screen(self.out.getvalue(), height)


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "60", "LINES": "12", "TERM": "xterm", "COLORTERM": ""}.items():
        monkeypatch.setenv(name, value)


def shown(text: str, *, coloured: bool = True) -> str:
    """What a terminal is sent for a stage that wrote this text."""
    run = Played(Tty(), coloured=coloured)
    run.write(text)
    run.finish()
    return run.out.getvalue()


def test_the_first_words_are_shown_at_once_and_later_ones_twenty_times_a_second() -> None:
    run = Played(Tty())
    assert "▌ quick  tiny · asked" in run.screen().text
    run.write("one ", at=0.01)
    assert "one" in run.screen().text
    run.write("two ", at=0.05)
    assert "two" not in run.screen().text
    run.write("three", at=0.07)
    assert "one two three" in run.screen().text
    assert "tiny · writing" in run.screen().text
    paints = run.out.getvalue().count("quick")
    for number in range(100):
        run.write(".", at=1 + number / 100)
    assert run.out.getvalue().count("quick") - paints <= 21


def test_a_thought_is_a_state_and_not_shown() -> None:
    run = Played(Tty())
    run.tell(ThinkingReceived(1.0, "quick", "let me see"))
    assert "thinking" in run.screen().text
    run.write("yes", at=1.01)
    assert "yes" in run.screen().text
    run.finish()
    assert "let me see" not in run.out.getvalue()


def test_a_stage_ends_as_markdown_and_its_text_stands_once() -> None:
    run = Played(Tty())
    run.write("It is **bold**:\n\n- alpha\n- beta\n\nline one\nline two\n")
    assert "It is **bold**:" in run.screen().text
    run.finish()
    rows = run.screen().text.split("\n")
    assert rows[0].startswith("▌ quick  tiny")
    assert rows[0].endswith("80 % declared")
    assert rows[1:9] == ["It is bold:", "", " • alpha", " • beta", "", "line one", "line two", ""]
    assert rows[9].startswith("mirador · quick → deep · first token 1.0 s · total 2.0 s")
    assert "\x1b[1mbold\x1b[0m" in run.out.getvalue()


def test_a_stage_that_follows_stands_below() -> None:
    run = Played(Tty())
    run.write("first")
    run.tell(StageFinished(2.0, "quick", StreamEnd("stop")))
    run.tell(StageStarted(2.0, "deep"))
    run.tell(ChunkReceived(3.0, "deep", "second"))
    before, _, after = run.screen().text.partition("▌ deep")
    assert "first" in before
    assert "second" in after
    run.tell(StageFinished(4.0, "deep", StreamEnd("stop")))
    text = run.screen().text
    assert text.count("first") == text.count("second") == text.count("▌ deep") == 1


def test_a_long_answer_stays_within_the_height_and_leaves_nothing_above() -> None:
    run = Played(Tty())
    for number in range(40):
        run.write(f"line {number}.\n", at=1.0 + number)
        screen = run.screen(height=12)
        assert len(screen.rows) <= 11
        assert f"line {number}." in screen.text
    run.write("漢字" * 300 + " word" * 300, at=50.0)
    assert len(run.screen(height=12).rows) <= 11
    run.finish(at=60.0)
    text = run.screen(height=12).text
    assert [text.count(f"line {number}.") for number in range(40)] == [1] * 40
    assert text.count("▌ quick") == 1


def test_the_lines_of_the_live_part_do_not_shift_while_words_come() -> None:
    run = Played(Tty())
    last = ""
    for number in range(50):
        word = f"{number}".rjust(19, "w")
        run.write(f"{word} ", at=1.0 + number)
        before, last = last, run.screen(height=12).rows[-1].rstrip()
        assert last == f"{before} {word}".strip() or last == word


@pytest.mark.parametrize(
    ("confidence", "bar"),
    [
        (0.5, "\x1b[90m┆\x1b[0m "),
        (0.65, "\x1b[90m▌\x1b[0m "),
        (0.8, "▌ "),
        (0.95, "\x1b[36m▌\x1b[0m "),
    ],
)
def test_the_bar_has_the_colour_of_the_confidence(confidence: float, bar: str) -> None:
    stage = StageAnswer("quick", "tiny", confidence, "done", "yes", how="calibrated", answers=60)
    for coloured in (True, False):
        out = Tty()
        console_of(out, coloured=coloured).print(head_of(stage))
        assert (f"{bar}\x1b[1mquick\x1b[0m" in out.getvalue()) is (coloured or bar == "▌ ")
        assert bool(COLOUR.search(out.getvalue())) is (coloured and bar != "▌ ")


def test_markdown_has_no_colour_of_its_own() -> None:
    text = "# a\n## b\n### c\n> d\n\n1. `e` [f](http://g)\n\n```python\ndef h(): pass # i\n```\n"
    said = shown(f"{text}\n| j | k |\n|---|---|\n| l | m |\n")
    assert not COLOUR.search(said)
    assert "\x1b[1mdef\x1b[0m" in said
    assert shown(text, coloured=False) == shown(text)


HOSTILE = [
    *(
        "\x1b]0;evil\x07",
        "\x1b[31m",
        "\x9b31m",
        "\x07",
        "\r",
        "\ud800",
        "\u202e",
        "\u2066",
        "\u2029",
    ),
    *("<http://x/%1b]0;evil%07>", "[a](http://x/%1b%0a)", "![a](b)", "[a]: b", "&#27;", "&#x202e;"),
    *("&#155;", "&#13;", "</kbd>", "<kbd>", "<b>", "<!--", "[red]", "[/red]", "[link=http://e]"),
    *(
        "*",
        "**",
        "_",
        "`",
        "\n```py\n",
        "~~",
        "\n",
        "\n\n",
        "\n- ",
        "\n1. ",
        "\n> ",
        "\n# ",
        "    ",
    ),
    *("\n| a | b |\n|---|---|\n| 1 |", "|", "\\", "\t", "漢字", "é", "word ", " "),
]


@given(st.lists(st.sampled_from(HOSTILE), max_size=30))
@example(["<http://x/%1b]0;evil%07>"])
@example(["&#x202e;", "&#13;"])
@example(["</kbd>"])
def test_no_text_of_a_model_steers_the_terminal(parts: list[str]) -> None:
    said = shown("x" + "".join(parts))  # Screen knows rich's codes alone
    Screen(re.sub("[\u2029]", "", said))
    assert "\x1b]" not in said
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", said)
    assert not COLOUR.search(said)


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("[red]x[/red] [link=http://e]y[/link]", "[red]x[/red] [link=http://e]y[/link]"),
        ("a List<String> and </kbd>, <b>", "a List<String> and </kbd>, <b>"),
        ("![a picture](http://x/y.png)", "!a picture (http://x/y.png)"),
        ("<http://x/y> :smile:", "<http://x/y> :smile:"),
        ("[1]: http://x", "[1]: http://x"),
        ("a \u202ebc\u2069 &#x202e;", "a [U+202E]bc[U+2069] [U+202E]"),
    ],
)
def test_what_is_not_markdown_stays_as_it_was_written(text: str, stands: str) -> None:
    assert f"\n{stands}\n" in Screen(shown(text)).text


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("$a*b*c$ and $x_1$, $$a*b*c$$", "$a*b*c$ and $x_1$, $$a*b*c$$"),
        (r"\(x_i*y_i*z\) and \[ a \\ b \]", r"\(x_i*y_i*z\) and \[ a \\ b \]"),
        (r"so \( a", r"so \( a"),
        ("$$\na*b*c \\\\\n\nd\n$$", "$$\na*b*c \\\\\n\nd\n$$"),
        ("a\n\\[\nb*c*d\n\\]\ne", "a\n\n\\[\nb*c*d\n\\]\n\ne"),
        (
            "\\begin{align}\na &= b \\\\\nc\n\\end{align}",
            "\\begin{align}\na &= b \\\\\nc\n\\end{align}",
        ),
        ("- [ ] a\n- [x] b", " • ☐ a\n • ☑ b"),
        ("a<br>b", "a\nb"),
        ("see https://a.b/c_d_e or <https://f.g>", "see https://a.b/c_d_e or <https://f.g>"),
        ("[a](https://b.c) [d](e.html)", "a (https://b.c) [d](e.html)"),
        ("是**“重点”**的", "是“重点”的"),
        ("costs $5 and $6, \\$7", "costs $5 and $6, $7"),
    ],
)
def test_what_models_write_beside_commonmark_loses_no_sign(text: str, stands: str) -> None:
    assert f"\n{stands}\n" in Screen(shown(text)).text


def test_a_table_s_cells_keep_what_stands_in_them() -> None:
    text = Screen(shown("| a | b |\n|---|---|\n| $|x|$ | y<br>z |\n| p \\| q | r | s |\n")).text
    for row in (r" \$\|x\|\$ +y", r" +z", r" p \| q +r \| s"):
        assert re.search(rf"(?m)^{row}$", text), text


def test_a_fence_of_markdown_ends_at_its_own_end() -> None:
    text = Screen(shown("```markdown\n# a\n```py\nb\n```\nc\n```\n**after**")).text
    assert [line.strip() for line in text.split("\n")[1:] if line.strip()][:6] == [
        "# a",
        "```py",
        "b",
        "```",
        "c",
        "after",
    ]


def test_a_long_answer_s_table_is_a_table() -> None:
    text = "a paragraph\n\n" * 1000 + "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n"
    assert "| 1" not in Screen(shown(text)).text


def test_a_text_that_rich_stumbles_over_is_shown_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr("rich.markdown.Markdown.__rich_console__", stumble)
    assert "\nso **it** is\n" in Screen(shown("so **it** is")).text


def test_names_and_notes_are_as_literal_as_the_text() -> None:
    run = Played(Tty(), model="[red]m[/red]\x1b[31m\u202e")
    run.tell(StageFailed(1.0, "quick", EngineLost("[bold]gone\x1b]0;evil\x07", "[b]\u202e")))
    run.tell(RunFinished(2.0, "failed"))
    text = run.screen().text
    assert "[red]m[/red][31m[U+202E]" in text
    assert "[bold]gone]0;evil" in text
    assert "\x1b[31m▌\x1b[0m" in run.out.getvalue()


@pytest.mark.parametrize("outcome", ["stopped", "interrupted"])
def test_a_stage_that_is_cut_short_keeps_its_text_and_says_how_it_ended(
    outcome: Literal["stopped", "interrupted"],
) -> None:
    run = Played(Tty())
    run.write("half of **it")
    run.write(" and", at=1.01)
    run.tell(StageStopped(1.02, "quick"))
    run.tell(RunFinished(1.02, outcome))
    rows = run.screen().text.split("\n")
    assert rows[1:4] == ["half of **it and", f"(■ {outcome}: 4 words kept)", ""]
    assert rows[4].startswith("mirador · quick → deep")
    assert run.out.getvalue().rindex(SHOW) > run.out.getvalue().rindex(HIDE)


def test_a_stage_that_fails_keeps_its_text_and_says_why() -> None:
    run = Played(Tty())
    run.write("half")
    run.tell(StageFailed(2.0, "quick", EngineLost("the cable fell out")))
    rows = run.screen().text.split("\n")
    assert "failed" in rows[0]
    assert rows[1:] == ["half", "(the cable fell out)", "(1 word kept)", "", ""]


def test_a_view_that_breaks_leaves_no_live_part_and_no_hidden_cursor() -> None:
    run = Played(Tty())
    run.write("half")
    run.answer = _interrupted
    with pytest.raises(KeyboardInterrupt):
        run.write("more", at=2.0)
    assert run.screen().text.strip() == ""
    assert run.out.getvalue().rindex(SHOW) > run.out.getvalue().rindex(HIDE)


def test_the_cursor_is_not_hidden_while_a_stage_writes() -> None:
    run = Played(Tty())
    run.write("half")
    assert run.out.getvalue().rindex(SHOW) > run.out.getvalue().rindex(HIDE)


def test_what_happened_before_it_is_shown_is_shown_then() -> None:
    out = Tty()
    state = RunState(clock=lambda: 1.0)
    view = TerminalView(state.answer, out, coloured=True, buffered=False)
    stage = ModelStage("quick", "tiny", 0.8, 9.0, "")
    begun: list[Event] = [RunStarted(0.0, "why?", (stage,)), StageStarted(0.0, "quick")]
    for event in (*begun, ChunkReceived(0.1, "quick", "early")):
        state(event)
        view(event)
    assert out.getvalue() == ""
    view.show()
    assert "early" in Screen(out.getvalue()).text


def test_a_buffered_terminal_says_nothing_before_the_end_and_then_the_same() -> None:
    run = Played(Tty(), buffered=True)
    run.write("so **it** is")
    assert run.out.getvalue() == ""
    run.finish()
    assert run.screen().text == Screen(shown("so **it** is")).text
    assert "\x1b[1mit\x1b[0m" in run.out.getvalue()


@pytest.mark.parametrize("out", [io.StringIO, Tty])
@pytest.mark.parametrize("buffered", [False, True])
def test_a_pipe_and_a_dumb_terminal_get_plain_text(
    out: type[io.StringIO], buffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb" if out is Tty else "xterm")
    run = Played(out(), buffered=buffered, model="tiny\x1b[31m")
    run.write("so **it** is \x1b]0;evil\x07\u202e")
    assert ("so **it** is ]0;evil[U+202E]" in run.out.getvalue()) is not buffered
    run.finish()
    assert run.out.getvalue().count("so **it** is ]0;evil[U+202E]") == 1
    assert "\x1b" not in run.out.getvalue()


def _interrupted() -> Answer:
    raise KeyboardInterrupt


@pytest.mark.timeout(LONG)
def test_the_shell_s_answer_on_a_terminal_and_its_picture(tmp_path: Path, smollm2: Path) -> None:
    """A small real model's, without Ollama. With MIRADOR_SCREENSHOTS naming a folder, the picture is
    left there; the seed is for it alone."""
    asked = ["--stages", "quick_response,deep_analysis", QUESTION]
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 104, 0, 0))
    nowhere = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": str(tmp_path)}
    env = {**os.environ, **nowhere, "TERM": "xterm", "COLORTERM": "", "COLUMNS": "104"}
    env.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "mirador_magic", "--traditional", "--seed", "7", *asked]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    said = b"".join(iter(lambda: read_on(parent), b"")).decode()
    assert process.wait(PATIENCE) == 0
    os.close(parent)
    shown = Text.from_ansi(said.replace("\r\n", "\n"))
    for stage in ("quick_response", "deep_analysis"):
        assert re.search(
            rf"{stage}  smollm2 · done · .* \d+ % (?:unsure|low|fair|sure)\n\S", shown.plain
        )
    assert "small and often wrong" in shown.plain
    if folder := os.environ.get("MIRADOR_SCREENSHOTS"):
        shown.rstrip()
        console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True)
        line = f'$ mirador {" ".join(asked[:-1])} "{QUESTION}"'
        console.print(Text(line, "dim"), "", shown, sep="\n")
        svg = console.export_svg(title="mirador")
        # Without the font that a page would fetch: any monospaced one does.
        svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "terminal.svg").write_text(svg, encoding="utf-8")
