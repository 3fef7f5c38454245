"""Which model a stage runs on, where it is not its own, and how its own one comes into Ollama.

    needs = plan(stages, await engine.models())     # one line each for people: told(need)
    await fulfil(needs, engine, tell)               # may be stopped, and asked for again

Only the stages that come with Mirador are helped out with another model where theirs is missing; a
model that the user names is the user's. Two of the default models are in no registry: they are made
of another one by a Modelfile in `models/`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mirador_magic.engines.base import Message, ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.models import Installing, Modelfile, read_modelfile
from mirador_magic.errors import UsageError
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, plain

MODELS = Path(__file__).parent.parent / "models"
CONTEXT_BYTES = 8_000  # about half of the 4096 tokens that the personal model reads
WITH_CONTEXT = "%mirador provision --context about_me.md"

_PERSONAL = "matthew_context_provider_v5_complete"
_MODELFILES = {
    "speed_optimizer_phi": "speed_optimizer_phi.Modelfile",
    _PERSONAL: "context_provider.Modelfile",
}
_ABOUT_THE_READER = (
    "The reader wrote this about themself. Use it where it makes the answer fit them better; "
    "do not repeat it."
)


@dataclass(frozen=True)
class Need:
    """What a stage's model wants done.

    A model is pulled, or created of the model `base`.
    `pulls` is what is downloaded for it, unless that is there or comes with an earlier need; where
    all of it comes with an earlier one, `action` is none and `shared` that one's stage. `instead` is
    the model that answers meanwhile. `context` is the user's file that goes into the model.
    """

    stage: str
    model: str
    state: Literal["installed", "missing"]
    action: Literal["none", "pull", "create"] = "none"
    base: str | None = None
    pulls: str | None = None
    shared: str | None = None
    instead: str | None = None
    context: Path | None = None


def on(stage: ModelStage, model: str) -> ModelStage:
    """The stage on this model."""
    return dataclasses.replace(stage, model=model)


def substitute(stage: ModelStage, installed: Sequence[ModelInfo]) -> ModelStage | None:
    """The stage on an installed model that stands in for its own, where one can.

    The smallest is for the first stage, the largest for the last; what is spare is for all where
    there is nothing else.
    """
    places = {(own.name, own.model): place for place, own in enumerate(DEFAULT_STAGES)}
    place = places.get((stage.name, stage.model))
    fit = sorted((model for model in installed if _can_chat_here(model)), key=_size)
    fit = [model for model in fit if not model.spare] or fit
    if place is None or not fit:
        return None
    return on(stage, fit[math.ceil((len(fit) - 1) * place / (len(places) - 1))].name)


def plan(
    stages: Iterable[ModelStage], installed: Sequence[ModelInfo], context: Path | None = None
) -> list[Need]:
    """What is to be done for each stage's model, in the order of the stages.

    With `context`, the personal model is created anew with that file, even where it is installed.
    UsageError where that file is none to use, or no stage runs on the personal model.
    """
    stages = tuple(stages)
    if context:
        read_context(context)
        if _PERSONAL not in {plain(stage.model) for stage in stages}:
            raise UsageError(
                f"no stage runs on {_PERSONAL}, the model that takes a context",
                "leave out --context, or put the text into the stage's system prompt",
            )
    brought: dict[str, str] = {}  # a model's name, and the stage with which it comes
    return [_need(stage, installed, brought, context) for stage in stages]


def told(need: Need) -> str:
    """The need as one line for people: stage, model, what is, what would be done."""
    is_there = need.state == "installed"
    said = "installed" if is_there else "not installed"
    if need.instead:
        said += f", {need.instead} answers"
    if steps := _steps(need):
        said += f" → {steps}"
    return f"{need.stage}  {need.model}  {said}"


def note(needs: Iterable[Need]) -> str:
    """What is to be known of the plan's downloads beforehand; nothing where there are none."""
    pulls = " and ".join(need.pulls for need in needs if need.pulls)
    if not pulls:
        return ""
    return (
        f"Ollama tells the size of {pulls} when the download begins, "
        "and the licence afterwards: ollama show NAME --license"
    )


