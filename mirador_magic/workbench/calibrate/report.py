"""What a calibration is worth: its figures as a table, its reliability as bars or a picture."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mirador_magic.views import frame
from mirador_magic.workbench.calibrate import kept
from mirador_magic.workbench.calibrate.figures import Bin, Figures, auroc, bins, figures, spread
from mirador_magic.workbench.calibrate.fit import Point, fitted, lacks
from mirador_magic.workbench.intervals import Interval, of_share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELLS = 20
_QUIET = "opacity:.62;font-size:13px"
_CELL = "padding:1px 16px 1px 0;text-align:left"


@dataclass(frozen=True)
class Judgement:
    """One model in one stage. `calibrated` is cross-validated; None where `lacks` says what is missing.

    `length` is the AUROC of the answer's length alone, shorter ones taken as surer: the baseline.
    """

    model: str
    stage: str
    answers: int
    right: Interval
    measured: Figures
    measured_bins: tuple[Bin, ...]
    length: Interval
    kind: str = ""
    calibrated: Figures | None = None
    calibrated_bins: tuple[Bin, ...] = ()
    lacks: str = ""

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table: a head and a line for each confidence, all text."""
        head = ("confidence", "AUROC", "Brier", "ECE")
        rows = [head, ("measured", *_told(self.measured))]
        if self.calibrated:
            rows.append((f"calibrated by {self.kind}, cross-validated", *_told(self.calibrated)))
        return [*rows, ("length alone, shorter is surer", _interval(self.length), "", "")]

    @property
    def shown_bins(self) -> tuple[str, tuple[Bin, ...]]:
        """What the bars show, and its bins."""
        if self.calibrated:
            return "calibrated", self.calibrated_bins
        return "measured", self.measured_bins

    def __str__(self) -> str:
        name, shown = self.shown_bins
        lines = [_headline(self), *_columns(self.rows), "", f"{name}  right"]
        return "\n".join([*lines, *map(_bar, shown), *filter(None, [self.lacks])])


@dataclass(frozen=True)
class Report:
    """What labelled answers say, by model and stage. A notebook shows it as HTML, print() as text."""

    judgements: tuple[Judgement, ...]

    def __str__(self) -> str:
        if not self.judgements:
            return "nothing is calibrated yet → %mirador calibrate questions.jsonl"
        return "\n\n".join(map(str, self.judgements))

    def __repr__(self) -> str:
        return f"<calibration of {len(self.judgements)}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        page = "".join(map(_html, self.judgements)) or html.escape(str(self))
        return frame.bundle(page, str(self))

    def figure(self) -> Figure:
        """The reliability diagrams as a matplotlib figure. Raises ImportError without matplotlib."""
        from matplotlib.figure import Figure as Drawn

        count = max(len(self.judgements), 1)
        drawn = Drawn(figsize=(3.2 * count, 3.2), layout="constrained")
        axes = drawn.subplots(1, count, squeeze=False)[0]
        for each, ax in zip(self.judgements, axes, strict=False):
            ax.plot([0, 1], [0, 1], color="#808080", linewidth=1, linestyle="--")
            for name, shown in (
                ("measured", each.measured_bins),
                ("calibrated", each.calibrated_bins),
            ):
                points = [b.confidence for b in shown], [b.right for b in shown]
                ax.plot(*points, marker="o", linestyle="", label=name if shown else "_nothing")
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="right")
            title = f"{each.stage}\n{each.model} (n={each.answers})"
            ax.set_title(title, fontsize=9, parse_math=False)
            ax.legend(fontsize=8, frameon=False)
        return drawn

    def png(self) -> bytes | None:
        """The same as a picture; None where matplotlib is not installed."""
        try:
            drawn = self.figure()
        except ImportError:
            return None
        file = io.BytesIO()
        drawn.savefig(file, format="png", dpi=110)
        return file.getvalue()


def report(places: Iterable[tuple[str, str]] | None = None, file: Path | None = None) -> Report:
    """Of these (model, stage), or of all that is kept. It takes a second for some hundred answers."""
    known = kept.read(file)
    wanted: Mapping[tuple[str, str], object] = known if places is None else dict.fromkeys(places)
    return Report(
        tuple(judgement(*place, list(known[place].values())) for place in wanted if place in known)
    )


def judgement(model: str, stage: str, points: Sequence[Point]) -> Judgement:
    """Of the labelled answers of one model in one stage, one at least."""
    pairs = [(point.measured, point.right) for point in points]
    found = fitted(points)
    return Judgement(
        model,
        stage,
        len(points),
        of_share(sum(point.right for point in points), len(points)),
        figures(pairs),
        tuple(bins(pairs)),
        spread(auroc, [(-point.length, point.right) for point in points]),
        kind=found.kind if found else "",
        calibrated=figures(found.cross_validated) if found else None,
        calibrated_bins=tuple(bins(found.cross_validated)) if found else (),
        lacks=lacks(points),
    )


def _told(found: Figures) -> tuple[str, ...]:
    return tuple(_interval(each) for each in (found.auroc, found.brier, found.ece))


def _interval(found: Interval) -> str:
    if math.isnan(found.value):
        return "unknown"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _headline(each: Judgement) -> str:
    right = f"{each.right.value:.0%} right ({each.right.low:.0%} to {each.right.high:.0%})"
    answers = f"{each.answers} labelled answer{'' if each.answers == 1 else 's'}"
    return f"{each.stage} · {each.model} · {answers}, {right.replace('%', ' %')}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _bar(each: Bin) -> str:
    """A bin: its confidence, the share that was right as a bar in which `│` is the confidence."""
    full, aim = round(each.right * _CELLS), min(int(each.confidence * _CELLS), _CELLS - 1)
    cells = list("█" * full + "░" * (_CELLS - full))
    cells[aim] = "│"
    return f"{each.confidence:.2f}  {''.join(cells)}  {each.right:.2f} of {each.answers}"


def _html(each: Judgement) -> str:
    name, shown = each.shown_bins
    rows = "".join(_row(row, "th" if not i else "td") for i, row in enumerate(each.rows))
    bars = html.escape("\n".join(map(_bar, shown)))
    lacks_ = f'<div style="{_QUIET}">{html.escape(each.lacks)}</div>' if each.lacks else ""
    return (
        f'<div style="margin:2px 0 6px"><b>{html.escape(_headline(each))}</b></div>'
        f'<table style="border-collapse:collapse;font-size:13px;margin:0 0 6px">{rows}</table>'
        f'<div style="{_QUIET}">{name}, and the share of such answers that was right'
        " (│ is where it should end)</div>"
        f'<pre style="line-height:1.25;margin:0 0 6px">{bars}</pre>{lacks_}'
    )


def _row(row: Sequence[str], tag: str) -> str:
    cells = "".join(f'<{tag} style="{_CELL}">{html.escape(cell)}</{tag}>' for cell in row)
    return f"<tr>{cells}</tr>"
