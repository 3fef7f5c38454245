"""A loop that waits hears an interrupt within a tenth of a second.

ipykernel's handler tells its loop of an interrupt without waking it: tornado's `add_callback` takes
`call_soon` where the loop runs, and in a signal handler it does. A loop that waits for a model that
says nothing heard of the interrupt when something else woke it, twenty seconds later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

_EVERY_S = 0.1


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Let the running loop look around now and then."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        timer = loop.call_later(_EVERY_S, look)

    timer = loop.call_later(_EVERY_S, look)
    try:
        yield
    finally:
        timer.cancel()
