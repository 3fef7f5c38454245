"""The models that an Ollama has, and which of them are models to chat with.

Since 0.30 the list says what each can do; before, only `show` does, model by model, which is asked
once for each digest. What nobody tells is judged by the family, and at last by the name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mirador_magic.engines.base import ModelInfo
from mirador_magic.errors import EngineError
from mirador_magic.stages import plain

if TYPE_CHECKING:
    import httpx

AT_ONCE = 8
SHOW_S = 2.0  # for all that are shown: what is not told by then is judged by its name

_CHATS = "completion"
_ENCODERS = re.compile("bert|clip|t5encoder|mmproj|wavtokenizer")  # families
_NAMES = re.compile(r"embed|rerank|mmproj|\bbge-|all-minilm|-(?!00001)\d{5}-of-\d{5}")

Show = Callable[[str], Awaitable[Iterable[str] | None]]


class Listed(NamedTuple):
    """One model of the list. `chats` is None where the list does not tell."""

    name: str
    size: int
    digest: str
    away: bool
    chats: bool | None


class Listing:
    """What is known of the models of one Ollama. `show` gives what a model can do, None if unknown."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._told: dict[str, bool] = {}  # by digest
        self._refused: set[str] = set()  # names that were asked and do not chat

    def refused(self, model: str) -> None:
        """It has said itself that it does not chat."""
        self._refused.add(plain(model))

    async def read(self, answer: httpx.Response) -> list[ModelInfo]:
        """The models of an answer to /api/tags. Raises what httpx does, or what a wrong answer does."""
        told = answer.raise_for_status().json()
        listed = [_listed(each) for each in told["models"] or ()]
        unknown = {each.digest: each.name for each in listed if self._is_unknown(each)}
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(digest: str, name: str) -> None:
            async with turns:
                if (can := await self._show(name)) is not None:
                    self._told[digest] = _CHATS in can

        with suppress(TimeoutError, EngineError):
            async with asyncio.timeout(SHOW_S):
                await asyncio.gather(*(ask(*each) for each in unknown.items()))
        return [
            ModelInfo(each.name, each.size, away=each.away, chats=self._chats(each))
            for each in listed
        ]

    def _is_unknown(self, model: Listed) -> bool:
        is_asked = model.digest in self._told or not model.digest
        return model.chats is None and not is_asked and by_name(model.name)

    def _chats(self, model: Listed) -> bool:
        if plain(model.name) in self._refused or not by_name(model.name):
            return False
        told = self._told.get(model.digest, True)
        return told if model.chats is None else model.chats


def by_name(model: str) -> bool:
    """Whether nothing in its name says that it is another kind of model, or a part of one."""
    return _NAMES.search(model.lower()) is None


def _listed(told: Mapping[str, Any]) -> Listed:
    """One line of the list. Raises where it is none."""
    details = told.get("details") or {}
    can = told.get("capabilities")
    chats = None if can is None else _CHATS in can
    if _ENCODERS.search(str(details.get("family") or "").lower()):
        chats = False
    name = str(told.get("model") or told["name"])
    away = bool(told.get("remote_host"))
    return Listed(name, int(told.get("size") or 0), str(told.get("digest") or ""), away, chats)
