"""`%mirador stage`: make a stage of one's own."""

from __future__ import annotations

from mirador_magic.commands.line import Line, layer_of
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.settings.settings import Settings
from mirador_magic.stages import ModelStage


async def verb(session: Session, read: Line) -> None:
    session.add_stage(stage_of(read))


def stage_of(read: Line) -> ModelStage:
    """The stage that a `stage` line makes."""
    if not read.text:
        raise UsageError(
            "the stage has no name", "%mirador stage critic --model MODEL --system '…'"
        )
    name, *left = read.text.split(None, 1)
    if left:
        raise UsageError(f"cannot read {left[0]!r}", "put a value with spaces in quotes")
    if "--model" not in read.options:
        raise UsageError(f"stage {name} has no model", f"%mirador stage {name} --model NAME")
    own = ModelStage(name, read.options["--model"], 0.5, 30.0, "")
    return Settings(layer_of(read)).stage(own)
