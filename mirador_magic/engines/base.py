"""What a stage asks of an engine, and what it gets: the Protocol that every engine keeps.

A stream ends with a chunk whose `end` is set. A stream that ends without it, that cannot be read,
or that fails raises one of `mirador_magic.errors`; engines translate foreign errors at their edge.
Closing the stream (`aclose`, or cancelling the task that reads it) ends the generation at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mirador_magic.clean import one_line
from mirador_magic.events import StreamEnd
from mirador_magic.stages import ModelOptions, Think, plain

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One stage's request: the model, the chat so far and how to run it.

    `think` tells a model that can think first whether to, or how much; None leaves it to the model.
    `keep_alive` is in seconds that the model is kept unasked, FOR_EVER among them; None leaves that as
    it is.
    """

    model: str
    messages: Sequence[Message]
    options: ModelOptions
    think: Think | None = None
    keep_alive: float | None = None


@dataclass(frozen=True)
class Chunk:
    """What was received: a piece of the answer, or of the model's thinking. The last has `end`.

    One with neither is a sign of life. `note` is what there is to say of how it was had.

    `logprobs` are the natural logarithms of the probabilities that the model gave the tokens of
    `text`, before temperature and top_p; empty where the engine does not tell them.
    """

    text: str = ""
    thinking: str = ""
    logprobs: tuple[float, ...] = ()
    end: StreamEnd | None = None
    note: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """A model that the engine can run. `size` is in bytes of weights, 0 where unknown.

    Of a model in memory, `size` is in bytes of memory, `vram` how many of these are a GPU's, and
    `until` the time (seconds since 1970) when it leaves unless it is asked again; None is never.
    One that is `away` runs past this machine: it stands in for no other. One that is `spare` stands
    in only where nothing else does. One that does not chat, as an embedding model, answers nothing.
    """

    name: str
    size: int = 0
    vram: int = 0
    until: float | None = None
    away: bool = False
    spare: bool = False
    chats: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))  # a server's word


@dataclass(frozen=True)
class Loaded:
    """What a load took, in seconds; None where the engine cannot say."""

    load_s: float | None = None
    prefill_s: float | None = None


def is_same(engine: Engine, one: str, other: str) -> bool:
    """Whether these names are of one model: the same, or of the same weights as far as the engine knows."""
    asked: Callable[[str, str], bool] | None = getattr(engine, "is_same", None)
    return plain(one) == plain(other) or bool(asked and asked(one, other))


def held(engine: Engine, resident: Iterable[ModelInfo], model: str) -> ModelInfo | None:
    """The one of these in memory that is this model, under this name or another one of its weights."""
    return next((each for each in resident if is_same(engine, each.name, model)), None)


def waits(engine: Engine, request: ChatRequest) -> bool | None:
    """Whether the engine still keeps this request waiting for its turn, and so is rightly silent.

    None where it does not say: then its silence may be a load, which `resident` tells.
    """
    tell = getattr(engine, "waiting", None)
    return tell(request) if tell else None


def may_be_stuck(engine: Engine, model: str) -> bool:
    """Whether something has happened after which this model, in memory, may never say a word."""
    tell: Callable[[str], bool] | None = getattr(engine, "may_be_stuck", None)
    return bool(tell and tell(model))


def unknown(engine: Engine, request: ChatRequest) -> tuple[str, ...]:
    """The names of what the request wants that this engine does not know, as far as it says."""
    tell = getattr(engine, "unknown", None)
    return tuple(tell(request)) if tell else ()


def template_wishes(think: Think) -> dict[str, object]:
    """How much to think, in the words of chat templates."""
    how_much = {} if isinstance(think, bool) else {"reasoning_effort": think}
    return {"enable_thinking": bool(think), **how_much}


class Engine(Protocol):
    """Runs models. One engine belongs to one event loop; two streams at once are allowed."""

    @property
    def name(self) -> str:
        """'ollama', 'embedded', 'scripted', 'openai', or 'endpoints' for several at once."""

    @property
    def key(self) -> str:
        """Tells engines apart in what is remembered of them: name and place."""

    @property
    def label(self) -> str:
        """For people: name and version once known, such as 'Ollama 0.34.1'."""

    async def probe(self) -> None:
        """Find out whether the engine answers; raises EngineUnavailable if not."""

    async def models(self) -> list[ModelInfo]:
        """The models that can be asked without a download."""

    async def resident(self) -> list[ModelInfo]:
        """The models that are in memory now; one that is being loaded is not."""

    async def load(self, request: ChatRequest, keep_alive: float | None = None) -> Loaded:
        """Bring the request's model into memory, and its messages into the model's prefix cache.

        Without messages the model is only loaded. `keep_alive` is in seconds without a request,
        after which the engine may let go of the model, FOR_EVER among them; None leaves that to the
        engine. Cancelling it may abort the load.
        """

    async def unload(self, model: str) -> None:
        """Take a model out of memory, once it has answered what it was asked."""

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Generate an answer, chunk by chunk."""

    async def aclose(self) -> None:
        """Release everything: connections, processes, files. A closed engine may be used again."""
