"""`%%mirador?`: the manual of the magic, of the table and of what no table says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mirador_magic.commands import table
from mirador_magic.commands.command import Command, Option

_VERB, _OPTION, _WHOLE = 40, 22, 110  # columns

_MANUAL = """\
Ask local language models: a quick answer first, deeper ones while you read.

%%mirador [options] [NAME <<]           the cell's text is the question
%mirador [ask] [options] [NAME <<] …    so is the rest of the line
%mirador                                the engine, the stages and their models
{verbs}

{options}
  NAME <<             bind the answer to this name, besides mirador_answer

{of_stages}, for all of them, or for one as deep_analysis.temperature=0.3
{stage}
options.NAME=VALUE is any other option of the engine, such as options.top_k=20.

In the text {{name}}, {{df.head()}}, {{In[3]}} and {{Err}} (the last error) stand for what the notebook
has by these names; other braces stay as they are.

To stop, press the panel's Stop or interrupt the kernel: what was written is kept.
"""


def manual() -> str:
    """The text, which is the magic's docstring."""
    verbs = table.offered("notebook").values()
    return _MANUAL.format(
        verbs="\n".join(row for each in verbs for row in _rows(each)),
        options="\n\n".join(_groups()),
        of_stages=table.OF_STAGES,
        stage=_packed(table.STAGE),
    )


def _rows(command: Command) -> Iterator[str]:
    """What is typed, and beside or below it what that does."""
    if command.name == "ask":  # the manual begins with it
        return
    how = f"%mirador {command.name} {command.signature('notebook')}".rstrip()
    what = command.what_in("notebook")
    if command.in_cell:
        what += f"; or of a cell: %%mirador {command.name}"
    if len(how) < _VERB - 1:
        yield f"{how:{_VERB}}{what}"
    else:
        yield textwrap.fill(how, _WHOLE, subsequent_indent=" " * 8, break_on_hyphens=False)
        yield _beside(what)
    if command.more:
        yield _beside(command.more)


def _beside(text: str) -> str:
    indent = " " * _VERB
    return textwrap.fill(text, _WHOLE, initial_indent=indent, subsequent_indent=indent)


def _groups() -> Iterator[str]:
    """The options of a question below their headings."""
    options = [each for each in table.ASK if "notebook" in each.places]
    for group in (table.WHICH, "", table.ASKED, table.SHOWN):
        rows = [_row(each) for each in options if each.group == group]
        yield "\n".join([group or "what answers", *rows])


def _row(option: Option) -> str:
    how = ", ".join(option.names) + f" {option.value}".rstrip()
    return (
        f"  {how:{_OPTION - 2}}{option.what}"
        if len(how) < _OPTION - 3
        else f"  {how}  {option.what}"
    )


def _packed(options: tuple[Option, ...]) -> str:
    """Many options that their settings explain: how each is typed, in a few lines."""
    glued = "  ".join(each.typed.replace(" ", "\0") for each in options)
    lines = textwrap.wrap(
        glued, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")
