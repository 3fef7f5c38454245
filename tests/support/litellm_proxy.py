"""A real LiteLLM proxy for a test, from its own package, on a port of its own.

    with LiteLLMProxy(tmp_path, balanced(["slow:latest"], [one.host, other.host])) as proxy:
        Endpoint("team", proxy.base_url, api_key_env="TEAM_KEY")    # which holds proxy.key

It lives in an environment beside that of the tests (`make litellm` makes `.venv/litellm`), since it
wants an older openai, rich and websockets than they do.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from tests.support.patience import PATIENCE
from tests.support.real import require_real

_STOP_SECONDS = 5.0
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "NO_COLOR": "1"}


def litellm_binary() -> Path:
    """The `litellm` that `make litellm` installs, or that MIRADOR_LITELLM names."""
    own = os.environ.get("MIRADOR_LITELLM")
    binary = Path(own or Path(sys.prefix) / "litellm" / "bin" / "litellm")
    if not binary.is_file():
        require_real(f"there is no LiteLLM at {binary}: make litellm")
    return binary


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def balanced(models: Iterable[str], hosts: Iterable[str], rest: float = 30) -> dict[str, Any]:
    """LiteLLM's configuration for Ollamas with the same models; one that fails rests for `rest` s."""
    hosts = list(hosts)
    return {
        "model_list": [
            {
                "model_name": model,
                "litellm_params": {
                    "model": f"openai/{model}",
                    "api_base": f"{host}/v1",
                    "api_key": "none",
                },
            }
            for model in models
            for host in hosts
        ],
        "router_settings": {"num_retries": 2, "allowed_fails": 0, "cooldown_time": rest},
        "litellm_settings": {"telemetry": False},
    }


class LiteLLMProxy:
    """`litellm` with this configuration, in `folder`. `key` is what it lets in."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.key = f"sk-{secrets.token_hex(16)}"
        self.log = folder / "litellm.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        return f"{self.host}/v1"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def connections(self, host: str) -> int:
        """How many it has open to this address."""
        assert self._process
        port = httpx.URL(host).port
        family = psutil.Process(self._process.pid)
        every = [each for one in (family, *family.children()) for each in one.net_connections()]
        return sum(bool(each.raddr) and each.raddr.port == port for each in every)

    def stop(self) -> None:
        """Ends it and what it started."""
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        file = self.folder / "litellm.yaml"
        file.write_text(json.dumps(self.config))  # which is YAML too
        self._port = free_port()
        where = ["--config", str(file), "--host", "127.0.0.1", "--port", str(self._port)]
        own = ("OLLAMA_", "OPENAI_", "LITELLM_")
        kept = {name: held for name, held in os.environ.items() if not name.startswith(own)}
        environment = {"HOME": str(self.folder), "LITELLM_MASTER_KEY": self.key, **QUIET}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [litellm_binary(), *where, "--telemetry", "False"],
                cwd=self.folder,
                env=kept | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.host}/health/readiness", trust_env=False).is_success:
                    return
            time.sleep(0.1)
        told = self.log.read_text(errors="replace").splitlines()[-20:]
        raise RuntimeError("LiteLLM did not start:\n" + "\n".join(told))
