"""Another installed model for a default stage whose own is missing.

Only the stages that come with Mirador are helped out; a model that the user names is the user's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mirador_magic.engines.base import ModelInfo
from mirador_magic.stages import DEFAULT_STAGES, ModelStage


def substitute(stage: ModelStage, installed: Sequence[ModelInfo]) -> str | None:
    """The installed model that stands in: the smallest for the first stage, the largest for the last."""
    places = {(own.name, own.model): place for place, own in enumerate(DEFAULT_STAGES)}
    place = places.get((stage.name, stage.model))
    fit = sorted((model for model in installed if _can_chat_here(model.name)), key=_size)
    if place is None or not fit:
        return None
    return fit[math.ceil((len(fit) - 1) * place / (len(places) - 1))].name


def _can_chat_here(name: str) -> bool:
    # A "-cloud" model would send the question off the machine, which nobody asked for.
    return "embed" not in name and not name.endswith(("-cloud", ":cloud"))


def _size(model: ModelInfo) -> int:
    return model.size