async def fulfil(
    needs: Iterable[Need], engine: OllamaEngine, tell: Callable[[Installing], None]
) -> None:
    """Do what is to be done, one after the other; `tell` hears how far it is.

    Cancelling it stops the download. What is complete stays, and of the rest what has come: a plan
    made anew goes on from there. Raises the EngineError of the first that fails.
    """
    there = {plain(model.name) for model in await engine.models()}
    for need in needs:
        name = plain(need.model)
        if need.action == "none" or (need.state == "missing" and name in there):
            continue
        source = need.base or need.model
        if plain(source) not in there:
            await _pull(source, engine, tell)
            there.add(plain(source))
        if need.action == "create":
            await _create(need, engine, tell)
        there.add(name)


def read_context(file: Path) -> str:
    """The user's text in this file; raises UsageError where it cannot be used."""
    mend = f"give a text file of up to {CONTEXT_BYTES:,} bytes: {WITH_CONTEXT}"
    try:
        with file.expanduser().open("rb") as opened:
            text = opened.read(CONTEXT_BYTES + 1)
        if len(text) > CONTEXT_BYTES:
            raise UsageError(
                f"{file} is longer than {CONTEXT_BYTES:,} bytes", f"shorten it: {mend}"
            )
        written = text.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text", mend) from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", mend) from None
    if not written:
        raise UsageError(f"{file} is empty", mend)
    return written


def modelfile(model: str) -> Modelfile | None:
    """How Mirador makes this model of another, None where it does not."""
    name = _MODELFILES.get(plain(model))
    return read_modelfile((MODELS / name).read_text(encoding="utf-8")) if name else None


def _need(
    stage: ModelStage,
    installed: Sequence[ModelInfo],
    brought: dict[str, str],
    context: Path | None,
) -> Need:
    """One stage's need; what comes with it is added to `brought`."""
    name, there = plain(stage.model), {plain(model.name) for model in installed}
    if stage.model.endswith(".gguf"):  # a file, for the embedded engine
        is_there = Path(stage.model).expanduser().is_file()
        return Need(stage.name, stage.model, "installed" if is_there else "missing")
    context = context if name == _PERSONAL else None
    need = Need(stage.name, stage.model, "installed" if name in there else "missing")
    if need.state == "missing":
        other = substitute(stage, installed)
        need = dataclasses.replace(need, instead=other.model if other else None)
    if name in brought:
        return dataclasses.replace(need, shared=brought[name])
    if need.state == "installed" and not context:
        return need
    made = modelfile(stage.model)
    base = made.base if made else None
    source = base or stage.model
    pulls = source if plain(source) not in {*there, *brought} else None
    brought |= dict.fromkeys((name, plain(pulls or name)), stage.name)
    action: Literal["pull", "create"] = "create" if base else "pull"
    return dataclasses.replace(need, action=action, base=base, pulls=pulls, context=context)


def _steps(need: Need) -> str:
    """What would be done, in words."""
    if need.shared:
        return f"comes with {need.shared}"
    steps = [f"pull {need.pulls}"] if need.pulls else []
    if need.action == "create":
        steps.append(f"create it from {need.base}")
        if need.context:
            steps[-1] += f" with {need.context.name} in its prompt"
        elif plain(need.model) == _PERSONAL:
            steps[-1] += f", without a text about you ({WITH_CONTEXT} takes one)"
        if need.state == "installed":
            steps[-1] += ", in the place of the one that is there"
    return ", ".join(steps)


async def _pull(model: str, engine: OllamaEngine, tell: Callable[[Installing], None]) -> None:
    async with aclosing(engine.pull(model)) as steps:
        async for step in steps:
            tell(step)


async def _create(need: Need, engine: OllamaEngine, tell: Callable[[Installing], None]) -> None:
    tell(Installing(need.model, "create", "being created"))
    if made := modelfile(need.model):
        await engine.derive(need.model, _with(made, need.context))
    tell(Installing(need.model, "create", "created"))


def _with(made: Modelfile, context: Path | None) -> Modelfile:
    """The same with the user's text, where there is one.

    It is a message, not a part of SYSTEM: Ollama puts a stage's own system prompt in the place of
    that one, and keeps the messages.
    """
    if context is None:
        return made
    text = f"{_ABOUT_THE_READER}\n\n{read_context(context)}"
    return dataclasses.replace(made, messages=(Message("system", text),))


def _can_chat_here(model: ModelInfo) -> bool:
    # A "-cloud" model would send the question off the machine, which nobody asked for.
    return model.chats and not model.away and not model.name.endswith(("-cloud", ":cloud"))


def _size(model: ModelInfo) -> int:
    return model.size
