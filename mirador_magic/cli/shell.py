"""What a shell is told: the exit codes, the standard error, and commands as a shell has them."""

from __future__ import annotations

import dataclasses
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
    """A line on the standard error."""
    print(text, file=sys.stderr, flush=True)
