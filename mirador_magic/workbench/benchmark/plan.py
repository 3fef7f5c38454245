"""What is compared with what, and in which order.

Three comparisons, one at a time; the first arm is the one that the others are compared with:

    traditional, progressive    the same stages on the same models, shown at the end or as they come
    --models a,b                the same stages on one model each
    --stages fast,deep          routes: fast, balanced, deep, or stages with + between them

All arms answer a question one after the other, and take turns at being first: the later ones find
its prompt in the model's cache. The warm rounds come first, then a cold one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mirador_magic.commands.table import DEPTHS
from mirador_magic.errors import UsageError
from mirador_magic.routing.router import FIRST, STAGES
from mirador_magic.session.session import Request
from mirador_magic.settings import settings

TRADITIONAL, PROGRESSIVE = "traditional", "progressive"
ROUTES = {option.lstrip("-"): STAGES[depth] for option, depth in DEPTHS.items()}
COLD_ROUNDS = 1  # each run of it loads models, which takes longer than the answers


@dataclass(frozen=True)
class Arm:
    """One of what is compared.

    `stages` are those of every question; None leaves them to the settings, or to each question's
    own route. `model` is that of all stages, '' leaves each its own. With `at_end` nothing is shown
    before the end.
    """

    name: str
    stages: tuple[str, ...] | None = None
    model: str = ""
    at_end: bool = False

    def request(self, question: str) -> Request:
        """What it asks. Raises UsageError for a model that cannot be one."""
        given = {"model": self.model} if self.model else {}
        layer = settings.layer(given, "benchmark()")
        return Request(question, self.stages, settings=layer, purpose="benchmark")


@dataclass(frozen=True)
class Trial:
    """One run that is to be measured. `question` and `number`, its round, count from 0."""

    arm: Arm
    question: int
    number: int
    cold: bool


def arms(models: Sequence[str] = (), stages: Sequence[str] = ()) -> tuple[Arm, ...]:
    """What is compared. Raises UsageError for two comparisons at once, and for one thing twice."""
    if len(models) > 1 and len(stages) > 1:
        raise UsageError(
            "models or routes: one of them is compared at a time",
            "several models on one route: --models a,b --stages quick_response",
        )
    for name in (*models, *stages):
        if (*models, *stages).count(name) > 1:
            raise UsageError(f"{name} is named twice", "name each once")
    routes = [_route(each) for each in stages]
    if len(models) > 1:
        return tuple(Arm(model, routes[0] if routes else FIRST, model) for model in models)
    model = models[0] if models else ""
    if len(routes) > 1:
        return tuple(Arm(n, route, model) for n, route in zip(stages, routes, strict=True))
    only = routes[0] if routes else None
    return Arm(TRADITIONAL, only, model, at_end=True), Arm(PROGRESSIVE, only, model)


def trials(
    compared: Sequence[Arm], questions: int, repeats: int, cold_rounds: int = COLD_ROUNDS
) -> list[Trial]:
    """Every run in its order. `repeats` is how many warm rounds there are."""
    order = []
    for cold, rounds in ((False, repeats), (True, cold_rounds)):
        for number in range(rounds):
            for question in range(questions):
                first = (number + question) % len(compared)
                turn = (*compared[first:], *compared[:first])
                order += [Trial(arm, question, number, cold) for arm in turn]
    return order


def seconds_left(took: Sequence[tuple[bool, float]], todo: Sequence[Trial]) -> float | None:
    """How long what is to do will take, of (cold, seconds) of what was done; None of nothing."""
    if not took:
        return None
    every = statistics.fmean(seconds for _, seconds in took)
    of = {cold: [seconds for was, seconds in took if was == cold] for cold in (False, True)}
    mean = {cold: statistics.fmean(of[cold]) if of[cold] else every for cold in of}
    return sum(mean[trial.cold] for trial in todo)


def _route(text: str) -> tuple[str, ...]:
    return ROUTES.get(text) or tuple(part.strip() for part in text.split("+") if part.strip())
