"""What shows a run here: widgets in a notebook, text in a terminal, one display where none can change."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from IPython import get_ipython
from IPython.core.display_functions import DisplayHandle
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from mirador_magic.answer.answer import Answer
from mirador_magic.commands.line import Line
from mirador_magic.events import Event, RunFinished
from mirador_magic.kernel.front_end import has_a_person, is_text_alone, shows_once
from mirador_magic.kernel.loop import ipykernel_version, kernel_of
from mirador_magic.session.handle import Handle
from mirador_magic.session.request import Request, deeper
from mirador_magic.session.session import Session

if TYPE_CHECKING:
    from mirador_magic.views.panel import Further

Bind = Callable[[Event, Handle, str | None], None]

_BUFFERED = {"--traditional", "--quiet"}


class View(Protocol):
    """What shows a run."""

    def show(self) -> None: ...
    def __call__(self, event: Event) -> None: ...


class Showing:
    """Makes the views of one shell's runs. `bind` is told the events of those that a click starts."""

    def __init__(self, shell: InteractiveShell, session: Session, bind: Bind) -> None:
        self.shell = shell
        self.session = session
        self._bind = bind

    def view(self, handle: Handle, read: Line, request: Request, *, clickable: bool) -> View:
        """What shows this run here."""

        def answer() -> Answer:
            return handle.answer

        buffered = bool(_BUFFERED & set(read.options)) or not self.session.in_force["streaming"]
        background = "--bg" in read.options
        if not draws(self.shell):
            aside = background or threading.current_thread() is not threading.main_thread()
            return _terminal(answer, buffered=buffered or aside)  # other text may come between
        if _is_shown_once(self.shell) and not background:
            from mirador_magic.views.final import Final

            return Final(answer, deeper)
        from mirador_magic.views.panel import Panel  # imports ipywidgets: not before a run needs it

        further = self._further(handle, request, None if background else read.name)
        stop = handle.stop if self._hears(read, clickable=clickable) else None
        return Panel(
            answer, stop, further, buffered=buffered, outlives=background, fetch=handle.fetch
        )

    def can_ask_back(self, read: Line, *, clickable: bool) -> bool:
        """Whether somebody is there to press a button of the run's panel while it goes on."""
        return has_a_reader(self.shell) and self._hears(read, clickable=clickable)

    def _hears(self, read: Line, *, clickable: bool) -> bool:
        """Whether a click arrives while the run goes on."""
        return clickable and ("--bg" in read.options or ipykernel_version() >= (7,))

    def _further(self, handle: Handle, request: Request, name: str | None) -> Further:
        """What a click beside this run's finished answer does."""
        from mirador_magic.views.panel import Further, Panel

        def run(stage: str, within: DisplayHandle) -> None:
            asked = dataclasses.replace(request, stages=(stage,), depth=None)
            again = self.session.start(asked, past=handle.answer, awaits=True)
            further = self._further(again, request, name)
            panel = Panel(
                lambda: again.answer,
                again.stop,
                further,
                buffered=False,
                outlives=True,
                within=within,
                fetch=again.fetch,
            )
            again.watch(panel)
            again.watch(lambda event: self._bind(event, again, name))
            panel.show()

        return Further(run, deeper)


def has_a_reader(shell: InteractiveShell) -> bool:
    """Whether a person sees what the running cell shows, as it comes.

    A front end that may be asked for input has one before it; nbclient and its like have none.
    """
    return not _is_shown_once(shell) and has_a_person(shell)


def draws(shell: InteractiveShell) -> bool:
    """Whether displays are drawn here: in a notebook, and not in a terminal, with a kernel or without."""
    return kernel_of(shell) is not None and not is_text_alone(shell)


def _is_shown_once(shell: InteractiveShell) -> bool:
    captured = _is_nbval() or isinstance(shell.display_pub, CapturingDisplayPublisher)
    return captured or shows_once(shell)


def presses(read: Line) -> bool:
    """Whether a button that this line's cell shows is heard while the cell runs."""
    shell = get_ipython()
    heard = read.awaited and ipykernel_version() >= (7,)
    return heard and shell is not None and has_a_reader(shell)


def put(answer: Answer) -> None:
    """Show an answer that stands, in a notebook."""
    from mirador_magic.views.static import bundle

    display(bundle(answer), raw=True)


def write(answer: Answer) -> None:
    """The same in a terminal, as at the end of its run."""
    view = _terminal(lambda: answer, buffered=True)
    view.show()
    view(RunFinished(answer.total, answer.outcome or "answered"))


def _terminal(answer: Callable[[], Answer], *, buffered: bool) -> View:
    from mirador_magic.views.terminal import TerminalView

    shell, out = get_ipython(), sys.stdout
    in_kernel = shell is not None and kernel_of(shell) is not None
    coloured = out.isatty() and not os.environ.get("NO_COLOR")
    return TerminalView(answer, out, coloured=coloured, buffered=buffered, plain=in_kernel)


def _is_nbval() -> bool:
    return ".ipynb::" in os.environ.get("PYTEST_CURRENT_TEST", "")
