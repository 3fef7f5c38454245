"""How far a file has come, and where it cannot be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mirador_magic.errors import EngineError


@dataclass(frozen=True)
class Progress:
    """How far a file has come, in bytes; `total` is None where nobody tells it. At the end, and only
    then, `done` is `total`."""

    file: str
    done: int
    total: int | None


Tell = Callable[[Progress], None]


def unwritable(file: str, folder: Path, why: str) -> EngineError:
    """The error of a disk that does not take the file, for the system's reason."""
    return EngineError(
        f"{file} cannot be written to {folder}: {why.lower()}",
        "free some space there, or name another folder: MIRADOR_MODELS",
    )
