"""The embedded engine on a real model: what Mirador adds, and what a reader waits for.

    python -m benchmarks.embedded          # or: make bench; --rounds 3 for steadier figures

SmolLM2, ten questions of different kinds, a fixed seed. Machines are shared and noisy: the arms take
turns with each question, and the medians and ratios are what counts.

beside bare xllamacpp, with the same settings in a process of its own, times taken where it runs:
    load           from nothing to a loaded model, in a fresh process each time
    first token    of a question that is new, its system prompt in the cache
    pace           from the first piece to the last one, as they arrive
    CPU a token    of all processes: Mirador's own and the engine's
    memory         resident, of the process that has the model
in a cell of a real kernel, from sending it, models warm:
    first words    of the answer, shown; one stage alone, and the first of three
    quick answer   of three stages, shown as a whole
    total          to the kernel's idle; three stages as they write, beside --traditional, which shows
                   all of them at the end
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mirador_magic.engines.base import ChatRequest, Message
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.embedded.stream import body_of
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.stages import ModelOptions
from tests.support.kernels import Kernel, kernel
from tests.support.real import smollm2_file

SYSTEM = "You are a helpful assistant."
OPTIONS = ModelOptions(temperature=0.0, num_predict=64, num_ctx=4096, seed=7)
QUESTIONS = (
    "What is the capital of Japan?",
    "Why do cats purr?",
    "What is 17 plus 25?",
    "Name three primary colours.",
    "Write a haiku about the sea.",
    "How do I boil an egg?",
    "What is a prime number?",
    "Who wrote Hamlet?",
    "Why is the sky blue?",
    "Should I learn Python or Rust first?",
)
NO_OLLAMA = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": "/nonexistent"}
WORDS_SHOWN, ANSWER_SHOWN, ALL_SHOWN = "· writing", "quick_response: ", "mirador-saved"

Figures = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """A figure, and its baseline in the same run."""

    what: str
    unit: str
    ours: Sequence[float]
    baseline: Sequence[float] = ()

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.baseline)

    def __str__(self) -> str:
        line = f"{self.what:<46} {_told(self.ours, self.unit):>12}"
        if self.baseline:
            line += f" {_told(self.baseline, self.unit):>12} {self.ratio:>7.2f} x"
        else:
            line += " " * 23
        return f"{line}   ({min(self.ours):.4g}–{max(self.ours):.4g}, n={len(self.ours)})"


def _told(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.4g} {unit}"


def main() -> None:
    """Measure, print a table and a line that sums it up, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs")
    print(f"{SMOLLM2.what}\n\n{'':<46} {'Mirador':>12} {'bare':>12}")
    rows = _shown(beside_bare(given.rounds))
    print(f"\n{'a cell in a kernel, warm':<46} {'progressive':>12} {'traditional':>12}")
    rows += _shown(cells(given.rounds))
    print(f"\n{headline({row.what: row for row in rows})}")
    if given.json:
        given.json.write_text(json.dumps([vars(row) for row in rows], indent=1))


def headline(rows: dict[str, Row]) -> str:
    """What a reader has of it, in two sentences; and what it costs, in the figure that noise spares."""
    one, total, first, three = (
        statistics.median(rows[what].ours)
        for what in ("one stage: first words", "one stage: total", FIRST, "three stages: total")
    )
    late = statistics.median(rows[FIRST].baseline)
    return (
        f"One stage: first words after {one:.0f} ms, all of it after {total:.1f} s. Three stages: first "
        f"words after {first:.0f} ms and all after {three:.1f} s; shown at the end alone: nothing for "
        f"{late / 1000:.1f} s. CPU a token: {rows['CPU a token'].ratio:.2f} x the bare library's."
    )


def _shown(rows: Iterator[Row]) -> list[Row]:
    kept = []
    for row in rows:
        print(row, flush=True)
        kept.append(row)
    return kept


