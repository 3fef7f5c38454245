"""The lamps: how warm the model of each stage is, of what the engine has and what a warm-up knows."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mirador_magic.answer import words
from mirador_magic.confidence import CYAN, GRAY, RED
from mirador_magic.engines.base import ModelInfo
from mirador_magic.engines.provision import substitute
from mirador_magic.residency.warmup import Warmth, WarmUp
from mirador_magic.stages import ModelStage, plain

# The lamp's shape tells as much as its colour.
_LAMPS = {
    "cold": ("○", GRAY),
    "loading": ("◐", "inherit"),
    "warm": ("●", CYAN),
    "failed": ("●", RED),
    "evicted": ("○", RED),
}


@dataclass(frozen=True)
class Stock:
    """What an engine has: the models installed, and by plain name those in its memory."""

    installed: Sequence[ModelInfo] = ()
    resident: Mapping[str, ModelInfo] = field(default_factory=dict)

    def answering(self, stage: ModelStage) -> str:
        """The model that answers for this stage: its own, or the one that stands in for it."""
        instead = None if self.has(stage.model) else substitute(stage, self.installed)
        return instead.model if instead else stage.model

    def has(self, model: str) -> bool:
        return plain(model) in {plain(each.name) for each in self.installed}

    def warmth(self, stage: ModelStage, warmup: WarmUp | None) -> Warmth:
        """How warm the model is that answers for this stage."""
        model = self.answering(stage)
        if known := warmup and warmup.of(model):
            return known
        here = self.resident.get(plain(model))
        if here is None:
            return Warmth(stage.name, model)
        return Warmth(stage.name, model, "warm", here.size, until=here.until)

    def lamp(self, stage: ModelStage, warmth: Warmth, now: float) -> str:
        """How ready a stage's model is: a dot, words, and all that is known where one points."""
        told = words.readiness(warmth, now)
        if plain(warmth.model) != plain(stage.model):
            told += f" · {words.one_line(warmth.model)} answers"
        elif self.installed and warmth.state == "cold" and not self._is_there(stage.model):
            told = "not installed"
        dot, colour = _LAMPS[warmth.state]
        title = html.escape(words.warmth_line(warmth, now))
        shown = f'<span aria-hidden="true" style="color:{colour}">{dot}</span> {html.escape(told)}'
        return f'<span title="{title}">{shown}</span>'

    def _is_there(self, model: str) -> bool:
        return self.has(model) or model.endswith(".gguf")
