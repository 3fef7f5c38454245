"""keep_alive, the model's own context and any option, in both real Ollamas and the embedded engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import ollama as client

from mirador_magic.engines.base import ChatRequest, Engine, Message
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.known_models import SMOLLM2
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.stages import FOR_EVER, ModelOptions, Think
from tests.support.ollama_server import OllamaServer
from tests.support.recited import QUICK, RECITED

T = TypeVar("T")


def within(server: OllamaServer, do: Callable[[OllamaEngine], Awaitable[T]]) -> T:
    async def main() -> T:
        engine = OllamaEngine(server.host)
        try:
            return await do(engine)
        finally:
            await engine.aclose()

    return asyncio.run(main())


async def answer(
    engine: Engine,
    model: str,
    options: ModelOptions,
    think: Think | None = None,
    keep_alive: float | None = None,
) -> str:
    asked = ChatRequest(
        model, [Message("user", "Why is the sky blue?")], options, think, keep_alive=keep_alive
    )
    return "".join([chunk.text async for chunk in engine.stream(asked)])


def test_a_question_says_how_long_its_model_is_kept(each_ollama: OllamaServer) -> None:
    async def do(engine: OllamaEngine) -> list[Any]:
        found: list[Any] = []
        for keep_alive in (FOR_EVER, 1800.0):
            await answer(engine, QUICK, ModelOptions(), keep_alive=keep_alive)
            (there,) = [each for each in await engine.resident() if each.name == QUICK]
            found.append(there.until)
        await answer(engine, QUICK, ModelOptions(), keep_alive=0.0)
        while QUICK in {each.name for each in await engine.resident()}:
            pass  # it is on its way out
        return found

    for_ever, half_an_hour = within(each_ollama, do)
    assert for_ever is None and half_an_hour is not None


def test_the_context_may_be_the_models_own(each_ollama: OllamaServer) -> None:
    """That of its Modelfile, and a prompt that is longer is told as with one of ours."""
    with client.Client(each_ollama.host) as official:
        official.create("narrow", from_=QUICK, parameters={"num_ctx": 512}, stream=False)

        async def do(engine: OllamaEngine) -> tuple[int | None, bool]:
            await engine.unload(QUICK)
            told = ChatRequest(
                "narrow", [Message("user", "why? " * 300)], ModelOptions(num_ctx=None)
            )
            ends = [chunk.end async for chunk in engine.stream(told) if chunk.end]
            (there,) = [each for each in official.ps().models if each.model == "narrow:latest"]
            return there.context_length, ends[0].prompt_cut

        try:
            assert within(each_ollama, do) == (512, True)
        finally:
            official.delete("narrow")


def test_any_option_reaches_the_model(each_ollama: OllamaServer) -> None:
    word = RECITED[QUICK].split()[3]
    until = RECITED[QUICK].partition(word)[0]
    options = ModelOptions(more=(("stop", (word,)), ("top_k", 20), ("min_p", 0.1), ("num_gpu", 0)))
    assert within(each_ollama, lambda engine: answer(engine, QUICK, options)) == until


def test_a_model_that_cannot_think_answers_where_it_is_told_how_much(
    each_ollama: OllamaServer,
) -> None:
    answered = within(each_ollama, lambda engine: answer(engine, QUICK, ModelOptions(), "low"))
    assert answered == RECITED[QUICK]


def test_the_embedded_engine_takes_options_and_the_models_own_context() -> None:
    async def main() -> list[str]:
        engine = EmbeddedEngine()
        try:
            plain = ModelOptions(num_ctx=None, num_predict=20, seed=1, temperature=0.0)
            whole = await answer(engine, SMOLLM2.name, plain)
            word = whole.split()[3]
            more = (("stop", (word,)), ("top_k", 1), ("repeat_penalty", 1.0))
            cut = ModelOptions(num_ctx=None, num_predict=20, seed=1, temperature=0.0, more=more)
            return [whole.partition(word)[0], await answer(engine, SMOLLM2.name, cut, "low")]
        finally:
            await engine.aclose()

    expected, found = asyncio.run(main())
    assert found == expected
