"""The state of a run, folded from its events; no widget in sight.

Replaying a stored list of events gives the same state as the live run had.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mirador_magic.answer.answer import Answer, Missing, StageAnswer, joined
from mirador_magic.answer.stage_state import StageState
from mirador_magic.confidence import recalled
from mirador_magic.engines.known_models import QWEN3, SMOLLM2, offered
from mirador_magic.errors import NoModel
from mirador_magic.events import (
    ChunkReceived,
    EngineChosen,
    Event,
    ModelArriving,
    ModelAwaited,
    ModelSwapped,
    OptionsUnknown,
    Outcome,
    RouteChosen,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageNoted,
    StageStarted,
    StageStopped,
    StageSubstituted,
    ThinkingReceived,
    TurnsLeftOut,
)
from mirador_magic.residency.warmup import Warmth
from mirador_magic.stages import DEFAULT_STAGES, ModelStage

QUICK = DEFAULT_STAGES[0].name
_SPARE = (
    f"{SMOLLM2.what}, answers for want of another: the bars tell how sure it was "
    f"→ for a larger one: Ollama, or {offered(QWEN3)}"
)


class RunState:
    """All of a run. Call it with each event; `answer()` is its frozen picture at any time.

    `warmth` tells how ready a model is; `past` is the answer that the run goes on from. `usual` gives
    the measured confidences of a model's earlier answers in a stage, and `note` what there is to say
    of how a stage was asked; with `offers`, the answer says where a deeper stage may be worth its time.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        warmth: Callable[[str], Warmth | None] = lambda _: None,
        past: Answer | None = None,
        usual: Callable[[str, str], Sequence[float]] = lambda model, stage: (),
        *,
        offers: bool = False,
    ) -> None:
        self._clock = clock
        self._past = past
        self._warmth = warmth
        self._usual = usual
        self._offers = offers
        self.question = ""
        self.route = ""
        self.turns: tuple[tuple[str, str], ...] = ()
        self.engine = self.instead = ""
        self.stages: dict[str, StageState] = {}
        self._said: dict[str, float] = {}  # what the stages have said: see `confidence.said`
        self.started: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.outcome: Outcome | None = None
        self.missing: Missing | None = None
        self._is_spare_told = False

    def __call__(self, event: Event) -> None:
        self.apply(event)

    def answer(self) -> Answer:
        """The run as it stands now."""
        began = self.started
        now = self._clock() if self.ended is None else self.ended
        answer = Answer(
            question=self.question,
            route=self.route,
            turns=self.turns,
            engine=self.engine,
            instead=self.instead,
            stages=tuple(state.answer(now, self._warmth) for state in self.stages.values()),
            outcome=self.outcome,
            first_token=None if began is None or self.first is None else self.first - began,
            total=0.0 if began is None else now - began,
            missing=self.missing,
        )
        answer = joined(self._past, answer) if self._past else answer
        offers = self._offers and answer.outcome == "answered"
        return replace(answer, doubt=self._doubt(answer)) if offers else answer

    def measured(self) -> list[tuple[str, str, float]]:
        """(model, stage, measured confidence) of the stages that this run finished."""
        done = [state for state in self.stages.values() if state.status == "done"]
        told = [(each.model, each.stage.name, each.gauge.measured) for each in done]
        return [(model, stage, value) for model, stage, value in told if value is not None]

    def doubt(self) -> str:
        """Why a deeper stage may be worth its time, '' where nothing says so: of a quick stage alone."""
        return self._doubt(self.answer())

    def _doubt(self, answer: Answer) -> str:
        if [(each.name, each.status) for each in answer.stages] != [(QUICK, "done")]:
            return ""
        from mirador_magic.routing import evidence

        (stage,) = answer.stages
        past = self._usual(stage.model, stage.name)
        found = evidence.doubt(
            stage.text,
            cut=stage.is_cut,
            loops=stage.is_looping,
            measured=stage.measured,
            past=past,
        )
        return found and f"{stage.name} {found}"

    def _wrote(self, event: ChunkReceived) -> None:
        self.stages[event.stage].wrote(event)
        if self.first is None:
            self.first = event.at

    def _stage_started(self, event: StageStarted) -> None:
        state = self.stages[event.stage]
        state.status, state.started = "asked", event.at
        told = [each.measured for each in self._earlier(event.stage)]
        told += [each.gauge.measured for each in self.stages.values() if each is not state]
        state.before = next((each for each in told if each is not None), None)

    def _earlier(self, stage: str) -> Iterable[StageAnswer]:
        """The stages before this one in the answer that the run goes on from."""
        past = self._past.stages if self._past else ()
        return itertools.takewhile(lambda each: each.name != stage, past)

    def _recall(self, stages: Sequence[ModelStage]) -> None:
        """What the answer that this run goes on from has said before these stages."""
        for each in self._earlier(stages[0].name):
            if each.measured is not None:
                for word, log in recalled(each.text, each.measured).items():
                    self._said.setdefault(word, log)

    def _keep(self, stages: Iterable[ModelStage]) -> None:
        """Of the stages that wait, these alone."""
        names = {stage.name for stage in stages}
        for name, state in [*self.stages.items()]:
            if state.status == "waiting" and name not in names:
                del self.stages[name]

    def _add(self, stages: Iterable[ModelStage]) -> None:
        for stage in stages:
            if stage.name not in self.stages:
                self.stages[stage.name] = StageState(stage, self.question, self._said)

    def apply(self, event: Event) -> None:
        """Fold one event into the state. The most frequent kind is looked at first."""
        match event:
            case ChunkReceived():
                self._wrote(event)
            case ThinkingReceived():
                self.stages[event.stage].thinks(event)
            case StageStarted():
                self._stage_started(event)
            case StageSubstituted():
                self.stages[event.stage].substituted(event)
                if event.spare and not self._is_spare_told:
                    self._is_spare_told = True
                    self.stages[event.stage].notes.append(_SPARE)
            case StageFinished():
                self.stages[event.stage].finished(event)
            case StageNoted():
                self.stages[event.stage].notes.append(event.note)
            case TurnsLeftOut():
                self.stages[event.stage].left_out(event)
            case OptionsUnknown():
                self.stages[event.stage].unknown(event, self.engine)
            case ModelSwapped():
                model = self.stages[event.stage].model
                self.stages[event.stage].notes.append(
                    f"{model} was seen in memory, and still took {event.load_s:.1f} s to load"
                )
            case StageFailed():
                self.stages[event.stage].failed(event)
            case StageStopped():
                self.stages[event.stage].stopped(event)
            case RunStarted():
                self.question, self.started = event.query, event.at
                self.turns = event.turns
                self.stages = {}
                self._recall(event.stages)
                self._add(event.stages)
            case RouteChosen():
                self.route = event.why
                self._keep(event.stages)
                self._add(event.stages)
            case EngineChosen():
                self.engine, self.instead = event.label, event.instead
                if self.missing:  # the question is asked now
                    self.missing, self.started = None, event.at
            case ModelAwaited():
                self.missing = Missing(event.what, event.cure)
            case ModelArriving():
                if self.missing:
                    self.missing = replace(self.missing, done=event.done, total=event.total)
            case RunFinished():
                self._finished(event)

    def _finished(self, event: RunFinished) -> None:
        self.outcome, self.ended = event.outcome, event.at
        if isinstance(event.error, NoModel):
            self.missing = Missing(event.error.what, "")
        for state in self.stages.values():
            state.told(event.outcome)