# xllamacpp's own server with the settings of mirador_magic/engines/embedded/child.py. A line on stdin
# is a request; the line that comes back has the times of the pieces and the seconds of CPU.
_BARE = """
import json, os, sys, time
os.environ["OMP_WAIT_POLICY"] = "passive"
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.n_parallel, params.n_batch, params.n_ubatch, params.cache_ram_mib = 1, 64, 64, 0
params.fit_params = params.warmup = params.ui = params.endpoint_slots = False
params.verbosity = 1
server = xllamacpp.Server(params)
print("ready", flush=True)
for line in sys.stdin:
    times = []
    def heard(event):
        if any(choice["delta"].get("content") for choice in event["choices"]):
            times.append(time.perf_counter() - sent)
        return False
    cpu, sent = time.process_time(), time.perf_counter()
    server.handle_chat_completions(json.loads(line), heard)
    print(json.dumps([times, time.process_time() - cpu]), flush=True)
"""


class Bare:
    """A process that has xllamacpp and the model, and nothing of Mirador."""

    def __init__(self) -> None:
        threads = len(psutil.Process().cpu_affinity() or ()) or os.cpu_count()
        command = [sys.executable, "-I", "-c", _BARE, smollm2_file(), OPTIONS.num_ctx, threads]
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout and self._process.stdout.readline() == b"ready\n"

    def ask(self, body: dict[str, Any]) -> tuple[list[float], float]:
        """When its pieces came, in seconds from the request on, and the seconds of CPU."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(body).encode() + b"\n")
        self._process.stdin.flush()
        times, cpu = json.loads(self._process.stdout.readline())
        return times, cpu

    def memory(self) -> float:
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def beside_bare(rounds: int) -> Iterator[Row]:
    """Mirador's embedded engine and the bare library, turn by turn."""
    mine, bare = asyncio.run(_loads(5 * rounds))
    yield Row("load, fresh process", "ms", mine, bare)
    mirador, library, silent, memory = asyncio.run(_answers(rounds))
    for what, unit in (("first token", "ms"), ("pace", "tok/s"), ("CPU a token", "ms")):
        yield Row(what, unit, mirador[what], library[what])
    yield Row("  pace, bare without log-probabilities", "tok/s", mirador["pace"], silent["pace"])
    yield Row("memory", "MB", *([each] for each in memory))


async def _loads(count: int) -> tuple[list[float], list[float]]:
    mine, bare = [], []
    for _ in range(count):
        engine, began = EmbeddedEngine(), time.perf_counter()
        await engine.load(ChatRequest(SMOLLM2.name, [], OPTIONS))
        mine.append(1000 * (time.perf_counter() - began))
        await engine.aclose()
        began = time.perf_counter()
        library = Bare()
        bare.append(1000 * (time.perf_counter() - began))
        library.end()
    return mine, bare


async def _answers(rounds: int) -> tuple[Figures, Figures, Figures, tuple[float, float]]:
    """Of Mirador, of the bare library, of that without log-probabilities; and both memories."""
    mirador, library, silent = (defaultdict[str, list[float]](list) for _ in range(3))
    engine, bare = EmbeddedEngine(), Bare()
    try:
        await engine.load(_request("Hello."))
        for number, question in enumerate([QUESTIONS[-1], *rounds * QUESTIONS]):
            body = json.loads(body_of(_request(question)))
            quiet = {name: value for name, value in body.items() if "logprobs" not in name}
            for figures, (times, cpu) in (
                (mirador, await _ask(engine, question)),
                (library, bare.ask(body)),
                (silent, bare.ask(quiet | {"messages": [*body["messages"][:1], _OTHER]})),
            ):
                if number:  # the first one finds nothing in the cache
                    _count(figures, times, cpu)
        (resident,) = await engine.resident()
        return mirador, library, silent, (resident.size / 1e6, bare.memory())
    finally:
        await engine.aclose()
        bare.end()


# Another question, else the whole prompt would be in the cache.
_OTHER = {"role": "user", "content": "What is a good name for a small grey cat?"}


