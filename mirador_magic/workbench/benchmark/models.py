"""The models that a benchmark's runs are answered by, and which of them are in memory."""

from __future__ import annotations

from collections.abc import Sequence

from mirador_magic.engines.base import Engine, held
from mirador_magic.engines.provision import substitute
from mirador_magic.stages import ModelStage, plain


async def answering(engine: Engine, stages: Sequence[ModelStage]) -> list[str]:
    """The models that answer for these stages, those that stand in for others among them."""
    installed = await engine.models()
    names = {plain(each.name) for each in installed}
    found = []
    for stage in stages:
        instead = None if plain(stage.model) in names else substitute(stage, installed)
        found.append(instead.model if instead else stage.model)
    return found


async def resident(engine: Engine, models: set[str]) -> set[str]:
    """The names under which these models are in memory."""
    found = await engine.resident()
    return {here.name for each in models if (here := held(engine, found, each))}
