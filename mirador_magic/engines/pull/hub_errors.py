"""What the hub, the connection or the disk says when a file does not come, as one of our errors."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mirador_magic.engines.pull.progress import unwritable
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineUnavailable,
    ModelMissing,
    RequestRefused,
)
from mirador_magic.stages import nearest

_AGAIN = "run it again: it goes on where it stopped"


@dataclass(frozen=True)
class Source:
    """A file of a repo on the hub; `file` is its path there."""

    repo: str
    file: str


def address() -> str:
    """The hub's, without a slash at its end."""
    from huggingface_hub import constants

    # huggingface_hub itself reads the variable once, when it is imported.
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def translated(error: Exception, source: Source, folder: Path, done: int = 0) -> EngineError:
    """Our error for one of the hub's, the connection's or the disk's, after so many bytes."""
    import httpx2
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError

    hub = address()
    page = f"{hub}/{source.repo}"
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        why = "is gated" if isinstance(error, GatedRepoError) else "is private, or is not there"
        return RequestRefused(
            f"{source.repo} {why}", f"ask for access on {page}, then: hf auth login"
        )
    if isinstance(error, EntryNotFoundError):
        cure = f"{nearest(source.file, _ggufs(source.repo))} All its files: {page}/tree/main"
        return ModelMissing(f"{source.repo} has no file {source.file}", cure)
    if status == 404:
        return ModelMissing(f"there is no repo {source.repo} on the hub", f"check its page: {page}")
    if status:
        return EngineUnavailable(f"{hub} answers with HTTP {status}", _AGAIN)
    if done and isinstance(error, httpx2.TransportError):
        why = str(error) or type(error).__name__
        return BrokenStream(f"{source.file} broke off after {done:,} bytes: {why}", _AGAIN)
    if isinstance(error, httpx2.HTTPError | httpx2.InvalidURL | ConnectionError):
        host = urlsplit(hub).netloc or hub
        with contextlib.suppress(AttributeError, RuntimeError):  # only a request's error has one
            host = error.request.url.netloc.decode() or host  # type: ignore[union-attr]
        return EngineUnavailable(
            f"{host} was not reached: {str(error) or type(error).__name__}",
            f"connect, or copy the file by hand into {folder}",
        )
    return unwritable(source.file, folder, getattr(error, "strerror", None) or str(error))


def _ggufs(repo: str) -> list[str]:
    """The GGUF files of a repo, none where the hub does not list them."""
    import httpx2
    from huggingface_hub import HfApi

    with contextlib.suppress(httpx2.HTTPError, OSError):
        api = HfApi(endpoint=address(), headers={"user-agent": "mirador-magic"})
        files = [each.rfilename for each in api.model_info(repo, timeout=10).siblings or []]
        return [file for file in files if file.lower().endswith(".gguf")]
    return []
