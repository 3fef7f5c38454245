"""`%mirador status`, or `%mirador` alone: the engine, its models and the stages."""

from __future__ import annotations

from mirador_magic.commands.line import Line
from mirador_magic.engines.base import held
from mirador_magic.engines.provision import substitute
from mirador_magic.errors import MiradorError
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    print(await _status(session))


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
    names = {model.name for model in models}
    rows = []
    for each in stages:
        instead = substitute(each, models)
        other = f"{instead.model} answers" if instead else ""
        known = {each.model, f"{each.model}:latest"}  # as Ollama reads a name without a tag
        state = "in memory" if held(engine, resident, each.model) else "installed"
        if not known & names and not each.model.endswith(".gguf"):
            state = ", ".join(filter(None, ("not installed", other)))
        rows.append(f"  {each.name}  {each.model}  {state}")
    told = [each.name + ("" if each.chats else " (does not chat)") for each in models]
    there = ", ".join(sorted(told)) or "none"
    return "\n".join([f"engine: {engine.label}", f"models: {there}", "stages:", *rows])
