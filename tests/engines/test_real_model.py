"""A real language model behind the stages: its own words, its own probabilities, its own ends.

SmolLM2 in the embedded engine and in both Ollamas, under the names of the three default stages there.
What it says is nothing to rely on but for one answer: asked for the capital of Japan at temperature 0,
each of its words has a lead of 1.5 or more over the next likeliest (in log-probability), whatever
arithmetic the CPU has.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import statistics
import subprocess
import sys
from ast import literal_eval
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ollama as client
import pytest

from mirador_magic.answer.answer import Answer
from mirador_magic.confidence.bands import HELD
from mirador_magic.engines.base import ChatRequest, Chunk, Engine, Message
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.errors import EngineSilent
from mirador_magic.events import ChunkReceived, Event
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings
from mirador_magic.stages import ModelOptions
from tests.conftest import NEW, OLD
from tests.notebook.test_kernel import NO_OLLAMA, start
from tests.support.kernels import Kernel, kernel
from tests.support.ollama_server import OllamaServer
from tests.support.real import ollama_binary
from tests.support.recited import DEEP, QUICK, SYNTHESIS

T = TypeVar("T")

pytestmark = pytest.mark.timeout(400)  # three stages, on a machine that has much else to do

SYSTEM = "You are a helpful assistant."
KNOWN, KNOWN_ANSWER, KNOWN_TOKENS = (
    "What is the capital of Japan?",
    "The capital of Japan is Tokyo.",
    7,
)
ENDLESS = "List every year from 1000 to 2000, one a line."  # it repeats itself until it is stopped
CONTEXT = 4096  # one for all, since another would load the model again
PATIENCE = 40  # seconds of silence
ENGINES = ("embedded", NEW, OLD)


@dataclass(frozen=True)
class Place:
    """Where SmolLM2 answers: in the embedded engine, or in the Ollama at `host`."""

    label: str
    gguf: Path
    host: str = ""

    @property
    def engine(self) -> str:
        return "ollama" if self.host else "embedded"

    @property
    def model(self) -> str:
        return QUICK if self.host else SMOLLM2.name

    def open(self) -> Engine:
        return OllamaEngine(self.host) if self.host else EmbeddedEngine()

    def session(self) -> Session:
        session = Session()
        own = {"host": self.host} if self.host else {"models": NO_OLLAMA["MIRADOR_MODELS"]}
        session.configure({"engine": self.engine, "metrics": False, "timeout": PATIENCE} | own)
        return session


def _ollama(version: str, folder: Path, gguf: Path) -> Iterator[Place]:
    """One thread and no penalty for repetition (0.24.0 has 1.1 of its own), as it is embedded."""
    with OllamaServer(ollama_binary(version), folder) as server:
        for name in (QUICK, DEEP, SYNTHESIS):
            server.create(name, gguf, num_thread=1, repeat_penalty=1.0)
        yield Place(f"Ollama {version}", gguf, server.host)


@pytest.fixture(scope="module")
def in_new_ollama(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Place]:
    yield from _ollama(NEW, tmp_path_factory.mktemp("real"), smollm2)


@pytest.fixture(scope="module")
def in_old_ollama(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Place]:
    yield from _ollama(OLD, tmp_path_factory.mktemp("real-024"), smollm2)


@pytest.fixture(scope="module")
def embedded(smollm2: Path) -> Place:
    pytest.importorskip("xllamacpp")
    return Place("embedded llama.cpp", smollm2)


@pytest.fixture(scope="module", params=["embedded", "in_new_ollama", "in_old_ollama"], ids=ENGINES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each of them, one after the other."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def running(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that knows nothing yet, and keeps no figures: each run is asked in the same way."""
    env = NO_OLLAMA | {"MIRADOR_ENGINE": place.engine, "MIRADOR_TIMEOUT": str(PATIENCE)}
    env |= {"XDG_DATA_HOME": str(tmp_path_factory.mktemp("data")), "MIRADOR_METRICS": "off"}
    env |= {"OLLAMA_HOST": place.host} if place.host else {}
    with kernel(env, "%load_ext mirador_magic\n%mirador warm") as started:
        yield started


# Of the last answer in the kernel, one row a stage.
FIELDS = "name", "status", "how", "confidence", "tokens", "rate", "is_cut", "text", "notes"


def told(running: Kernel) -> list[dict[str, Any]]:
    """What the last answer says of each of its stages."""
    rows = f"[tuple(getattr(each, f) for f in {FIELDS}) for each in mirador_answer.stages]"
    return [dict(zip(FIELDS, row, strict=True)) for row in literal_eval(running.value(rows))]


