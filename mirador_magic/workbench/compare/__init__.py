"""`%%mirador compare` and `compare()`: one question, the same for several models, stages or prompts.

variants    what is compared, of a line's options or of a call's
contest     asks each one: at home in turn, so that models swap least; past it at once
columns     what came of it, and which one was picked
page        the columns as HTML and as text
board       the columns while they are written, in a notebook
shown       the finished columns on a page, with the buttons that pick
result      all of it, as its reader holds it
"""

from __future__ import annotations

import contextlib
import functools
import sys

from mirador_magic.commands.line import Line
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session, current
from mirador_magic.workbench.compare import page
from mirador_magic.workbench.compare.columns import Column, Columns
from mirador_magic.workbench.compare.contest import Contest, Unseen, View
from mirador_magic.workbench.compare.result import SideBySide
from mirador_magic.workbench.compare.variants import Names, Systems, variants

__all__ = ["SideBySide", "compare", "verb"]

BOUND = "mirador_comparison"  # the name that the last one has in the notebook


async def compare(
    question: str,
    *,
    models: Names | None = None,
    stages: Names | None = None,
    systems: Systems | None = None,
) -> SideBySide:
    """The same question, answered by each of these models, or stages, or with each system prompt.

    `systems` are files, or prompts by name; `stages` may name the one stage that models or prompts
    are tried in, which is else the first one of the settings. One that fails is told in the result;
    raises its cause where all do, and UsageError for less than two to compare.
    """
    session = current()
    result = _result(session, question, models, stages, systems)
    await _ask_all(Contest(session, result.columns), result, Unseen())
    return result


async def verb(session: Session, read: Line) -> None:
    """`%%mirador compare`: shown while it is written, and bound to a name from the start."""
    given = [read.options.get(option) for option in ("--models", "--stages", "--system")]
    result = _result(session, read.text, *given)
    in_ipython = _bind(result, BOUND, read.name)
    contest = Contest(session, result.columns)
    await _ask_all(contest, result, _view(session, result, contest))
    if in_ipython and not session.in_notebook:
        best = next((each.name for each in result.columns if each.stage.text), result.names[0])
        print(f"\nto keep the best: {BOUND}.pick({best!r})")


def _result(
    session: Session,
    question: str,
    models: Names | None,
    stages: Names | None,
    systems: Systems | None,
) -> SideBySide:
    if not question.strip():
        raise UsageError("there is no question to compare", "write it below %%mirador compare")
    kind, found = variants(session, models, stages, systems)
    return SideBySide(question, kind, found, functools.partial(_kept, session))


async def _ask_all(contest: Contest, result: SideBySide, view: View) -> None:
    view.show()
    try:
        await contest.run(view)
    finally:
        view.close()
    if failure := result.failure():
        raise failure


def _view(session: Session, result: SideBySide, contest: Contest) -> View:
    if not session.in_notebook:
        return _Lines(result)
    from mirador_magic.workbench.compare.shown import AtTheEnd, can_change

    if not can_change() or not session.settings()["streaming"]:
        return AtTheEnd(result)
    from mirador_magic.kernel.loop import ipykernel_version
    from mirador_magic.workbench.compare.board import Board

    return Board(result, contest.stop if ipykernel_version() >= (7,) else None)


class _Lines(Unseen):
    """Prints each column when it has ended, one below the other."""

    def __init__(self, result: SideBySide) -> None:
        self._result = result

    def show(self) -> None:
        print(page.header(self._result), flush=True)

    def ended(self, column: Column) -> None:
        print(f"\n{page.block(self._result, column)}", flush=True)


def _bind(result: SideBySide, *names: str | None) -> bool:
    """Give it these names where IPython runs; whether it does."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    if shell:
        shell.user_ns.update({name: result for name in names if name})
    return bool(shell)


def _kept(session: Session, result: Columns) -> str:
    """Write the pick down, where figures are kept; why it could not be, or ''."""
    settings = session.settings()
    if not settings["metrics"] or result.chosen is None:
        return ""
    from mirador_magic.store import Store

    question = result.question if settings["keep_texts"] else ""
    try:
        with contextlib.closing(Store()) as store:
            store.add_choice(question, result.kind, result.names, result.chosen)
    except UsageError as error:
        return f"not kept: {error}"
    return ""
