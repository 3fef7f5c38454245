"""Everything that a dashboard shows at one time, and the lines that every view of it says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mirador_magic.answer import words
from mirador_magic.engines.base import ModelInfo
from mirador_magic.workbench.dashboard.figures import Figures, Past, spark, tiles
from mirador_magic.workbench.dashboard.going import Going

TITLE = "mirador dashboard"
NO_RUN = "no run is kept yet → %mirador QUESTION"
IDLE = "nothing runs"

_DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Board:
    """`resident` are the models in memory, None where that is not known; `notes` are for people."""

    going: tuple[Going, ...] = ()
    figures: Figures = field(default_factory=Figures)
    resident: tuple[ModelInfo, ...] | None = None
    engine: str = ""
    notes: tuple[str, ...] = ()


def going_line(going: Going) -> str:
    """How far a run is: its stage, elapsed time, tokens a second and the rest."""
    place, of = going.place
    parts = [words.one_line(going.stage) or "begins", words.seconds(going.elapsed)]
    parts += [f"~{going.rate:.0f} tok/s"] if going.rate is not None else []
    parts += [going.status, f"stage {place} of {of}"] if going.stage else []
    parts += [f"first token {words.seconds(going.first)}"] if going.first is not None else []
    parts += [words.one_line(going.model).removesuffix(":latest")] if going.model else []
    return " · ".join(parts)


def figure_lines(figures: Figures, width: int) -> list[str]:
    """The figures in lines of at most so many characters, where each by itself fits."""
    lines: list[str] = []
    for value, what in tiles(figures):
        told = f"{value} {what}"
        if lines and len(lines[-1]) + 3 + len(told) <= width:
            lines[-1] += f" · {told}"
        else:
            lines.append(told)
    return lines or [NO_RUN]


def spark_parts(figures: Figures, width: int) -> tuple[str, str, str]:
    """What stands before the bars, the bars of the newest runs, a cell each, and what after them."""
    firsts = [each.run.useful for each in figures.runs]
    before = f"{len(firsts)} run{'s' * (len(firsts) != 1)} "
    room = max(width - len(before) - len(" highest 999.9 s"), 1)
    firsts = firsts[-room:]
    known = [first for first in firsts if first is not None]
    after = f" highest {words.seconds(max(known))}" if known else ""
    return before, spark(firsts), after


def past_line(past: Past, now: float) -> str:
    """One run that is over: when, first token, total, how it ended, what was asked."""
    useful = past.run.useful
    parts = [when(past.at, now), "—" if useful is None else words.seconds(useful)]
    parts += [words.seconds(past.run.total), past.ended, past.asked]
    return " · ".join(filter(None, parts))


def when(at: float, now: float) -> str:
    """A time of day, with the date before it where that is a day ago; both in seconds since 1970."""
    pattern = "%H:%M" if abs(now - at) < _DAY else "%Y-%m-%d %H:%M"
    return time.strftime(pattern, time.localtime(at))


def memory_line(board: Board) -> str:
    """What is in memory; '' where that is not known."""
    if board.resident is None:
        return ""
    models = ", ".join(map(_model, board.resident)) or "no model"
    label = f"{words.one_line(board.engine)}: " if board.engine else ""
    return f"{label}in memory {models}"


def plain(board: Board, now: float) -> str:
    """The board as text, without what runs: for where it is saved, and down a pipe."""
    figures = board.figures
    lines = [TITLE, *figure_lines(figures, 100)]
    if figures.runs:
        lines += ["".join(spark_parts(figures, 100)), "the last ones, first token · total:"]
        lines += [f"  {past_line(past, now)}" for past in figures.last]
    return "\n".join([*lines, *filter(None, [memory_line(board), *notes(board.notes)])])


def notes(told: Sequence[str]) -> list[str]:
    """Each on one line."""
    return [words.one_line(note) for note in told]


def _model(model: ModelInfo) -> str:
    parts = [words.one_line(model.name).removesuffix(":latest")]
    parts += [_size(model.size)] if model.size else []
    if model.until is not None:
        parts.append(time.strftime("until %H:%M", time.localtime(model.until)))
    return " ".join(parts)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
