"""A real Ollama server for a test: its own port, models and home, gone without a trace at the end.

    with OllamaServer(binary, tmp_path) as server:
        server.create("quick:latest", write(tmp_path / "quick.gguf", "Forty-two."))
        ollama.Client(server.host).chat("quick", [...])

From 0.30 on, Ollama starts a `llama-server` for each model and looks for it in its own working
directory too: a script there starts `tests/support/llama_server.py`.
"""

import contextlib
import hashlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.support.patience import PATIENCE

_STOP_SECONDS = 5.0
_LLAMA_SERVER = Path(__file__).with_name("llama_server.py")


class OllamaServer:
    """`ollama serve` from `binary`, in `folder`; more of its environment as keywords.

    The port is the system's choice, and stays the same when the server is started again. `pace` is
    in seconds a token at the least, from 0.30 on.
    """

    host: str
    version: str

    def __init__(
        self, binary: Path, folder: Path, *, pace: float = 0.0, **environment: str
    ) -> None:
        self.binary = binary
        self.folder = folder
        self.log = folder / "ollama.log"
        self._port = 0
        self._pace = pace
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._orphans: list[psutil.Process] = []

    def __enter__(self) -> Self:
        self._offer_llama_server()
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.pid

    def start(self) -> None:
        """Starts the server, and returns when it answers."""
        written = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, "serve"],
                cwd=self.folder,
                env=self._full_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._port = self._wait_for_port(written)
        self.host = f"http://127.0.0.1:{self._port}"
        self.version = self._get("/api/version")["version"]

    def kill(self) -> None:
        """SIGKILL, as a crash: the models' processes are left behind until `stop`."""
        if self._process is not None:
            self._orphans += self._children()
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ends the server and all that it started."""
        family = [*self._orphans, *self._children()]
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            self._process.kill()
            self._process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._orphans.clear()

    def create(self, name: str, gguf: Path, **parameters: object) -> None:
        """Makes a model of a GGUF file, with these parameters as its defaults."""
        with gguf.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        with self._client() as client, gguf.open("rb") as file:
            blob = f"/api/blobs/{digest}"
            if client.head(blob).status_code == httpx.codes.NOT_FOUND:
                client.post(blob, content=file).raise_for_status()
            wish = {"model": name, "files": {gguf.name: digest}, "parameters": parameters}
            answer = client.post("/api/create", json=wish | {"stream": False})
        if not answer.is_success:
            raise RuntimeError(f"{name} could not be created: {answer.text}\n{self._log_end()}")

    def ps(self) -> list[dict[str, Any]]:
        """The resident models, as `/api/ps` lists them."""
        models: list[dict[str, Any]] = self._get("/api/ps")["models"]
        return models

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.host, trust_env=False, timeout=PATIENCE)

    def _get(self, path: str) -> Any:
        with self._client() as client:
            return client.get(path).raise_for_status().json()

    def _full_environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OLLAMA_")}
        own = {
            "HOME": str(self.folder),
            "OLLAMA_HOST": f"127.0.0.1:{self._port}",
            "OLLAMA_MODELS": str(self.folder / "models"),
            "OLLAMA_NO_CLOUD": "1",
        }
        return kept | own | self._environment

    def _offer_llama_server(self) -> None:
        script = self.folder / "build" / "lib" / "ollama" / "llama-server"
        script.parent.mkdir(parents=True, exist_ok=True)
        command = shlex.join([sys.executable, str(_LLAMA_SERVER), f"--pace={self._pace}"])
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)

    def _wait_for_port(self, written: int) -> int:
        """The port in the log's line "Listening on ...", which comes when the socket is open."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            news = self.log.read_bytes()[written:].decode(errors="replace")
            if found := re.search(r"Listening on 127\.0\.0\.1:(\d+)", news):
                return int(found[1])
            time.sleep(0.01)
        raise RuntimeError(f"{self.binary} did not start:\n{self._log_end()}")

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def _children(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        return psutil.Process(self._process.pid).children(recursive=True)
