"""`mirador` where its streams are full, closed, or read by nobody: one line, and a code of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mirador_magic.cli.argv import VERBS
from mirador_magic.cli.shell import BROKEN_PIPE
from tests.cli.test_cli import COMMAND, ENVIRONMENT
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)

TO_THE_END = ["why?", "--json why?", "--quiet why?", "--traditional why?", "--help"]
SPEAKING = ["status", "route why?", "settings", "doctor", "doctor --json", "metrics", "warm"]
SPEAKING += ["warm --status", "dashboard", "endpoints", "serve-check", "tune", "calibrate --show"]


def in_a_shell(words: str, streams: str, *, unbuffered: bool = False) -> tuple[int, str, str]:
    """The exit code and both outputs of the command with these streams, as a shell makes them."""
    quoted = " ".join(f"'{word}'" for word in [*COMMAND, *words.split()])
    done = subprocess.run(
        ["bash", "-c", f"{quoted} {streams}"],
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1" * unbuffered},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [*TO_THE_END, *SPEAKING])
def test_a_full_disk_is_one_line_and_a_failure(words: str, unbuffered: bool) -> None:
    code, _, said = in_a_shell(words, ">/dev/full", unbuffered=unbuffered)
    expected = "mirador: the output cannot be written: no space left on device → "
    assert (code, said.count("\n"), said[: len(expected)]) == (1, 1, expected)


@pytest.mark.parametrize("words", ["why?", "--json why?", "--help", "--nope", *VERBS])
def test_a_closed_output_is_one_line_and_a_failure(words: str) -> None:
    code, _, said = in_a_shell(words, ">&-")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("mirador: the standard output is closed → ")


@pytest.mark.parametrize("words", [*TO_THE_END, *SPEAKING])
def test_where_nobody_reads_it_ends_as_a_pipe_does_without_a_word(words: str) -> None:
    code, _, said = in_a_shell(words, "| exit 0; exit ${PIPESTATUS[0]}")
    assert (code, said) == (BROKEN_PIPE, "")


def test_a_closed_input_is_none() -> None:
    code, out, said = in_a_shell("--quiet --fast why?", "<&-")
    assert (code, said) == (0, "")
    assert "no model wrote it" in out


def test_an_input_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    code, _, said = in_a_shell("why?", f"0>{tmp_path / 'only_written'}")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("mirador: the standard input cannot be read: bad file descriptor → ")


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_where_errors_cannot_be_told_the_code_tells_and_the_output_stays_clean(
    stream: str,
) -> None:
    assert in_a_shell("--nope", stream) == (2, "", "")
    code, out, _ = in_a_shell("--quiet --fast why?", stream)
    assert (code, out.count("\n")) == (0, 1)


def test_what_is_opened_later_does_not_stand_where_a_stream_was_closed() -> None:
    look = (
        "import os, sys, tempfile; from mirador_magic.cli import main; main(['--help']); "
        "print(tempfile.TemporaryFile().fileno() > 2)"
    )
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{look}" <&- 2>&-'],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.endswith("True\n")
