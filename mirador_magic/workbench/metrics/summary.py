"""Figures of many runs, or of many stages, from what the store keeps of each. Nothing is read here."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mirador_magic.pipeline.metrics import percentile
from mirador_magic.store import Row

PROMPT = 1.0  # seconds to the first text under which an answer counts as prompt


@dataclass(frozen=True)
class Spread:
    """How a measure lies, in seconds. Percentiles by nearest rank, None of too few to have any above."""

    count: int
    mean: float
    median: float
    p95: float | None
    p99: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Runs, or stages of one name or model, that belong together.

    `answered` holds the `partial` ones, which answered though a stage failed. `first` is the time to
    the first answer text, of the runs from the question, of the stages from their own request; `warm`
    and `cold` are the same of those of which that is known, `cold` where a model had to be loaded
    first. `total` is of those that answered, `tpot` the time per output token after the first. Tokens
    are summed; None where no engine told any. `prompt` are those with a first text in under a second.
    """

    name: str
    count: int
    answered: int
    partial: int
    failed: int
    stopped: int
    prompt: int
    first: Spread | None
    warm: Spread | None
    cold: Spread | None
    total: Spread | None
    tpot: Spread | None
    prompt_tokens: int | None
    output_tokens: int | None
    colds: int
    swaps: int

    @property
    def success(self) -> float:
        """The share that answered, in 0..1."""
        return self.answered / self.count

    @property
    def under_1s(self) -> float:
        """The share with a first text in under a second, in 0..1; what had none counts against it."""
        return self.prompt / self.count


def summary(rows: Iterable[Row]) -> list[Group]:
    """The figures of each group, in the order in which the groups first come."""
    groups: dict[str, _Tally] = defaultdict(_Tally)
    for row in rows:
        groups[row[0]].add(row)
    return [tally.group(name) for name, tally in groups.items()]


class _Tally:
    """What is counted of a group while its rows go by; 100,000 of them are a usual number."""

    def __init__(self) -> None:
        self.ends = Counter[str]()
        self.first: dict[int | None, list[float]] = {0: [], 1: [], None: []}  # by cold
        self.totals: list[float] = []
        self.tpots: list[float] = []
        self.prompts: int | None = None
        self.outputs: int | None = None
        self.colds = self.swaps = 0

    def add(self, row: Row) -> None:
        _, end, first, total, tpot, prompt, output, cold, swaps = row
        self.ends[end] += 1
        if first is not None:
            self.first[cold].append(first)
        if total is not None and end in ("answered", "partial"):
            self.totals.append(total)
        if tpot is not None:
            self.tpots.append(tpot)
        if prompt is not None:
            self.prompts = (self.prompts or 0) + prompt
        if output is not None:
            self.outputs = (self.outputs or 0) + output
        if cold:
            self.colds += 1
        self.swaps += swaps

    def group(self, name: str) -> Group:
        warm, cold = sorted(self.first[0]), sorted(self.first[1])
        first = sorted([*warm, *cold, *self.first[None]])  # what is in order already costs little
        ends = self.ends
        return Group(
            name,
            count=ends.total(),
            answered=ends["answered"] + ends["partial"],
            partial=ends["partial"],
            failed=ends["failed"],
            stopped=ends["stopped"],
            prompt=bisect_left(first, PROMPT),
            first=spread(first),
            warm=spread(warm),
            cold=spread(cold),
            total=spread(sorted(self.totals)),
            tpot=spread(sorted(self.tpots)),
            prompt_tokens=self.prompts,
            output_tokens=self.outputs,
            colds=self.colds,
            swaps=self.swaps,
        )


def spread(ranked: Sequence[float]) -> Spread | None:
    """Of values in their order; None of none."""
    if not ranked:
        return None
    count = len(ranked)
    return Spread(
        count,
        mean=sum(ranked) / count,
        median=(ranked[(count - 1) // 2] + ranked[count // 2]) / 2,
        p95=percentile(ranked, 0.95) if count >= 20 else None,
        p99=percentile(ranked, 0.99) if count >= 100 else None,
        low=ranked[0],
        high=ranked[-1],
    )
