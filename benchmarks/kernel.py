"""What a notebook's user waits for, each beside its baseline in the same run.

    python -m benchmarks.kernel          # or: make bench

A real kernel and a real Ollama, whose tiny models answer at once, so that what is measured is
Mirador's own share. Machines are shared and noisy: read the medians and the differences.

first token    from sending a cell to the first painted word of the answer (iopub), beside the
               first chunk of a bare streaming HTTP client on the same server, and beside the
               first output of a cell that only prints
interrupt      from the interrupt to the kernel's idle, in mid-stream
orphan         from the SIGKILL of a parent to the end of its embedded engine's child
load           %load_ext mirador_magic in a fresh kernel, beside importing what it needs
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx
import psutil

import mirador_magic
from mirador_magic.pipeline import prompts
from mirador_magic.stages import DEFAULT_STAGES
from tests.support.kernels import Kernel, kernel
from tests.support.ollama_server import OllamaServer
from tests.support.real import ollama_binary
from tests.support.recited import QUICK, RECITED, SLOW, install, write_models
from tests.support.reciting_gguf import write

QUESTION = "Why is the sky blue?"
FIRST_WORD = RECITED[QUICK].split()[0]
Row = dict[str, float | int | str]


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder))
        with OllamaServer(ollama_binary("0.34.1"), Path(folder) / "ollama") as server:
            install(server, models)
            rows = [*first_token(server, given.runs), *interrupt(server, given.runs // 5)]
    rows += orphan(given.runs // 5)
    rows += load(max(3, given.runs // 10))
    print(f"Python {platform.python_version()}, Ollama {server.version}, {platform.machine()}")
    for row in rows:
        print(
            f"{row['what']:<52} {row['median ms']:>8.1f} ms   ({row['min ms']:.1f}–{row['max ms']:.1f}, n={row['n']})"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


def row(what: str, seconds: Sequence[float]) -> Row:
    ms = [1000 * each for each in seconds]
    return {
        "what": what,
        "median ms": statistics.median(ms),
        "min ms": min(ms),
        "max ms": max(ms),
        "n": len(ms),
    }


def first_token(server: OllamaServer, runs: int) -> list[Row]:
    """A cell and a printing cell in turn, each after a bare client's whole answer.

    So noise hits them alike, and both find the kernel as still as a reader leaves it: a cell right
    behind another one is a millisecond faster.
    """
    cell, bare, printed = [], [], []
    with kernel({"OLLAMA_HOST": server.host}, "%load_ext mirador_magic") as running:
        code = f"%%mirador --stages quick_response\n{QUESTION}"
        running.run("%mirador warm")  # else the other stages' models are warmed between the cells
        for _ in range(3):
            running.run(code)
        with httpx.Client(base_url=server.host, timeout=60) as client:
            _bare(client)
            for _ in range(runs):
                bare.append(_bare(client))
                cell.append(_until(running, code, FIRST_WORD))
                bare.append(_bare(client))
                printed.append(_until(running, "print('here')", "here"))
    floor = [client + out for client, out in zip(bare[1::2], printed, strict=True)]
    return [
        row("first token: a %%mirador cell", cell),
        row("first token: a bare HTTP client", bare),
        row("a cell that prints: its output", printed),
        row("floor: bare client + printing cell", floor),
    ]


def _bare(client: httpx.Client) -> float:
    """The same request as the cell's, so that both find the same prompt in the model's cache."""
    asked = prompts.request(DEFAULT_STAGES[0], QUESTION, [])
    options = {name: value for name, value in asdict(asked.options).items() if value is not None}
    messages = [asdict(message) for message in asked.messages]
    body = {"model": QUICK, "messages": messages, "stream": True, "options": options}
    body |= {"think": False, "logprobs": True}
    sent = time.perf_counter()
    with client.stream("POST", "/api/chat", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        first = time.perf_counter() - sent
        for _ in lines:
            pass
    return first


def _until(running: Kernel, code: str, text: str) -> float:
    """Seconds from sending a cell to the first message that shows the text; the cell is finished."""
    sent = time.perf_counter()
    msg_id = running.send(code)
    first = None
    for message in running.watch(msg_id):
        if first is None and message["msg_type"] != "execute_input" and text in _shown(message):
            first = time.perf_counter() - sent
    assert first is not None, f"{text!r} was never shown"
    running.client.get_shell_msg(timeout=60)
    return first


def _shown(message: dict[str, object]) -> str:
    return str(message["content"])


def interrupt(server: OllamaServer, runs: int) -> list[Row]:
    """Interrupt a stage that writes; then ask the same model, which waits for what still runs."""
    idle, again = [], []
    with kernel({"OLLAMA_HOST": server.host}, "%load_ext mirador_magic") as running:
        running.run(f"%mirador stage slow --model {SLOW} --num-predict 4000")
        running.run(f"%mirador stage brief --model {SLOW} --num-predict 3")
        for _ in range(runs):
            msg_id = running.send("%%mirador --stages slow\nwhy?")
            for message in running.watch(msg_id):
                if "tide goes out" in _shown(message):
                    break
            sent = time.perf_counter()
            running.manager.interrupt_kernel()
            assert running.finish(msg_id).status == "error"
            idle.append(time.perf_counter() - sent)
            again.append(_until(running, "%%mirador --stages brief\nwhy?", "The"))
    return [
        row("interrupt in mid-stream → kernel idle", idle),
        row("the same model's next first token", again),
    ]


_PARENT = """
import asyncio, sys
from pathlib import Path
from mirador_magic.engines.base import ChatRequest
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.stages import ModelOptions

asyncio.run((engine := EmbeddedEngine(Path(sys.argv[1]))).load(ChatRequest("recites", [], ModelOptions())))
print("ready", flush=True)
sys.stdin.read()
"""


def orphan(runs: int) -> list[Row]:
    """Kill a process that has an embedded engine, and wait for the child that it leaves."""
    gone = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "recites.gguf", "Some words to recite.")
        command = [sys.executable, "-c", _PARENT, folder]
        for _ in range(runs):
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
                assert parent.stdout and parent.stdout.readline() == b"ready\n"
                (child,) = psutil.Process(parent.pid).children()
                sent = time.perf_counter()
                parent.kill()
                with contextlib.suppress(psutil.NoSuchProcess):
                    while child.status() != psutil.STATUS_ZOMBIE:
                        time.sleep(0.001)
                gone.append(time.perf_counter() - sent)
    return [row("embedded: parent's SIGKILL → child gone", gone)]


def load(runs: int) -> list[Row]:
    """In a fresh kernel each time; compiled before, as pip does with what it installs."""
    compileall.compile_dir(Path(mirador_magic.__file__).parent, quiet=1)
    return [
        row("%load_ext mirador_magic", [_load("%load_ext mirador_magic") for _ in range(runs)]),
        row("baseline: import ipywidgets", [_load("import ipywidgets") for _ in range(runs)]),
        row("baseline: import ollama", [_load("import ollama") for _ in range(runs)]),
        row("import mirador_magic, bare Python", [_imported("mirador_magic") for _ in range(runs)]),
        row("baseline: import asyncio, bare Python", [_imported("asyncio") for _ in range(runs)]),
    ]


def _load(code: str) -> float:
    with kernel({"OLLAMA_HOST": "127.0.0.1:9"}) as running:
        running.run("1")
        running.run(f"import time; t = time.perf_counter()\n{code}\nt = time.perf_counter() - t")
        return float(running.value("t"))


def _imported(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )


if __name__ == "__main__":
    main()
