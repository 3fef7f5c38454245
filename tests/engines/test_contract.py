"""What every engine keeps: the same tests on the scripted, the embedded, Ollama's, old and new, and
one behind OpenAI's interface, asked for itself and as an endpoint beside another engine."""

import asyncio
import gc
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mirador_magic.engines.base import ChatRequest, Chunk, Engine, Loaded, Message
from mirador_magic.engines.by_endpoint import ByEndpoint, Part
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.openai.engine import OpenAICompatibleEngine
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineError, EngineUnavailable, ModelMissing
from mirador_magic.events import StreamEnd
from mirador_magic.stages import ModelOptions
from tests.support.fault_server import Done, Say
from tests.support.openai_server import OpenAIServer
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
)

T = TypeVar("T")

# one num_ctx for all, since another would load the model again
OPTIONS = ModelOptions(temperature=0.0, num_ctx=2048)
FEW_TOKENS = ModelOptions(temperature=0.0, num_ctx=2048, num_predict=4)


@dataclass
class Bench:
    """An engine to test, and what it calls the models of `tests.support.recited`."""

    engine: Engine
    spelled: Callable[[str], str] = str

    @property
    def is_past_this_machine(self) -> bool:
        """It cannot say what it loads, nor what is in memory."""
        return isinstance(self.engine, OpenAICompatibleEngine | ByEndpoint)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """The work's result, on an event loop of its own; the engine is closed in the end."""

        async def on_the_loop() -> T:
            try:
                return await work()
            finally:
                await self.engine.aclose()

        try:
            return asyncio.run(on_the_loop())
        finally:
            gc.collect()  # what was left open warns now, and not in some later test

    def request(self, model: str, options: ModelOptions = OPTIONS) -> ChatRequest:
        messages = [Message("system", "Be brief."), Message("user", "Why is the sky blue?")]
        return ChatRequest(self.spelled(model), messages, options)

    async def answer(self, model: str, options: ModelOptions = OPTIONS) -> list[Chunk]:
        async with aclosing(self.engine.stream(self.request(model, options))) as stream:
            return [chunk async for chunk in stream]

    async def error(self, work: Awaitable[Any]) -> EngineError:
        with pytest.raises(EngineError) as caught:
            await work
        return caught.value


def _scripted(_: pytest.FixtureRequest) -> Bench:
    scripts = {name: Script(text) for name, text in RECITED.items()}
    scripts[SLOW] = Script([RECITED[SLOW] * 100], pace=0.01)
    return Bench(ScriptedEngine(scripts))


def _embedded(request: pytest.FixtureRequest) -> Bench:
    pytest.importorskip("xllamacpp")
    from mirador_magic.engines.embedded.engine import EmbeddedEngine

    models: dict[str, Path] = request.getfixturevalue("reciting_models")
    return Bench(EmbeddedEngine(models[QUICK].parent), lambda name: name.partition(":")[0])


def _ollama(request: pytest.FixtureRequest) -> Bench:
    return Bench(OllamaEngine(request.getfixturevalue("ollama").host))


def _ollama_024(request: pytest.FixtureRequest) -> Bench:
    return Bench(OllamaEngine(request.getfixturevalue("ollama_024").host))


def _openai(request: pytest.FixtureRequest) -> Bench:
    server: OpenAIServer = request.getfixturevalue("reciting_openai")
    return Bench(OpenAICompatibleEngine(server.endpoint(warm=True)))


def _by_endpoint(request: pytest.FixtureRequest) -> Bench:
    async def nowhere() -> Engine:
        raise EngineUnavailable("nothing runs at home")

    server: OpenAIServer = request.getfixturevalue("reciting_openai")
    parts = {"cluster": Part(server.endpoint(warm=True))}
    return Bench(ByEndpoint(parts, nowhere), lambda name: f"cluster/{name}")


