"""What warming, overlap and progress are worth on three models of 0.8 GB, each beside its baseline.

    python -m benchmarks.stages          # or: make bench; --rounds 2 --questions 0 for a first look

A real Ollama, and models that recite: they are loaded, prefilled and decoded like any of their size,
and their text is known (tests/support/reciting_gguf.py). As to those, a word of a prompt is a token.
The small ones write on and on until the stage's limit. Machines are shared and noisy: the arms of a
comparison take turns, and the medians and ratios are what counts.

first token    quick_response with a system prompt of 1,000 tokens: cold, loaded only, warmed
three stages   warmed before the cell, beside cold in sequence: total, and dead air (a stage's end to
               the next one's first token)
own plan       three stages cold as Mirador does them, beside plain sequence; with models of 0.8 GB,
               and with small ones on one core, where there is room to spare
progressive    the first text, beside that of --traditional, which shows all at the end
in a row       many questions, the first one cold: how often the first token takes under a second
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

from mirador_magic.engines.base import ChatRequest
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.events import ChunkReceived, Event, RunFinished, RunStarted, StageFinished
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.pipeline import prompts
from mirador_magic.pipeline.run import Run
from mirador_magic.residency.history import History
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from tests.support.ollama_server import OllamaServer
from tests.support.real import ollama_binary
from tests.support.reciting_gguf import HEAVY, LONG_WINDED, write

QUESTION = "Why is the sky blue?"
LONG_PROMPT = "4 8 15 16 " * 100  # no words: a token is a byte
SCRIPTS = {
    "quick_response": "Air scatters blue light far more than it scatters any red light at all.",
    "deep_analysis": "Short waves meet molecules more often, and so they come from everywhere.",
    "synthesis": "Blue wins: it is scattered widely, violet is rarer, and eyes prefer blue.",
}
ENDLESS = {  # written again and again
    stage: [f" {first}{second}" for second in ascii_lowercase]
    for stage, first in zip(SCRIPTS, "abc", strict=True)
}
# Where a script has no end: a second or more of a small model's time, as a short answer takes of a real
# one's. In less nothing could be brought beside it: Ollama looks every 250 ms whether a load has ended.
ANSWER_TOKENS = 400
LEARNT = 4  # runs in which Mirador tries its plans on three models, before they are measured


@dataclass(frozen=True)
class Measured:
    """One run. Times in seconds, paces in tokens a second."""

    first: float
    total: float
    dead_air: float
    slowest: float


@dataclass(frozen=True)
class Row:
    """A figure, its baseline in the same run, and what is wanted of their ratio."""

    what: str
    unit: str
    ours: list[float]
    baseline: list[float]
    wanted: str = ""

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.baseline)

    def __str__(self) -> str:
        ours, base = (f"{statistics.median(x):.2f} {self.unit}" for x in (self.ours, self.baseline))
        return f"{self.what:<58} {ours:>11} {base:>11}   {100 * self.ratio:6.1f} %  {self.wanted}"


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--ollama", default="0.34.1")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        OllamaServer(ollama_binary(given.ollama), Path(folder) / "ollama") as server,
    ):
        file = Path(folder) / "model.gguf"
        for stage, script in SCRIPTS.items():
            write(file, script, shape=HEAVY, known=_prompts())
            server.create(f"heavy-{stage}", file, num_thread=os.cpu_count())
            write(file, ENDLESS[stage], shape=LONG_WINDED, loop=True, known=_prompts())
            server.create(f"small-{stage}", file, num_thread=1)
        file.unlink()
        print(f"Python {platform.python_version()}, Ollama {server.version}", flush=True)
        bench = Bench(server, Path(folder), given.rounds)
        rows = asyncio.run(bench.all()) if given.rounds else []
        shares = asyncio.run(bench.in_a_row(given.questions)) if given.questions else {}
    if given.json:
        told = [{**vars(row), "ratio": row.ratio} for row in rows]
        given.json.write_text(json.dumps({"rows": told, "in a row": shares}, indent=1))


class Bench:
    """The comparisons, on one server."""

    def __init__(self, server: OllamaServer, folder: Path, rounds: int) -> None:
        self._server = server
        self._folder = folder
        self._rounds = rounds
        self._engine = OllamaEngine(server.host)

    async def all(self) -> list[Row]:
        rows = [*await self._first_token(), *await self._three_stages()]
        rows += [*await self._own_plan("heavy"), *await self._own_plan("small")]
        await self._engine.aclose()
        return rows

    async def _first_token(self) -> list[Row]:
        (quick, *_) = stages("heavy")
        asked = (replace(quick, system_prompt=LONG_PROMPT),)
        cold, loaded, warmed = await self._in_turn(
            lambda: self._cold(asked), lambda: self._loaded(asked), lambda: self._warmed(asked)
        )
        firsts = [[run.first for run in arm] for arm in (cold, loaded, warmed)]
        return _shown(
            Row("first token: loaded only / cold", "s", firsts[1], firsts[0]),
            Row("first token: warmed / cold", "s", firsts[2], firsts[0]),
            Row("first token: warmed / loaded only", "s", firsts[2], firsts[1], "at most 10 %"),
        )

    async def _three_stages(self) -> list[Row]:
        asked = stages("heavy")
        cold, warmed = await self._in_turn(
            lambda: self._cold(asked, overlap=False), lambda: self._warmed(asked)
        )
        totals = [[run.total for run in arm] for arm in (cold, warmed)]
        airs = [[run.dead_air for run in arm] for arm in (cold, warmed)]
        firsts = [run.first for run in warmed]
        return _shown(
            Row("three stages: total, warmed / cold", "s", totals[1], totals[0], "at most 65 %"),
            Row("three stages: dead air, warmed / cold", "s", airs[1], airs[0], "at most 45 %"),
            Row("first text: progressive / traditional, warm", "s", firsts, totals[1]),
            Row("first text: warm progressive / cold traditional", "s", firsts, totals[0]),
        )

    async def _own_plan(self, size: str) -> list[Row]:
        asked = stages(size)
        for _ in range(LEARNT):  # each run tries a plan that is not known yet
            await self._cold(asked)
        sequence, own = await self._in_turn(
            lambda: self._cold(asked, overlap=False), lambda: self._cold(asked)
        )
        totals = [[run.total for run in arm] for arm in (own, sequence)]
        airs = [[run.dead_air for run in arm] for arm in (own, sequence)]
        paces = [[run.slowest for run in arm] for arm in (own, sequence)]
        total = "at most 102 %" if size == "heavy" else ""
        air = "at most 60 %" if size == "small" else ""
        return _shown(
            Row(f"{size}, cold: total, own plan / sequence", "s", totals[0], totals[1], total),
            Row(f"{size}, cold: dead air, own plan / sequence", "s", airs[0], airs[1], air),
            Row(f"{size}, cold: slowest stage, the same", "tok/s", paces[0], paces[1]),
        )

    async def in_a_row(self, questions: int) -> dict[str, float]:
        """Each with a question of its own, so that no answer is in any cache."""
        self._engine = OllamaEngine(self._server.host)
        asked = stages("heavy")
        await self._unload()
        async with self._orchestrator(asked) as orchestrator:
            firsts = [
                (await _measured(orchestrator.run, f"{number}: {QUESTION}")).first
                for number in range(questions)
            ]
        ranked = sorted(firsts)
        shares = {
            "questions": float(questions),
            "under a second, %": 100 * sum(first < 1 for first in firsts) / questions,
            "first, s": firsts[0],
            **{f"p{p}, s": ranked[min(p * questions // 100, questions - 1)] for p in (50, 95, 99)},
        }
        print(", ".join(f"{name}: {figure:.2f}" for name, figure in shares.items()), flush=True)
        return shares

    async def _in_turn(
        self, *arms: Callable[[], Awaitable[Measured]]
    ) -> tuple[list[Measured], ...]:
        """Every arm once a round, so that noise hits them alike."""
        measured: tuple[list[Measured], ...] = tuple([] for _ in arms)
        for _ in range(self._rounds):
            for arm, runs in zip(arms, measured, strict=True):
                runs.append(await arm())
        return measured

    async def _cold(self, asked: Sequence[ModelStage], overlap: bool = True) -> Measured:
        await self._unload()
        if overlap:
            return await _measured(self._orchestrator(asked).run, QUESTION)

        async def opened() -> OllamaEngine:
            return self._engine

        return await _measured(lambda query, emit: Run(query, asked, opened, emit), QUESTION)

    async def _loaded(self, asked: Sequence[ModelStage]) -> Measured:
        await self._unload()
        for stage in asked:
            await self._engine.load(_bare(stage))
        return await _measured(self._orchestrator(asked).run, QUESTION)

    async def _warmed(self, asked: Sequence[ModelStage]) -> Measured:
        await self._unload()
        orchestrator = self._orchestrator(asked)
        await orchestrator.warm()
        return await _measured(orchestrator.run, QUESTION)

    def _orchestrator(self, asked: Sequence[ModelStage]) -> StreamingOrchestrator:
        history = History(self._folder / "history.json")
        return StreamingOrchestrator(asked, self._engine, history=history)

    async def _unload(self) -> None:
        for _ in range(200):
            if not (resident := await self._engine.resident()):
                return
            for model in resident:
                await self._engine.unload(model.name)
            await asyncio.sleep(0.05)
        raise RuntimeError("the models do not leave memory")


def stages(size: str) -> tuple[ModelStage, ...]:
    """The three stages on the models of this size."""
    named = tuple(replace(s, model=f"{size}-{s.name}", timeout=120.0) for s in DEFAULT_STAGES)
    if size == "heavy":
        return named
    short = [replace(s.options, num_predict=ANSWER_TOKENS) for s in named]
    return tuple(replace(s, options=o) for s, o in zip(named, short, strict=True))


def _prompts() -> str:
    """All that the models are asked, as text."""
    drafts = [
        (stage, "".join(script)) for said in (SCRIPTS, ENDLESS) for stage, script in said.items()
    ]
    asked = [prompts.request(stage, QUESTION, drafts) for stage in DEFAULT_STAGES]
    return "\n".join(message.content for request in asked for message in request.messages)


def _bare(stage: ModelStage) -> ChatRequest:
    return ChatRequest(stage.model, [], stage.options)


async def _measured(start: Callable[[str, Callable[[Event], None]], Run], query: str) -> Measured:
    events: list[Event] = []
    await start(query, events.append).execute()
    began, ended = (
        next(e.at for e in events if isinstance(e, k)) for k in (RunStarted, RunFinished)
    )
    firsts: dict[str, float] = {}
    for event in events:
        if isinstance(event, ChunkReceived):
            firsts.setdefault(event.stage, event.at)
    ends = [event for event in events if isinstance(event, StageFinished)]
    assert len(ends) == len(firsts), "a stage failed"
    gaps = [at - end.at for at, end in zip([*firsts.values()][1:], ends, strict=False)]
    paces = [(end.end.output_tokens or 0) / (end.end.decode_s or 1e-9) for end in ends]
    return Measured(min(firsts.values()) - began, ended - began, sum(gaps), min(paces))


def _shown(*rows: Row) -> list[Row]:
    for row in rows:
        print(row, flush=True)
    return list(rows)


if __name__ == "__main__":
    main()
