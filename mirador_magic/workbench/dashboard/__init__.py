"""The dashboard: what runs now, and what the last hundred runs of all kernels were like.

    Board       everything that is shown at one time, a plain value
    Feed        keeps it up to date: the runs under way by their events, the others from the store
    widget      the board in a notebook, with a text in its place where no kernel is
    terminal    the board on a whole terminal, with keys; down a pipe it is printed once

It looks four times a second while something runs, and once a second while nothing does; what has not
changed is not painted again. The engine is asked what is in memory between runs alone. A board that
is closed has no task and no timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirador_magic.commands.line import Line
from mirador_magic.session.session import Session, current

if TYPE_CHECKING:
    from mirador_magic.workbench.dashboard.widget import Dashboard

__all__ = ["dashboard", "verb"]


def dashboard() -> Dashboard:
    """The dashboard of this notebook: the open one, which may be shown in many places.

    Raises UsageError where no loop runs.
    """
    from mirador_magic.workbench.dashboard import widget

    return widget.of(current())


async def verb(session: Session, read: Line) -> object:
    """`%mirador dashboard`: the widget in a notebook; in a terminal the view, until it is left."""
    if session.in_notebook:
        from mirador_magic.workbench.dashboard import widget

        return widget.of(session)
    from mirador_magic.workbench.dashboard import terminal

    await terminal.show(session)
    return None
