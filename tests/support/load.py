"""Many runs at once in one session, each on a paced endpoint's model; and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass

from mirador_magic.events import ChunkReceived, Event
from mirador_magic.session.handle import Handle
from mirador_magic.session.session import Request, Session
from mirador_magic.settings import settings

QUESTION = "Why is the sky blue?"


@dataclass(frozen=True)
class Wave:
    """What came of runs that were started together.

    `firsts` are the seconds until its first token by each run's number, in the order in which those
    came; a number counts from 0 as the runs were started.
    """

    outcomes: list[str]
    words: list[int]
    firsts: dict[int, float]

    @property
    def late(self) -> list[int]:
        """By how many places each came out of its turn."""
        return [abs(place - number) for place, number in enumerate(self.firsts)]


async def wave(session: Session, runs: int, model: str) -> Wave:
    """Start so many runs of one stage on this model, and wait for all."""
    layer = settings.layer({"model": model}, "load")
    firsts: dict[int, float] = {}
    handles = []
    began = time.perf_counter()
    for number in range(runs):
        request = Request(QUESTION, stages=("quick_response",), settings=layer)
        handles.append(session.start(request))
        _watch(handles[-1], number, firsts, began)
    await asyncio.gather(*(handle.wait() for handle in handles))
    answers = [handle.answer for handle in handles]
    outcomes = [str(answer.outcome) for answer in answers]
    return Wave(outcomes, [len(str(answer).split()) for answer in answers], firsts)


def _watch(handle: Handle, number: int, firsts: dict[int, float], began: float) -> None:
    def heard(event: Event) -> None:
        if isinstance(event, ChunkReceived):
            firsts.setdefault(number, time.perf_counter() - began)

    handle.watch(heard)


def objects() -> int:
    """How many objects there are that hold others, rubbish aside."""
    gc.collect()
    return len(gc.get_objects())
