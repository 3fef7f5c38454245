"""Fetches GGUF files into the embedded engine's folder, each whole or not at all.

smollm2                     a name of mirador_magic.engines.known_models, from where that says
hf:ORG/REPO/FILE.gguf       a file on the Hugging Face hub
path/to/FILE.gguf           a file of yours, which is copied
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirador_magic.engines.known_models import KNOWN, OnHub
from mirador_magic.engines.pull import copied, hub, package
from mirador_magic.engines.pull.progress import Progress, Tell
from mirador_magic.errors import UsageError
from mirador_magic.stages import nearest

__all__ = ["Fetched", "Progress", "Tell", "pull"]


@dataclass(frozen=True)
class Fetched:
    """A file that is there, and the name by which the embedded engine knows its model."""

    file: Path
    model: str


async def pull(text: str, folder: Path, tell: Tell) -> Fetched:
    """The complete file that `text` means, fetched unless it is there.

    `tell` hears how far it is, on the event loop's thread. Cancelling it stops the download.
    UsageError for a text that is no source, EngineError where there is no file in the end.
    """
    if known := KNOWN.get(text):
        if not isinstance(known.source, OnHub):
            return Fetched(await package.pull(known, known.source, folder, tell), known.name)
        text = known.source.source
    if text.startswith("hf:"):
        file = await hub.pull(hub.read_source(text), folder, tell)
        return Fetched(file, file.stem)
    if text.lower().endswith(".gguf"):
        file = await copied.pull(text, folder, tell)
        return Fetched(file, file.stem)
    names = ", ".join(KNOWN)
    raise UsageError(
        f"{text!r} is no source: there are {names}, hf:ORG/REPO/FILE.gguf and path/to/FILE.gguf",
        nearest(text, KNOWN) or f"%mirador pull {next(iter(KNOWN))}",
    )
