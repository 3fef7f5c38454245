"""What a grid asks: variants × questions × repeats, in the order in which models swap least."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mirador_magic.engines import provision
from mirador_magic.errors import UsageError
from mirador_magic.session.session import Session
from mirador_magic.settings import settings
from mirador_magic.settings.settings import Layer
from mirador_magic.stages import ModelStage, choose, plain
from mirador_magic.workbench.tune.tries import Settings, Try, fingerprint, settings_of, told

SOURCE = "tune()"


@dataclass(frozen=True)
class Variant:
    """One way to run the stage. `layer` is what is set for it, `settings` are all that it runs with."""

    name: str
    layer: Layer
    settings: Settings


@dataclass(frozen=True)
class Step:
    """One try to be made; `repeat` counts from 0."""

    variant: Variant
    question: str
    repeat: int = 0

    @property
    def model(self) -> str:
        return str(self.variant.settings["model"])

    @property
    def load(self) -> tuple[str, object]:
        """What an engine has to have loaded for it: another context is another load."""
        return plain(self.model), self.variant.settings.get("num_ctx")

    @property
    def identity(self) -> tuple[str, str, int]:
        """That of the try that it becomes."""
        return fingerprint(self.variant.settings), self.question, self.repeat


@dataclass(frozen=True)
class Plan:
    """All steps of a grid, each variant's with each question, as often as it is repeated."""

    stage: str
    variants: Sequence[Variant]
    questions: Sequence[str]
    repeats: int = 1
    steps: Sequence[Step] = field(init=False)

    def __post_init__(self) -> None:
        steps = [
            Step(variant, question, repeat)
            for repeat in range(self.repeats)
            for question in self.questions
            for variant in self.variants
        ]
        object.__setattr__(self, "steps", steps)

    @property
    def name(self) -> str:
        """The same for the same stage, settings, questions and repeats, whatever the names are."""
        asked = [fingerprint(variant.settings) for variant in self.variants]
        whole = json.dumps([self.stage, asked, list(self.questions), self.repeats])
        return hashlib.sha256(whole.encode()).hexdigest()[:12]


def plan_of(
    session: Session,
    stage: str,
    variants: Iterable[Mapping[str, object]],
    questions: Iterable[str],
    repeats: int = 1,
) -> Plan:
    """The plan of a call of `tune`. Raises UsageError for what cannot be asked."""
    asked = [questions] if isinstance(questions, str) else list(questions)
    asked = list(dict.fromkeys(str(each).strip() for each in asked))
    if not asked or not all(asked):
        raise UsageError("a question is missing", "tune(stage, variants, ['Why?', 'How?'])")
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise UsageError(f"repeats = {repeats!r} is not a count, 1 or more", "repeats=3")
    return Plan(stage, variants_of(session, stage, variants), asked, repeats)


def variants_of(
    session: Session, stage: str, given: Iterable[Mapping[str, object]]
) -> list[Variant]:
    """The variants by name. Raises UsageError for an unknown stage or setting, and for twins."""
    (known,) = choose(list(session.stages.values()), [stage])
    listed = [given] if isinstance(given, Mapping) else list(given)
    if not listed:
        raise UsageError(
            "there is no variant", "tune(stage, [{'temperature': 0.2}, {}], questions)"
        )
    variants = [_variant(session, known, each) for each in listed]
    seen: dict[str, str] = {}
    for variant in variants:
        settings = fingerprint(variant.settings)
        if settings in seen:
            raise UsageError(
                f"the variants {seen[settings]!r} and {variant.name!r} are the same",
                "leave one out; repeats=2 asks twice",
            )
        seen[settings] = variant.name
    return _apart(variants)


def layer_of(stage: str, values: Mapping[str, object], source: str) -> Layer:
    """These values for this stage alone. Raises UsageError for a name or a value that cannot be."""
    return settings.layer({f"{stage}.{key}": value for key, value in values.items()}, source)


def ways(session: Session, stage: ModelStage, layer: Layer) -> dict[str, object]:
    """All that this stage is asked with where the layer holds."""
    varied = session.settings(layer).stage(stage)
    return settings_of(provision.on(varied, varied.model))


def order(steps: Iterable[Step], resident: Collection[str] = ()) -> list[Step]:
    """All of a model together, those in memory first; else as they stand, whole rounds first."""
    steps = list(steps)
    loads = list(dict.fromkeys(step.load for step in steps))
    models = list(dict.fromkeys(model for model, _ in loads))
    here = {plain(model) for model in resident}

    def place(step: Step) -> tuple[bool, int, int]:
        model = step.load[0]
        return model not in here, models.index(model), loads.index(step.load)

    return sorted(steps, key=place)


def remaining(steps: Iterable[Step], tries: Iterable[Try]) -> list[Step]:
    """The steps of which no try came to its end."""
    return untried(steps, (each for each in tries if each.is_done))


def untried(steps: Iterable[Step], tries: Iterable[Try]) -> list[Step]:
    """The steps of which there is no try, not even one that failed."""
    made = {each.identity for each in tries}
    return [step for step in steps if step.identity not in made]


def _variant(session: Session, stage: ModelStage, given: Mapping[str, object]) -> Variant:
    if not isinstance(given, Mapping):
        raise UsageError(f"{given!r} is no variant", "such as {'temperature': 0.2}")
    values = {key: value for key, value in given.items() if key != "name" and value is not None}
    layer = layer_of(stage.name, values, SOURCE)
    name = str(given.get("name") or "").strip() or _called(values)
    return Variant(name, layer, ways(session, stage, layer))


def _called(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {told(value)}" for key, value in values.items()) or "as it is"


def _apart(variants: Sequence[Variant]) -> list[Variant]:
    """With names that differ: two long prompts may begin alike."""
    names = [variant.name for variant in variants]
    return [
        Variant(f"{each.name} ({place})", each.layer, each.settings)
        if names.count(each.name) > 1
        else each
        for place, each in enumerate(variants, 1)
    ]
