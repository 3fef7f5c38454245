"""`%mirador warm`: load models and their prompts, or tell which are in memory."""

from __future__ import annotations

import time

from mirador_magic.answer import words
from mirador_magic.commands.line import Line
from mirador_magic.commands.status import lacking
from mirador_magic.residency.warmup import Warmth
from mirador_magic.session.session import Session


async def verb(session: Session, read: Line) -> None:
    def tell(warmth: Warmth) -> None:
        if warmth.state != "cold":
            print(words.warmth_line(warmth, time.perf_counter()))

    if "--status" not in read.options:
        await session.readiness.warm(read.text.split(), tell)
        return
    warmup = await session.readiness.look()
    models = await (await session.engine()).models()
    for stage, warmth in zip(warmup.stages, warmup.state, strict=True):
        lacks = lacking(stage, models) if warmth.state == "cold" else ""
        told = f"{stage.name}  {words.one_line(stage.model)}  {words.one_line(lacks)}"
        print(told if lacks else words.warmth_line(warmth, warmup.clock()))
    if first := warmup.leaves_first():
        print(words.leaving(first))
