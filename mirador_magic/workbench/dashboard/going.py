"""A run under way, as far as it is: folded from its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirador_magic.answer import words
from mirador_magic.answer.answer import Answer
from mirador_magic.events import (
    ChunkReceived,
    Event,
    RouteChosen,
    RunStarted,
    StageStarted,
    StageSubstituted,
    ThinkingReceived,
)
from mirador_magic.stages import ModelStage


@dataclass(frozen=True)
class Going:
    """A run under way. Times in seconds.

    `stage` is the one at work, '' before the first; `place` its place among so many. `first` is the
    run's time to its first answer text, `rate` the tokens a second since the stage's own; None before.
    """

    question: str
    stage: str
    model: str
    place: tuple[int, int]
    status: str
    elapsed: float
    first: float | None
    rate: float | None


class Pace:
    """Watches one run; `going(now)` is how far it is, by the run's clock. Constant time an event.

    The engine counts its tokens at a stage's end. Until then those that it told probabilities of are
    counted, and where it tells none a piece of text counts as one: as Ollama sends them. A run that
    has begun is taken on from its answer so far.
    """

    def __init__(self, answer: Answer, now: float) -> None:
        at_work = [each for each in answer.stages if words.is_live(each)]
        self._question = answer.question
        self._began = now - answer.total
        self._models = {each.name: each.model for each in answer.stages}
        self._before = [each.name for each in answer.stages if each.status != "waiting"]
        self._stage, self._status = (
            (at_work[0].name, at_work[0].status) if at_work else ("", "asked")
        )
        self._first = answer.first_token
        self._since: float | None = None
        self._tokens = 0

    def __call__(self, event: Event) -> None:
        """Fold one event in. The most frequent kind is looked at first."""
        match event:
            case ChunkReceived():
                self._status = "writing"
                self._wrote(event)
            case ThinkingReceived():
                self._status = "thinking"
            case StageStarted():
                self._stage, self._status = event.stage, "asked"
                self._since, self._tokens = None, 0
            case StageSubstituted():
                self._models[event.stage] = event.model
            case RunStarted():
                self._question, self._began = event.query, event.at
                self._known(event.stages)
            case RouteChosen():
                self._known(event.stages)

    def going(self, now: float) -> Going:
        """The run as it stands."""
        return Going(
            question=self._question,
            stage=self._stage,
            model=self._models.get(self._stage, ""),
            place=self._place(),
            status=self._status,
            elapsed=max(now - self._began, 0.0),
            first=self._first,
            rate=self._rate(now),
        )

    def _known(self, stages: Sequence[ModelStage]) -> None:
        known = self._models
        self._models = {name: known[name] for name in self._before} | {
            stage.name: known.get(stage.name, stage.model) for stage in stages
        }

    def _wrote(self, event: ChunkReceived) -> None:
        if self._since is not None:
            self._tokens += len(event.logprobs) or 1
        elif not event.text.isspace():
            self._since = event.at  # those of the first piece took no time that is known
            if self._first is None:
                self._first = event.at - self._began

    def _place(self) -> tuple[int, int]:
        names = list(self._models)
        return (names.index(self._stage) + 1 if self._stage in names else 0, len(names))

    def _rate(self, now: float) -> float | None:
        if self._since is None or not self._tokens or now <= self._since:
            return None
        return self._tokens / (now - self._since)
