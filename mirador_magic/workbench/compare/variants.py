"""What is compared: the models, the stages or the system prompts that one question goes through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mirador_magic.errors import UsageError
from mirador_magic.routing.router import FIRST
from mirador_magic.session.session import Session
from mirador_magic.settings import settings
from mirador_magic.settings.settings import Layer
from mirador_magic.stages import ModelStage, choose

Kind = Literal["models", "stages", "systems"]
Names = str | Sequence[str]  # "a,b" or ["a", "b"]
Systems = str | Sequence[str | Path] | Mapping[str, str]  # files, or prompts by name

_SOURCE = "compare"
_MANUAL = "%%mirador compare --models a,b (or --stages a,b, or --system one.md,two.md)"


@dataclass(frozen=True)
class Variant:
    """One way to answer: this stage alone, on this model, with these settings.

    `name` is another for each; `model` and the declared `confidence`, in 0..1, are what is known of it
    before it is asked.
    """

    name: str
    stage: str
    model: str
    confidence: float
    settings: Layer = field(default_factory=dict)


def variants(
    session: Session,
    models: Names | None = None,
    stages: Names | None = None,
    systems: Systems | None = None,
) -> tuple[Kind, list[Variant]]:
    """What differs, and the ways to answer. Beside models or systems, `stages` may name their stage.

    Raises UsageError where not exactly one thing differs, for less than two ways, and for what is
    not there.
    """
    kind, found = _read(session, _listed(models), _listed(stages), systems)
    if len(found) < 2:
        raise UsageError("there are not two to compare", _MANUAL)
    for name, times in Counter(each.name for each in found).items():
        if times > 1:
            raise UsageError(f"{name} is named twice", "name each one once")
    return kind, found


def _read(
    session: Session, models: list[str], stages: list[str], systems: Systems | None
) -> tuple[Kind, list[Variant]]:
    known = list(session.stages.values())
    if models and systems:
        raise UsageError("models and system prompts differ at once", "compare one, then the other")
    if models:
        on = _stage(session, known, stages)
        return "models", [_changed(on, model, "model", model) for model in models]
    if systems:
        on = _stage(session, known, stages)
        return "systems", [_changed(on, *each) for each in _prompts(systems)]
    chosen = choose(known, stages) if stages else ()
    return "stages", [_variant(stage.name, stage) for stage in chosen]


def _stage(session: Session, known: Sequence[ModelStage], stages: Sequence[str]) -> ModelStage:
    """The one stage that all go through: the one that is named, else the settings' first."""
    if len(stages) > 1:
        raise UsageError("stages differ at once with something else", "name one stage at most")
    default = session.settings()["default_stages"] or FIRST
    (stage,) = choose(known, (stages or default)[:1])
    return stage


def _changed(stage: ModelStage, name: str, key: str, value: str) -> Variant:
    """The stage with one setting of its own."""
    own = settings.layer({f"{stage.name}.{key}": value}, _SOURCE)
    changed = settings.Settings(own).stage(stage)
    return _variant(name, changed, own)


def _variant(name: str, stage: ModelStage, own: Layer | None = None) -> Variant:
    return Variant(name, stage.name, stage.model, stage.confidence, own or {})


def _prompts(systems: Systems) -> list[tuple[str, str, str]]:
    """Each prompt as (its name, "system", its text). A file goes by its name without the ending,
    by its path where another has the same."""
    if isinstance(systems, Mapping):
        return [(name, "system", text) for name, text in systems.items()]
    files = [Path(each).expanduser() for each in _listed(systems)]
    stems = Counter(file.stem for file in files)
    names = [file.stem if stems[file.stem] == 1 else str(file) for file in files]
    return [(name, "system", _text(file)) for name, file in zip(names, files, strict=True)]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "it is no text in UTF-8"
        raise UsageError(f"{file} cannot be read: {why}", "--system one.md,two.md") from None


def _listed(given: Names | Sequence[str | Path] | None) -> list[str]:
    """The names of a list, or of a line with commas."""
    parts = given.split(",") if isinstance(given, str) else given or ()
    return [name for part in parts if (name := str(part).strip())]
