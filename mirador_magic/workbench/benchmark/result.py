"""A benchmark as its reader holds it: what was measured, with all the ways to show it."""

from __future__ import annotations

from dataclasses import fields

from mirador_magic.workbench.benchmark import files, sheet
from mirador_magic.workbench.benchmark.measured import Measured


class Benchmark(Measured):
    """What `benchmark()` gives. `str()` of it is its tables as text."""

    @classmethod
    def of(cls, measured: Measured) -> Benchmark:
        """What was measured, to be shown."""
        return cls(**{each.name: getattr(measured, each.name) for each in fields(measured)})

    def to_json(self) -> str:
        """All of it as JSON, the questions among it; `load` reads it from a file."""
        return files.to_json(self)

    def show(self) -> None:
        """Display it in the cell once more: the tables, the picture, what was measured where."""
        from mirador_magic.workbench.benchmark.board import show  # it brings IPython

        show(self)

    def __str__(self) -> str:
        return sheet.text(self)

    def __repr__(self) -> str:
        told = f"{len(self.points)} of {self.planned} runs"
        return f"<Benchmark {self.title}: {told}; .show(), .to_dataframe(), .to_json()>"