def run_through(running: Kernel, question: str, options: str = "") -> str:
    """Ask all three stages; the answer that stays in the cell, as plain text."""
    cell = running.run(f"%%mirador --deep --seed 7 {options}\n{question}", timeout=300)
    assert cell.status == "ok", cell.error
    (shown,) = (data for data in cell.shown if data)
    return shown["text/plain"]


def test_three_stages_answer_in_their_own_words_with_numbers_of_their_own(
    running: Kernel, place: Place
) -> None:
    shown = run_through(running, "Why do cats purr?")
    header, *blocks = shown.split("\n\n")
    assert place.label in header
    assert "first token" in header and "total" in header
    stages = told(running)
    assert [each["name"] for each in stages] == ["quick_response", "deep_analysis", "synthesis"]
    for each in stages:
        # What is shipped is of the embedded engine's file; in Ollama it has a name of the user's.
        how = "measured" if place.host else "calibrated"
        assert (each["status"], each["how"]) == ("done", how)
        assert 0 < each["confidence"] < 1
        assert each["tokens"] > 0
        assert each["text"].strip()
        (head,) = (block for block in blocks if block.startswith(f"{each['name']} · "))
        assert f"{each['rate']:.0f} tok/s" in head
        assert re.search(r"\d+ % (?:unsure|low|fair|sure)$", head.splitlines()[0])


def test_no_note_says_what_is_not_so(running: Kernel, place: Place) -> None:
    """From the second run on, when it is known what fits into memory."""
    for question in ("Name three primary colours.", "What is rain?"):
        run_through(running, question, "--num-predict 40")
        stages = told(running)
        said = {each["name"]: list(each["notes"]) for each in stages}
        if not place.host:
            assert said["quick_response"].pop(0).startswith(SMOLLM2.what)
        for each in stages:
            assert each["tokens"] == 40 if each["is_cut"] else each["tokens"] <= 40
            cut = ["cut off at the stage's limit of 40 tokens → --num-predict 80"]
            assert said[each["name"]] == cut * each["is_cut"]


def test_an_interrupt_keeps_what_was_written_and_the_next_question_is_answered(
    running: Kernel, place: Place
) -> None:
    asked = f"--stages quick_response --temperature 0 --system '{SYSTEM}'"
    msg_id, _ = start(running, f"%%mirador {asked} --num-predict 3000\n{ENDLESS}", "· writing")
    running.manager.interrupt_kernel()
    assert running.finish(msg_id).error.startswith("RunInterrupted: ")
    (stage,) = told(running)
    assert stage["status"] == "stopped"
    assert stage["text"].strip()
    assert stage["notes"][-1] == f"■ interrupted: {_words(stage['text'])} kept"
    cell = running.run(f"%%mirador {asked}\n{KNOWN}", timeout=300)
    if place.host and "EngineSilent: " in cell.error:  # as in test_faults
        cell = running.run(f"%%mirador {asked}\n{KNOWN}", timeout=300)
    assert cell.status == "ok", cell.error
    assert running.value("mirador_answer.text") == repr(KNOWN_ANSWER)


def _words(text: str) -> str:
    count = len(text.split())
    return f"{count} word{'' if count == 1 else 's'}"


def played(session: Session, scene: Callable[[Session], Awaitable[T]]) -> T:
    """The scene, on an event loop of its own; the session is closed in the end."""

    async def on_the_loop() -> T:
        try:
            return await scene(session)
        finally:
            await session.aclose()

    return asyncio.run(on_the_loop())


def asking(question: str, **more: object) -> Request:
    """A question to quick_response alone, at temperature 0."""
    wish = {"temperature": 0.0, "system": SYSTEM, "num_predict": 60} | more
    return Request(question, ("quick_response",), settings=settings.layer(wish, "the test"))


async def ask_again(session: Session, place: Place) -> Answer:
    """What it surely knows, behind a stop: an Ollama may be stuck then, for one question."""
    try:
        return await session.start(asking(KNOWN))
    except EngineSilent:
        if not place.host:
            raise
        return await session.start(asking(KNOWN))


