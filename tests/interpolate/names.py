"""A notebook's names, of every kind, for the tests of the filling."""

from __future__ import annotations

import collections
import datetime
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mirador_magic.interpolate import fill

np: Any = importlib.import_module("numpy")
pd: Any = importlib.import_module("pandas")


class Point(NamedTuple):
    left: int
    right: int


@dataclass
class Order:
    total: float
    lines: list[str]

    @property
    def acted(self) -> str:
        return "it was run"

    def mean(self) -> float:
        return 0.5


class Slotted:
    __slots__ = ("rate",)

    def __init__(self) -> None:
        self.rate = 0.1


def failed() -> Exception:
    try:
        raise ValueError("no such column: price")
    except ValueError as error:
        return error


class Own(float):
    def __add__(self, other: object) -> float:
        return 0.5

    __rsub__ = __add__


def main(*_: object) -> str:
    return "it was run"


FRAME = pd.DataFrame({"price": [1.5, 2.5, 4.0], "name": ["tea", "jam", "rye"]})
LONG = "\n".join(f"line {number}" for number in range(5))
NAMES: dict[str, object] = {
    "a": 3,
    "b": 4,
    "c": "see",
    "x": 0.25,
    "n": 1234567,
    "s": "two words",
    "long": LONG,
    "df": FRAME,
    "data": {"col": FRAME["price"], "k": 1},
    "rows": [10, 20, 30],
    "names": ["tea", "jam"],
    "In": ["", "import os", "1 + 1", "df.head()"],
    "Out": {3: "three"},
    "Err": failed(),
    "arr": np.arange(6.0).reshape(2, 3),
    "order": Order(9.5, ["tea"]),
    "point": Point(1, 2),
    "slotted": Slotted(),
    "own": Own(2),
    "tally": collections.Counter("aab"),
    "where": Path("some/where"),
    "big": range(10**11),
    "day": datetime.date(2024, 5, 6),
    "flag": True,
    "nothing": None,
    "holds": "{a} and {b}",
    "list_of": [1, 2],
    "np": np,
    "os": os,
    "main": main,
    "Order": Order,
    "id": 7,
}


def sheet(text: str) -> str:
    return fill(text, NAMES).text
