"""What has come of one stage's answer, and why it is none where it is none."""

from __future__ import annotations

from dataclasses import replace

from mirador_magic.engines.base import Chunk
from mirador_magic.errors import BrokenStream, MiradorError, RequestRefused
from mirador_magic.events import StreamEnd
from mirador_magic.stages import ModelStage

_ANOTHER = "take another one: --model NAME"
_LEAST = 512  # tokens in which a model that thinks may come to an answer


class Received:
    """The pieces of one stage's answer. `label` is its engine's."""

    def __init__(self, stage: ModelStage, label: str) -> None:
        self.end: StreamEnd | None = None
        self._stage = stage
        self._label = label
        self._parts: list[str] = []
        self._thought = False

    def take(self, chunk: Chunk) -> None:
        self._parts.append(chunk.text)
        self._thought |= bool(chunk.thinking)
        self.end = chunk.end or self.end

    def looped(self) -> None:
        """It repeats itself, and is ended by us."""
        self.end = self.end or StreamEnd("loop")

    def roomier(self) -> ModelStage | None:
        """The stage with room to think, where it was told not to and did nothing else until its limit."""
        options, ended = self._stage.options, self.end and self.end.reason
        if self._stage.think is not False or ended != "length" or not self._thought or self._text:
            return None
        room = max(4 * (options.num_predict or 0), _LEAST)
        return replace(self._stage, think=None, options=replace(options, num_predict=room))

    @property
    def _text(self) -> str:
        return "".join(self._parts).strip()

    def answer(self) -> tuple[str, StreamEnd]:
        """The text, and how it ended. Raises what kept it from being an answer."""
        if self.end is None:
            what = f"{self._label} ended the answer without saying so"
            raise BrokenStream(what, "ask again")
        text, model = self._text, self._stage.model
        if self.end.reason == "refusal":
            raise RequestRefused(f"{model} will not answer this", f"ask otherwise, or {_ANOTHER}")
        if not text:
            raise self._wordless(self.end.reason)
        return text, self.end

    def _wordless(self, reason: str) -> MiradorError:
        model, limit = self._stage.model, self._stage.options.num_predict
        if reason == "loop":
            why = f"{model} repeated itself while it thought, and was stopped"
            return BrokenStream(why, "ask again, or without thinking: --think off")
        if reason == "length" and self._thought:
            more = max(4 * (limit or 0), _LEAST)
            why = f"{model} thought until its limit{f' of {limit} tokens' if limit else ''}"
            cure = f"give it room: --num-predict {more}, or ask without thinking: --think off"
            return BrokenStream(f"{why}, and wrote no answer", cure)
        if reason == "tools":
            why = f"{model} asked for a tool, which is not run here, and wrote no answer"
            return BrokenStream(why, f"ask again, or {_ANOTHER}")
        if self._thought:
            why = f"{model} wrote all of it as its thinking, and no answer"
            return BrokenStream(why, f"ask without thinking: --think off, or {_ANOTHER}")
        return BrokenStream(f"{model} ended its answer without a word", "ask again")