def _count(figures: Figures, times: Sequence[float], cpu: float) -> None:
    figures["first token"].append(1000 * times[0])
    figures["CPU a token"].append(1000 * cpu / len(times))
    if len(times) > 20:
        figures["pace"].append((len(times) - 1) / (times[-1] - times[0]))


def _request(question: str) -> ChatRequest:
    return ChatRequest(
        SMOLLM2.name, [Message("system", SYSTEM), Message("user", question)], OPTIONS
    )


async def _ask(engine: EmbeddedEngine, question: str) -> tuple[list[float], float]:
    before, sent = _cpu(), time.perf_counter()
    times = [
        time.perf_counter() - sent
        async for chunk in engine.stream(_request(question))
        if chunk.text
    ]
    return times, _cpu() - before


def _cpu() -> float:
    """Seconds of this process and of the engine's, and of the bare one, which sleeps meanwhile."""
    spent = [process.cpu_times() for process in psutil.Process().children()]
    return time.process_time() + sum(each.user + each.system for each in spent)


FIRST = "three stages: first words"


def cells(rounds: int) -> Iterator[Row]:
    """One stage; and three as they write beside three that are shown at the end, turn by turn."""
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        env = NO_OLLAMA | {"MIRADOR_ENGINE": "embedded", "XDG_DATA_HOME": folder}
        with kernel(env, "%load_ext mirador_magic\n%mirador warm") as running:
            _one(running, QUESTIONS[-1], defaultdict(list))  # as the others find it
            asked = rounds * QUESTIONS
            for question in asked:
                _one(running, question, figures)
            for question, another in zip(asked, [*asked[1:], asked[0]], strict=True):
                _three(running, question, figures)
                _at_the_end(running, another, figures)  # the same one would be in the cache
    yield Row("one stage: first words", "ms", figures["one first"])
    yield Row("one stage: total", "s", figures["one total"])
    yield Row(FIRST, "ms", figures["three first"], figures["end first"])
    yield Row("three stages: quick answer", "ms", figures["three quick"], figures["end first"])
    yield Row("three stages: total", "s", figures["three total"], figures["end total"])


def _one(running: Kernel, question: str, figures: Figures) -> None:
    marks, total = _cell(running, f"%%mirador --stages quick_response --seed 7\n{question}")
    figures["one first"].append(1000 * marks[WORDS_SHOWN])
    figures["one total"].append(total)


def _three(running: Kernel, question: str, figures: Figures) -> None:
    marks, total = _cell(running, f"%%mirador --deep --seed 7\n{question}")
    figures["three first"].append(1000 * marks[WORDS_SHOWN])
    figures["three quick"].append(1000 * marks[ANSWER_SHOWN])
    figures["three total"].append(total)


def _at_the_end(running: Kernel, question: str, figures: Figures) -> None:
    marks, total = _cell(running, f"%%mirador --deep --seed 7 --traditional\n{question}")
    figures["end first"].append(1000 * marks[ALL_SHOWN])
    figures["end total"].append(total)


def _cell(running: Kernel, code: str) -> tuple[dict[str, float], float]:
    """When each mark was first shown, in seconds from sending the cell on, and its total."""
    marks: dict[str, float] = {}
    sent = time.perf_counter()
    for message in running.watch(running.send(code), timeout=600):
        now, content = time.perf_counter() - sent, str(message["content"])
        for mark in (WORDS_SHOWN, ANSWER_SHOWN, ALL_SHOWN):
            if mark not in marks and _has(mark, message["msg_type"], content):
                marks[mark] = now
    total = time.perf_counter() - sent
    reply = running.client.get_shell_msg(timeout=60)
    assert reply["content"]["status"] == "ok", reply["content"]
    return marks, total


def _has(mark: str, kind: str, content: str) -> bool:
    """Whether this message shows it. That a stage is done is spoken, to who cannot see it."""
    if mark == ANSWER_SHOWN:
        return kind == "comm_msg" and "'spoken'" in content and mark in content
    return kind != "execute_input" and mark in content


if __name__ == "__main__":
    main()
