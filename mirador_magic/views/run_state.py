"""The state of a run, folded from its events; no widget in sight.

Replaying a stored list of events gives the same state as the live run had.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mirador_magic import phrasebook
from mirador_magic.confidence import Gauge, judged
from mirador_magic.events import (
    ChunkReceived,
    EngineChosen,
    Event,
    NextPlanned,
    Outcome,
    RouteChosen,
    RunFinished,
    RunStarted,
    StageDelayed,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
    StageSubstituted,
    ThinkingReceived,
    TurnsLeftOut,
)
from mirador_magic.stages import ModelStage
from mirador_magic.views.answer import Answer, StageAnswer, Status, joined
from mirador_magic.views.words import readiness
from mirador_magic.warmup import Warmth


class StageState:
    """One stage while it goes on; `answer` is its frozen picture."""

    def __init__(self, stage: ModelStage) -> None:
        self.stage = stage
        self.model = stage.model
        self.status: Status = "waiting"
        self.text = ""
        self.thinking = ""
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self.gauge = Gauge()
        self.started: float | None = None
        self.thought: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.tokens: int | None = None
        self.decode_s: float | None = None
        self.error: str | None = None
        self.notes: list[str] = []

    def answer(self, now: float, warmth: Callable[[str], Warmth | None]) -> StageAnswer:
        """The stage as it stands at `now`, in seconds of the run's clock."""
        self._join()
        ready = warmth(self.model) if self.status in ("waiting", "asked") else None
        began = self.started
        until = now if self.ended is None else self.ended
        confidence, how = judged(self.gauge, self.stage.confidence, self.model, self.stage.name)
        return StageAnswer(
            name=self.stage.name,
            model=self.model,
            confidence=confidence,
            how=how,
            status=self.status,
            text=self.text,
            thinking=self.thinking,
            first_thought=None if began is None or self.thought is None else self.thought - began,
            first_token=None if began is None or self.first is None else self.first - began,
            seconds=None if began is None else until - began,
            tokens=self.tokens,
            rate=self._rate(),
            error=self.error,
            notes=tuple(self.notes),
            warmth=readiness(ready, now) if ready else "",
        )

    def wrote(self, event: ChunkReceived) -> None:
        self.status = "writing"
        self._parts.append(event.text)
        self.gauge.add(event.logprobs)
        if self.first is None:
            self.first = event.at

    def thinks(self, event: ThinkingReceived) -> None:
        self.status = "thinking"
        self._thoughts.append(event.text)
        if self.thought is None:
            self.thought = event.at

    def substituted(self, event: StageSubstituted) -> None:
        if not phrasebook.is_phrasebook(event.model):
            self.notes.append(
                f"{self.model} is not installed, so {event.model} answers → {event.cure}"
            )
        self.model = event.model

    def left_out(self, event: TurnsLeftOut) -> None:
        turns = "first turn" if event.turns == 1 else f"first {event.turns} turns"
        self.notes.append(
            f"the conversation's {turns} did not fit into the context of {event.num_ctx} tokens "
            "→ %mirador reset, or raise num_ctx"
        )

    def finished(self, event: StageFinished) -> None:
        self.status, self.ended = "done", event.at
        self.tokens, self.decode_s = event.end.output_tokens, event.end.decode_s
        if event.end.reason == "length":
            self.notes.append("cut off at its length limit (num_predict, or the context is full)")
        if event.end.prompt_cut:
            self.notes.append(
                f"the prompt was longer than the context of {self.stage.options.num_ctx} tokens: "
                "the engine dropped part of it → shorten it, or raise num_ctx"
            )

    def failed(self, event: StageFailed) -> None:
        self.status, self.ended, self.error = "failed", event.at, str(event.error)
        self._join()
        if self.text:
            self.notes.append(self._kept())

    def stopped(self, event: StageStopped) -> None:
        self.status, self.ended = "stopped", event.at

    def told(self, outcome: Outcome) -> None:
        """What the end of the run says about a stage that was cut short or never began."""
        self._join()
        if self.status == "stopped":
            self.notes.append(f"■ {outcome}: {self._kept()}")
        elif self.status == "waiting":
            self.status = "skipped"

    def _join(self) -> None:
        """Joined when the picture is taken, not at each chunk: these come faster."""
        if self._parts:
            self.text += "".join(self._parts)
            self._parts.clear()
        if self._thoughts:
            self.thinking += "".join(self._thoughts)
            self._thoughts.clear()

    def _rate(self) -> float | None:
        """tokens / seconds of decoding, by the engine's own figures."""
        return self.tokens / self.decode_s if self.tokens and self.decode_s else None

    def _kept(self) -> str:
        """How much stands, in words for the note of a stage that did not end by itself."""
        words = len(self.text.split())
        return f"{words} word{'' if words == 1 else 's'} kept"


class RunState:
    """All of a run. Call it with each event; `answer()` is its frozen picture at any time.

    `warmth` tells how ready a model is; `past` is the answer that the run goes on from.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        warmth: Callable[[str], Warmth | None] = lambda _: None,
        past: Answer | None = None,
    ) -> None:
        self._clock = clock
        self._past = past
        self._warmth = warmth
        self.question = ""
        self.route = ""
        self.turns: tuple[tuple[str, str], ...] = ()
        self.engine = ""
        self.stages: dict[str, StageState] = {}
        self.started: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.outcome: Outcome | None = None
        self._way_out_told = False

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
            stages=tuple(state.answer(now, self._warmth) for state in self.stages.values()),
            outcome=self.outcome,
            first_token=None if began is None or self.first is None else self.first - began,
            total=0.0 if began is None else now - began,
        )
        return joined(self._past, answer) if self._past else answer

    def apply(self, event: Event) -> None:
        """Fold one event into the state. The most frequent kind is looked at first."""
        match event:
            case ChunkReceived():
                self.stages[event.stage].wrote(event)
                if self.first is None:
                    self.first = event.at
            case ThinkingReceived():
                self.stages[event.stage].thinks(event)
            case StageStarted():
                state = self.stages[event.stage]
                state.status, state.started = "asked", event.at
            case StageSubstituted():
                self.stages[event.stage].substituted(event)
                if phrasebook.is_phrasebook(event.model) and not self._way_out_told:
                    self._way_out_told = True
                    self.stages[event.stage].notes.append(f"{phrasebook.WAY_OUT} → {event.cure}")
            case StageFinished():
                self.stages[event.stage].finished(event)
            case NextPlanned() | StageDelayed():
                if event.why:
                    self.stages[event.stage].notes.append(_told(event))
            case TurnsLeftOut():
                self.stages[event.stage].left_out(event)
            case StageFailed():
                self.stages[event.stage].failed(event)
            case StageStopped():
                self.stages[event.stage].stopped(event)
            case RunStarted():
                self.question, self.started = event.query, event.at
                self.turns = event.turns
                self.stages = {stage.name: StageState(stage) for stage in event.stages}
            case RouteChosen():
                self.route = event.why
                for stage in event.stages:
                    self.stages.setdefault(stage.name, StageState(stage))
            case EngineChosen():
                self.engine = event.label
            case RunFinished():
                self._finished(event)

    def _finished(self, event: RunFinished) -> None:
        self.outcome, self.ended = event.outcome, event.at
        for state in self.stages.values():
            state.told(event.outcome)


def _told(event: NextPlanned | StageDelayed) -> str:
    """What was planned for a stage, or done about its delay, as a note."""
    return f"loaded in sequence: {event.why}" if isinstance(event, NextPlanned) else event.why
