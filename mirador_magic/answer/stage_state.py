"""One stage of a run while it goes on, folded from its events."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

from mirador_magic.answer.answer import StageAnswer, Status
from mirador_magic.answer.words import readiness
from mirador_magic.confidence import HELD, LOOPED, Gauge, judged
from mirador_magic.events import (
    ChunkReceived,
    OptionsUnknown,
    Outcome,
    StageFailed,
    StageFinished,
    StageStopped,
    StageSubstituted,
    StreamEnd,
    ThinkingReceived,
    TurnsLeftOut,
)
from mirador_magic.residency.warmup import Warmth
from mirador_magic.stages import ModelStage

_SLACK = 2  # tokens by which engines count differently


class StageState:
    """One stage while it goes on; `answer` is its frozen picture. `known` is the `Gauge`'s."""

    def __init__(
        self, stage: ModelStage, question: str = "", known: MutableMapping[str, float] | None = None
    ) -> None:
        self.stage = stage
        self.model = stage.model
        self.status: Status = "waiting"
        self.text = ""
        self.thinking = ""
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self.gauge = Gauge(question, known)
        self.started: float | None = None
        self.thought: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.tokens: int | None = None
        self.decode_s: float | None = None
        self.error: str | None = None
        self.is_cut = self.is_looping = False
        self.before: float | None = None  # the run's first measured confidence, of another stage
        self._weakest: str | None = None
        self.notes: list[str] = []
        self._instead = ""  # the note of the model that stands in

    def answer(self, now: float, warmth: Callable[[str], Warmth | None]) -> StageAnswer:
        """The stage as it stands at `now`, in seconds of the run's clock."""
        self._join()
        ready = warmth(self.model) if self.status in ("waiting", "asked") else None
        began = self.started
        until = now if self.ended is None else self.ended
        measured = self.gauge.measured
        confidence, how, answers = judged(
            self.gauge,
            self.stage,
            self.model,
            before=self.before,
            most=self._most(),
        )
        return StageAnswer(
            name=self.stage.name,
            model=self.model,
            confidence=confidence,
            how=how,
            answers=answers,
            measured=measured,
            code=self.gauge.code,
            features=None if measured is None else self.gauge.features(self.before),
            weakest=self.weakest,
            weakest_at=self.gauge.least if self.weakest else None,
            is_cut=self.is_cut,
            is_looping=self.is_looping,
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
        self.gauge.add(event.logprobs, event.text)
        if self.first is None:
            self.first = event.at

    def thinks(self, event: ThinkingReceived) -> None:
        self.status = "thinking"
        self._thoughts.append(event.text)
        if self.thought is None:
            self.thought = event.at

    def substituted(self, event: StageSubstituted) -> None:
        self.notes[:] = [note for note in self.notes if note != self._instead]  # it did not chat
        if not event.spare:
            missing = self.stage.model
            self._instead = f"{missing} is not installed, so {event.model} answers → {event.cure}"
            self.notes.append(self._instead)
        self.model = event.model

    def left_out(self, event: TurnsLeftOut) -> None:
        turns = "first turn" if event.turns == 1 else f"first {event.turns} turns"
        self.notes.append(
            f"the conversation's {turns} did not fit into the context of {event.num_ctx} tokens "
            "→ %mirador reset, or raise num_ctx"
        )

    def unknown(self, event: OptionsUnknown, engine: str) -> None:
        names = ", ".join(event.names)
        note = f"{engine or 'the engine'} does not know {names} → %mirador settings tells where it is set"
        if note not in self.notes:  # another model may stand in, and be asked the same
            self.notes.append(note)

    def finished(self, event: StageFinished) -> None:
        self.status, self.ended = "done", event.at
        self.gauge.end()
        self.tokens, self.decode_s = event.end.output_tokens, event.end.decode_s
        if event.end.reason == "length":
            self.is_cut = True
            self.notes.append(self._cut(event.end))
        if event.end.reason == "size":
            self.is_cut = True
            most = self.stage.max_chars
            self.notes.append(f"cut off after {most:,} characters → --max-chars {2 * most}")
        if event.end.reason == "loop":
            self.is_looping = True
            self.notes.append("■ stopped: it repeated itself")
        if event.end.prompt_cut:
            self.notes.append(
                f"the prompt was longer than the context{self._size()}: "
                "the engine dropped part of it → shorten it, or raise num_ctx"
            )

    def _size(self) -> str:
        context = self.stage.options.num_ctx
        return f" of {context} tokens" if context else ", the model's own"

    def failed(self, event: StageFailed) -> None:
        self.status, self.ended, self.error = "failed", event.at, str(event.error)
        self.gauge.end()
        self._join()
        if self.text:
            self.notes.append(self._kept())

    def stopped(self, event: StageStopped) -> None:
        self.status, self.ended = "stopped", event.at
        self.gauge.end()

    def told(self, outcome: Outcome) -> None:
        """What the end of the run says about a stage that was cut short or never began."""
        self._join()
        if self.status == "stopped":
            self.notes.append(f"■ {outcome}: {self._kept()}")
        elif self.status == "waiting":
            self.status = "skipped"

    @property
    def whole(self) -> str:
        """All of its text so far."""
        self._join()
        return self.text

    @property
    def weakest(self) -> str:
        """The sentence that the model was least sure of, once the stage is over."""
        if self._weakest is None and self.ended is not None:
            self._weakest = self.gauge.weakest(self.whole)
        return self._weakest or ""

    def _join(self) -> None:
        """Joined when the picture is taken, not at each chunk: these come faster."""
        if self._parts:
            self.text += "".join(self._parts)
            self._parts.clear()
        if self._thoughts:
            self.thinking += "".join(self._thoughts)
            self._thoughts.clear()

    def _cut(self, end: StreamEnd) -> str:
        """What an answer was cut off by, as far as the engine's counts tell it."""
        told, limit, context = end.output_tokens, *self._limits()
        if told and limit and told >= limit:
            return f"cut off at the stage's limit of {limit} tokens → --num-predict {2 * limit}"
        if told and context and told + (end.prompt_tokens or 0) >= context - _SLACK:
            return f"cut off: the context of {context} tokens is full → --num-ctx {2 * context}"
        return "cut off at its length limit (num_predict, or the context is full)"

    def _limits(self) -> tuple[int | None, int | None]:
        return self.stage.options.num_predict, self.stage.options.num_ctx

    def _most(self) -> float:
        """Above which the confidence cannot be, for what is known of the answer."""
        if self.is_looping:
            return LOOPED
        return HELD if self.is_cut or self.status == "failed" else 1.0

    def _rate(self) -> float | None:
        """tokens / seconds of decoding, by the engine's own figures."""
        return self.tokens / self.decode_s if self.tokens and self.decode_s else None

    def _kept(self) -> str:
        """How much stands, in words for the note of a stage that did not end by itself."""
        words = len(self.text.split())
        return f"{words} word{'' if words == 1 else 's'} kept"
