"""What happened in a run: frozen, in the past tense, each with its time.

`at` is in seconds of the run's clock (time.perf_counter unless another is given). The order is

    RunStarted (ModelAwaited ModelArriving*)* EngineChosen? (StageStarted (TurnsLeftOut | OptionsUnknown | StageSubstituted | StageNoted |
                NextPlanned | ThinkingReceived | ChunkReceived)* ModelSwapped?
                (StageFinished | StageFailed | StageStopped))*
                RunFinished

and a RunFinished always comes, whatever ends the run. The question is asked when the engine is chosen,
so where a model was waited for the run's times count from there. Where the question's route is not known from
the start, RouteChosen comes once, while the first stage is under way; and once more where what the
only stage said is the reason for more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mirador_magic.errors import MiradorError
from mirador_magic.stages import ModelStage

Outcome = Literal["answered", "stopped", "interrupted", "failed"]


@dataclass(frozen=True)
class StreamEnd:
    """How a stream ended, as the engine counts it: tokens, and seconds; None where it cannot say.

    `reason` is "stop" (the model was done), "length" (num_predict or the context ran out), "tools" (it asks
    for a tool to be run), "refusal" (it says that it will not answer), or where it was ended by us "loop"
    (it repeated itself) or "size" (it has as many characters as it may have).
    `prompt_cut` is true where the engine dropped part of the prompt to fit its context.
    """

    reason: Literal["stop", "length", "tools", "refusal", "loop", "size"]
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    load_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    prompt_cut: bool = False


@dataclass(frozen=True)
class RunStarted:
    """The question and the stages it goes through are known, or the first of them (RouteChosen).

    `turns` are the conversation that it continues, (question, answer), oldest first.
    """

    at: float
    query: str
    stages: tuple[ModelStage, ...]
    turns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RouteChosen:
    """What the question needs is known: `stages` are all of the run's, the first one among them.

    `why` is for people, such as "complex (71 %): plan, budget".
    """

    at: float
    why: str
    stages: tuple[ModelStage, ...]


@dataclass(frozen=True)
class EngineChosen:
    """This engine answers; `label` is its name for people, such as 'Ollama 0.34.1'.

    `instead` says why it answers in the place of another, '' where it does not or that was said before.
    """

    at: float
    label: str
    instead: str = ""


@dataclass(frozen=True)
class StageStarted:
    """The stage's request is on its way to the engine."""

    at: float
    stage: str


@dataclass(frozen=True)
class ModelAwaited:
    """There is no model to ask, for this reason; the run waits until one is fetched or found. `cure`
    is set where one could not be fetched."""

    at: float
    what: str
    cure: str


@dataclass(frozen=True)
class ModelArriving:
    """A model is being fetched for the run, and has come so far, in bytes."""

    at: float
    done: int
    total: int


@dataclass(frozen=True)
class StageSubstituted:
    """The stage's model is not installed; this one runs in its place. `cure` installs the right one.

    A `spare` one does so for want of any other.
    """

    at: float
    stage: str
    model: str
    cure: str
    spare: bool = False


@dataclass(frozen=True)
class NextPlanned:
    """What is done for this stage's model while the one before it writes.

    `plan` is "load" or "prefill".
    """

    at: float
    stage: str
    plan: Literal["load", "prefill"]


@dataclass(frozen=True)
class StageNoted:
    """There is this to say of a stage: why it waits, how it was asked, what its engine told."""

    at: float
    stage: str
    note: str


@dataclass(frozen=True)
class TurnsLeftOut:
    """So many of the conversation's first turns did not fit into the stage's context of `num_ctx`."""

    at: float
    stage: str
    turns: int
    num_ctx: int


@dataclass(frozen=True)
class OptionsUnknown:
    """What was asked of the stage's model under these names, and the engine does not know."""

    at: float
    stage: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class ThinkingReceived:
    """The model thinks, apart from its answer."""

    at: float
    stage: str
    text: str


@dataclass(frozen=True)
class ChunkReceived:
    """A piece of the stage's answer came; never empty. `logprobs` as in a Chunk."""

    at: float
    stage: str
    text: str
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True)
class StageFinished:
    """The stage's stream came to its own end."""

    at: float
    stage: str
    end: StreamEnd


@dataclass(frozen=True)
class StageFailed:
    """The stage's stream failed or fell silent. What it wrote before is kept."""

    at: float
    stage: str
    error: MiradorError


@dataclass(frozen=True)
class StageStopped:
    """A stop or an interrupt ended the stage. What it wrote before is kept."""

    at: float
    stage: str


@dataclass(frozen=True)
class ModelSwapped:
    """The stage's model was in memory and had left it: it was loaded again, in `load_s` seconds."""

    at: float
    stage: str
    load_s: float


@dataclass(frozen=True)
class RunFinished:
    """The run is over. `error` is the first cause where every stage failed."""

    at: float
    outcome: Outcome
    error: MiradorError | None = None


Event = (
    RunStarted
    | RouteChosen
    | ModelAwaited
    | ModelArriving
    | EngineChosen
    | StageStarted
    | StageSubstituted
    | StageNoted
    | TurnsLeftOut
    | OptionsUnknown
    | NextPlanned
    | ThinkingReceived
    | ChunkReceived
    | StageFinished
    | StageFailed
    | StageStopped
    | ModelSwapped
    | RunFinished
)
