"""The embedded engine on the model that comes with Mirador: how soon, how fast, how large.

    python -m benchmarks.phrasebook      # or: make bench

ready          from nothing to a loaded model, in a fresh child process each time, beside a bare
               Python that imports xllamacpp and ends
first token    of each stage, model in memory, its prompt with the earlier stages' drafts new each
               time; beside the same question asked again, whose prompt llama.cpp has in its cache
pace           tokens a second while it writes, unlimited, by llama.cpp's own count
memory         of the child process, resident
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from mirador_magic import phrasebook, prompts
from mirador_magic.engines.base import ChatRequest
from mirador_magic.engines.embedded import EmbeddedEngine
from mirador_magic.provision import on
from mirador_magic.stages import DEFAULT_STAGES, ModelOptions
from training.phrasebook import corpus

RUNS = 20


def main() -> None:
    """Measure and print a table."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {phrasebook.NAME}")
    ready = [asyncio.run(_ready()) for _ in range(RUNS)]
    say("ready: a fresh child", ready, "ms")
    say("  baseline: bare Python imports xllamacpp", [_bare() for _ in range(RUNS)], "ms")
    for name, seconds, unit in asyncio.run(_answers()):
        say(name, seconds, unit)


def say(what: str, values: Sequence[float], unit: str) -> None:
    """One row; seconds are printed as milliseconds."""
    values = [value * 1000 for value in values] if unit == "ms" else values
    median, low, high = statistics.median(values), min(values), max(values)
    print(f"{what:<52} {median:>8.1f} {unit}   ({low:.1f}–{high:.1f}, n={len(values)})")


async def _ready() -> float:
    engine = EmbeddedEngine(pace=0)
    began = time.perf_counter()
    await engine.load(ChatRequest(phrasebook.NAME, [], ModelOptions()))
    took = time.perf_counter() - began
    await engine.aclose()
    return took


def _bare() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", "import xllamacpp"], check=True)
    return time.perf_counter() - began


async def _answers() -> list[tuple[str, list[float], str]]:
    """Each stage on a question of its own each time, then the same once more."""
    engine = EmbeddedEngine(pace=0)
    rows: list[tuple[str, list[float], str]] = []
    paces: list[float] = []
    entries = corpus.load().entries
    try:
        for stage in DEFAULT_STAGES:
            new, again = [], []
            for entry in entries[: RUNS + 2]:
                drafts = [(name, entry.answers[name]) for name in _earlier(stage.name)]
                wish = prompts.request(on(stage, phrasebook.NAME), entry.name, drafts)
                first, pace = await _first_token(engine, wish)
                new.append(first)
                paces.append(pace)
                again.append((await _first_token(engine, wish))[0])
            rows.append((f"first token: {stage.name}, new prompt", new[2:], "ms"))
            rows.append(("  baseline: the same prompt again", again[2:], "ms"))
        rows.append(("pace, unlimited", paces, "tok/s"))
        rows.append(("memory of the child", [m.size / 1e6 for m in await engine.resident()], "MB"))
    finally:
        await engine.aclose()
    return rows


def _earlier(stage: str) -> Sequence[str]:
    return corpus.STAGES[: corpus.STAGES.index(stage)]


async def _first_token(engine: EmbeddedEngine, wish: ChatRequest) -> tuple[float, float]:
    """Seconds to the first text, and the tokens a second from llama.cpp's own times."""
    sent, first, pace = time.perf_counter(), None, 0.0
    async for chunk in engine.stream(wish):
        if first is None and chunk.text:
            first = time.perf_counter() - sent
        if chunk.end and chunk.end.output_tokens and chunk.end.decode_s:
            pace = chunk.end.output_tokens / chunk.end.decode_s
    assert first is not None, "it said nothing"
    return first, pace


if __name__ == "__main__":
    main()
