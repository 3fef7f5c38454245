"""Runs at several places: at each as many at once as it takes, the first of the line first.

    await each(steps, lambda step: place_of(endpoints, step.model), make)

A home is one place with one run at a time, since its models share one memory; an endpoint is a place
with as many as its limit. A run is begun where its place is free, so that it waits for no other's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from mirador_magic.engines.base import Engine
from mirador_magic.engines.by_endpoint import Endpoints
from mirador_magic.errors import MiradorError
from mirador_magic.stages import plain

T = TypeVar("T")


class Place(NamedTuple):
    """Where something runs, and how many go on there at once."""

    name: str
    at_once: int = 1


def place_of(endpoints: Endpoints, model: str) -> Place:
    """The place of this model; the home's name is ''."""
    endpoint = endpoints.of(model)
    return Place(endpoint.name if endpoint else "", endpoints.at_once(model))


async def each(
    items: Iterable[T], place: Callable[[T], Place], do: Callable[[T], Awaitable[object]]
) -> None:
    """Do all of it. What fails ends its place, where what has begun goes on; the others go on too.

    The first error is raised when all are through. A cancel reaches everything that goes on.
    """
    lines: dict[Place, deque[T]] = {}
    for item in items:
        lines.setdefault(place(item), deque()).append(item)
    workers = [
        _in_turn(line, do) for at, line in lines.items() for _ in range(min(at.at_once, len(line)))
    ]
    ended = await asyncio.gather(*workers, return_exceptions=True)
    for error in filter(None, ended):
        raise error


async def _in_turn(line: deque[T], do: Callable[[T], Awaitable[object]]) -> None:
    try:
        while line:
            await do(line.popleft())
    except BaseException:
        line.clear()
        raise


async def resident(
    endpoints: Endpoints, models: Iterable[str], home: Callable[[], Awaitable[Engine]]
) -> set[str]:
    """The models in memory where these are, by plain name. `home` is opened only where one is there.

    An engine that is away is the run's to tell.
    """
    with contextlib.suppress(MiradorError):
        engine = await endpoints.engine(models, home)
        return {plain(model.name) for model in await engine.resident()}
    return set()
