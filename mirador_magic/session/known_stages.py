"""Which stages there are: the default ones, those that were added, and those of other packages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from mirador_magic import plugins
from mirador_magic.engines import provision
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.settings.settings import Settings
from mirador_magic.stages import ModelStage

log = logging.getLogger(__name__)


class KnownStages:
    """The stages of one notebook, by name, as the settings have them. One's own come before others'."""

    def __init__(self, own: Iterable[ModelStage]) -> None:
        self._own = {stage.name: stage for stage in own}
        self._others: Mapping[str, ModelStage] | None = None  # None until they were looked for
        self._made: Mapping[str, ModelStage] = {}
        self._made_of: object = None

    def add(self, stage: ModelStage) -> None:
        """Make it known by its name; a known name is replaced."""
        self._own[stage.name] = stage

    def all(self, settings: Settings) -> Mapping[str, ModelStage]:
        """All there are. Raises UsageError where something is set for one that there is not."""
        if self._others is None:
            self._look()
        return self._as_set(settings)

    def of(self, settings: Settings, asked: Collection[str] = ()) -> Mapping[str, ModelStage]:
        """Those that are known by now: others' are looked for only where one is asked for, or set,
        that is not among them. Raises UsageError as `all` does, and where one asked for is broken."""
        with suppress(UsageError):
            if (known := self._as_set(settings)).keys() >= set(asked):
                return known
        self._look(asked)
        return self._as_set(settings)

    def _look(self, asked: Collection[str] = ()) -> None:
        """See what other packages bring. What is broken there costs a line, and its name alone."""
        found = {}
        for name in plugins.names("stage"):
            if name in self._own:
                continue
            try:
                found[name] = _brought(name)
            except MiradorError as error:
                if name in asked:
                    raise
                log.warning("%s", error)
        self._others = found

    def _as_set(self, settings: Settings) -> Mapping[str, ModelStage]:
        """The same mapping as before where nothing they are made of has changed."""
        known = {**self._own}
        for name, stage in (self._others or {}).items():
            known.setdefault(name, stage)
        made_of = (settings.layers, tuple(known.values()))
        if made_of != self._made_of:
            stages = settings.stages(known.values())
            self._made = {name: provision.on(stage, stage.model) for name, stage in stages.items()}
            self._made_of = made_of
        return self._made


def _brought(name: str) -> ModelStage:
    stage = plugins.load("stage", name)
    if not isinstance(stage, ModelStage) or stage.name != name:
        raise plugins.broken("stage", name, f"it is no ModelStage named {name}")
    return stage
