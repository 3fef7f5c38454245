"""The embedded engine: llama.cpp (xllamacpp) in a child process, for any GGUF file.

A model is named by the path of its file, or by the file's name without `.gguf` if it lies in the
engine's folder ($MIRADOR_MODELS, or `models` in the user's data folder). SmolLM2 is there too where its
package is installed, and stands in where there is no other. The first question to a model starts a
child (`child.py`), which stays until `aclose()`; another num_ctx replaces it.

    parent                                   child
    Popen, one JSON argument ──────────────▶ loads the model
    readline, in a thread    ◀────────────── one JSON line: ready, or why not
    POST /v1/chat/completions ─────────────▶ unix socket, mode 0600, in a folder of mode 0700
    events of the stream     ◀────────────── until [DONE], or until the parent hangs up
    stdin, held open         ──────────────▶ its end, or another parent process, ends the child

A child and its folder end with their `Child`: by `end()`, with the garbage or at exit, whichever
comes first. Each stream has a client of its own, so that nothing belongs to one event loop.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from mirador_magic.engines.base import ChatRequest, Chunk, Loaded, ModelInfo
from mirador_magic.engines.embedded import gguf as _gguf
from mirador_magic.engines.embedded import stream as stream_
from mirador_magic.engines.embedded.process import Child, not_installed
from mirador_magic.engines.embedded.stream import paced
from mirador_magic.engines.known_models import KNOWN, SMOLLM2, InPackage
from mirador_magic.errors import EngineUnavailable, ModelMissing


class EmbeddedEngine:
    """Runs GGUF files in child processes of its own. Keeps the Protocol `Engine`.

    `pace` slows a stream down to so many chunks a second, for readers; 0 is as fast as it writes.
    """

    name = key = "embedded"

    def __init__(self, folder: Path | None = None, pace: float = 0.0) -> None:
        self.folder = folder or _default_folder()
        self.pace = pace
        self._children: dict[Path, Child] = {}
        self._choosing = threading.Lock()  # calls from other threads share the children

    @property
    def label(self) -> str:
        paced = f", slowed to {self.pace:g} tok/s" if self.pace else ""
        return f"embedded llama.cpp{paced}"

    async def probe(self) -> None:
        if sys.platform == "win32":
            raise EngineUnavailable(
                "the embedded engine needs unix sockets, which Python on Windows lacks",
                "use Ollama: winget install Ollama.Ollama",
            )
        if importlib.util.find_spec("xllamacpp") is None:
            raise not_installed()

    async def models(self) -> list[ModelInfo]:
        return [
            ModelInfo(name, _gguf.size(file), spare=name == SMOLLM2.name)
            for name, file in _models(self.folder).items()
        ]

    def has_any(self, models: Sequence[str] = ()) -> bool:
        """Whether there is a model to run: one of its own, or a file that one of these names."""
        return bool(_models(self.folder)) or any(_file(name, self.folder) for name in models)

    async def resident(self) -> list[ModelInfo]:
        children = [child for child in self._children.values() if child.version and not child.gone]
        return [ModelInfo(child.model, child.memory()) for child in children]

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Its children keep their models until `aclose`, whatever `keep_alive` says."""
        asked, prefill_s = time.perf_counter(), None
        async with self._child(request.model, request.options.num_ctx) as child:
            load_s = time.perf_counter() - asked
            if request.messages:
                one = replace(request, options=replace(request.options, num_predict=1))
                async with contextlib.aclosing(child.answer(one, load_s)) as chunks:
                    async for chunk in chunks:
                        prefill_s = chunk.end.prefill_s if chunk.end else None
        return Loaded(load_s, prefill_s)

    async def unload(self, model: str) -> None:
        """A child that is at work stays."""
        file = _find(model, self.folder)
        child = self._children.get(file)
        if child and not child.users:
            del self._children[file]
            await child.end()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        asked = time.perf_counter()
        async with self._child(request.model, request.options.num_ctx) as child:
            load_s = time.perf_counter() - asked
            answer = child.answer(request, load_s)
            async with contextlib.aclosing(paced(answer, self.pace or math.inf)) as chunks:
                async for chunk in chunks:
                    if self.pace and chunk.end:  # llama.cpp's pace is not what was seen
                        chunk = Chunk(end=replace(chunk.end, decode_s=None))
                    yield chunk

    def unknown(self, request: ChatRequest) -> list[str]:
        return sorted(stream_.unknown(request))

    async def aclose(self) -> None:
        children = [*self._children.values()]
        self._children.clear()
        for child in children:
            await child.end()

    @contextlib.asynccontextmanager
    async def _child(self, model: str, num_ctx: int | None) -> AsyncIterator[Child]:
        """The child of this model, ready. One that is replaced ends after its last stream."""
        file, num_ctx = _find(model, self.folder), num_ctx or 0  # 0: the model's own
        with self._choosing:
            child = old = self._children.get(file)
            if child is None or child.gone or child.num_ctx != num_ctx:
                child = self._children[file] = Child(model, file, num_ctx)
            child.users += 1
        try:
            if old and old is not child and not old.users:
                await old.end()
            await child.ready()
            yield child
        finally:
            with self._choosing:
                child.users -= 1
            if not child.users:
                await self._leave(file, child)

    async def _leave(self, file: Path, child: Child) -> None:
        """After its last user: a child that is dead, half started or replaced is ended."""
        if self._children.get(file) is child:
            if child.version and not child.gone:
                return
            del self._children[file]
        await child.end()


def _default_folder() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("mirador", appauthor=False)) / "models"


def _models(folder: Path) -> dict[str, Path]:
    """By name: the files that chat, and SmolLM2 where its package is installed."""
    files = {file.stem: file for file in sorted(folder.glob("*.gguf")) if _gguf.chats(file)}
    packaged = _packaged(SMOLLM2.name)
    return files | ({SMOLLM2.name: packaged} if packaged and SMOLLM2.name not in files else {})


def _packaged(model: str) -> Path | None:
    """The file of a model that is known by this name, where its package is installed."""
    known = KNOWN.get(model)
    return known.source.installed() if known and isinstance(known.source, InPackage) else None


def _find(model: str, folder: Path) -> Path:
    if file := _file(model, folder):
        return file
    is_path = model.lower().endswith(".gguf")
    raise ModelMissing(
        f"there is no file {model}" if is_path else f"there is no model {model} in {folder}",
        f"%mirador pull {model}"
        if model in KNOWN
        else "name a GGUF file: --model path/to/model.gguf",
    )


def _file(model: str, folder: Path) -> Path | None:
    """The file that a model's name means here, None where there is none."""
    given = Path(model).expanduser()
    is_path = given.suffix.lower() == ".gguf"
    for file in [given] if is_path else [folder / f"{model}.gguf", given]:
        if file.is_file():
            return file.resolve()
    return _packaged(model)
