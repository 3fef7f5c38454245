"""The figures of a run, folded from its events.

All times in seconds; a stage's count from its own request, a run's from the question. Tokens are the
engine's, never chunks counted. With E2EL the time from a stage's request to its end:

    TTFT = first answer text - request      of the answer: no header, no blank, no thinking
    TPOT = (E2EL - TTFT) / (output tokens - 1)                     as vLLM's `serve` benchmark has it
    stall = the longest gap between two chunks of the answer
    useful = the first answer text of any stage - question         the run's TTFT

`output_tokens` holds a thinking model's thoughts too, which come before its TTFT: TPOT is None there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mirador_magic.confidence import How
from mirador_magic.events import (
    ChunkReceived,
    EngineChosen,
    Event,
    ModelAwaited,
    ModelSwapped,
    Outcome,
    RouteChosen,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
    StageStopped,
    StageSubstituted,
    ThinkingReceived,
)

Purpose = Literal["ask", "benchmark", "compare", "tuning"]
Ended = Literal["done", "length", "failed", "stopped", "skipped"]

COLD = 0.5  # seconds of loading from which on a stage began cold


@dataclass(frozen=True)
class StageMetrics:
    """One stage. What was not reached, or what the engine does not tell, is None.

    `began` is seconds after the question; `error` the kind of the error, '' without; `swapped` says
    that the model was loaded again though it was in memory before. `confidence` is in 0..1.
    """

    stage: str
    model: str
    ended: Ended = "skipped"
    began: float | None = None
    ttft: float | None = None
    thought: float | None = None
    total: float | None = None
    tpot: float | None = None
    stall: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    load: float | None = None
    prefill: float | None = None
    decode: float | None = None
    swapped: bool = False
    error: str = ""
    confidence: float | None = None
    how: How = "declared"

    @property
    def cold(self) -> bool | None:
        """Whether its model had to be loaded; None where the engine does not tell."""
        return None if self.load is None else self.load >= COLD

    @property
    def rate(self) -> float | None:
        """Tokens a second of writing, by the engine's own figures."""
        return self.output_tokens / self.decode if self.output_tokens and self.decode else None


@dataclass(frozen=True)
class RunMetrics:
    """One run. `route` is why these stages, or ''; `error` the kind of its first error, '' without."""

    outcome: Outcome
    engine: str
    route: str
    useful: float | None
    total: float
    stages: tuple[StageMetrics, ...]
    error: str = ""

    @property
    def partial(self) -> bool:
        """Whether it answered though a stage failed."""
        return self.outcome == "answered" and any(each.ended == "failed" for each in self.stages)

    @property
    def cold(self) -> bool | None:
        """Whether the first stage that was asked began cold."""
        asked = [each.cold for each in self.stages if each.began is not None]
        return asked[0] if asked else None

    @property
    def output_tokens(self) -> int:
        return sum(each.output_tokens or 0 for each in self.stages)

    def judged(self, judge: Sequence[tuple[str, float, How]]) -> RunMetrics:
        """With these stages' (name, confidence, how it was had); a stage without an answer has none."""
        known = {name: (confidence, how) for name, confidence, how in judge}
        stages = []
        for each in self.stages:
            if each.stage in known and each.ttft is not None and each.ended != "failed":
                confidence, how = known[each.stage]
                each = replace(each, confidence=confidence, how=how)
            stages.append(each)
        return replace(self, stages=tuple(stages))


class _Stage:
    """What is known of a stage while it goes on. Times by the run's clock."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.asked: float | None = None
        self.first: float | None = None
        self.last: float | None = None
        self.thought: float | None = None
        self.stall = 0.0
        self.over: StageFinished | StageFailed | StageStopped | None = None
        self.swapped = False

    def wrote(self, event: ChunkReceived) -> None:
        if self.last is not None:
            gap = event.at - self.last
            self.stall = max(self.stall, gap)
        elif event.text.isspace():
            return
        else:
            self.first = event.at
        self.last = event.at

    def metrics(self, name: str, start: float) -> StageMetrics:
        if self.asked is None:
            return StageMetrics(name, self.model)
        over = self.over
        told = StageMetrics(
            name,
            self.model,
            _ended(over),
            began=self.asked - start,
            ttft=None if self.first is None else self.first - self.asked,
            thought=None if self.thought is None else self.thought - self.asked,
            total=None if over is None else over.at - self.asked,
            stall=None if self.first is None else self.stall,
            swapped=self.swapped,
            error=type(over.error).__name__ if isinstance(over, StageFailed) else "",
        )
        if not isinstance(over, StageFinished):
            return told
        return replace(
            told,
            prompt_tokens=over.end.prompt_tokens,
            output_tokens=over.end.output_tokens,
            load=over.end.load_s,
            prefill=over.end.prefill_s,
            decode=over.end.decode_s,
            tpot=self._tpot(over),
        )

    def _tpot(self, over: StageFinished) -> float | None:
        tokens = over.end.output_tokens
        if self.first is None or self.thought is not None or not tokens or tokens < 2:
            return None
        return (over.at - self.first) / (tokens - 1)


class Meter:
    """Watches one run; `metrics()` are its figures, at any time. Constant time an event."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self._started = self._ended = 0.0
        self._useful: float | None = None
        self._engine = self._route = ""
        self._outcome: Outcome = "failed"  # until it is known better
        self._error = ""
        self._is_awaiting = False

    def __call__(self, event: Event) -> None:
        """Fold one event in. The most frequent kind is looked at first."""
        match event:
            case ChunkReceived():
                self._stages[event.stage].wrote(event)
                if self._useful is None:
                    self._useful = self._stages[event.stage].first
            case ThinkingReceived():
                stage = self._stages[event.stage]
                if stage.thought is None:
                    stage.thought = event.at
            case StageStarted():
                self._stages[event.stage].asked = event.at
            case StageSubstituted():
                self._stages[event.stage].model = event.model
            case StageFinished() | StageFailed() | StageStopped():
                self._stages[event.stage].over = event
            case ModelSwapped():
                self._stages[event.stage].swapped = True
            case RunStarted():
                self._started = event.at
                self._stages = {each.name: _Stage(each.model) for each in event.stages}
            case RouteChosen():
                self._route = event.why
                begun = {name: s for name, s in self._stages.items() if s.asked is not None}
                known = self._stages  # those that are left out and were never asked go
                self._stages = begun | {
                    each.name: known.get(each.name) or _Stage(each.model) for each in event.stages
                }
            case ModelAwaited():
                self._is_awaiting = True
            case EngineChosen():
                self._engine = event.label
                if self._is_awaiting:
                    self._started = event.at
            case RunFinished():
                self._outcome, self._ended = event.outcome, event.at
                self._error = type(event.error).__name__ if event.error else ""

    def metrics(self) -> RunMetrics:
        """The figures so far; `total` is 0, and the outcome a failure, until the run is over."""
        stages = tuple(each.metrics(name, self._started) for name, each in self._stages.items())
        return RunMetrics(
            self._outcome,
            self._engine,
            self._route,
            useful=None if self._useful is None else self._useful - self._started,
            total=max(self._ended - self._started, 0.0),
            stages=stages,
            error=next((each.error for each in stages if each.error), self._error),
        )


def percentile(ranked: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the sorted, non-empty values lie: nearest rank."""
    return ranked[max(math.ceil(share * len(ranked)) - 1, 0)]


def _ended(over: StageFinished | StageFailed | StageStopped | None) -> Ended:
    if isinstance(over, StageFinished):
        return "length" if over.end.reason == "length" else "done"
    return "failed" if isinstance(over, StageFailed) else "stopped"
