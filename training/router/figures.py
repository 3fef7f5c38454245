"""How well queries were routed: with labels, by author."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from mirador_magic.routing.router import CLASSES

QUERIES = Path(__file__).parent / "queries"
LEFT_OUT = Path(__file__).parent / "left_out.txt"  # a letter a query, in the order of their files

_DRAWS = 1000

Row = dict[str, str]
Pair = tuple[str, str]  # truth, route


def read(*files: Path) -> list[Row]:
    """The labelled queries of these files, one JSON object a line; each file is an author's."""
    return [
        {**json.loads(line), "author": file.stem}
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line
    ]


def report(rows: Sequence[Row], routed: Sequence[str]) -> str:
    """Macro-F1, swaps between simple and complex, what goes to the middle, and the confusion table.

    Intervals are 95 %, of authors drawn anew, or of queries where there is one author.
    """
    found = [(row["label"], route) for row, route in zip(rows, routed, strict=True)]
    groups: dict[object, list[Pair]] = defaultdict(list)
    one = len({row["author"] for row in rows}) == 1
    for place, (row, pair) in enumerate(zip(rows, found, strict=True)):
        groups[place if one else row["author"]].append(pair)
    right = sum(truth == route for truth, route in found)
    drawn = list(groups.values())
    middle = ", ".join(f"{_middle(found, name):.0%} of {name}" for name in ("simple", "complex"))
    score = f"macro-F1 {macro_f1(found):.3f} ({_interval(drawn, macro_f1, '.3f')})"
    swaps = f"swapped {swapped(found):.1%} ({_interval(drawn, swapped, '.1%')})"
    lines = [
        f"n={len(found)} accuracy {right / len(found):.3f}, {score}",
        f"simple and complex {swaps}; to the middle: {middle}",
        "truth \\\\ route " + " ".join(f"{name:>8}" for name in CLASSES),
    ]
    table = Counter(found)
    for truth in CLASSES:
        counts = " ".join(f"{table[truth, route]:8}" for route in CLASSES)
        lines.append(f"{truth:13} {counts}")
    return "\n".join(lines)


def macro_f1(found: Sequence[Pair]) -> float:
    """The mean of the three complexities' F1, 0..1."""
    table = Counter(found)
    scores = []
    for name in CLASSES:
        said = sum(count for (_, route), count in table.items() if route == name)
        true = sum(count for (truth, _), count in table.items() if truth == name)
        scores.append(2 * table[name, name] / max(said + true, 1))
    return sum(scores) / 3


def swapped(found: Sequence[Pair]) -> float:
    """The share that was taken for complex and is simple, or the reverse."""
    return sum({truth, route} == {"simple", "complex"} for truth, route in found) / len(found)


def _middle(found: Sequence[Pair], label: str) -> float:
    routes = [route for truth, route in found if truth == label]
    return routes.count("medium") / max(len(routes), 1)


def _interval(
    groups: Sequence[list[Pair]], figure: Callable[[Sequence[Pair]], float], form: str
) -> str:
    """Between what 95 of 100 draws of as many groups lie."""
    chance = random.Random(0)
    drawn = sorted(
        figure([pair for group in chance.choices(groups, k=len(groups)) for pair in group])
        for _ in range(_DRAWS)
    )
    return f"{drawn[_DRAWS // 40]:{form}}–{drawn[-_DRAWS // 40]:{form}}"
