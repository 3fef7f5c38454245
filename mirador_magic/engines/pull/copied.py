"""A GGUF file of the user's, copied into the embedded engine's folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mirador_magic.engines.pull.progress import Progress, Tell, unwritable
from mirador_magic.errors import EngineError, ModelMissing

_PIECE = 16 * 2**20  # bytes that are copied between two looks at the event loop


async def pull(name: str, folder: Path, tell: Tell) -> Path:
    """The copy in the folder of the file of this path, unless one of its size is there."""
    source, size = _found(name)
    target = folder / f"{source.stem}.gguf"
    if _size(target) != size:
        try:
            with _copying(source, target) as (read, write):
                while piece := await asyncio.to_thread(read.read, _PIECE):
                    await asyncio.to_thread(write.write, piece)
                    tell(Progress(source.name, min(read.tell(), size - 1), size))
        except OSError as error:
            raise unwritable(source.name, folder, error.strerror or str(error)) from error
    tell(Progress(source.name, size, size))
    return target


def _found(name: str) -> tuple[Path, int]:
    source = Path(name).expanduser()
    size = _size(source)
    if size is None:
        raise ModelMissing(f"there is no file {source}", "%mirador pull path/to/FILE.gguf")
    return source, size


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


@contextlib.contextmanager
def _copying(source: Path, target: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The source to read, and what takes the target's place once it is whole."""
    parts = target.parent / ".pull"
    parts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parts) as temp, source.open("rb") as read:
        if read.read(4) != b"GGUF":
            raise EngineError(f"{source} is no GGUF file", "%mirador pull path/to/FILE.gguf")
        read.seek(0)
        part = Path(temp, target.name)
        with part.open("wb") as write:
            yield read, write
        os.replace(part, target)
