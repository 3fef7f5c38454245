"""What a shell is told: the exit codes, the standard error, and commands as a shell has them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys

from mirador_magic.answer.answer import Answer

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 and the signal's number, as shells have it


def here(text: str) -> str:
    """A line that names commands of a notebook, as a shell has them."""
    return re.sub(r"%env (?=\w+=)", "export ", re.sub(r"%%?(?=mirador|pip)", "", text))


def told(answer: Answer) -> Answer:
    """The answer, whose errors and notes name commands as a shell has them."""
    return dataclasses.replace(
        answer,
        stages=tuple(
            dataclasses.replace(
                stage, error=stage.error and here(stage.error), notes=tuple(map(here, stage.notes))
            )
            for stage in answer.stages
        ),
    )


def say(text: str) -> None:
    """A line on the standard error; where that is closed or full there is nobody to tell."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:  # print() would take the standard output in its place
            print(text, file=sys.stderr, flush=True)


def hold_closed() -> None:
    """Put nothing in the place of streams that came closed: what is opened next would be there, and
    be written to by whoever writes to one of them."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def unwritten() -> str:
    """Why the standard output cannot be written, found out with one line more; "" where it can."""
    try:
        print(flush=True)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def give_up() -> None:
    """Let go of what the streams still hold: Python would complain of it at the exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
