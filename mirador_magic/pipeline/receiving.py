"""What comes of a stage's stream: passed on in pieces, counted, and ended where it has no end.

A chunk is cut here, before anything looks at it. Whatever an engine hands out at once, who follows a
text does a bounded step of work for each piece, and the loop is free between two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from mirador_magic.engines.base import Chunk
from mirador_magic.errors import BrokenStream
from mirador_magic.events import StreamEnd
from mirador_magic.pipeline.loops import Loops
from mirador_magic.stages import ModelStage

PIECE = 2000  # characters

# How it is told where the model has only thought, by the reason why the stream was ended by us.
_THOUGHT = {
    "loop": "repeated itself while it thought, and was stopped",
    "size": "thought without end, and was stopped",
}


class Receiving:
    """One stage's answer as it comes; `tell` hears each piece. The thinking is counted apart."""

    def __init__(self, stage: ModelStage, tell: Callable[[ModelStage, Chunk], None]) -> None:
        self._stage = stage
        self._tell = tell
        self._loops = Loops()
        self._parts: list[str] = []
        self._end: StreamEnd | None = None
        self._text = self._thinking = 0  # characters

    async def take(self, chunk: Chunk) -> bool:
        """Pass it on; whether the stream is to be ended."""
        self._end = chunk.end or self._end
        pieces = [*self._pieces(chunk)]
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(0)
            self._tell(self._stage, piece)
            self._parts.append(piece.text)
            if self._loops.feed(piece.thinking or piece.text):
                self._end = self._end or StreamEnd("loop")
                return True
        if max(self._text, self._thinking) > self._stage.max_chars:
            self._end = StreamEnd("size")
            return True
        return False

    def whole(self, engine: str) -> tuple[str, StreamEnd]:
        """The text, and how it ended. Raises BrokenStream where it did not, or says nothing."""
        if self._end is None:
            raise BrokenStream(f"{engine} ended the answer without saying so", "ask again")
        text, model = "".join(self._parts).strip(), self._stage.model
        if not text and (why := _THOUGHT.get(self._end.reason)):
            raise BrokenStream(f"{model} {why}", "ask again, or without thinking: --think off")
        if not text:
            raise BrokenStream(f"{model} ended its answer without a word", "ask again")
        return text, self._end

    def _pieces(self, chunk: Chunk) -> Iterator[Chunk]:
        """What there is room for; each piece has its share of the chunk's log-probabilities."""
        most = self._stage.max_chars
        text = chunk.text[: max(0, most - self._text)]
        thinking = chunk.thinking[: max(0, most - self._thinking)]
        self._text += len(chunk.text)
        self._thinking += len(chunk.thinking)
        count = -(-max(len(text), len(thinking)) // PIECE)
        if count <= 1:
            is_whole = max(self._text, self._thinking) <= most
            yield chunk if is_whole else replace(chunk, text=text, thinking=thinking)
            return
        for n in range(count):
            part = slice(n * PIECE, (n + 1) * PIECE)
            share = slice(*(k * len(chunk.logprobs) // count for k in (n, n + 1)))
            yield Chunk(text[part], thinking[part], chunk.logprobs[share])
