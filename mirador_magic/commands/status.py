"""`%mirador status`, or `%mirador` alone: the engine, its models and the stages."""

from __future__ import annotations

from collections.abc import Sequence

from mirador_magic.commands.line import Line
from mirador_magic.engines.base import ModelInfo, held
from mirador_magic.engines.provision import substitute
from mirador_magic.errors import MiradorError
from mirador_magic.session.session import Session
from mirador_magic.stages import ModelStage


async def verb(session: Session, read: Line) -> None:
    print(await _status(session))


def lacking(stage: ModelStage, models: Sequence[ModelInfo]) -> str:
    """That the stage's model is not among these, and which one answers; '' where it is."""
    known = {stage.model, f"{stage.model}:latest"}  # as Ollama reads a name without a tag
    if known & {model.name for model in models} or stage.model.endswith(".gguf"):
        return ""
    instead = substitute(stage, models)
    return "not installed" + (f", {instead.model} answers" if instead else "")


async def _status(session: Session) -> str:
    """The engine, its models and the stages, as text."""
    stages = session.stages.values()
    try:
        engine = await session.engine()
        models = await engine.models()
        resident = await engine.resident()
    except MiradorError as error:
        rows = [f"  {each.name}  {each.model}" for each in stages]
        return "\n".join([str(error), "stages:", *rows])
    rows = []
    for each in stages:
        state = "in memory" if held(engine, resident, each.model) else "installed"
        state = lacking(each, models) or state
        rows.append(f"  {each.name}  {each.model}  {state}")
    told = [each.name + ("" if each.chats else " (does not chat)") for each in models]
    there = ", ".join(sorted(told)) or "none"
    return "\n".join([f"engine: {engine.label}", f"models: {there}", "stages:", *rows])
