"""What one run needs of the answers before it, and what it leaves to those after it.

How sure a model usually is in a stage says whether it is unusually unsure now. And whether the quick
stage's log-probabilities are asked for at all: on some Ollamas they cost some 5 ms a token, a third
of a fast model's pace. That is measured on answers, by engine and model: three with them, three
without, the fastest of each compared, since whatever else the machine does only ever slows them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Sequence

from mirador_magic.engines.base import Engine
from mirador_magic.events import Event, RunFinished, StageFinished
from mirador_magic.residency.history import History
from mirador_magic.stages import DEFAULT_STAGES, ModelStage

Measured = tuple[str, str, float]  # model, stage, measured confidence of an answer

QUICK = DEFAULT_STAGES[0].name

TOO_DEAR = 0.10  # of the pace
ENOUGH = 3  # answers with, and without
_LEAST_TOKENS = 16  # of an answer whose pace is worth remembering
_SLOW = 12.0  # tokens a second: there no known cost (7 ms a token) is a tenth of the time


def cost(with_them: Sequence[float], without: Sequence[float]) -> float | None:
    """Which part of the pace log-probabilities cost, in 0..1; None until it was measured.

    Both are paces in tokens a second: cost = 1 - max(with) / max(without), over the last ENOUGH of
    each.
    """
    if len(with_them) < ENOUGH or len(without) < ENOUGH:
        return None
    return max(1 - max(with_them[-ENOUGH:]) / max(without[-ENOUGH:]), 0.0)


def is_worth(with_them: Sequence[float], without: Sequence[float]) -> tuple[bool, str]:
    """Whether to ask for log-probabilities the next time, and what there is to say where not."""
    known = cost(with_them, without)
    if known is not None:
        why = f"log-probabilities off: they cost {known:.0%} of the pace".replace("%", " %")
        return (True, "") if known <= TOO_DEAR else (False, why)
    if len(with_them) < ENOUGH or max(with_them[-ENOUGH:]) < _SLOW:
        return True, ""
    return False, "log-probabilities off for this answer: what they cost is measured"


class Trust:
    """Watches one run. `worth` is what earlier runs of this process found out, by engine and model:
    before a first token no file is read. Where it does not `keep`, nothing is remembered of the run.
    """

    def __init__(
        self,
        history: History,
        worth: dict[tuple[str, str], tuple[bool, str]] | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        self._history = history
        self._worth = {} if worth is None else worth
        self._keeps = keeps
        self._asked: dict[str, tuple[str, str, bool]] = {}  # by stage: engine, model, with them
        self._notes: dict[str, str] = {}
        self._paces: list[tuple[str, str, bool, float]] = []
        self.past = functools.cache(self._past)

    def _past(self, model: str, stage: str) -> tuple[float, ...]:
        """The measured confidences of the model's answers in this stage before this run."""
        return tuple(self._history.measured(model, stage))

    def note(self, stage: str) -> str:
        """What there is to say of how this stage was asked, or ''."""
        return self._notes.get(stage, "")

    def asks(self, engine: Engine, stage: ModelStage) -> bool:
        """Whether log-probabilities are asked for; for the quick stage where they are not too dear."""
        if not self._keeps or stage.name != QUICK or engine.name != "ollama":
            return True
        found, why = self._worth.get((engine.key, stage.model), (True, ""))
        self._asked[stage.name] = engine.key, stage.model, found
        self._notes[stage.name] = why
        return found

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageFinished) and event.stage in self._asked:
            tokens, seconds = event.end.output_tokens, event.end.decode_s
            if tokens and seconds and tokens >= _LEAST_TOKENS:
                self._paces.append((*self._asked[event.stage], tokens / seconds))

    def keeper(self, measured: Callable[[], Iterable[Measured]]) -> Callable[[Event], None]:
        """A watcher that keeps what there is then, once the run is over and was shown."""

        def ends(event: Event) -> None:
            if isinstance(event, RunFinished):
                asyncio.get_running_loop().call_soon(lambda: self.keep(measured()))

        return ends

    def keep(self, measured: Iterable[Measured]) -> None:
        """Remember the run."""
        if not self._keeps:
            return
        self._history.was_measured(measured)
        for key, model, logprobs, pace in self._paces:
            self._history.paced(key, model, pace, logprobs=logprobs)
            paces = (self._history.paces(key, model, logprobs=each) for each in (True, False))
            self._worth[key, model] = is_worth(*paces)
        self._paces.clear()
