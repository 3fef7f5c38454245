"""The plans of what is done beside a stage that writes, and which of them pays.

    sequence    nothing beside: the measure of the others
    load        the next model is loaded
    prefill     and its prompt, as far as it is known, is read into the cache

Which one pays is told by what was measured of each: what the stage that wrote lost by it, and how long
the next one's first token took.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Literal

from mirador_magic.engines.base import ModelInfo
from mirador_magic.residency.history import Effect

Plan = Literal["sequence", "load", "prefill"]
Effects = Mapping[Plan, list[Effect]]

PLANS: tuple[Plan, ...] = ("sequence", "load", "prefill")
LEAST_PACE = 10.0  # tokens a second: twice as fast as people read
FEW = round(LEAST_PACE)  # chunks by which a pace is measured, at least
SPARED = 0.9  # of its pace: what a stage keeps where there are cores to spare
INSTANT = 1e-9  # seconds; in less no pace is measured


def room(running: ModelInfo, effects: Effects) -> tuple[Plan, ...]:
    """The plans that may be tried beside a running model, in this order.

    Beside one that is in a GPU's memory as a whole, all. On a CPU a load may halve the pace, so it
    needs a model with twice the least of it; and a prefill, which cannot be called off, needs cores
    to spare: a load has left the stage its pace.
    """
    alone = statistics.median(effect.pace for effect in effects["sequence"])
    if running.vram and running.vram >= running.size:
        return ("prefill", "load") if alone > LEAST_PACE else ()
    if alone < 2 * LEAST_PACE:
        return ()
    left = statistics.median([effect.share for effect in effects.get("load", ())] or [0.0])
    return ("load", "prefill") if left >= SPARED else ("load",)


def choose(effects: Effects, running: ModelInfo) -> Plan:
    """The plan for the next time: one not tried yet, else the one that ends two stages first.

    Nothing is tried before the plain sequence was measured; a plan that slowed its stage below
    LEAST_PACE is not taken again.
    """
    if not effects.get("sequence"):
        return "sequence"
    possible = room(running, effects)
    for plan in possible:
        if not effects.get(plan):
            return plan
    bearable = [p for p in possible if min(each.pace for each in effects[p]) >= LEAST_PACE]
    return min(["sequence", *bearable], key=lambda plan: _cost(effects[plan]))


def _cost(measured: Sequence[Effect]) -> float:
    """Seconds that the two stages took for it, the first one's own writing aside."""
    return statistics.median(e.lost for e in measured) + statistics.median(e.gap for e in measured)


def slowed(
    times: Sequence[float], began: float, until: float, usual: float
) -> tuple[float, float, float]:
    """A stage's pace beside what went on from `began` to `until`, in tokens a second; the share that
    it is of the stage's own pace; and the seconds that it lost.

    `times` are those of its chunks, each of them a token. Its own pace is the one right behind; where
    it came to its end before that could be seen, its `usual` one.
    """
    until = max(until, times[min(bisect_right(times, began) + FEW, len(times)) - 1])
    if until - began < INSTANT:
        return usual, 1.0, 0.0
    behind = min(until + (until - began), times[-1])
    pace = _rate(times, began, until)
    alone = _rate(times, until, behind) if behind - until >= (until - began) / 2 else usual
    share = min(pace / alone, 1.0) if alone else 1.0
    return pace, share, (until - began) * (1 - share)


def _rate(times: Sequence[float], since: float, until: float) -> float:
    return (bisect_right(times, until) - bisect_right(times, since)) / (until - since)
