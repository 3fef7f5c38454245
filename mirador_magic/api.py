"""What the magics do, for Python: each is one call, on the session that the notebook's magics share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.answer.answer import Answer
from mirador_magic.engines.base import Engine
from mirador_magic.engines.ollama.models import Installing
from mirador_magic.engines.provision import Need
from mirador_magic.residency.warmup import Warmth
from mirador_magic.routing.router import Complexity
from mirador_magic.session.coming import Coming
from mirador_magic.session.session import Request, current
from mirador_magic.settings import settings as settings_
from mirador_magic.stages import ModelStage

if TYPE_CHECKING:
    from mirador_magic.workbench.doctor import Finding


def ask(
    question: str,
    *,
    stages: Sequence[str] | None = None,
    depth: Complexity | None = None,
    follow: bool = False,
    **settings: object,
) -> Coming:
    """To be awaited, `await ask("why?")`: the answer to a question, once all of its stages are through.

    `stages` names them; without it `depth` ("simple", "medium", "complex") does, or the question's own
    route. `follow` continues the conversation of the last answer. `settings` hold for this question:
    `ask("why?", engine="embedded", temperature=0.1)`. Raises the first cause where every stage failed;
    a cancel, such as the kernel's interrupt, ends the run.
    """
    return Coming(_answer(question, stages, depth, follow, settings))


async def _answer(
    question: str,
    stages: Sequence[str] | None,
    depth: Complexity | None,
    follow: bool,
    settings: Mapping[str, object],
) -> Answer:
    session = current()
    request = Request(
        question,
        None if stages is None else tuple(stages),
        depth,
        settings_.layer(settings, "ask()"),
        session.conversation() if follow else (),
    )
    return await session.start(request).result()


def configure(**values: object) -> None:
    """Set these for all that is asked from now on: `configure(engine="embedded", temperature=0.2)`.

    A value for one stage goes by `configure(**{"deep_analysis.temperature": 0.3})`; None takes a
    value back. Raises UsageError for a name or a value that cannot be.
    """
    current().configure(values, "configure()")


def in_force() -> list[settings_.Setting]:
    """Every setting as it is in force, with its value and where that came from."""
    return current().shown_settings()


def asked() -> list[Answer]:
    """What was asked in this session, the newest last, a hundred at most."""
    return list(current().asked)


def reset() -> None:
    """Forget what was asked: the next question that would continue it has nothing to continue."""
    current().reset()


def use_engine(engine: Engine) -> None:
    """Ask this engine from now on: Ollama at another host, a script of yours.

    `configure(engine="auto")` or a cell's `--engine` asks another one; this one stays in the place of
    those of its name.
    """
    current().choose(engine)


def add_stage(stage: ModelStage) -> None:
    """Make a stage of your own known to `%%mirador --stages`; a known name is replaced."""
    current().add_stage(stage)


async def provision_plan(context: str | Path | None = None) -> list[Need]:
    """What each default stage's model wants done in Ollama; `context` is a text about the reader."""
    return await current().plan(None if context is None else Path(context))


async def provision_models(
    needs: Sequence[Need] | None = None, tell: Callable[[Installing], None] = lambda _: None
) -> None:
    """Do what the plan says, or `needs` of it; `tell` hears how far it is. May be stopped and repeated."""
    session = current()
    await session.provision(await session.plan() if needs is None else needs, tell)


async def diagnose() -> list[Finding]:
    """What is wrong here, and what mends it: of the settings, the engine, the models, the kernel."""
    from mirador_magic.workbench.doctor import examine

    return [finding async for finding in examine(current())]


async def prewarm(models: Sequence[str] | None = None) -> list[Warmth]:
    """Load the stages' models, or these, and read the stages' prompts into their caches.

    Returns how ready each stage's model is. Raises EngineUnavailable where no engine answers.
    """
    return await current().readiness.warm(models or ())
