"""Thinking that an engine left in the answer, taken out as it comes.

Where no parser for the model was at work its thoughts stand at the beginning of the text, between
`<think>` and `</think>`. They are no part of the answer, nor of what the next stage is told. The tags
may be torn apart anywhere; behind the answer's first word they are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mirador_magic.engines.base import Chunk

_TAGS = {"<think>": "</think>", "<thinking>": "</thinking>"}


class Thoughts:
    """Splits the chunks of one answer."""

    def __init__(self) -> None:
        self._held = ""  # what may become a tag
        self._logs: tuple[float, ...] = ()  # of what is held
        self._until = ""  # the tag that ends the thought under way
        self._has_thought = self._is_answer = False

    def feed(self, chunk: Chunk) -> Iterator[Chunk]:
        """The chunk, or those that it makes; nothing where more is needed to tell."""
        if self._is_answer or not (chunk.text or chunk.end):
            yield chunk
            return
        if chunk.thinking:
            yield replace(chunk, text="", logprobs=(), end=None)
        yield from self._split(chunk.text, chunk.logprobs)
        if chunk.end:
            yield from self._rest()
            yield Chunk(end=chunk.end, note=chunk.note)

    def _split(self, text: str, logprobs: tuple[float, ...]) -> Iterator[Chunk]:
        self._held, self._logs = self._held + text, self._logs + logprobs
        while self._held:
            if self._until:
                thought, tag, behind = self._held.partition(self._until)
                if not tag:
                    kept = _begun(self._held, self._until)
                    thought, behind = self._held[: len(self._held) - kept], self._held[-kept:]
                    behind = behind if kept else ""
                if thought:
                    yield Chunk(thinking=thought)
                self._held, self._logs = behind, ()  # nobody can tell which are the answer's
                if not tag:
                    return
                self._until = ""
            begun = self._held.lstrip()
            opened = next((tag for tag in _TAGS if begun.startswith(tag)), "")
            if opened:
                self._until, self._held = _TAGS[opened], begun.removeprefix(opened)
                self._has_thought = True
            elif any(tag.startswith(begun) for tag in _TAGS):
                return
            else:
                yield from self._rest()

    def _rest(self) -> Iterator[Chunk]:
        held, self._held = self._held, ""
        if self._until:
            if held:
                yield Chunk(thinking=held)
        elif held:
            self._is_answer = True
            held = held.lstrip() if self._has_thought else held
            yield Chunk(text=held, logprobs=self._logs)


def _begun(text: str, tag: str) -> int:
    """How many of its last characters may be the tag's first ones."""
    return next((n for n in range(len(tag) - 1, 0, -1) if text.endswith(tag[:n])), 0)
