"""The figures of `%mirador metrics`, as records and in the forms that other programs read."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mirador_magic.answer import words
from mirador_magic.errors import UsageError
from mirador_magic.store import By
from mirador_magic.workbench.metrics.summary import Group, Spread

Value = str | int | float | None

_COUNTS = ("count", "answered", "partial", "failed", "stopped", "success", "under_1s")
_TOKENS = ("prompt_tokens", "output_tokens", "colds", "swaps")
_SPREADS = ("first", "warm", "cold", "total", "tpot")

_FORMULA = ("=", "+", "-", "@")  # begins one, in a spreadsheet


@dataclass(frozen=True)
class Figures:
    """The figures of what was asked in the last `hours`: one group of all runs, or one for each value
    of what they are grouped `by`. Times are in seconds.
    """

    hours: float
    by: By | None
    groups: tuple[Group, ...]
    file: Path

    def to_json(self) -> str:
        """The groups with their figures, times in seconds."""
        told = {"hours": self.hours, "by": self.by, "groups": self.records()}
        return json.dumps(told, indent=1, ensure_ascii=False)

    def to_csv(self) -> str:
        """The same as a table with a line for each group."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(_columns()), lineterminator="\n")
        writer.writeheader()
        for record in self.records():
            name = str(record["name"])  # a spreadsheet takes such a one for a formula
            writer.writerow(record | {"name": f"'{name}" if name.startswith(_FORMULA) else name})
        return text.getvalue()

    def to_dataframe(self) -> Any:
        """The same as a pandas DataFrame. Raises UsageError where pandas is not installed."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise UsageError("a DataFrame needs pandas", "%pip install pandas") from None
        frame = pandas.DataFrame(self.records(), columns=list(_columns())).set_index("name")
        return frame.infer_objects().fillna(math.nan)  # a column of None alone would be of objects

    def records(self) -> list[dict[str, Value]]:
        """A flat record for each group, such as `first_p95_s`; None where there is nothing to tell."""
        return [dict(zip(_columns(), _values(group), strict=True)) for group in self.groups]


def _columns() -> tuple[str, ...]:
    spreads = [
        f"{measure}_{each.name}{'' if each.name == 'count' else '_s'}"
        for measure in _SPREADS
        for each in fields(Spread)
    ]
    return ("name", *_COUNTS, *_TOKENS, *spreads)


def _values(group: Group) -> list[Value]:
    plain: list[Value] = [words.one_line(group.name)]  # it may be printed in a terminal
    plain += [getattr(group, name) for name in (*_COUNTS, *_TOKENS)]
    return plain + [
        getattr(spread, each.name) if spread else (0 if each.name == "count" else None)
        for measure in _SPREADS
        for spread in [getattr(group, measure)]
        for each in fields(Spread)
    ]
