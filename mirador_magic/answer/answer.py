"""An answer: what each stage wrote, how long it took and how it ended. A frozen, plain value."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from mirador_magic.answer.standing import Standing, standing
from mirador_magic.confidence import Features, How
from mirador_magic.errors import UsageError
from mirador_magic.events import Outcome

Status = Literal["waiting", "asked", "thinking", "writing", "done", "stopped", "failed", "skipped"]

KINDS = ("text", "markdown", "json", "code")

LIVE: frozenset[Status] = frozenset({"asked", "thinking", "writing"})


@dataclass(frozen=True)
class StageAnswer:
    """One stage's part. Times are in seconds, `tokens` as the engine counts them.

    `confidence` is in 0..1; `how` tells whether it is the stage's declared one, measured from the
    tokens' probabilities, or calibrated on so many labelled `answers`. `measured` and `code` are what
    the tokens of its prose and of its fenced code said, in 0..1 before calibration; `features` is what
    a calibration reads besides.
    `weakest` is the sentence that the model was least sure of, '' where none stands out, `weakest_at` the
    geometric mean, in 0..1, of its 32 least sure tokens' probabilities; `is_cut`
    tells that the answer ended at its length limit, `is_looping` that it was ended because it repeated
    itself. `first_thought` (a model that
    thinks before it answers), `first_token` (of the answer) and `seconds` count from the stage's own
    start; `rate` is tokens per second of writing; None where there is nothing to
    count.
    `notes` are for people: what was substituted, cut or kept; `warmth` is how ready the model is,
    until the stage writes. `thinking` is what the model thought before it answered.
    """

    name: str
    model: str
    confidence: float
    status: Status = "waiting"
    text: str = ""
    first_token: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    rate: float | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    warmth: str = ""
    first_thought: float | None = None
    how: How = "declared"
    thinking: str = ""
    answers: int | None = None
    measured: float | None = None
    code: float | None = None
    features: Features | None = None
    weakest: str = ""
    weakest_at: float | None = None
    is_cut: bool = False
    is_looping: bool = False


@dataclass(frozen=True)
class Missing:
    """There is no model to ask: why, and what mends it where that is not to bring one.

    Of one that is being fetched `done` of `total` bytes have come; None where none is.
    """

    what: str
    cure: str
    done: int | None = None
    total: int = 0


@dataclass(frozen=True, repr=False)
class Answer:
    """What came of a question. `outcome` is None while the run goes on.

    `first_token` and `total` are in seconds from the run's start. `route` says why it went through
    these stages, '' where they were named; `turns` are the conversation that it continues, each a
    question and the answer to it. `doubt` is why a deeper stage may be worth its time, '' where
    nothing says so. `missing` is set where there is no model to ask. `instead` is why this engine
    answers in the place of another, where that was not said before.
    """

    question: str
    engine: str
    stages: tuple[StageAnswer, ...]
    outcome: Outcome | None = None
    first_token: float | None = None
    total: float = 0.0
    route: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    doubt: str = ""
    missing: Missing | None = None
    instead: str = ""

    @functools.cached_property
    def standing(self) -> Standing[StageAnswer] | None:
        """The stage whose answer is the answer, and why no later one is (`answer.standing`)."""
        return standing(self.question, self.stages)

    @property
    def text(self) -> str:
        """The text of the stage that stands; where none came to its end, the last that was begun; else ''."""
        if self.standing:
            return self.standing.stage.text
        return next((stage.text for stage in reversed(self.stages) if stage.text), "")

    @property
    def code(self) -> str:
        """The text's fenced code, its blocks one below the other; '' where it has none."""
        from markdown_it import MarkdownIt

        tokens = MarkdownIt("commonmark").parse(self.text)
        return "\n".join(token.content for token in tokens if token.type == "fence")

    def json(self) -> Any:
        """The text, or its fenced code, read as JSON. Raises UsageError where it is none."""
        for text in (self.text, self.code):
            with contextlib.suppress(ValueError):
                return json.loads(text)
        raise UsageError(
            "the answer is no JSON", "ask for JSON alone; it is in mirador_answer.text"
        )

    def as_(self, kind: str) -> Any:
        """The answer as `text`, `markdown`, `json` or `code`."""
        return {"text": self.__str__, "markdown": self.to_markdown, "json": self.json}.get(
            kind, lambda: self.code
        )()

    def to_markdown(self) -> str:
        """What every stage wrote, as Markdown, each below a heading with its name."""
        return "\n\n".join(
            f"## {stage.name}\n\n{stage.text.strip()}" for stage in self.stages if stage.text
        )

    def insert(self) -> None:
        """Put the answer's code into the next cell. Raises UsageError where there is none."""
        # By name: an answer is read where no notebook is, too.
        shell = importlib.import_module("IPython").get_ipython()
        if shell is None or not self.code:
            why = "the answer holds no code" if shell else "there is no notebook here"
            raise UsageError(why, "print(mirador_answer.text)")
        shell.set_next_input(self.code.rstrip())

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        done = sum(stage.status == "done" for stage in self.stages)
        state = self.outcome or "going on"
        return f"<Answer {self.question[:40]!r}: {state}, {done} of {len(self.stages)} stages>"

    def __getitem__(self, stage: str) -> StageAnswer:
        for each in self.stages:
            if each.name == stage:
                return each
        raise KeyError(stage)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from mirador_magic.views.static import bundle

        return bundle(self)


def joined(past: Answer, now: Answer) -> Answer:
    """`past` with the stages of a run that goes on from it: one more stage, or one of them again.

    A stage that is run again keeps what it had, until there is something new that came to its end.
    """
    new = {stage.name: stage for stage in now.stages}
    stages = [_joined(stage, new.pop(stage.name, None)) for stage in past.stages]
    return replace(
        now,
        route=past.route,
        engine=now.engine or past.engine,
        instead=now.instead,
        stages=(*stages, *new.values()),
        outcome=past.outcome if now.outcome == "failed" else now.outcome,
        first_token=past.first_token,
        total=past.total + now.total,
        doubt="",
    )


def _joined(old: StageAnswer, again: StageAnswer | None) -> StageAnswer:
    if again is None:
        return old
    if again.status in LIVE or again.status == "done" or not old.text:
        return again
    if again.status == "waiting":
        return old
    why = again.error or f"the second run was {again.status}"
    return replace(old, notes=(*old.notes, f"as it was before: {why}"))