def test_a_stop_keeps_what_was_written_and_the_next_question_is_answered(place: Place) -> None:
    async def scene(session: Session) -> tuple[Answer, Answer]:
        handle = session.start(asking(ENDLESS, num_predict=3000))
        seen: list[Event] = []

        def stop_at_the_fifth(event: Event) -> None:
            seen.extend([event] if isinstance(event, ChunkReceived) else [])
            if len(seen) == 5:
                handle.stop()

        handle.watch(stop_at_the_fifth)
        return await handle, await ask_again(session, place)

    stopped, after = played(place.session(), scene)
    (stage,) = stopped.stages
    assert (stopped.outcome, stage.status) == ("stopped", "stopped")
    assert len(stage.text.split()) > 1
    assert stage.notes[-1] == f"■ stopped: {_words(stage.text)} kept"
    assert (after.outcome, after.text) == ("answered", KNOWN_ANSWER)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is usual for a model is no other test's to say."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_an_answer_longer_than_its_limit_is_cut_and_one_that_ends_by_itself_is_not(
    place: Place,
) -> None:
    async def scene(session: Session) -> list[Answer]:
        asked = asking(KNOWN, num_predict=5), asking(ENDLESS, num_predict=20), asking(KNOWN)
        return [await session.start(each) for each in asked]

    *cut, whole = played(place.session(), scene)
    for answer, tokens in zip(cut, (5, 20), strict=True):
        (stage,) = answer.stages
        assert stage.is_cut
        assert stage.tokens == tokens
        told = f"cut off at the stage's limit of {tokens} tokens → --num-predict {2 * tokens}"
        assert stage.notes[-1] == told
        assert stage.confidence <= HELD
        assert answer.doubt == "quick_response was cut off at its length limit"
    (stage,) = whole.stages
    assert not stage.is_cut
    assert not any("cut off" in note for note in stage.notes)
    assert KNOWN_ANSWER.startswith(cut[0].text)
    assert stage.confidence > HELD >= cut[0].stages[0].confidence  # as sure, but not whole


MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": KNOWN}]


def chunks_of(place: Place) -> list[Chunk]:
    """What the engine says to what the model surely knows."""

    async def ask() -> list[Chunk]:
        engine = place.open()
        options = ModelOptions(temperature=0.0, num_predict=60, num_ctx=CONTEXT)
        messages = [Message("system", SYSTEM), Message("user", KNOWN)]
        try:
            async with aclosing(
                engine.stream(ChatRequest(place.model, messages, options))
            ) as stream:
                return [chunk async for chunk in stream]
        finally:
            await engine.aclose()

    return asyncio.run(ask())


def by_the_client(host: str) -> tuple[str, list[float]]:
    """Answer and log-probabilities, as Ollama's official client has them without a stream."""
    options = {"temperature": 0.0, "num_predict": 60, "num_ctx": CONTEXT}
    with client.Client(host) as ollama:
        answer = ollama.chat(QUICK, MESSAGES, logprobs=True, options=options)
    return answer.message.content or "", [token.logprob for token in answer.logprobs or ()]


_BARE = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.verbosity = sys.argv[1], int(sys.argv[2]), 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.fit_params = params.warmup = params.ui = False
print(json.dumps(xllamacpp.Server(params).handle_chat_completions(json.loads(sys.argv[3]))))
"""


def by_the_library(gguf: Path) -> tuple[str, list[float]]:
    """The same of llama.cpp's library, without Mirador around it."""
    wish = {"messages": MESSAGES, "temperature": 0.0, "max_tokens": 60, "logprobs": True}
    command = [sys.executable, "-c", _BARE, str(gguf), str(CONTEXT), json.dumps(wish)]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    (choice,) = json.loads(said.splitlines()[-1])["choices"]
    return choice["message"]["content"], [t["logprob"] for t in choice["logprobs"]["content"]]


def test_log_probabilities_are_those_that_the_server_itself_reports(place: Place) -> None:
    *said, last = chunks_of(place)
    assert last.end and not last.logprobs
    found = [value for chunk in said for value in chunk.logprobs]
    assert all(chunk.logprobs for chunk in said)  # one or more a chunk
    assert all(math.isfinite(value) and value <= 0 for value in found)
    text, reported = by_the_client(place.host) if place.host else by_the_library(place.gguf)
    assert "".join(chunk.text for chunk in said) == text == KNOWN_ANSWER
    assert len(found) == KNOWN_TOKENS
    mine, theirs = statistics.mean(found), statistics.mean(reported[:KNOWN_TOKENS])
    assert mine == pytest.approx(theirs, abs=0.02)  # what is in the cache is added up otherwise


def test_the_same_prompt_gets_the_same_words_with_like_probabilities_everywhere(
    embedded: Place, in_new_ollama: Place, in_old_ollama: Place
) -> None:
    """For as long as the model has no doubt: where two words are nearly as likely, 0.24.0's older
    llama.cpp goes another way after some words than the two newer ones, which agree."""
    answers = [chunks_of(place) for place in (embedded, in_new_ollama, in_old_ollama)]
    for chunks in answers:
        assert "".join(chunk.text for chunk in chunks) == KNOWN_ANSWER
    ends = [chunks[-1].end for chunks in answers]
    assert len({end and end.prompt_tokens for end in ends}) == 1  # the same template, too
    means = [statistics.mean(v for chunk in chunks for v in chunk.logprobs) for chunks in answers]
    assert means == pytest.approx([means[0]] * 3, abs=0.05)
