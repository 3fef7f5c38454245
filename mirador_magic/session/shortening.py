"""A route that ends earlier: where its last stage runs on the model of one before, and adds nothing there.

Whether it adds something was measured, on labelled answers to the same questions: those that SmolLM2's
calibration was made of, or the user's own (`%mirador calibrate`). Of a model of which nothing was
measured nothing is left out. The stage that explains, deep_analysis, stays where a question is complex.
"""

from __future__ import annotations

from collections.abc import Sequence

from mirador_magic.answer.run_state import RunState
from mirador_magic.confidence import calibration_of
from mirador_magic.engines import provision
from mirador_magic.engines.base import Engine, ModelInfo, is_same
from mirador_magic.errors import MiradorError
from mirador_magic.pipeline.run import Shorten
from mirador_magic.stages import ModelStage, plain

NOTHING = 0.05  # by how much more often it is right, at the very most


def shortener(state: RunState) -> Shorten:
    """For the run whose state this is."""

    async def shorter(
        engine: Engine, stages: Sequence[ModelStage]
    ) -> tuple[str, Sequence[ModelStage]] | None:
        try:
            installed = await engine.models()
        except MiradorError:
            return None  # the next stage says what is wrong
        *earlier, last = (_model(stage, installed) for stage in stages)
        if not any(is_same(engine, last, each) for each in earlier):
            return None
        known = calibration_of(last, stages[-1])
        if known is None or known.gain is None or known.gain > NOTHING:
            return None
        why = f"{state.route}; without {stages[-1].name}, which on one model is right no more often"
        return why, stages[:-1]

    return shorter


def _model(stage: ModelStage, installed: Sequence[ModelInfo]) -> str:
    """The one that it runs on."""
    if plain(stage.model) in {plain(info.name) for info in installed}:
        return stage.model
    instead = provision.substitute(stage, installed)
    return instead.model if instead else stage.model