@pytest.fixture(scope="module")
def reciting_openai() -> Iterator[OpenAIServer]:
    behaviours = {name: (Say(text), Done()) for name, text in RECITED.items()}
    behaviours[SLOW] = (Say(RECITED[SLOW] * 100, pace=0.01), Done())
    with OpenAIServer(behaviours) as server:
        server.logprobs = {UNSURE: math.log(UNSURE_PROBABILITY)}
        yield server


ENGINES = [_scripted, _embedded, _ollama, _ollama_024, _openai, _by_endpoint]


@pytest.fixture(params=ENGINES, ids=lambda p: p.__name__[1:])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield request.param(request)


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def end_of(chunks: list[Chunk]) -> StreamEnd:
    assert chunks[-1].end
    return chunks[-1].end


@pytest.mark.parametrize("model", [QUICK, DEEP, SYNTHESIS, NEL])
def test_the_exact_text_comes_in_pieces(bench: Bench, model: str) -> None:
    """Also the one with U+0085, where some take a line to end."""
    chunks = bench.run(lambda: bench.answer(model))
    assert text_of(chunks) == RECITED[model]
    assert len(chunks) > 5


def test_the_last_chunk_alone_has_the_end(bench: Bench) -> None:
    chunks = bench.run(lambda: bench.answer(QUICK))
    assert [chunk.end for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert end_of(chunks).reason == "stop"
    assert not end_of(chunks).prompt_cut
    assert not any(chunk.thinking for chunk in chunks)


def test_every_other_chunk_says_something_or_is_a_sign_of_life(bench: Bench) -> None:
    chunks = bench.run(lambda: bench.answer(DEEP))
    assert all(chunk.text or chunk == Chunk() for chunk in chunks[:-1])
    assert sum(bool(chunk.text) for chunk in chunks) > 5


def test_the_probabilities_of_the_tokens_come_with_their_text(bench: Bench) -> None:
    chunks = bench.run(lambda: bench.answer(UNSURE))
    told = [log for chunk in chunks for log in chunk.logprobs]
    if isinstance(bench.engine, ScriptedEngine):
        assert told == []  # a script has none
        return
    assert len(told) == sum(bool(chunk.text) for chunk in chunks)
    assert told == pytest.approx([math.log(UNSURE_PROBABILITY)] * len(told), abs=1e-3)


def test_an_answer_that_is_cut_off_says_so(bench: Bench) -> None:
    if isinstance(bench.engine, ScriptedEngine):
        bench.engine.scripts[QUICK] = Script("The sky is", end=StreamEnd("length"))
    chunks = bench.run(lambda: bench.answer(QUICK, FEW_TOKENS))
    assert end_of(chunks).reason == "length"
    assert 0 < len(text_of(chunks)) < len(RECITED[QUICK])
    assert RECITED[QUICK].startswith(text_of(chunks))


def test_what_the_engine_counts_is_plausible(bench: Bench) -> None:
    end = end_of(bench.run(lambda: bench.answer(QUICK)))
    if isinstance(bench.engine, ScriptedEngine):
        assert end == StreamEnd("stop")  # a script counts nothing
        return
    assert end.prompt_tokens and end.prompt_tokens > 20
    assert end.output_tokens and 6 <= end.output_tokens <= len(RECITED[QUICK])
    if bench.is_past_this_machine:
        assert (end.load_s, end.prefill_s, end.decode_s) == (None, None, None)  # never invented
        return
    assert end.load_s is not None and 0 <= end.load_s < 60
    assert end.prefill_s is not None and 0 < end.prefill_s < 60
    assert end.decode_s is not None and 0 < end.decode_s < 60


def test_a_missing_model_is_named_with_its_cure(bench: Bench) -> None:
    absent = bench.request("absent")

    async def fail() -> list[EngineError]:
        return [
            await bench.error(anext(bench.engine.stream(absent))),
            await bench.error(bench.engine.load(absent)),
        ]

    for error in bench.run(fail):
        assert type(error) is ModelMissing
        assert "absent" in error.what and error.cure
        assert str(error).isprintable()


def test_a_loaded_model_is_resident_and_listed(bench: Bench) -> None:
    async def load() -> tuple[dict[str, int], dict[str, int]]:
        await bench.engine.load(ChatRequest(bench.spelled(QUICK), [], OPTIONS))
        resident, models = await bench.engine.resident(), await bench.engine.models()
        return {m.name: m.size for m in resident}, {m.name: m.size for m in models}

    resident, models = bench.run(load)
    assert {bench.spelled(name) for name in RECITED} <= set(models)
    if bench.is_past_this_machine:
        assert models[bench.spelled(QUICK)] == 0  # bytes, which it does not tell
        return
    assert bench.spelled(QUICK) in resident
    if not isinstance(bench.engine, ScriptedEngine):
        assert models[bench.spelled(QUICK)] > 10_000
        assert resident[bench.spelled(QUICK)] > 10_000


def test_a_prompt_that_was_loaded_is_answered_as_ever(bench: Bench) -> None:
    async def warm_and_ask() -> tuple[Loaded, list[Chunk]]:
        loaded = await bench.engine.load(bench.request(QUICK), keep_alive=60)
        return loaded, await bench.answer(QUICK)

    loaded, chunks = bench.run(warm_and_ask)
    assert text_of(chunks) == RECITED[QUICK]
    if bench.is_past_this_machine:
        assert loaded == Loaded()
        return
    assert loaded.load_s is not None and loaded.load_s >= 0
    if not isinstance(bench.engine, ScriptedEngine):
        assert loaded.prefill_s is not None and loaded.prefill_s >= 0


def test_a_stream_closed_early_leaves_the_engine_free(bench: Bench) -> None:
    """The slow model would go on for minutes, and a busy engine would keep the others waiting."""

    async def close_early() -> tuple[str, list[Chunk], list[Chunk]]:
        stream = bench.engine.stream(bench.request(SLOW))
        heard = "".join([(await anext(stream)).text for _ in range(3)])
        await stream.aclose()
        async with asyncio.timeout(PATIENCE):
            same = bench.engine.stream(bench.request(SLOW))
            again = [await anext(same)]
            await same.aclose()
            return heard, again, await bench.answer(QUICK)

    heard, again, other = bench.run(close_early)
    assert heard and RECITED[SLOW].startswith(heard)
    assert RECITED[SLOW].startswith(text_of(again))
    assert text_of(other) == RECITED[QUICK]


def test_a_cancelled_reader_leaves_the_engine_free(bench: Bench) -> None:
    async def cancel() -> list[Chunk]:
        started = asyncio.Event()

        async def read() -> None:
            async with aclosing(bench.engine.stream(bench.request(SLOW))) as stream:
                async for _ in stream:
                    started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(PATIENCE):
            return await bench.answer(QUICK)

    assert text_of(bench.run(cancel)) == RECITED[QUICK]


@pytest.mark.parametrize("other", [QUICK, DEEP], ids=["the-same-model", "two-models"])
def test_two_streams_at_once_both_complete(bench: Bench, other: str) -> None:
    async def both() -> list[list[Chunk]]:
        return list(await asyncio.gather(bench.answer(QUICK), bench.answer(other)))

    first, second = bench.run(both)
    assert (text_of(first), text_of(second)) == (RECITED[QUICK], RECITED[other])


def test_a_closed_engine_may_be_used_again(bench: Bench) -> None:
    async def use_twice() -> list[str]:
        first = text_of(await bench.answer(QUICK))
        await bench.engine.aclose()
        await bench.engine.aclose()
        return [first, text_of(await bench.answer(QUICK))]

    assert bench.run(use_twice) == [RECITED[QUICK]] * 2
    assert text_of(bench.run(lambda: bench.answer(QUICK))) == RECITED[QUICK]


def test_probing_finds_it_there(bench: Bench) -> None:
    bench.run(bench.engine.probe)
    assert bench.engine.name in ("scripted", "embedded", "ollama", "openai", "endpoints")
    assert bench.engine.label
