"""The servers that other tests rely on: real, complete, and as predictable as claimed."""

import asyncio
import json
import math
import time
from pathlib import Path

import httpx
import ollama as client
import pytest

from mirador_magic.engines.base import ChatRequest, ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.stages import ModelOptions
from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.recited import (
    DEEP,
    NEL,
    QUICK,
    RECITED,
    SLOW,
    SYNTHESIS,
    UNSURE,
    UNSURE_PROBABILITY,
    while_it_goes_on,
)

QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.mark.parametrize("model", [QUICK, DEEP, SYNTHESIS, UNSURE])
@pytest.mark.parametrize("question", ["Why is the sky blue?", "λ & <b>☃</b>\n" * 20])
def test_a_model_recites_its_text_in_many_chunks(
    each_ollama: OllamaServer, model: str, question: str
) -> None:
    with client.Client(each_ollama.host) as ollama:
        asked = [{"role": "user", "content": question}]
        chunks = [*ollama.chat(model, asked, stream=True)]
    texts = [chunk.message.content for chunk in chunks if chunk.message.content]
    assert "".join(texts) == RECITED[model]
    assert len(texts) > 5
    assert chunks[-1].done_reason == "stop"


def test_the_next_line_character_survives(each_ollama: OllamaServer) -> None:
    answer = httpx.post(
        f"{each_ollama.host}/api/chat",
        json={"model": NEL, "messages": QUESTION},
        timeout=PATIENCE,
        trust_env=False,
    )
    lines = answer.content.strip().split(b"\n")
    assert "".join(json.loads(line)["message"]["content"] for line in lines) == RECITED[NEL]


def test_log_probabilities_are_the_ones_that_were_written(each_ollama: OllamaServer) -> None:
    with client.Client(each_ollama.host) as ollama:
        answers = {
            model: ollama.chat(model, QUESTION, logprobs=True).logprobs for model in (UNSURE, QUICK)
        }
    for model, probability in {UNSURE: UNSURE_PROBABILITY, QUICK: 1.0}.items():
        found = [token.logprob for token in answers[model] or ()]
        assert found[:-1] == pytest.approx([math.log(probability)] * (len(found) - 1), abs=1e-4)
        assert len(found) > 5


def test_the_slow_model_repeats_its_text_until_its_limit(each_ollama: OllamaServer) -> None:
    with client.Client(each_ollama.host) as ollama:
        answer = ollama.chat(SLOW, QUESTION, options={"num_predict": 60})
    assert answer.done_reason == "length"
    assert (RECITED[SLOW] * 10).startswith(answer.message.content or "nothing")
    assert answer.eval_count == 60


def test_a_closed_stream_frees_the_slow_model(each_ollama: OllamaServer) -> None:
    limit = while_it_goes_on(each_ollama)
    with client.Client(each_ollama.host, timeout=limit) as ollama:
        stream = ollama.chat(SLOW, QUESTION, stream=True)
        for _ in range(5):
            next(stream)
        stream.close()
        answer = ollama.chat(SLOW, QUESTION, options={"num_predict": 3})  # waits for a busy model
    assert answer.eval_count == 3


def test_a_killed_server_comes_back_with_its_models(mortal_ollama: OllamaServer) -> None:
    with client.Client(mortal_ollama.host) as ollama:
        ollama.chat(QUICK, QUESTION)
        assert [model["name"] for model in mortal_ollama.ps()] == [QUICK]
        mortal_ollama.kill()
        with pytest.raises(ConnectionError):
            ollama.chat(QUICK, QUESTION)
        mortal_ollama.start()
        assert ollama.chat(QUICK, QUESTION).message.content == RECITED[QUICK]


def test_one_file_under_two_names_is_in_memory_under_both_and_stays_as_long_as_the_longer(
    mortal_ollama: OllamaServer, reciting_models: dict[str, Path]
) -> None:
    names = ("first:latest", "second:latest")
    for name in names:
        mortal_ollama.create(name, reciting_models[QUICK])

    async def main() -> list[ModelInfo]:
        engine = OllamaEngine(mortal_ollama.host)
        for name, keep_alive in zip(names, (3600.0, 60.0), strict=True):
            await engine.load(ChatRequest(name, [], ModelOptions()), keep_alive)
        return await engine.resident()

    found = {model.name.removesuffix(":latest"): model for model in asyncio.run(main())}
    assert {"first", "second"} == set(found)
    assert found["first"].until == found["second"].until
    assert len(mortal_ollama.ps()) == 1
    assert (found["first"].until or 0) > time.time() + 1800
