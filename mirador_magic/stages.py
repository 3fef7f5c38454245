"""A stage: one model's turn at the question, and the three that stand ready."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mirador_magic.errors import UsageError

Think = bool | Literal["low", "medium", "high"]
FOR_EVER = -1.0  # of keep_alive


@dataclass(frozen=True)
class ModelOptions:
    """How a model is run. The names are Ollama's; None leaves the engine's own default.

    `num_predict` and `num_ctx` are in tokens. `num_ctx` is explicit, since an engine's default can
    be large enough to push the other stages' models out of memory, and changing it reloads a model;
    None is the model's own. `more` are other options by their names, for the engine that knows them; a
    mapping may be given.
    """

    temperature: float | None = None
    top_p: float | None = None
    num_predict: int | None = None
    num_ctx: int | None = 4096
    seed: int | None = None
    more: tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        pairs = sorted(dict(self.more).items())
        more = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in pairs)
        object.__setattr__(self, "more", more)


@dataclass(frozen=True)
class ModelStage:
    """One stage of a run.

    `confidence` is declared, between 0 and 1: what one may expect of this stage before anything is
    measured. `timeout` is in seconds of the engine's silence, not of the reader's time; before its
    first word a model in memory has thirty times as long, to read and to wait its turn. `think` tells a
    model that can think before it answers whether to, or how much; None leaves it to the model.
    `keep_alive` is how many seconds the model is kept in memory unasked, FOR_EVER among them; None is
    as its place in the route has it. `max_chars` is how many characters its answer may have, and as many
    its thinking. `order` is what it is told last where other stages have answered before it; without one
    it is told to do what its system prompt says.
    """

    name: str
    model: str
    confidence: float
    timeout: float
    system_prompt: str
    options: ModelOptions = field(default_factory=ModelOptions)
    think: Think | None = None
    keep_alive: float | None = None
    order: str = ""
    max_chars: int = 100_000

    def __post_init__(self) -> None:
        if not self.name or not self.name.isidentifier():
            raise UsageError(f"stage name {self.name!r} is not a plain word", "use letters and _")
        if not self.model:
            raise UsageError(f"stage {self.name} has no model", "give it one: model='gemma2:9b'")
        if not 0 <= self.confidence <= 1:
            raise UsageError(f"stage {self.name}: confidence {self.confidence} is not in 0..1")
        if not self.timeout > 0:
            raise UsageError(f"stage {self.name}: timeout {self.timeout} s is not above 0")


# Short, and near to what small models were trained on. A larger model reads a conversation that goes on:
# it adds reasons and leaves out what was wrong. To ask for corrections makes a small one speak of texts.
DEFAULT_STAGES: tuple[ModelStage, ...] = (
    ModelStage(
        name="quick_response",
        model="speed_optimizer_phi:latest",
        confidence=0.60,
        timeout=10.0,
        system_prompt="You are a helpful assistant. You answer every question in one short sentence.",
        options=ModelOptions(temperature=0.1, top_p=0.9, num_predict=150),
        think=False,  # else its first word waits until the model has thought
    ),
    ModelStage(
        name="deep_analysis",
        model="gemma2:9b",
        confidence=0.85,
        timeout=20.0,
        system_prompt="You are a helpful assistant. You explain in at most five sentences.",
        options=ModelOptions(temperature=0.7, top_p=0.95, num_predict=300),
        order="Explain that in more detail, in at most five sentences.",
    ),
    ModelStage(
        name="synthesis",
        model="matthew_context_provider_v5_complete:latest",
        confidence=0.95,
        timeout=30.0,
        system_prompt="You are a helpful assistant. You give a clear answer in at most four sentences.",
        options=ModelOptions(temperature=0.8, top_p=0.95, num_predict=500),
        order="Put that together into one clear answer of at most four sentences.",
    ),
)

# No registry has these two: Mirador makes them of a public model (provision.py).
_MADE = ("speed_optimizer_phi", "matthew_context_provider_v5_complete")


def install_command(model: str) -> str:
    """The command that installs a model in Ollama."""
    return "%mirador provision" if plain(model) in _MADE else f"ollama pull {model}"


def choose(stages: Sequence[ModelStage], names: Iterable[str]) -> tuple[ModelStage, ...]:
    """The stages of these names, in the order of the names. Raises UsageError for an unknown one."""
    known = {stage.name: stage for stage in stages}
    chosen = []
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no stage {name!r}; there are: {', '.join(known)}", nearest(name, known)
            )
        if known[name] in chosen:
            raise UsageError(f"stage {name} is named twice", "name each stage once")
        chosen.append(known[name])
    if not chosen:
        raise UsageError("no stage is left to run", f"choose from: {', '.join(known)}")
    return tuple(chosen)


def plain(model: str) -> str:
    """The model's name without the tag that Ollama adds where none is given."""
    return model.removesuffix(":latest")


def agree(stages: Iterable[ModelStage], known: Iterable[ModelStage] = ()) -> tuple[ModelStage, ...]:
    """The stages with one context per model, the largest that they or the known ones ask for, or the
    model's own where one leaves it to that: a model is loaded anew for another one."""
    stages = tuple(stages)
    widest: dict[str, int | None] = {}
    for stage in (*stages, *known):
        name, context = plain(stage.model), stage.options.num_ctx
        so_far = widest.get(name, 0)
        widest[name] = None if so_far is None or context is None else max(so_far, context)
    return tuple(
        replace(stage, options=replace(stage.options, num_ctx=widest[plain(stage.model)]))
        for stage in stages
    )


_BEGINS = 0.6


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """'did you mean …?' for the known word closest to this one, or that begins with it, or nothing.

    `cutoff`, in 0..1, is how close it has to be.
    """
    import difflib

    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    if not close and cutoff <= _BEGINS and len(word) > 2:
        close = [each for each in known if each.startswith(word)]
    return f"did you mean {close[0]}?" if close else ""
