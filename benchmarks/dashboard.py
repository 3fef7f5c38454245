"""What an open dashboard costs a kernel beside a run, and while nothing runs.

    python -m benchmarks.dashboard          # or: make bench; --rounds 1 for a first look

A real kernel; an engine that plays 200 words a second, a word a token. Each round is the same run
twice, with and without the dashboard open, in an order that alternates; then as many idle seconds
with it. CPU is that of the whole process, its threads too, as a share of one core and of the time
that passed. What it adds is the difference of two such runs; medians with their intervals at 95 %.
The store holds a hundred runs before the first. The bound is 2 %.

The kernel imports this module too: what runs there stands in the first half.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from mirador_magic import Script, ScriptedEngine
from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.events import StreamEnd
from mirador_magic.workbench.intervals import of_median
from tests.support.kernels import Kernel, kernel

PACE = 200  # tokens a second
SECONDS = 5.0
BOUND = 0.02


class Steady(ScriptedEngine):
    """Token k is due k / PACE seconds after the first, whatever became of those before it."""

    def __init__(self) -> None:
        super().__init__({"steady": Script("")})

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        loop = asyncio.get_running_loop()
        began, tokens = loop.time(), int(PACE * SECONDS)
        for number in range(tokens):
            if (early := began + number / PACE - loop.time()) > 0:
                await asyncio.sleep(early)
            yield Chunk(text=" word" if number % 50 else ".\n\nWord", logprobs=(-0.1,))
        yield Chunk(end=StreamEnd("stop", 10, tokens, 0.0, 0.0, SECONDS))


async def share(is_open: bool, runs: bool) -> float:
    """The CPU's share of the time that a run takes, or so many idle seconds, in this kernel."""
    from mirador_magic.session.session import Request, current
    from mirador_magic.settings.settings import layer
    from mirador_magic.workbench.dashboard import dashboard

    board = dashboard() if is_open else None
    await asyncio.sleep(1.5)  # it has settled
    began, spent = time.perf_counter(), time.process_time()
    if runs:
        given = layer({"model": "steady"}, "the benchmark")
        await current().start(Request("how steady?", ("quick_response",), settings=given))
    else:
        await asyncio.sleep(SECONDS)
    found = (time.process_time() - spent) / (time.perf_counter() - began)
    if board:
        board.close()
    await asyncio.sleep(0.5)
    return found


def fill(count: int) -> None:
    """Have so many runs in the store."""
    from mirador_magic.pipeline.metrics import RunMetrics, StageMetrics
    from mirador_magic.store import Recorder

    stage = StageMetrics("quick_response", "steady", "done", 0.0, 0.1, output_tokens=100)
    recorder = Recorder()
    for number in range(count):
        run = RunMetrics("answered", "scripted", "", 0.1 + number / 100, 2.0, (stage,))
        recorder.record(run, purpose="ask", question="", texts={}, keep_texts=False, keep_days=90)
    recorder.close()


SETUP = """
%load_ext mirador_magic
from benchmarks.dashboard import Steady, fill, share
from mirador_magic import use_engine
use_engine(Steady())
fill(100)
"""


def measured(running: Kernel, is_open: bool, runs: bool) -> float:
    cell = running.run(f"found = await share({is_open}, {runs})")
    assert cell.status == "ok", cell.error
    return float(running.value("found"))


def told(name: str, values: list[float]) -> str:
    found = of_median(values)
    each = " ".join(f"{100 * value:.2f}" for value in values)
    return (
        f"{name:24} {100 * found.value:6.2f} %  "
        f"({100 * found.low:.2f} to {100 * found.high:.2f}; {each})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What an open dashboard costs.")
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    without: list[float] = []
    beside: list[float] = []
    idle: list[float] = []
    with tempfile.TemporaryDirectory() as data:
        env = {"PYTHONPATH": str(Path(__file__).parents[1]), "XDG_DATA_HOME": data}
        env |= {"MIRADOR_ENGINE": "scripted", "MIRADOR_PRE_WARM": "off"}
        with kernel(env, SETUP) as running:
            measured(running, True, True)  # imports, first use
            for number in range(rounds):
                order = (False, True) if number % 2 else (True, False)
                for is_open in order:
                    (beside if is_open else without).append(measured(running, is_open, True))
                idle.append(measured(running, True, False))
            still = measured(running, False, False)
    added = [one - other for one, other in zip(beside, without, strict=True)]
    print(f"CPU of a kernel at {PACE} tokens a second, {platform.machine()}, {rounds} rounds")
    print(told("without the dashboard", without))
    print(told("with it open", beside))
    print(told("what it adds", added))
    print(told("idle, with it open", idle))
    print(told("idle, without", [still]))
    kept = statistics.median(added) < BOUND
    print(f"under {BOUND:.0%}: {'yes' if kept else 'NO'}")


if __name__ == "__main__":
    main()
