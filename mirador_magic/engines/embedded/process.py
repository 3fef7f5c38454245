"""The embedded engine's process, seen from its parent: its start, its one line, its end.

Child(model, file, num_ctx)    starts it; everything that belongs to it is in one ExitStack
await child.ready()            reads its line in a thread, or says why it could not start
child.answer(request, …)       one stream; says why, if the process dies in the middle
await child.end()              closes the stack; so do the garbage collector and the exit
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.engines.embedded.stream import ANEW, Reader, body_of, client_of, refusal
from mirador_magic.errors import BrokenStream, EngineError, EngineLost, EngineUnavailable

_CHILD = Path(__file__).with_name("child.py")
_TINY = 64 * 2**20  # bytes; a smaller model computes faster than two threads can meet


class Child:
    """One model's process, from its start to its burial. `users` counts who waits or reads."""

    def __init__(self, model: str, file: Path, num_ctx: int) -> None:
        self.model, self.num_ctx = model, num_ctx
        self.size = _gguf_size(model, file)
        self.users = 0
        self.version = ""  # of xllamacpp; empty until the model is loaded
        self._failure: EngineError | None = None
        self._ended = False
        self._hearing = threading.Lock()
        try:
            with contextlib.ExitStack() as belongings:
                folder = tempfile.mkdtemp(prefix="mirador-", dir=_short_tempdir())
                belongings.callback(shutil.rmtree, folder, ignore_errors=True)
                self.socket = os.path.join(folder, "llama.sock")  # the suffix makes it no host
                self._stderr = belongings.enter_context(tempfile.TemporaryFile())
                self._process = belongings.enter_context(self._spawn(file))
                belongings.callback(self._process.kill)
                self._burial = weakref.finalize(self, _bury, os.getpid(), belongings.pop_all())
        except OSError as error:
            raise EngineUnavailable(f"the embedded engine cannot start: {error}") from error

    @property
    def gone(self) -> bool:
        return self._process.poll() is not None

    async def ready(self) -> str:
        """The version of xllamacpp, once the model is loaded. Raises what kept it from loading."""
        if not self.version:
            await asyncio.to_thread(self._hear)
        return self.version

    async def end(self) -> None:
        """End the process and remove what belongs to it. A second time does nothing."""
        self._ended = True
        self._process.kill()
        await asyncio.to_thread(self._burial)

    def memory(self) -> int:
        """In bytes: what the process occupies where /proc tells it, else the size of the file."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except OSError:
            return self.size
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def answer(self, request: ChatRequest, load_s: float) -> AsyncGenerator[Chunk, None]:
        import httpx

        reader = Reader(self.model, load_s)
        try:
            async with (
                client_of(self.socket) as client,
                client.stream("POST", "/v1/chat/completions", content=body_of(request)) as response,
            ):
                if response.status_code != 200:
                    raise refusal(self.model, await response.aread())
                async for data in response.aiter_raw():
                    for chunk in reader.feed(data):
                        yield chunk
        except httpx.TransportError as error:
            raise await asyncio.to_thread(self._lost) from error
        yield Chunk(end=reader.end())

    def _spawn(self, file: Path) -> subprocess.Popen[bytes]:
        wishes = {
            "parent": os.getpid(),
            "path": [entry for entry in sys.path if isinstance(entry, str)],
            "model": str(file),
            "socket": self.socket,
            "num_ctx": self.num_ctx,
            "threads": 1 if self.size < _TINY else _cores(),
        }
        return subprocess.Popen(
            [sys.executable or "python3", "-I", str(_CHILD), json.dumps(wishes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # an interrupt of the notebook goes to its whole group
        )

    def _hear(self) -> None:
        """Wait, in a thread, for the one line that the child says."""
        with self._hearing:
            if not self.version and not self._failure:
                import httpx  # noqa: F401  (it takes 0.1 s and more, and the child loads meanwhile)

                said = self._line()
                if "ready" in said:
                    _greet(self.socket)
                    self.version = said["ready"]
                else:
                    self._failure = self._why_not(said)
        if self._failure:
            raise self._failure

    def _line(self) -> dict[str, Any]:
        """The line; empty if the child ended without it. A sitecustomize may print others."""
        assert self._process.stdout
        with contextlib.suppress(ValueError):  # the pipe was closed by `end`
            for line in self._process.stdout:
                if line.startswith(b"{"):
                    return dict(json.loads(line))
        return {}

    def _why_not(self, said: dict[str, Any]) -> EngineError:
        status = self._process.wait()
        if self._ended:
            return _closed()
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace")
        return _not_started(self.model, said, status, words)

    def _lost(self) -> EngineError:
        try:
            status = self._process.wait(1)
            return _closed() if self._ended else _died(status)
        except subprocess.TimeoutExpired:
            return BrokenStream("the embedded engine hung up in the middle of an answer", ANEW)


def _gguf_size(model: str, file: Path) -> int:
    try:
        with file.open("rb") as opened:
            magic = opened.read(4)
        size = file.stat().st_size
    except OSError as error:
        raise EngineError(f"{model} cannot be read: {error.strerror}") from error
    if magic != b"GGUF":
        raise EngineError(
            f"{model} is not a GGUF file: it begins with {magic!r}",
            "get the file anew, or name another: --model path.gguf",
        )
    return size


def _short_tempdir() -> str:
    """Where the path of a unix socket has room: it may take 104 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) < 80 else "/tmp"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _bury(owner: int, belongings: contextlib.ExitStack) -> None:
    """Kill, reap, close and remove, in this order; never in a fork of the owner."""
    if os.getpid() == owner:
        belongings.close()


