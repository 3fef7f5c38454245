"""What `%mirador VERB` does: one call of the public API each, and a few lines that show what came of it."""

from __future__ import annotations

import time

from mirador_magic.answer import words
from mirador_magic.commands import line as lines
from mirador_magic.commands.line import VERBS, Line
from mirador_magic.engines.provision import substitute
from mirador_magic.errors import MiradorError, UsageError
from mirador_magic.residency.warmup import Warmth
from mirador_magic.routing import router
from mirador_magic.session.session import Session


async def stage(session: Session, read: Line) -> None:
    session.add_stage(lines.stage_of(read))


async def route(session: Session, read: Line) -> None:
    if not read.text:
        raise UsageError("%mirador route: of which question?", "%mirador route Why is it slow?")
    found = router.route(read.text)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.probabilities.items())
    print(f"{found}\nstages: {', '.join(found.stages)}\nprobabilities: {shares}")


async def settings(session: Session, read: Line) -> None:
    table = session.shown_settings()
    names = max(len(row.name) for row in table)
    values = max(len(_short(row.value)) for row in table)
    for row in table:
        print(f"{row.name:{names}}  {_short(row.value):{values}}  {row.source}".rstrip())


async def warm(session: Session, read: Line) -> None:
    def tell(warmth: Warmth) -> None:
        if warmth.state != "cold":
            print(words.warmth_line(warmth, time.perf_counter()))

    if "--status" not in read.options:
        await session.readiness.warm(read.text.split(), tell)
        return
    warmup = await session.readiness.look()
    for warmth in warmup.state:
        print(words.warmth_line(warmth, warmup.clock()))
    if first := warmup.leaves_first():
        print(words.leaving(first))


async def history(session: Session, read: Line) -> None:
    if not session.asked:
        print("nothing was asked yet → %mirador your question")
    for number, answer in enumerate(session.asked, 1):
        mark = "↳ " if answer.turns else ""
        question = words.one_line(answer.question)
        stages = " → ".join(each.name for each in answer.stages)
        told = f"{stages}, {answer.outcome} after {words.seconds(answer.total)}"
        print(f"{number}  {mark}{question[:70]}{'…' if len(question) > 70 else ''}  ({told})")


async def reset(session: Session, read: Line) -> None:
    session.reset()


async def status(session: Session, read: Line) -> None:
    print(await _status(session))


async def _status(session: Session) -> str:
    """The engine, its models and the stages, as text."""
    stages = session.stages.values()
    try:
        engine = await session.engine()
        models = await engine.models()
        resident = {model.name for model in await engine.resident()}
    except MiradorError as error:
        rows = [f"  {each.name}  {each.model}" for each in stages]
        return "\n".join([str(error), "stages:", *rows])
    names = {model.name for model in models}
    rows = []
    for each in stages:
        instead = substitute(each, models)
        other = f"{instead.model} answers" if instead else ""
        known = {each.model, f"{each.model}:latest"}  # as Ollama reads a name without a tag
        state = "in memory" if known & resident else "installed"
        if not known & names and not each.model.endswith(".gguf"):
            state = ", ".join(filter(None, ("not installed", other)))
        rows.append(f"  {each.name}  {each.model}  {state}")
    there = ", ".join(sorted(names)) or "none"
    return "\n".join([f"engine: {engine.label}", f"models: {there}", "stages:", *rows])


def _short(text: str) -> str:
    text = words.one_line(text)
    return text if len(text) <= 48 else f"{text[:47]}…"


async def do(session: Session, read: Line) -> object:
    """What the line says, in a notebook; what is to be shown besides what was printed, or None."""
    return await VERBS[read.verb].load("notebook")(session, read)
