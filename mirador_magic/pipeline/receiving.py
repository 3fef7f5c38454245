"""What comes of a stage's stream: passed on in pieces, counted, and ended where it has no end.

A chunk is cut here, before anything looks at it. Whatever an engine hands out at once, who follows a
text does a bounded step of work for each piece, and the loop is free between two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from mirador_magic.engines.base import Chunk
from mirador_magic.errors import BrokenStream, MiradorError, RequestRefused
from mirador_magic.events import StreamEnd
from mirador_magic.pipeline.loops import Loops
from mirador_magic.pipeline.thoughts import Thoughts
from mirador_magic.stages import ModelStage

PIECE = 2000  # characters

_ANOTHER = "take another one: --model NAME"
_LEAST = 512  # tokens in which a model that thinks may come to an answer

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
        self._thoughts = Thoughts()
        self._parts: list[str] = []
        self._end: StreamEnd | None = None
        self._text = self._thinking = 0  # characters

    async def take(self, came: Chunk) -> bool:
        """Pass it on; whether the stream is to be ended."""
        number = 0
        for chunk in self._thoughts.feed(came):
            self._end = chunk.end or self._end
            for piece in self._pieces(chunk):
                if number:
                    await asyncio.sleep(0)
                number += 1
                self._tell(self._stage, piece)
                self._parts.append(piece.text)
                if self._loops.feed(piece.thinking or piece.text):
                    self._end = self._end or StreamEnd("loop")
                    return True
        if max(self._text, self._thinking) > self._stage.max_chars:
            self._end = StreamEnd("size")
            return True
        return False

    def roomier(self) -> ModelStage | None:
        """The stage with room to think, where it was told not to and did nothing else until its limit."""
        options, ended = self._stage.options, self._end and self._end.reason
        if self._stage.think is not False or ended != "length" or not self._thinking or self._text:
            return None
        room = max(4 * (options.num_predict or 0), _LEAST)
        return replace(self._stage, think=None, options=replace(options, num_predict=room))

    def whole(self, engine: str) -> tuple[str, StreamEnd]:
        """The text, and how it ended. Raises what kept it from being an answer."""
        if self._end is None:
            raise BrokenStream(f"{engine} ended the answer without saying so", "ask again")
        text, model = "".join(self._parts).strip(), self._stage.model
        if self._end.reason == "refusal":
            raise RequestRefused(f"{model} will not answer this", f"ask otherwise, or {_ANOTHER}")
        if not text:
            raise self._wordless(self._end.reason)
        return text, self._end

    def _wordless(self, reason: str) -> MiradorError:
        model, limit = self._stage.model, self._stage.options.num_predict
        if why := _THOUGHT.get(reason):
            return BrokenStream(f"{model} {why}", "ask again, or without thinking: --think off")
        if reason == "length" and self._thinking:
            more = max(4 * (limit or 0), _LEAST)
            why = f"{model} thought until its limit{f' of {limit} tokens' if limit else ''}"
            cure = f"give it room: --num-predict {more}, or ask without thinking: --think off"
            return BrokenStream(f"{why}, and wrote no answer", cure)
        if reason == "tools":
            why = f"{model} asked for a tool, which is not run here, and wrote no answer"
            return BrokenStream(why, f"ask again, or {_ANOTHER}")
        if self._thinking:
            why = f"{model} wrote all of it as its thinking, and no answer"
            return BrokenStream(why, f"ask without thinking: --think off, or {_ANOTHER}")
        return BrokenStream(f"{model} ended its answer without a word", "ask again")

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