def _greet(socket: str) -> None:
    """Ask once on a loop of its own: httpx imports a hundred modules for its first question."""
    import httpx

    async def ask() -> None:
        async with client_of(socket) as client:
            await client.get("/health")

    with contextlib.suppress(httpx.TransportError), asyncio.Runner() as runner:
        runner.run(ask())


def not_installed() -> EngineUnavailable:
    return EngineUnavailable("xllamacpp is not installed", "pip install xllamacpp")


def _closed() -> EngineLost:
    return EngineLost("the embedded engine was closed in the middle of it", ANEW)


def _not_started(model: str, said: dict[str, Any], status: int, words: str) -> EngineError:
    """Why a child could not start, from what it said, its exit status and its stderr."""
    error = str(said.get("error", ""))
    if said.get("missing") == "xllamacpp":
        return not_installed()
    if "libgomp" in error:
        return EngineUnavailable(
            f"llama.cpp needs a library of the system ({error})",
            "with Debian or Ubuntu: apt-get install libgomp1",
        )
    if "missing" in said:
        return EngineUnavailable(
            f"xllamacpp cannot be imported: {error}", "pip install --force-reinstall xllamacpp"
        )
    if re.search(r"^\S+ E .*chat[ _]template", words, re.MULTILINE):
        why = re.search(r"^Error: (.+)|^\S+ E \w+: error: (.+)", words, re.MULTILINE)
        told = next(filter(None, why.groups())) if why else error
        return EngineError(
            f"llama.cpp does not take the chat template in {model}: {told}",
            "get the model from somebody else, or name another: --model path.gguf",
        )
    if error:
        return EngineError(
            f"{model} cannot be loaded: {_reason(words) or error}",
            "get the file anew, lower num_ctx, or name another: --model path.gguf",
        )
    if status == -signal.SIGILL:
        return _old_cpu()
    last = words.strip().rpartition("\n")[2]
    return EngineUnavailable(
        f"the embedded engine ended before it had loaded {model}: {_how(status)}. {last}",
        "choose a smaller model, or lower num_ctx",
    )


def _reason(words: str) -> str:
    """llama.cpp's first complaint: the ones that follow say less and less."""
    found = re.search(
        r"^\S+ E (?:\w+ +)?(?:\w+: )?(?:error loading model: )?(.+)$", words, re.MULTILINE
    )
    return found[1] if found else ""


def _died(status: int) -> EngineError:
    """Why a child that had loaded its model is gone."""
    if status == -signal.SIGILL:
        return _old_cpu()
    return EngineLost(f"the embedded engine died while it was writing: {_how(status)}", ANEW)


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, by somebody or by a system whose memory ran out"
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _old_cpu() -> EngineUnavailable:
    return EngineUnavailable(
        "this CPU lacks what xllamacpp was built for (on x86-64: AVX2, FMA, F16C and BMI2)",
        "use Ollama, which runs on older CPUs too",
    )
