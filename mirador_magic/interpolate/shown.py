"""How a value reads in a prompt: bounded, and with what was left out said."""

from __future__ import annotations

import datetime
import itertools
import logging
import pathlib
import re
import reprlib
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

log = logging.getLogger(__name__)

_TEXT = 20_000
_TRACEBACK = 6000
_OTHER = 4000
_ITEMS = 50
_ALL_ROWS, _FIRST_ROWS = 30, 10  # a frame of up to 30 rows is shown whole
_COLUMNS, _LISTED = 16, 60  # in the table; by name and type
_CELL = 32
_ROW, _FIRST = 12, 20  # of an array: along its last axis, and the one before
_NUMERIC = re.compile(r"(?:torch\.)?(?:u?int|b?float)\d+")

_brief = reprlib.Repr()
_brief.maxlist = _brief.maxtuple = _brief.maxset = _brief.maxfrozenset = _brief.maxdeque = _ITEMS
_brief.maxdict = _ITEMS
_brief.maxlevel = 4
_brief.maxstring = _brief.maxother = _brief.maxlong = 1000


def shown(value: object) -> str:
    """How a value reads in a prompt: bounded, and with what was left out said.

    Raises whatever the value's own `__repr__` raises.
    """
    if isinstance(value, str):
        return _cut(str.__str__(value), _TEXT)
    if isinstance(value, BaseException):
        lines = traceback.format_exception(value, limit=-20)
        return _cut("".join(lines).rstrip(), _TRACEBACK, 0.3)
    if isinstance(value, Number | datetime.date | datetime.time | datetime.timedelta):
        return _cut(str(value), _OTHER)
    if isinstance(value, pathlib.PurePath):
        return str(value)
    for kind in type(value).__mro__:
        writer = _WRITERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if writer:
            try:
                return writer(value)
            except Exception:  # a kin of it that reads otherwise
                log.debug("no %s as we know it", kind.__name__, exc_info=True)
                break
    if isinstance(value, list | tuple | dict | set | frozenset | deque | bytes | bytearray):
        return _cut(_collection(value), _OTHER)
    return _cut(repr(value), _OTHER)


def _cut(text: str, most: int, head: float = 0.75) -> str:
    """A text of `most` characters at most, and a line that tells what is left out of its midst."""
    if len(text) <= most:
        return text
    first = int(most * head)
    last = len(text) - (most - first)
    return f"{text[:first]}\n[… {last - first:,} characters left out …]\n{text[last:]}"


def _collection(value: Any) -> str:
    many = _OTHER if isinstance(value, bytes | bytearray) else _ITEMS
    if len(value) <= many:
        return _whole(value)
    if isinstance(value, dict):
        part: Any = dict(itertools.islice(value.items(), many))
    elif isinstance(value, set | frozenset | deque):
        part = list(itertools.islice(value, many))
    else:
        part = value[:many]
    return f"{type(value).__name__} of {len(value):,}, the first {many:,}: {_whole(part)}"


def _whole(value: Any) -> str:
    if type(value) is dict:
        return _entries(value)
    exact = type(value) in (list, tuple, set, frozenset, deque)
    return _brief.repr(value) if exact else repr(value)


def _entries(value: dict[Any, Any]) -> str:
    # reprlib would sort the keys
    pairs = (f"{_brief.repr(key)}: {_brief.repr(item)}" for key, item in value.items())
    return f"{{{', '.join(pairs)}}}"


def _count(many: int, word: str) -> str:
    return f"{many:,} {word}" if many == 1 else f"{many:,} {word}s"


def _cell(value: object) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _sheet(kind: str, shape: tuple[int, int], listed: str, table: list[list[object]]) -> str:
    """A frame: its shape, its columns, and a table whose first line are names."""
    rows, columns = shape
    lines = [f"{kind}, {_count(rows, 'row')} × {_count(columns, 'column')}"]
    if columns > _LISTED:
        listed += f" [… {_count(columns - _LISTED, 'more column')} …]"
    lines += [f"columns: {listed}", *_drawn(table)]
    if columns > _COLUMNS:
        lines.append(f"[… {_count(columns - _COLUMNS, 'column')} left out of the table …]")
    return "\n".join(lines + _left_out(rows, len(table) - 1))


