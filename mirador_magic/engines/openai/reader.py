"""How the stream of an OpenAI-compatible endpoint is read.

It is server-sent events: a line `data: {…}` for each piece, at last `data: [DONE]`. What it says is
read leniently, since every server leaves something out or adds something of its own: one sends the
answer whole, one in lines of JSON, one calls it finished in each piece. What ends an answer is the
end of its stream; a reason that comes before is believed where nothing follows it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirador_magic.engines.base import Chunk
from mirador_magic.engines.bounds import LONGEST, MOST
from mirador_magic.engines.openai.wire import Refusal, Unreadable, told_of
from mirador_magic.events import StreamEnd

_TRIES = 64  # at JSON over many lines; then it is read at its end

_BOM = b"\xef\xbb\xbf"
_FIELDS = (
    b"data",
    b"error",
    b"event",
    b"id",
    b"retry",
    b"",
)  # of server-sent events; b"": comments
_UNCOUNTED = 2**53  # no count and no time is that large
_THOUGHTS = ("thinking", "reasoning")
_WRONG = (ValueError, TypeError, KeyError, AttributeError)


class Reader:
    """Reads a stream as it comes, in pieces of any size.

    `reason` is why the answer ended, "" until that was told; `done` that nothing more is to come;
    `may_end` that nothing more need come. Raises Refusal for an error inside the stream, Unreadable for
    what cannot be read.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.done = False
        self.may_end = False
        self._has_begun = False
        self._is_bare = False  # JSON without `data:`, which may go over many lines
        self._wrote = False
        self._wants_tools = False
        self._refuses = False
        self._rest: list[bytes] = []  # of a line that is not whole yet
        self._open: list[bytes] = []  # lines of an event that is not whole yet
        self._begun = self._size = 0  # bytes of these two
        self._tries = 0  # at the event
        self._counts: dict[str, Any] = {}
        self._held: list[float] = []  # log-probabilities whose text is still to come

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """The chunks that these bytes complete. Lines end at b"\\n" and nowhere else."""
        first, *more = data.split(b"\n")
        self._begin(first)
        for begun in more:
            yield from self._line(self._taken())
            self._begin(begun)

    def close(self) -> Iterator[Chunk]:
        """The chunks of a last line that nothing ended, once the stream is over."""
        yield from self._line(self._taken())
        yield from self._read(is_last=True)

    @property
    def is_sure(self) -> bool:
        """Whether it was told that the answer is whole."""
        return self.done or bool(self.reason)

    def end(self) -> StreamEnd:
        """How the stream ended, as the endpoint counts it; what it does not tell is None."""
        if not (self.reason or self._wrote):
            raise Unreadable("the stream ended before the answer")
        counts = self._counts
        reason: Any = "length" if self.reason == "length" else "stop"
        if self._refuses:
            reason = "refusal"
        elif self._wants_tools and reason == "stop":
            reason = "tools"
        return StreamEnd(
            reason,
            prompt_tokens=_count(counts.get("prompt_tokens")),
            output_tokens=_count(counts.get("completion_tokens")),
            prefill_s=_seconds(counts.get("prompt_ms")),
            decode_s=_seconds(counts.get("predicted_ms")),
        )

    def _begin(self, data: bytes) -> None:
        self._rest.append(data)
        self._begun += len(data)
        if self._begun + self._size > LONGEST:
            raise Unreadable(f"more than {LONGEST:,} bytes without an end")

    def _taken(self) -> bytes:
        """The line that ends here."""
        line = b"".join(self._rest)
        self._rest.clear()
        self._begun = 0
        return line

    def _line(self, line: bytes) -> Iterator[Chunk]:
        """One line; other fields than `data`, comments and blank lines say nothing."""
        line = line.strip()
        if not self._has_begun:
            line = line.removeprefix(_BOM).strip()
            self._has_begun = bool(line)
        name, _, value = line.partition(b":")
        name, value = name.strip(), value.strip()
        if self._is_bare and (name not in _FIELDS or not line):
            yield from self._piece(line)
        elif line.startswith(b"{"):  # an answer, or an error, that stands there as it is
            self._is_bare = True
            yield from self._piece(line)
        elif not line and self._open:
            yield from self._read(is_last=True)
        elif value == b"[DONE]" and name == b"data":
            self.done = True
        elif name in (b"data", b"error") and value:
            yield from self._piece(value, is_error=name == b"error")

    def _piece(self, data: bytes, *, is_error: bool = False) -> Iterator[Chunk]:
        self._open.append(data)
        self._size += len(data) + 1
        self._tries += 1
        if self._tries <= _TRIES:
            yield from self._read(is_error=is_error)

    def _read(self, *, is_error: bool = False, is_last: bool = False) -> Iterator[Chunk]:
        """An event, once it is whole: its JSON may go over several lines."""
        whole = b"\n".join(self._open).strip()
        try:
            event = json.loads(whole.decode()) if whole else None
        except (ValueError, RecursionError):
            if is_last:
                raise Unreadable(whole.decode(errors="replace")) from None
            return
        self._open.clear()
        self._size = self._tries = 0
        self._is_bare = False
        if event is None:
            return
        try:
            if not isinstance(event, Mapping):
                raise TypeError
            if event.get("error") or is_error or event.get("object") == "error":
                raise Refusal(told_of(0, event))
            chunks = list(self._event(event))
        except (*_WRONG, ArithmeticError, RecursionError) as error:
            raise Unreadable(whole.decode(errors="replace")) from error
        yield from chunks

    def _event(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            text, thinking = _said(delta.get("content"))
            thinking = _words(delta.get("reasoning_content") or delta.get("reasoning")) + thinking
            told = _logprobs(choice.get("logprobs"))
            if refusal := _words(delta.get("refusal")):
                self._refuses = True
                text += refusal
            self._wants_tools |= bool(delta.get("tool_calls") or delta.get("function_call"))
            if thinking:
                self._held.clear()
                yield Chunk(thinking=thinking)
            if text and thinking:
                yield Chunk(text=text)  # nobody can tell which probabilities are the answer's
            elif text:
                yield Chunk(text=text, logprobs=(*self._held, *told))
                self._held.clear()
            elif not thinking:
                self._held += told
                _few(self._held, "log-probabilities")
            self._ends(choice.get("finish_reason"), wrote=bool(text or thinking))
        for counts in (event.get("usage"), event.get("timings")):
            self._counts |= counts if isinstance(counts, Mapping) else {}

    def _ends(self, reason: object, *, wrote: bool) -> None:
        """A reason beside a text may stand in every piece: it is believed where the stream ends."""
        if wrote:
            self._wrote, self.may_end = True, False
        if isinstance(reason, str) and reason not in ("", "null"):
            self.reason = reason
            self.may_end = not wrote


def _words(said: object) -> str:
    """The text in it: as such, in parts, or within an object. TypeError for what is none."""
    if said is None or isinstance(said, str):
        return said or ""
    if isinstance(said, Mapping):
        names = ("text", "content", *_THOUGHTS, "refusal")
        return _words(next((said[name] for name in names if said.get(name)), None))
    if isinstance(said, Sequence) and not isinstance(said, bytes):
        _few(said, "parts")
        return "".join(map(_words, said))
    raise TypeError(f"{said!r} is no text")


def _said(content: object) -> tuple[str, str]:
    """The text and the thinking of a content, which may come in parts of several kinds."""
    if not isinstance(content, list):
        return _words(content), ""
    _few(content, "parts")
    text = thinking = ""
    for part in content:
        if isinstance(part, Mapping) and part.get("type") in _THOUGHTS:
            thinking += _words(part)
        else:
            text += _words(part)
    return text, thinking


def _few(told: Sequence[object], what: str) -> None:
    """Each of them is a step on the loop."""
    if len(told) > MOST:
        raise Unreadable(f"more than {MOST:,} {what} of one text")


def _logprobs(told: object) -> list[float]:
    """Of the tokens, in their order; what is none counts for nothing."""
    tokens = told.get("content") if isinstance(told, Mapping) else None
    if not isinstance(tokens, list):
        return []
    _few(tokens, "log-probabilities")
    found = [t.get("logprob") for t in tokens if isinstance(t, Mapping)]
    return [float(n) for n in found if isinstance(n, int | float) and math.isfinite(n)]


def _count(number: object) -> int | None:
    return number if isinstance(number, int) and 0 <= number < _UNCOUNTED else None


def _seconds(milliseconds: object) -> float | None:
    if not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds < _UNCOUNTED else None
