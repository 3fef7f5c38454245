"""Writes the pages that are made of what the code knows; `tests/test_docs.py` fails where one is stale.

python -m docs.generate
"""

from __future__ import annotations

import re
from pathlib import Path

from mirador_magic.commands import page as commands
from mirador_magic.workbench.doctor import kinds
from mirador_magic.workbench.doctor.kinds import Kind

HERE = Path(__file__).parent

TROUBLESHOOTING = """\
# Troubleshooting

<!-- made by docs/generate.py: edit it, or mirador_magic/workbench/doctor/kinds.py -->

`%mirador doctor` examines the settings, the kernel, the engine and the models, and says what mends each. In a shell it is `mirador doctor`; `--json` is for scripts. Its exit code is 1 where something does not work.

## The three of the first Mirador

**The first token takes more than a second.** Most often the model was not in memory. `%mirador warm --status` tells which models are cold, loading or warm; `%mirador warm` loads them. Then look at the lines *first token* and *memory* of the doctor. `--fast` asks one stage alone, and `%%mirador --model NAME` a smaller model.

**Models are not found.** A default model that is missing is replaced by one that is installed, and the stage names the command that installs the right one. `%mirador provision` tells what all the stages' models lack in Ollama; `%mirador provision --yes` pulls or makes them, `speed_optimizer_phi` among them. `ollama list` tells what is there. Without Ollama, `%mirador pull smollm2` fetches a small real model.

**Async errors.** Mirador needs Python 3.11 or newer. Nothing called asyncio is to be installed: it comes with Python. A `%%mirador` cell is awaited by the notebook; below `%%time` and the like it is nested in the running loop, and the doctor's line *loop* tells whether that is safe here. In a program, use `asyncio.run(ask(…))`.

## What the doctor finds

✗ does not work, ! works and could be better. Words in capitals are filled in: ERROR is what an error says, ITS CURE the command that it names.

"""


def pages() -> dict[str, str]:
    """Each generated page by its file's name."""
    return {"troubleshooting.md": troubleshooting(), "commands.md": commands.page()}


def troubleshooting() -> str:
    """The page of what the doctor finds, with what it says and what mends it."""
    rows = [
        f"| {each.topic} | {_LEVELS[each.level]} | {_said(each)} | {_cell(each.cure)} |"
        for each in vars(kinds).values()
        if isinstance(each, Kind)
    ]
    head = ["| what is examined | | what it says | what mends it |", "|---|---|---|---|"]
    return TROUBLESHOOTING + "\n".join([*head, *rows]) + "\n"


_LEVELS = {"ok": "✓", "warn": "!", "bad": "✗"}


def _said(kind: Kind) -> str:
    return f"{kind.when}: {_cell(kind.what)}" if kind.when else _cell(kind.what)


def _cell(template: str) -> str:
    """A template as a cell of a table, its fields as words in capitals."""
    names = {name: name.upper().replace("_", " ") for name in re.findall(r"{(\w+)}", template)}
    text = template.format(**names)
    return text.replace("|", "\\|").replace("**", "\\*\\*").replace("<", "\\<")


def main() -> None:
    for name, text in pages().items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
