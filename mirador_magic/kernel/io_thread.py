"""How a display leaves the kernel: sent by its own thread, and waited for only where it pays."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

from IPython.core.getipython import get_ipython

log = logging.getLogger(__name__)

# Seconds. The thread that sends may wait so long for the interpreter while this one goes on.
_SWITCH = 0.005


def send(display: Callable[[], object]) -> None:
    """Call `display` on the thread by which ipykernel sends; here where there is none.

    A display flushes both streams before. From any other thread each flush is waited for until that
    thread has done it, 1 ms on a free machine and several beside a model that keeps every core busy.
    What is displayed after this call comes after it; what is printed may come before.
    """
    if thread := _sender():
        context = contextvars.copy_context()  # which tells the cell whose display it is
        thread.schedule(lambda: context.run(_called, display))
    else:
        display()


def flush() -> None:
    """Wait until what was shown is sent, no longer than it may take the interpreter to switch."""
    if thread := _sender():
        sent = threading.Event()
        # What was shown is sent behind what is scheduled now, and so the second step behind that.
        thread.schedule(lambda: thread.schedule(sent.set))
        sent.wait(_SWITCH)


def _sender() -> Any:
    """ipykernel's thread that sends; None elsewhere."""
    return getattr(getattr(get_ipython(), "kernel", None), "iopub_thread", None)


def _called(display: Callable[[], object]) -> None:
    try:
        display()
    except Exception:  # would take what is sent next with it
        log.exception("what was to be shown could not be")
