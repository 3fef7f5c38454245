"""Every measured point on one axis of time: as dots in HTML, as text, and as a picture.

A line for each arm, warm and cold, and each measure; the axis is logarithmic, from the least to the
greatest. An arm that shows all at its end has one line, since both measures are the same there.
"""

from __future__ import annotations

import html
import importlib.util
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirador_magic.answer.words import one_line, seconds
from mirador_magic.confidence import CYAN, GRAY
from mirador_magic.views.static import QUIET
from mirador_magic.workbench.benchmark.measured import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELLS = 56  # characters of a line
_HEIGHT = 0.3  # inches of a line
_LEAST = 0.001  # seconds: what took less stands at the axis's beginning
_INK = "#7a7a7a"  # legible on white and on black

Span = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line: its name and its times in seconds. `useful`: of the first useful text."""

    name: str
    useful: bool
    values: tuple[float, ...]


def series(result: Measured) -> list[Series]:
    """The lines that have points, warm before cold."""
    found = []
    for cold in (False, True):
        for arm in result.arms:
            own = [p for p in result.points if (p.arm, p.cold) == (arm.name, cold) and p.counts]
            name = f"{one_line(arm.name)}, {'cold' if cold else 'warm'}"
            first = tuple(each.useful for each in own if each.useful is not None)
            found.append(Series(f"{name}: {'all' if arm.at_end else 'first text'}", True, first))
            if not arm.at_end:
                found.append(Series(f"{name}: all", False, tuple(each.total for each in own)))
    return [each for each in found if each.values]


def dots(result: Measured) -> str:
    """The points as HTML: cyan for the first useful text, gray for the whole."""
    lines = series(result)
    axis = _axis(lines)
    if axis is None:
        return ""
    rows = [_row(each, axis) for each in lines]
    ends = f"{seconds(axis[0])} to {seconds(axis[1])}, logarithmic"
    return f'{"".join(rows)}<div style="{QUIET}">every run, {html.escape(ends)}</div>'


def text_plot(result: Measured) -> str:
    """The points as text; a digit stands for so many runs in the same place, + for more than 9."""
    lines = series(result)
    axis = _axis(lines)
    if axis is None:
        return "no run came to its end"
    names = max(len(each.name) for each in lines)
    rows = [f"{each.name:{names}} │{_characters(each, axis)}│" for each in lines]
    low, high = seconds(axis[0]), seconds(axis[1])
    scale = f"{'':{names}}  {low}{high.rjust(_CELLS - len(low))}"
    return "\n".join(
        [*rows, scale, "every run: · is one, a digit that many; the axis is logarithmic"]
    )


def has_pictures() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def picture(result: Measured) -> bytes | None:
    """The points and their medians as a PNG, for light and dark pages; None without matplotlib."""
    lines = series(result)
    if not lines or not has_pictures():
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.9 + _HEIGHT * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    for place, each in enumerate(lines):
        _draw(axes, place, each)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [each.name for each in lines])
    axes.invert_yaxis()
    axes.set_xlabel("seconds after the question; a stroke is the median")
    _quieten(axes)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, transparent=True)
    return file.getvalue()


def _draw(axes: Axes, place: int, line: Series) -> None:
    """The dots of one line, a little apart, and the stroke of their median."""
    colour = CYAN if line.useful else GRAY
    times = [max(value, _LEAST) for value in line.values]
    apart = [place + 0.06 * (number % 5 - 2) for number in range(len(times))]
    axes.plot(times, apart, "o", color=colour, alpha=0.6, markersize=5, markeredgewidth=0)
    middle = statistics.median(times)
    axes.plot([middle, middle], [place - 0.35, place + 0.35], color=colour, linewidth=2)


def _quieten(axes: Axes) -> None:
    """Ink that is legible on light and dark pages, times as plain numbers, and no box."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(colors=_INK, which="both")
    axes.xaxis.label.set_color(_INK)
    axes.grid(axis="x", color=GRAY, alpha=0.3, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)


def _axis(lines: Sequence[Series]) -> Span | None:
    """The least and the greatest time, apart from each other; None without any."""
    values = [value for line in lines for value in line.values]
    if not values:
        return None
    low, high = max(min(values), _LEAST), max(values)
    return low, max(high, low * 1.1)


def _place(value: float, axis: Span) -> float:
    """Where on the axis, in 0..1."""
    low, high = axis
    return math.log(max(value, low) / low) / math.log(high / low)


def _characters(line: Series, axis: Span) -> str:
    counts = [0] * _CELLS
    for value in line.values:
        counts[round(_place(value, axis) * (_CELLS - 1))] += 1
    marks = {0: " ", 1: "·"}
    return "".join(marks.get(count, str(count) if count < 10 else "+") for count in counts)


def _row(line: Series, axis: Span) -> str:
    """A name and its dots: each hangs on a mark without width, so many per cent behind the last."""
    colour = CYAN if line.useful else GRAY
    dot = (
        f'<span style="display:inline-block;width:8px;height:8px;margin-left:-4px;'
        f'border-radius:4px;background-color:{colour};opacity:.65"></span>'
    )
    marks, behind = [], 0.0
    for place in sorted(100 * _place(value, axis) for value in line.values):
        style = f"display:inline-block;width:0;margin-left:{place - behind:.2f}%"
        marks.append(f'<span style="{style}">{dot}</span>')
        behind = place
    track = "white-space:nowrap;max-width:520px;height:18px;line-height:18px;margin:0 6px"
    name = f'<div style="{QUIET}">{html.escape(line.name)}</div>'
    return f'{name}<div style="{track};border-bottom:1px solid {GRAY}40">{"".join(marks)}</div>'
