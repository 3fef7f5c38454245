"""The board in a notebook: plain ipywidgets, of which only what has changed is sent.

A page's messages may come on a thread of their own, so that each is handed to the kernel's loop. The
figures stand as text in the board's place where there is no kernel; when the board is closed or the
kernel ends, they are put there as they are then.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable

import ipywidgets
from IPython.core.display_functions import DisplayHandle

from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.views.board_widgets import BoardWidgets
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.dashboard import markup
from mirador_magic.workbench.dashboard.board import TITLE, Board
from mirador_magic.workbench.dashboard.feed import QUESTION, Feed

_STYLE = """<style>
.mirador-dashboard {overflow: hidden; max-width: 960px}
.mirador-dashboard .widget-html, .mirador-dashboard .widget-html-content {margin: 0; height: auto;
  line-height: 1.5; overflow: visible}
.mirador-dashboard .mirador-row {align-items: center; gap: 12px; margin: 0 0 6px; overflow: visible}
.mirador-dashboard .jupyter-button {width: auto; height: 24px; line-height: 22px; margin: 0;
  padding: 0 10px; font-size: 13px; color: inherit; background: none; border: 1px solid #80808080}
.mirador-dashboard .jupyter-button:hover {border-color: currentcolor; box-shadow: none}
</style>""".replace("\n", " ")


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets tells no types
    """The widget of `dashboard()`; belongs to the running loop. `close` ends all that it has begun.

    Raises UsageError where no loop runs.
    """

    _is_closed = True  # until it is made

    def __init__(self, session: Session) -> None:
        self.loop = _running_loop()
        self._session = session
        self._displays: list[DisplayHandle] = []
        self._board = Board()
        self._kit = kit = BoardWidgets()
        self.now, self.past, self.foot = (kit.make(ipywidgets.HTML) for _ in range(3))
        self.ask = kit.make(ipywidgets.Button, description="Test question", tooltip=QUESTION)
        self.leave = kit.make(
            ipywidgets.Button, description="Close", tooltip="Leave the figures as text"
        )
        title = kit.make(ipywidgets.HTML, value=f'{_STYLE}<span style="{QUIET}">{TITLE}</span>')
        top = kit.make(ipywidgets.HBox, "mirador-row", children=(title, self.ask, self.leave))
        column = (top, self.now, self.past, self.foot)
        super().__init__(column, layout=kit.layout, _dom_classes=("mirador-dashboard",))
        self._is_closed = False
        self._feed = Feed(session, self._paint)
        self.ask.on_click(lambda _: self._post(self._feed.ask))
        self.leave.on_click(lambda _: self._post(self.close))
        self._paint(self._feed.settled())
        self._feed.open()
        atexit.register(self.close)  # so that what is saved then needs no kernel

    def _post(self, deed: Callable[[], object]) -> None:
        """Have it done on the loop, unless the board is closed by then."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(lambda: None if self._is_closed else deed())

    def _paint(self, board: Board) -> None:
        """Show the board. What stands there already is not sent again."""
        if self._is_closed:
            return
        if board.figures is not self._board.figures or not self.past.value:
            self.past.value = markup.past_html(board.figures, time.time())
        self._board = board
        self.now.value = markup.going_html(board)
        self.foot.value = markup.foot_html(board)

    def _twin(self) -> dict[str, str]:
        return markup.twin(self._board, time.time())

    def _ipython_display_(self, **_: object) -> None:
        """Show it; what is saved with it is read where no kernel is."""
        if not self._is_closed:
            self._paint(self._feed.settled())
        display = DisplayHandle()
        view = {} if self._is_closed else self._repr_mimebundle_()
        display.display({**view, **self._twin()}, raw=True)
        self._displays.append(display)

    def close(self) -> None:
        """Put its text in its place, and end what it has begun, on its loop."""
        if self._is_closed:
            return
        self._board = self._feed.settled()
        self._is_closed = True
        if _boards.get(self._session) is self:
            del _boards[self._session]
        atexit.unregister(self.close)
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._feed.close)
        for display in self._displays:
            display.update(self._twin(), raw=True)
        self._kit.close()
        super().close()


_boards: dict[Session, Dashboard] = {}  # the open ones


def of(session: Session) -> Dashboard:
    """The session's dashboard: the open one, or a new one. Raises UsageError where no loop runs."""
    board = _boards.get(session)
    if board is None or board.loop is not _running_loop():
        board = _boards[session] = Dashboard(session)
    return board


def leave(session: Session) -> None:
    """Close the session's open dashboard, where it has one."""
    if board := _boards.get(session):
        board.close()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("dashboard() needs a notebook", "%mirador dashboard") from None
