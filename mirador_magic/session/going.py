"""The runs that go on in a notebook, and who is told of each that starts."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mirador_magic.events import Event, RunFinished
from mirador_magic.session.handle import Handle

log = logging.getLogger(__name__)


class Going:
    """The runs that are not over. `started` are told of each new one."""

    def __init__(self) -> None:
        self._runs: dict[Handle, None] = {}  # changed by runs on other threads' loops too
        self.started: list[Callable[[Handle], None]] = []

    @property
    def runs(self) -> list[Handle]:
        """Those that go on; one that was cancelled before its first step tells no end."""
        return [handle for handle in tuple(self._runs) if not handle.done]

    def follow(self, handle: Handle, ended: Callable[[], None]) -> None:
        """It goes on from now until its end, of which `ended` is told."""

        def hear(event: Event) -> None:
            if isinstance(event, RunFinished):
                self._runs.pop(handle, None)
                ended()

        handle.watch(hear)
        for other in {*self._runs} - {*self.runs}:
            self._runs.pop(other, None)
        self._runs[handle] = None
        for tell in tuple(self.started):
            try:
                tell(handle)
            except Exception:  # as with the watchers of a run: no board costs an answer
                self.started.remove(tell)
                log.exception("what follows the runs failed and is dropped: %r", tell)
