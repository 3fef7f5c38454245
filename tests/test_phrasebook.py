"""The model that comes with Mirador: its corpus, its file, and what it says on each engine."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from mirador_magic import phrasebook, provision
from mirador_magic.confidence import FAIR, LOW, SURE, UNSURE, band
from mirador_magic.engines.base import ChatRequest, Engine, ModelInfo
from mirador_magic.engines.embedded import EmbeddedEngine
from mirador_magic.engines.ollama import OllamaEngine
from mirador_magic.orchestrator import StreamingOrchestrator
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.views.answer import Answer
from mirador_magic.views.run_state import RunState
from tests.support.kernels import Kernel, kernel
from tests.support.ollama_server import OllamaServer
from training.phrasebook import corpus as corpora
from training.phrasebook.corpus import FIELDS, STAGES, Corpus
from training.phrasebook.examples import Examples, prompts_digest

KNOWN = ["What should I focus on today?", "What is a kernel?", "How do I read a CSV file?"]
UNKNOWN = ["Which river flows through Ulaanbaatar?", "How long do I boil an egg?", "xyzzy"]
CARD = phrasebook.FILE.with_suffix(".md")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpora.load()


def ask(question: str, engine: Engine) -> Answer:
    """The answer of a run of the three default stages, on the phrase book."""

    async def run() -> Answer:
        stages = [provision.on(stage, phrasebook.NAME) for stage in DEFAULT_STAGES]
        state = RunState()
        async with StreamingOrchestrator(stages, engine, pre_warm=False) as orchestrator:
            await orchestrator.run(question, state).execute()
        return state.answer()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def without_ollama() -> Iterator[Kernel]:
    env = {"OLLAMA_HOST": "127.0.0.1:9", "MIRADOR_MODELS": "/nonexistent", "MIRADOR_PACE": "400"}
    with kernel(env, "%load_ext mirador_magic") as running:
        yield running


def test_the_corpus_is_whole(corpus: Corpus) -> None:
    assert list(corpora.faults(corpus)) == []
    assert len(corpus.entries) >= 120
    assert {entry.field for entry in corpus.entries} == set(FIELDS)
    assert len(corpus.unknown["trained"]) >= 400
    assert len(corpus.unknown["held_out"]) >= 100


def test_every_refusal_names_the_way_out(corpus: Corpus) -> None:
    for stage in STAGES:
        for slot in corpus.refusals[stage]:
            assert len(set(slot)) == len(slot)
        says = [any("Ollama" in s or "GGUF" in s for s in slot) for slot in corpus.refusals[stage]]
        assert any(says)
        texts = list(itertools.islice(itertools.product(*corpus.refusals[stage]), 500))
        assert all(re.search(r"Ollama|GGUF|\.gguf", " ".join(text)) for text in texts)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_trained_is_the_answer_to_the_question_whatever_the_drafts(
    corpus: Corpus, stage: str
) -> None:
    examples = Examples(corpus, random.Random(0))
    kinds = set()
    for _ in range(300):
        example = examples.draw(stage, drafted=0.7)
        (_, _), (role, user) = example.turns
        assert role == "user" and user.startswith(example.question)
        known = example.entry < len(corpus.entries)
        kinds.add((known, "Draft of" in user))
        if known:
            assert example.answer == corpus.entries[example.entry].answers[stage]
        else:
            assert corpus.is_refusal(stage, example.answer)
    drafts = {False} if stage == "quick_response" else {False, True}
    assert kinds == set(itertools.product({False, True}, drafts))


def test_it_was_trained_on_the_prompts_of_today() -> None:
    """Where this fails, a prompt has changed: train it anew, `make phrasebook`."""
    assert prompts_digest().encode() in phrasebook.FILE.read_bytes()


def test_its_card_speaks_of_this_file() -> None:
    import hashlib

    digest = hashlib.sha256(phrasebook.FILE.read_bytes()).hexdigest()
    assert digest in CARD.read_text()


@pytest.mark.parametrize("question", KNOWN)
def test_it_answers_what_it_knows_word_for_word(corpus: Corpus, question: str) -> None:
    (entry,) = (e for e in corpus.entries if question in e.phrasings["trained"])
    answer = ask(question, EmbeddedEngine(pace=0))
    assert {stage.name: stage.text for stage in answer.stages} == entry.answers
    assert {stage.how for stage in answer.stages} == {"calibrated"}
    assert {band(stage.confidence) for stage in answer.stages} <= {FAIR, SURE}
    assert [band(stage.confidence) for stage in answer.stages].count(SURE) >= 2


def test_every_question_of_the_book_is_answered_as_it_stands_there(corpus: Corpus) -> None:
    """By the first stage, and at temperature 0; the shorter a question, the easier it is refused."""

    async def main() -> dict[str, str]:
        engine, said = EmbeddedEngine(pace=0), {}
        stage = provision.on(DEFAULT_STAGES[0], phrasebook.NAME)
        async with StreamingOrchestrator([stage], engine, pre_warm=False) as orchestrator:
            for entry in corpus.entries:
                tokens = [token.content async for token in orchestrator.process(entry.name)]
                said[entry.name] = "".join(tokens)
        return said

    answers = {entry.name: entry.answers["quick_response"] for entry in corpus.entries}
    assert asyncio.run(main()) == answers


@pytest.mark.parametrize("question", UNKNOWN)
def test_it_refuses_what_it_does_not_know(corpus: Corpus, question: str) -> None:
    answer = ask(question, EmbeddedEngine(pace=0))
    for stage in answer.stages:
        assert corpus.is_refusal(stage.name, stage.text), stage.text
        assert stage.how == "calibrated"
        assert band(stage.confidence) in (UNSURE, LOW)


def test_it_is_small_in_memory() -> None:
    async def memory() -> int:
        engine = EmbeddedEngine(pace=0)
        await engine.load(ChatRequest(phrasebook.NAME, [], DEFAULT_STAGES[0].options))
        (resident,) = await engine.resident()
        await engine.aclose()
        return resident.size

    assert asyncio.run(memory()) < 60e6


def test_in_ollama_it_says_the_same_words(each_ollama: OllamaServer, corpus: Corpus) -> None:
    """But for the wording of a refusal: many are equally likely, and rounding chooses."""
    engine = OllamaEngine(each_ollama.host)

    async def create() -> None:
        await provision.create_phrasebook(engine)
        await engine.aclose()

    asyncio.run(create())
    for question in UNKNOWN:
        for stage in ask(question, OllamaEngine(each_ollama.host)).stages:
            assert corpus.is_refusal(stage.name, stage.text), stage.text
    for question in KNOWN:
        there = ask(question, OllamaEngine(each_ollama.host))
        here = ask(question, EmbeddedEngine(pace=0))
        assert [s.text for s in there.stages] == [s.text for s in here.stages]
        for one, other in zip(there.stages, here.stages, strict=True):
            assert one.how == other.how == "calibrated"
            assert one.confidence == pytest.approx(other.confidence, abs=0.1)


def test_a_plain_chat_in_ollama_asks_as_the_first_stage_does(
    ollama_server_with_it: OllamaServer, corpus: Corpus
) -> None:
    with ollama.Client(ollama_server_with_it.host) as client:
        asked = [{"role": "user", "content": KNOWN[1]}]
        said = client.chat(phrasebook.NAME, asked).message.content
    (entry,) = (e for e in corpus.entries if KNOWN[1] in e.phrasings["trained"])
    assert said == entry.answers["quick_response"]


@pytest.fixture
def ollama_server_with_it(ollama: OllamaServer) -> OllamaServer:
    """Provisioned by the magic itself."""
    with kernel({"OLLAMA_HOST": ollama.host}, "%load_ext mirador_magic") as running:
        cell = running.run("%mirador provision --phrasebook")
        assert cell.status == "ok", cell.error
        assert f"Ollama 0.34.1 has {phrasebook.NAME} now" in cell.stdout
    return ollama


def test_without_ollama_it_answers_in_a_cell_and_says_what_it_is(
    without_ollama: Kernel, corpus: Corpus
) -> None:
    cell = without_ollama.run(f"%%mirador\n{KNOWN[0]}")
    assert cell.status == "ok", cell.error
    said = cell.shown[0]["text/plain"]
    assert "embedded llama.cpp, slowed to 400 tok/s" in said.splitlines()[0]
    assert said.count(phrasebook.LABEL) == 3
    assert len(re.findall(r"● 0\.\d\d sure calibrated \(n=794\)", said)) == 3
    cell = without_ollama.run(f"%%mirador\n{UNKNOWN[0]}")
    said = cell.shown[0]["text/plain"]
    assert len(re.findall(r"● 0\.\d\d (?:unsure|low) calibrated", said)) == 3


def test_it_stands_back_where_there_is_another_model(tmp_path: Path) -> None:
    stage = DEFAULT_STAGES[1]
    both = [ModelInfo(phrasebook.NAME, 1), ModelInfo("tiny", 2)]
    assert (instead := provision.substitute(stage, both)) and instead.model == "tiny"
    assert (alone := provision.substitute(stage, both[:1])) and alone.model == phrasebook.NAME
    assert alone.options.temperature == 0.0
    assert provision.substitute(stage, []) is None
