"""Which runs of a benchmark may go on at the same time without one measuring the other.

A model is asked by one run at a time. Different ones of an endpoint are asked at once, as far as its
limit goes, and so are those of different endpoints. Where any model is at home all is done in order: it
takes the processor with which the others' words are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from mirador_magic.pipeline.at_once import Place
from mirador_magic.workbench.benchmark.plan import Trial, seconds_left


class Lanes:
    """Puts each arm into a lane, by the models that its runs go through and the place of each.

    Runs of one lane go one after the other, and wait for no other lane's. `away` are the arms of which
    a model is past this machine.
    """

    def __init__(self, models: Mapping[str, Sequence[str]], at: Callable[[str], Place]) -> None:
        self._lanes = _lanes(models, at)
        self.away = [arm for arm, own in models.items() if any(at(model).name for model in own)]

    def of(self, trial: Trial) -> int:
        """The lane of this run."""
        return self._lanes[trial.arm.name]

    def notes(self) -> list[str]:
        """What is to be said of it beside the figures."""
        told = []
        if self.away:
            arms = ", ".join(self.away)
            told.append(f"no cold runs of {arms}: what is in memory past this machine is not told")
        if (many := len(set(self._lanes.values()))) > 1:
            told.append(f"{many} runs at once, each of models that no other one asked")
        return told

    def left(self, took: Sequence[tuple[bool, float]], todo: Sequence[Trial]) -> float | None:
        """Seconds until the longest lane is through; see `plan.seconds_left`."""
        own = [
            [each for each in todo if self.of(each) == lane] for lane in set(self._lanes.values())
        ]
        left = [seconds_left(took, each) for each in own]
        return max((each for each in left if each is not None), default=None)


def _lanes(models: Mapping[str, Sequence[str]], at: Callable[[str], Place]) -> dict[str, int]:
    places: dict[str, tuple[str, int]] = {}
    for model in dict.fromkeys(itertools.chain.from_iterable(models.values())):
        place = at(model)
        before = sum(name == place.name for name, _ in places.values())
        places[model] = place.name, before % place.at_once
    if any(name == "" for name, _ in places.values()):
        return dict.fromkeys(models, 0)
    taken = {arm: {places[model] for model in own} for arm, own in models.items()}
    found = {arm: number for number, arm in enumerate(models)}
    for one, other in itertools.combinations(models, 2):
        if taken[one] & taken[other]:
            old, new = found[other], found[one]
            found = {arm: new if lane == old else lane for arm, lane in found.items()}
    return found
