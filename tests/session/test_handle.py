"""The handle of a run: a stop from the loop's own thread holds at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from mirador_magic.answer.answer import Answer
from mirador_magic.engines.base import ChatRequest, Chunk
from mirador_magic.engines.scripted import ScriptedEngine
from mirador_magic.events import ChunkReceived, Event, StreamEnd
from mirador_magic.session.session import Request, Session
from tests.support.virtual_time import run


class AllAtOnce(ScriptedEngine):
    """All that it says has come already when its first word is read."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        for word in ("one ", "two ", "three"):
            yield Chunk(text=word)
        yield Chunk(end=StreamEnd("stop"))


def test_a_stop_at_the_first_word_holds_though_all_have_come() -> None:
    async def main() -> Answer:
        session = Session()
        session.configure({"engine": "scripted", "metrics": False})
        session.use(AllAtOnce())
        handle = session.start(Request("why?", ("quick_response", "synthesis")))

        def stop(event: Event) -> None:
            if isinstance(event, ChunkReceived):
                handle.stop()

        handle.watch(stop)
        await handle.wait()
        await session.aclose()
        return handle.answer

    answer = run(main())
    assert answer.outcome == "stopped"
    assert [stage.status for stage in answer.stages] == ["done", "skipped"]
