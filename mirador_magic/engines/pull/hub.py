"""GGUF files from the Hugging Face hub.

    hf:ORG/REPO/sub/FILE.gguf ──▶ FOLDER/.pull/<file>-<version>.part ──▶ FOLDER/FILE.gguf

The engine lists every `*.gguf` in its folder, so a file is moved there only when it is whole. What
arrived before a download broke off or was cancelled stays in `.pull`, and the next one goes on
behind it. Of a file whose size is known, it is never cut, only overwritten with the same bytes: so
two kernels may fetch it at once, and what `.pull` holds is a correct beginning all the time. A lock
keeps one from beginning anew, or from judging what the other writes, while the other moves it.

`huggingface_hub` (the extra `hub`) knows the addresses, the login and the versions. The bytes come
by a request of our own, which ends at once when its task is cancelled. Its `hf_hub_download` (2.4)
writes to a file of a random name and deletes that when it fails, so that only the retries within one
call resume. An `update` of its `tqdm_class` that raises ends a plain download with the next chunk,
but none from xet storage: hf_xet calls it from a thread of its own, prints what it raises, tells
nothing more and goes on. The hub serves the files of xet repos by plain HTTP too.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import os
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mirador_magic.engines import surroundings
from mirador_magic.engines.pull.hub_errors import Source, address, translated
from mirador_magic.engines.pull.progress import Progress, Tell
from mirador_magic.errors import (
    BrokenStream,
    EngineUnavailable,
    RequestRefused,
    UsageError,
)

EXAMPLE = "%mirador pull hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"

_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TELL_SECONDS = 0.1
_REPO = r"\w(?:[\w.-]{0,94}\w)?"  # as the hub has it: no dot or dash at either end
_FILE = r"\w[\w.+-]{0,199}"
_SOURCE = re.compile(
    rf"hf:({_REPO}/{_REPO})/((?:{_FILE}/)*{_FILE}\.gguf)", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class _Offer:
    """What the hub says about a file: one version of it, and how to ask for that."""

    url: str
    headers: dict[str, str]
    version: str
    size: int | None


def read_source(text: str) -> Source:
    """The source that is meant by hf:ORG/REPO/FILE.gguf, where FILE may lie in subfolders."""
    found = _SOURCE.fullmatch(text)
    if found is None or ".." in text or "--" in found[1] or found[1].lower().endswith(".git"):
        raise UsageError(f"{text!r} is no source: one looks like hf:ORG/REPO/FILE.gguf", EXAMPLE)
    return Source(found[1], found[2])


async def pull(source: Source, folder: Path, tell: Tell) -> Path:
    """The complete file in the folder, fetched unless one of the size that the hub tells is there.

    `tell` hears of it on the event loop's thread: ten times a second at most, and at the end. A file
    that is there will do where the hub cannot be asked. EngineError where there is none in the end.
    """
    target = folder / f"{PurePosixPath(source.file).stem}.gguf"
    try:
        offer = await asyncio.to_thread(_ask, source, folder)
    except EngineUnavailable:
        if (size := _size(target)) is None:
            raise
    else:
        if (size := _size(target)) is None or size != offer.size:
            size = await _fetch(source, offer, target, _Meter(source.file, offer.size, tell))
    tell(Progress(source.file, size, size))
    return target


def _ask(source: Source, folder: Path) -> _Offer:
    """Asks the hub for the file's version and size; that blocks."""
    try:
        import httpx2
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
    except ImportError as error:
        raise EngineUnavailable(
            "the package huggingface_hub is not installed", "pip install 'mirador-magic[hub]'"
        ) from error
    hub = address()
    try:
        # Its own user agent would tell which Python, PyTorch and coding agent there are.
        headers = build_hf_headers(headers={"user-agent": "mirador-magic"})
        url = hf_hub_url(source.repo, source.file, endpoint=hub)
        told = get_hf_file_metadata(url, headers=headers, endpoint=hub)
    except (httpx2.HTTPError, ConnectionError) as error:
        raise translated(error, source, folder) from error
    except (httpx2.InvalidURL, OSError, ImportError, ValueError) as error:
        if isinstance(error, httpx2.InvalidURL) and not surroundings.troubles():  # the hub's own
            raise translated(error, source, folder) from error
        raise surroundings.broken(f"{hub} cannot be asked", error) from error
    if told.commit_hash is None or told.etag is None:
        raise RequestRefused(f"{hub} does not answer like a Hugging Face hub", "check HF_ENDPOINT")
    # By its commit: a version that comes in between is not taken for the rest of this one.
    url = hf_hub_url(source.repo, source.file, revision=told.commit_hash, endpoint=hub)
    return _Offer(url, headers, told.etag, told.size)


