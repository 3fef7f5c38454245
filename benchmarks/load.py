"""Many runs at once on one endpoint, in one kernel, beside bare clients on the same server.

    python -m benchmarks.load          # or: make bench; --waves 1 for a first look

A real kernel, and a loopback server that says a word every 50 ms to as many as ask. 200 runs are
started together, again and again, 2,000 in all. Each wave stands beside one of the same chats, as many
at once, by a client that only counts the words: the official SDK's stream, and HTTP lines alone.

CPU a word      of the whole kernel process, while a wave is under way
first token     of the runs of a wave: the seconds, and by how many places they came out of their turn
memory          of the kernel (resident) and its objects, after each wave
connections     that the server accepted of Mirador, and those that are open after the session's end

Machines are shared and noisy: the arms take turns, and the medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import psutil

from tests.support.kernels import kernel
from tests.support.load import QUESTION, objects, wave
from tests.support.paced_server import PacedServer, paced_server

RUNS, WORDS, PACE = 200, 20, 0.05

Figures = dict[str, list[float]]
Arm = Callable[[], Awaitable[list[float]]]  # asks all; the seconds until the first word of each
Words = Callable[[], AsyncGenerator[None, None]]  # one answer, a step for each word


async def measure(base_url: str, limit: int, waves: int) -> str:
    """What is run in the kernel, in a folder where the server is `cluster`; the figures as JSON."""
    from mirador_magic.session.session import Session

    session = Session()
    session.configure({"metrics": False})
    server = PacedServer(base_url)
    figures: Figures = defaultdict(list)

    async def mirador() -> list[float]:
        done = await wave(session, RUNS, "cluster/m")
        assert done.outcomes == ["answered"] * RUNS, set(done.outcomes)
        assert done.words == [WORDS] * RUNS
        figures["late"] += done.late
        return [*done.firsts.values()]

    arms: dict[str, Arm] = {
        "mirador": mirador,
        "sdk": lambda: by_sdk(base_url, limit),
        "lines": lambda: by_lines(base_url, limit),
    }
    for number in range(waves + 1):  # the first one imports and connects
        for name, arm in arms.items():
            before = server.counts().accepted
            cpu, wall = time.process_time(), time.perf_counter()
            firsts = await arm()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            figures[f"{name} connections"].append(server.counts().accepted - before)
            if number:
                figures[f"{name} µs"].append(1e6 * cpu / (RUNS * WORDS))
                figures[f"{name} s"].append(wall)
                figures[f"{name} first"] += firsts
        figures["MB"].append(psutil.Process().memory_info().rss / 1e6)
        figures["objects"].append(objects())
    await session.aclose()
    await asyncio.sleep(0.2)  # the server hears of it
    figures["left"] = [server.counts().open]
    figures["most"] = [server.counts().most]
    return json.dumps(figures)


async def at_once(limit: int, answer: Words) -> list[float]:
    """As many as there are runs, so many of them at once."""
    free = asyncio.Semaphore(limit)
    began = time.perf_counter()

    async def in_turn() -> float:
        words, first = 0, 0.0
        async with free:
            async for _ in answer():
                first = first or time.perf_counter() - began
                words += 1
        assert words == WORDS, words
        return first

    return await asyncio.gather(*(in_turn() for _ in range(RUNS)))


async def by_sdk(base_url: str, limit: int) -> list[float]:
    """With the official SDK, as its manual has it."""
    import openai

    async def answer() -> AsyncGenerator[None, None]:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        async for each in stream:
            if each.choices[0].delta.content:
                yield

    async with openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0) as client:
        return await at_once(limit, answer)


async def by_lines(base_url: str, limit: int) -> list[float]:
    """With HTTP alone; the lines are not read."""
    import httpx

    body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], "stream": True}

    async def answer() -> AsyncGenerator[None, None]:
        async with client.stream("POST", f"{base_url}/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if '"content"' in line:
                    yield

    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
        return await at_once(limit, answer)


def measured(limit: int, waves: int) -> Figures:
    """The figures of one limit, from a kernel and a server of its own."""
    with tempfile.TemporaryDirectory() as folder, paced_server(WORDS, PACE) as server:
        table = f'[tool.mirador.endpoints.cluster]\nbase_url = "{server.base_url}"\nlimit = {limit}'
        Path(folder, "pyproject.toml").write_text(table)
        homes = {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, "PYTHONPATH": os.getcwd()}
        code = (
            f"import os; os.chdir({folder!r})\nfrom benchmarks.load import measure\n"
            f"print(await measure({server.base_url!r}, {limit}, {waves}))"
        )
        with kernel(homes) as running:
            cell = running.run(code, timeout=3600)
            assert cell.status == "ok", cell.error
            figures: Figures = json.loads(cell.stdout)
            return figures


def show(limit: int, figures: Figures) -> None:
    """One limit's table."""
    runs = RUNS * len(figures["mirador s"])
    print(f"\n{runs} runs, {RUNS} together, limit {limit}; at once: {figures['most'][0]:.0f}")
    print(f"  {'':<8} {'µs a word':>9} {'s a wave':>9} {'first word, s':>21} {'connections':>12}")
    for name in ("mirador", "sdk", "lines"):
        cpu, wall = (statistics.median(figures[f"{name} {unit}"]) for unit in ("µs", "s"))
        ranked = sorted(figures[f"{name} first"])
        first = f"{ranked[0]:.2f} {statistics.median(ranked):.2f} {ranked[-1]:.2f}"
        opened = sum(figures[f"{name} connections"])
        print(f"  {name:<8} {cpu:>9.0f} {wall:>9.2f} {first:>21} {opened:>12.0f}")
    late = sorted(figures["late"])
    told = ", ".join(f"{late[len(late) * p // 100]:.0f} ({p} %)" for p in (50, 99))
    print(f"  out of turn by {told}, {late[-1]:.0f} places at the most")
    for name in ("MB", "objects"):
        print(f"  {name}: {', '.join(f'{each:.0f}' for each in figures[name])}")
    print(f"  connections left: {figures['left'][0]:.0f}", flush=True)


def main() -> None:
    """Measure, print a table for each limit, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waves", type=int, default=10)
    parser.add_argument("--limits", type=int, nargs="+", default=[200, 32])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs")
    results = {}
    for limit in given.limits:
        results[limit] = measured(limit, given.waves)
        show(limit, results[limit])
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
