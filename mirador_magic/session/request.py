"""What is asked, and which way it goes: the stages to begin with, and those that may follow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mirador_magic.answer.answer import Answer
from mirador_magic.answer.run_state import RunState
from mirador_magic.errors import UsageError
from mirador_magic.pipeline import prompts
from mirador_magic.pipeline.metrics import Purpose
from mirador_magic.pipeline.run import Decide, Deepen
from mirador_magic.routing import router
from mirador_magic.settings.settings import Layer, Settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree, choose

Known = Mapping[str, ModelStage]


@dataclass(frozen=True)
class Request:
    """What is asked, and how.

    `stages` names them in order; None leaves them to the settings, or to the question's route, which
    `depth` sets. `settings` hold for this request alone; `turns` are the conversation that it continues.
    What is asked for another purpose than the answer is no part of what was asked, nor of its figures.
    """

    question: str
    stages: tuple[str, ...] | None = None
    depth: router.Complexity | None = None
    settings: Layer = field(default_factory=dict)
    turns: tuple[tuple[str, str], ...] = ()
    purpose: Purpose = "ask"

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise UsageError("there is no question", "write it below %%mirador, or after %mirador")


def begin(
    request: Request, settings: Settings, known: Known
) -> tuple[Decide | None, tuple[ModelStage, ...]]:
    """How the question's route is found out, if it has to be, and the stages to begin with."""
    if request.stages == ():
        choose(list(known.values()), ())  # says that none is left
    if names := request.stages or _named(request, settings):
        return None, _stages(names, known)

    def decide() -> tuple[str, Sequence[ModelStage]]:
        route = router.route(request.question)
        return str(route), _stages(route.stages, known)

    return decide, _stages(router.FIRST, known)


def deepen(state: RunState, known: Known) -> Deepen:
    """The next stage too, where the quick one alone was not enough."""

    def more() -> tuple[str, Sequence[ModelStage]] | None:
        why, stage = state.doubt(), deeper(state.answer())
        if not why or stage is None or stage not in known:
            return None
        return f"{state.route}; deeper: {why}", _stages((*router.FIRST, stage), known)

    return more


def deeper(answer: Answer) -> str | None:
    """The first of the default stages that this answer has not had; None where it had all, and where
    nothing was answered that could be gone on from."""
    if not answer.text:
        return None
    asked = {stage.name for stage in answer.stages}
    return next((stage.name for stage in DEFAULT_STAGES if stage.name not in asked), None)


def prompt(request: Request, settings: Settings, known: Known) -> str:
    """What the first stage of this request is told, its drafts aside."""
    names = request.stages or _named(request, settings) or router.FIRST
    stage = _stages(names, known)[0]
    turns = prompts.fitting(stage, request.question, (), request.turns)
    asked = prompts.request(stage, request.question, (), turns)
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in asked.messages)


def may_ask(stages: Sequence[ModelStage], known: Known) -> tuple[str, ...]:
    """The models of these stages, and of the default ones among the known, which may follow."""
    later = (known[each.name] for each in DEFAULT_STAGES if each.name in known)
    return tuple(dict.fromkeys(stage.model for stage in (*stages, *later)))


def drafts(past: Answer, stage: str) -> list[tuple[str, str]]:
    """What the stages before this one had written, as its prompt has it."""
    before = itertools.takewhile(lambda each: each.name != stage, past.stages)
    return [(each.name, each.text.strip()) for each in before if each.status == "done"]


def _named(request: Request, settings: Settings) -> tuple[str, ...] | None:
    """The stages that the depth or the settings name; None where the question decides."""
    if request.depth:
        return router.STAGES[request.depth]
    return settings["default_stages"] or None


def _stages(names: Iterable[str], known: Known) -> tuple[ModelStage, ...]:
    return agree(choose(list(known.values()), names), known.values())
