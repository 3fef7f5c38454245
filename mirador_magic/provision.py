"""Which model a stage runs on, where it is not its own.

Only the stages that come with Mirador are helped out with another model where theirs is missing; a
model that the user names is the user's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from mirador_magic import phrasebook
from mirador_magic.engines.base import ModelInfo
from mirador_magic.engines.ollama import OllamaEngine
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions, ModelStage


def on(stage: ModelStage, model: str) -> ModelStage:
    """The stage on this model. A phrase book is read, not sampled: its temperature is 0."""
    options = stage.options
    if phrasebook.is_phrasebook(model):
        options = dataclasses.replace(options, temperature=0.0)
    return dataclasses.replace(stage, model=model, options=options)


def substitute(stage: ModelStage, installed: Sequence[ModelInfo]) -> ModelStage | None:
    """The stage on an installed model that stands in for its own, where one can.

    The smallest is for the first stage, the largest for the last; the phrase book is for all where
    there is nothing else.
    """
    places = {(own.name, own.model): place for place, own in enumerate(DEFAULT_STAGES)}
    place = places.get((stage.name, stage.model))
    fit = sorted((model for model in installed if _can_chat_here(model.name)), key=_size)
    fit = [model for model in fit if not phrasebook.is_phrasebook(model.name)] or fit
    if place is None or not fit:
        return None
    return on(stage, fit[math.ceil((len(fit) - 1) * place / (len(places) - 1))].name)


async def create_phrasebook(engine: OllamaEngine) -> None:
    """Put the phrase book into Ollama, so that a plain chat with it asks as quick_response does."""
    options = ModelOptions(temperature=0.0)
    system = DEFAULT_STAGES[0].system_prompt
    await engine.create(phrasebook.NAME, phrasebook.FILE, system, options)


def _can_chat_here(name: str) -> bool:
    # A "-cloud" model would send the question off the machine, which nobody asked for.
    return "embed" not in name and not name.endswith(("-cloud", ":cloud"))


def _size(model: ModelInfo) -> int:
    return model.size