def _left_out(rows: int, told: int) -> list[str]:
    return [f"[… {_count(rows - told, 'row')} left out …]"] if rows > told else []


def _drawn(table: list[list[object]]) -> list[str]:
    cells = [[_cell(value) for value in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def _rows_of(many: int) -> int:
    return many if many <= _ALL_ROWS else _FIRST_ROWS


def _listed(names: Sequence[object], kinds: Sequence[object]) -> str:
    pairs = zip(names[:_LISTED], kinds[:_LISTED], strict=True)
    return ", ".join(f"{_cell(name)} ({_cell(kind)})" for name, kind in pairs)


def _pandas_frame(frame: Any) -> str:
    part = frame.iloc[: _rows_of(len(frame)), :_COLUMNS]
    rows = zip(part.index, part.itertuples(index=False, name=None), strict=True)
    table = [["", *part.columns], *([label, *row] for label, row in rows)]
    listed = _listed(list(frame.columns), list(frame.dtypes))
    return _sheet("DataFrame", frame.shape, listed, table)


def _polars_frame(frame: Any) -> str:
    rows = frame.head(_rows_of(frame.shape[0])).rows()
    table = [list(row[:_COLUMNS]) for row in (frame.columns, *rows)]
    listed = _listed(frame.columns, frame.dtypes)
    return _sheet("polars DataFrame", frame.shape, listed, table)


def _pandas_series(series: Any) -> str:
    part = series.iloc[: _rows_of(len(series))]
    pairs: list[list[object]] = [list(pair) for pair in zip(part.index, part, strict=True)]
    return _column("Series", series, pairs)


def _polars_series(series: Any) -> str:
    part = series.head(_rows_of(len(series))).to_list()
    return _column("polars Series", series, [[value] for value in part])


def _column(kind: str, series: Any, table: list[list[object]]) -> str:
    named = "" if series.name in (None, "") else f" {_cell(series.name)}"
    head = f"{kind}{named}, {_count(len(series), 'value')}, {series.dtype}"
    return "\n".join([head, *_drawn(table), *_left_out(len(series), len(table))])


def _array(value: Any) -> str:
    """A numpy array or a torch tensor: shape, dtype, least, mean and greatest, its first values."""
    shape = tuple(int(size) for size in value.shape)
    most = (*[1] * (len(shape) - 2), _FIRST, _ROW)[-len(shape) :] if len(shape) > 1 else (100,)
    part = value[tuple(slice(size) for size in most)] if shape else value
    head = f"{type(value).__name__}, shape {shape}, {value.dtype}{_spread(value, shape)}"
    text = _cut(str(part), _OTHER)
    corner = tuple(int(size) for size in part.shape)
    return f"{head}\n{text}" if corner == shape else f"{head}; the first {corner} of it:\n{text}"


def _spread(value: Any, shape: tuple[int, ...]) -> str:
    if not _NUMERIC.fullmatch(str(value.dtype)) or 0 in shape:
        return ""
    # torch takes no mean of whole numbers
    whole = "int" in str(value.dtype) and hasattr(value, "double")
    mean = (value.double() if whole else value).mean()
    low, high = float(value.min()), float(value.max())
    return f", min {low:.6g}, mean {float(mean):.6g}, max {high:.6g}"


_WRITERS: Mapping[tuple[str, str], Callable[[Any], str]] = {
    ("pandas", "DataFrame"): _pandas_frame,
    ("pandas", "Series"): _pandas_series,
    ("polars", "DataFrame"): _polars_frame,
    ("polars", "Series"): _polars_series,
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): lambda value: _cut(str(value), _OTHER),
    ("torch", "Tensor"): _array,
    ("mirador_magic", "Answer"): lambda answer: _cut(answer.text, _TEXT),
}