class _Meter:
    """Counts the bytes of a file, and tells of them now and then."""

    def __init__(self, file: str, total: int | None, tell: Tell) -> None:
        self._file, self._total, self._tell = file, total, tell
        self._next = -math.inf
        self.done = 0

    def at(self, done: int) -> None:
        self.done = done
        if (now := asyncio.get_running_loop().time()) >= self._next:
            self._next = now + _TELL_SECONDS
            self._tell(Progress(self._file, done, self._total))


async def _fetch(source: Source, offer: _Offer, target: Path, meter: _Meter) -> int:
    """Downloads what is missing and puts the file in its place. Its size in bytes."""
    import httpx2

    try:
        part = _part(source, offer, target.parent)
        opened = await asyncio.to_thread(_prepare, part, target, offer.size)
        if opened is None:
            return offer.size or 0
        with opened as file:
            meter.at(file.seek(0, os.SEEK_END))
            if meter.done != offer.size and not await _stream(offer, file, meter):
                raise BrokenStream(
                    f"the hub sent another part of {source.file} than it was asked for",
                    f"remove {part.parent} and run it again",
                )
        await asyncio.to_thread(_publish, part, target, offer.version, meter.done)
    except (httpx2.HTTPError, OSError) as error:
        raise translated(error, source, target.parent, meter.done) from error
    return meter.done


def _part(source: Source, offer: _Offer, folder: Path) -> Path:
    """The file in which the bytes of this version gather."""
    file, version = (
        hashlib.sha256(text.encode()).hexdigest()[:16]
        for text in (f"{source.repo}/{source.file}", f"{offer.version} {offer.size}")
    )
    return folder / ".pull" / f"{file}-{version}.part"


def _prepare(part: Path, target: Path, size: int | None) -> IO[bytes] | None:
    """The part, opened, where there is room for the bytes that are missing.

    None where another kernel has fetched the file since it was asked for.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    with _locked(part):
        if size is not None and _size(target) == size:
            return None
        if part.is_symlink():  # to a file of somebody's, which is not to be written
            part.unlink()
        file = os.fdopen(os.open(part, _OPEN, 0o666), "r+b")
        for outdated in set(part.parent.glob(f"{part.name.partition('-')[0]}-*.part")) - {part}:
            outdated.unlink()
        if size is None or part.stat().st_size > size:
            file.truncate(0)
        if (size or 0) - part.stat().st_size > shutil.disk_usage(part.parent).free:
            file.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return file


def _locked(part: Path) -> AbstractContextManager[object]:
    from filelock import FileLock

    return FileLock(part.with_name(".lock"))


async def _stream(offer: _Offer, file: IO[bytes], meter: _Meter) -> bool:
    """Writes what the hub sends behind what is there, or over it where the hub sends all.

    Whether the file is complete then: no, where the hub sends bytes from elsewhere in it.
    """
    from huggingface_hub import constants, get_async_session

    asked = {**offer.headers, "accept-encoding": "identity"}
    if meter.done:
        asked["range"] = f"bytes={meter.done}-"
    silence = constants.HF_HUB_DOWNLOAD_TIMEOUT  # seconds
    async with (
        get_async_session() as client,  # follows redirects, and takes no login to another host
        client.stream("GET", offer.url, headers=asked, timeout=silence) as response,
    ):
        response.raise_for_status()
        if response.status_code != 206:
            meter.at(file.seek(0))
        elif not response.headers.get("content-range", "").startswith(f"bytes {meter.done}-"):
            return False
        async for chunk in response.aiter_bytes():
            await asyncio.to_thread(file.write, chunk)
            meter.at(meter.done + len(chunk))
    return offer.size in (None, meter.done)


def _publish(part: Path, target: Path, version: str, size: int) -> None:
    """Moves a file that is whole, and GGUF, to its place.

    The version of a large file on the hub is its SHA-256; a power cut may leave other bytes here.
    """
    with _locked(part):
        if _size(part) is None and _size(target) == size:
            return  # another kernel fetched it too, and was faster
        with part.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            large = re.fullmatch("[0-9a-f]{64}", version)
            spoilt = large and hashlib.file_digest(file, "sha256").hexdigest() != version
        if spoilt:
            part.unlink()
            raise BrokenStream(
                "the bytes that came are not the hub's, so they were removed", "run it again"
            )
        if magic != b"GGUF":
            part.unlink()
            raise BrokenStream(
                "the hub's file is no GGUF file, so it was removed", f"try {EXAMPLE}"
            )
        os.replace(part, target)


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None
