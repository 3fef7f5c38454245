"""How far a grid is, in a terminal: a line that is written over itself."""

from __future__ import annotations

import sys

from mirador_magic.workbench.tune.grid import Progress


def line(progress: Progress) -> None:
    """Write it; nothing where there is no terminal."""
    _write(str(progress))


def end_line() -> None:
    """Take the line away again."""
    _write("")


def _write(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
