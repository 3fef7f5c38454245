"""The same question, answered in several ways: what came of it, and which one was picked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mirador_magic.answer.answer import Answer, StageAnswer
from mirador_magic.errors import UsageError
from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request
from mirador_magic.stages import nearest
from mirador_magic.workbench.compare.variants import Kind, Variant

Keep = Callable[["Columns"], str]  # keeps the pick; gives why it could not, or ''


class Column:
    """One variant, and what came of it. `handle` is None until it is asked."""

    def __init__(self, variant: Variant, question: str) -> None:
        self.variant = variant
        self.request = Request(
            question, stages=(variant.stage,), settings=variant.settings, purpose="compare"
        )
        self.handle: Handle | None = None
        self.is_skipped = False

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def stage(self) -> StageAnswer:
        """Its answer as it stands."""
        if self.handle and (stages := self.handle.answer.stages):
            return stages[0]
        own = self.variant
        waiting = StageAnswer(own.stage, own.model, own.confidence)
        return replace(waiting, status="skipped") if self.is_skipped else waiting

    @property
    def figures(self) -> StageMetrics | None:
        """Its figures so far; None until it is asked."""
        stages = self.handle.metrics.stages if self.handle else ()
        return stages[0] if stages else None


class Columns:
    """All variants of one question, in their order, and the one that was picked.

    `names` are those of the models, the stages or the prompts, as `kind` says; `chosen` is the one
    that was picked, or None.
    """

    def __init__(
        self, question: str, kind: Kind, variants: Sequence[Variant], keep: Keep = lambda _: ""
    ) -> None:
        self.question = question
        self.kind = kind
        self.columns = tuple(Column(variant, question) for variant in variants)
        self.chosen: str | None = None
        self.trouble = ""  # why the pick could not be kept
        self.watchers: list[Callable[[], None]] = []  # are told of each pick
        self._keep = keep

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def answers(self) -> Mapping[str, Answer]:
        """By name, those that were asked."""
        return {each.name: each.handle.answer for each in self.columns if each.handle}

    @property
    def metrics(self) -> Mapping[str, RunMetrics]:
        """By name, the figures of those that were asked."""
        return {each.name: each.handle.metrics for each in self.columns if each.handle}

    def pick(self, name: str) -> None:
        """Keep this one as the best; another pick takes its place. Raises UsageError for no name."""
        if name not in self.names:
            cure = nearest(name, self.names) or f"pick one of: {', '.join(self.names)}"
            raise UsageError(f"{name!r} was not compared", cure)
        self.chosen = name
        self.trouble = self._keep(self)
        for tell in self.watchers:
            tell()

    def failure(self) -> BaseException | None:
        """The first cause where each one that was asked failed; else None."""
        errors = [column.handle.error for column in self.columns if column.handle]
        return errors[0] if errors and all(errors) else None

    def __getitem__(self, name: str) -> Answer:
        return self.answers[name]
