"""How a model comes into an Ollama: pulled from a registry, or made of another by a Modelfile.

    async with aclosing(pulled(client, host, "gemma2:9b")) as steps:
        async for step in steps: ...

The download is Ollama's own. When it is closed, what has come stays in Ollama's folder, and the next
one goes on behind it; Ollama clears it away when it is started anew more than an hour later.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

from mirador_magic.engines.base import Message
from mirador_magic.engines.ollama.errors import GOES_ON, unpulled, words
from mirador_magic.errors import BrokenStream, EngineError, UsageError

if TYPE_CHECKING:
    from ollama import AsyncClient, ProgressResponse

Value = str | int | float | list[str]

# What an Ollama says of a download that one who stopped it has left, and that is still ending.
_ENDING = "context canceled"


@dataclass(frozen=True)
class Installing:
    """How far a model has come into Ollama; `doing` is for people.

    `done` and `total` are in bytes, of all that is known to come; `total` is None where there is
    nothing to count, or it came too fast to be counted. `done` never falls, and is `total` once, at
    the end: the last byte counts when everything was checked. `total` grows with each part that
    Ollama tells of; the weights are the first, so that it hardly does.
    """

    model: str
    action: Literal["pull", "create"]
    doing: str
    done: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Modelfile:
    """How a model is made of another. `messages` stand in front of every chat with it."""

    base: str
    system: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()


_COMMAND = re.compile(
    r"""[ \t]*
        (?:(?P<word>FROM|SYSTEM|PARAMETER[ \t]+(?P<name>\w+))[ \t]+
           (?:\"{3}(?P<long>.*?)\"{3}|"(?P<quoted>[^"\n]*)"|(?P<plain>[^"\s][^\n]*?))
          |\#[^\n]*)?
        [ \t\r]*(?:\n|\Z)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)


def read_modelfile(text: str) -> Modelfile:
    """What FROM, PARAMETER and SYSTEM say; raises UsageError where another line stands."""
    base = system = ""
    parameters: dict[str, Value] = {}
    at = 0
    while at < len(text):
        if (found := _COMMAND.match(text, at)) is None:
            raise UsageError(
                f"line {text.count(chr(10), 0, at) + 1} of the Modelfile cannot be read",
                "it has FROM, PARAMETER and SYSTEM, each at the beginning of a line",
            )
        at = found.end()
        if found["word"] is None:
            continue
        value = next(filter(None, found.group("long", "quoted", "plain")), "")
        if found["name"]:
            _add(parameters, found["name"].lower(), value)
        elif found["word"].upper() == "FROM":
            base = value
        else:
            system = value
    if not base:
        raise UsageError("the Modelfile names no base", "give it one: FROM gemma2:9b")
    return Modelfile(base, system, parameters)


def _add(parameters: dict[str, Value], name: str, value: str) -> None:
    """One more parameter; of `stop` there may be several."""
    if name == "stop":
        stops = parameters.setdefault(name, [])
        assert isinstance(stops, list)
        stops.append(value)
        return
    parameters[name] = value
    for kind in (float, int):
        with suppress(ValueError):
            parameters[name] = kind(value)


class Layers:
    """The parts of a model, which Ollama tells of one by one, as one sum."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._parts: dict[str, tuple[int, int]] = {}

    def hear(self, told: ProgressResponse) -> Installing:
        """The sum, after what Ollama has just told."""
        doing = words(told.status or "downloading", 60)
        if told.digest:
            doing = "downloading"
            done, total = self._parts.get(told.digest, (0, 0))
            total = max(told.total or 0, total)
            self._parts[told.digest] = min(max(told.completed or 0, done), total), total
        done = sum(done for done, _ in self._parts.values())
        total = sum(total for _, total in self._parts.values())
        if told.status == "success":
            return Installing(self._model, "pull", "installed", total, total or None)
        return Installing(self._model, "pull", doing, max(min(done, total - 1), 0), total or None)


async def derived(client: AsyncClient, host: str, model: str, made: Modelfile) -> None:
    """Makes a model of another, in the place of one of that name; a base that lacks is pulled."""
    wish: dict[str, Any] = {"parameters": made.parameters, "system": made.system or None}
    if made.messages:
        wish["messages"] = [asdict(message) for message in made.messages]
    try:
        await client.create(model, from_=made.base, **wish)
    except Exception as error:
        raise unpulled(error, host, model, doing="create") from error


async def pulled(client: AsyncClient, host: str, model: str) -> AsyncGenerator[Installing, None]:
    """Fetches a model from its registry, or what is missing of it. Raises EngineError."""
    for is_last in (False, True):
        try:
            async with aclosing(_pulled_once(client, model)) as steps:
                async for step in steps:
                    yield step
            return
        except EngineError:
            raise
        except Exception as error:
            if is_last or getattr(error, "error", "") != _ENDING:
                raise unpulled(error, host, model, await _installed(client)) from error


async def _pulled_once(client: AsyncClient, model: str) -> AsyncGenerator[Installing, None]:
    layers, status = Layers(model), None
    asked = await client.pull(model, insecure=is_loopback(model), stream=True)
    async with aclosing(cast("AsyncGenerator[ProgressResponse, None]", asked)) as replies:
        async for told in replies:
            yield layers.hear(told)
            status = told.status
    if status != "success":
        raise BrokenStream(f"Ollama ended the download of {model} early", GOES_ON)


async def _installed(client: AsyncClient) -> list[str]:
    """The names of what is there, for a "did you mean"; none where Ollama is gone."""
    with suppress(Exception):
        return [each.model for each in (await client.list()).models if each.model]
    return []


def is_loopback(model: str) -> bool:
    """Whether the model's registry is on Ollama's own machine, where plain HTTP will do."""
    name = model.partition("://")[2] or model
    host = name.split("/")[0] if name.count("/") >= 2 else ""
    with suppress(ValueError):
        hostname = urlsplit(f"//{host}").hostname or ""
        return hostname == "localhost" or ipaddress.ip_address(hostname).is_loopback
    return False
