"""What a GGUF file is, by its first keys: a model to chat with, or a part of one, or something else.

    magic, version, number of tensors, number of keys, then each key: name, type, value

What says so stands in front of the tokenizer's lists of a hundred thousand words, where reading ends.
"""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_STRING, _ARRAY = 8, 9
_SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # by type: struct's letter
_LONGEST = 256  # bytes of a name or text that is read; longer ones are none of those looked for
_MOST = 10_000  # keys, or texts in a list, that stand in front of the tokenizer's

_SHARD = re.compile(r"-(\d{5})-of-\d{5}$")
_ENCODERS = re.compile("bert|t5encoder|clip|wavtokenizer|gte|embed|rerank|whisper|flux|^sd[x\\d]")
_NAMED = re.compile(
    "embed|rerank|mmproj"
)  # one whose keys are those of the model that it was made of


def size(file: Path) -> int:
    """In bytes, with the later shards that lie beside the first one."""
    first = _SHARD.search(file.stem)
    files = file.parent.glob(f"{file.stem[: first.start()]}-*-of-*.gguf") if first else [file]
    return sum(each.stat().st_size for each in files)


def chats(file: Path) -> bool:
    """Whether it is a model that answers: no projector, adapter or later shard, no embedding model, no
    reranker, none for pictures or speech.

    A file that cannot be read is none.
    """
    shard = _SHARD.search(file.stem)
    if (shard and int(shard[1]) != 1) or _NAMED.search(file.stem.lower()):
        return False
    try:
        told = file.stat()
        return _chats(file, told.st_mtime_ns, told.st_size)
    except OSError:
        return False


@functools.lru_cache(maxsize=1024)
def _chats(file: Path, changed: int, length: int) -> bool:
    """The same of this state of the file."""
    with file.open("rb") as opened:
        try:
            keys = dict(_keys(opened))
        except (struct.error, ValueError):
            return False
    kind, architecture = keys.get("general.type", "model"), keys.get("general.architecture")
    pools = keys.get(f"{architecture}.pooling_type", 0)  # as embedding models do
    is_encoder = _ENCODERS.search(str(architecture)) is not None
    return architecture is not None and kind == "model" and not pools and not is_encoder


def _keys(file: BinaryIO) -> Iterator[tuple[str, object]]:
    """The keys in front of the tokenizer's. Raises ValueError or struct.error where it is no GGUF."""
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version < 2:
        raise ValueError(f"no GGUF of today: {magic!r}, version {version}")
    for _ in range(min(count, _MOST)):
        name = _text(file)
        if name.startswith("tokenizer."):
            return
        yield name, _value(file, *_unpacked(file, "I"))


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        return _unpacked(file, _SCALARS[kind] if kind in _SCALARS else _unknown(kind))[0]
    inner, count = _unpacked(file, "IQ")
    if inner in _SCALARS:
        file.seek(count * struct.calcsize(_SCALARS[inner]), os.SEEK_CUR)
    elif inner == _STRING and count <= _MOST:
        for _ in range(count):
            _text(file)
    else:
        _unknown(inner)
    return None


def _text(file: BinaryIO) -> str:
    (length,) = _unpacked(file, "Q")
    if length > _LONGEST:
        file.seek(min(length, 2**40), os.SEEK_CUR)
        return ""
    return file.read(length).decode(errors="replace")


def _unpacked(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))


def _unknown(kind: int) -> str:
    raise ValueError(f"a value of an unknown type: {kind}")
