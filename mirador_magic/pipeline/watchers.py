"""Who is told of each event of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from mirador_magic.events import Event

log = logging.getLogger(__name__)

Watcher = Callable[[Event], None]


class Watchers:
    """Tells each watcher every event. One that raises is dropped and logged; the run goes on."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        self._watchers = list(watchers)

    def add(self, watcher: Watcher) -> None:
        """Tell this one too, from the next event on."""
        self._watchers.append(watcher)

    def __call__(self, event: Event) -> None:
        for watcher in tuple(self._watchers):
            try:
                watcher(event)
            except Exception:
                self._watchers.remove(watcher)
                log.exception("a watcher of the run failed and is dropped: %r", watcher)
