"""Which engine a run is on: each made when it is first asked for, of the settings in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from mirador_magic import plugins
from mirador_magic.engines.base import Engine
from mirador_magic.engines.embedded.engine import EmbeddedEngine
from mirador_magic.engines.known_models import SMOLLM2, offered
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.scripted import ScriptedEngine
from mirador_magic.errors import EngineUnavailable, NoModel
from mirador_magic.settings.settings import Settings
from mirador_magic.settings.values import ENGINES

Place = tuple[object, ...]

_AT_HOST = "auto, at a host that was named"

_SMALL = (
    "a small one, of 0.6 billion parameters: ollama pull qwen3:0.6b; "
    "those of the stages: %mirador provision"
)
_DOES = ("probe", "models", "resident", "load", "unload", "stream", "aclose")  # see base.Engine


class Engines:
    """The engines of one notebook, by name and by the settings that they were made of."""

    def __init__(self) -> None:
        self._given: dict[str, Engine] = {}
        self._made: dict[tuple[str, Place], Engine] = {}
        self._answering: dict[tuple[str, Place], Engine] = {}
        self._without: EngineUnavailable | None = None  # why it is not Ollama
        self._is_told = False
        self._stocked: set[str] = set()  # Ollamas that were seen to have a model

    def use(self, engine: Engine) -> None:
        """Put this engine in the place of the one of its name."""
        self._given[engine.name] = engine
        self.forget()

    def forget(self) -> None:
        """Ask each engine again whether it answers, before its next run."""
        self._answering.clear()

    def instead_of(self, engine: Engine) -> str:
        """Why this one answers in the place of Ollama, which was looked for first: told once, '' then."""
        if self._is_told or self._without is None or engine.name != "embedded":
            return ""
        self._is_told = True
        return self._without.what

    def named(self, name: str, settings: Settings) -> Engine:
        """The engine of this name, whether it answers or not."""
        if name in self._given:
            return self._given[name]
        made = name, _place(name, settings)
        if made not in self._made:  # another thread may have made it by the next line
            self._made.setdefault(made, _new(name, settings))
        return self._made[made]

    async def answering(self, name: str, settings: Settings, models: Sequence[str] = ()) -> Engine:
        """The engine of this name, known to answer; it is asked once, until it fails to answer.

        Raises NoModel where it is the embedded one and has none, nor a file that `models` names.
        """
        if name == "auto" and _names_a_host(settings):
            name = _AT_HOST
        key = name, _place(name, settings)
        if key not in self._answering:
            find = {"auto": self._auto, _AT_HOST: self._at_host}.get(name)
            self._answering[key] = await (find(settings) if find else self._probed(name, settings))
        engine = self._answering[key]
        if isinstance(engine, EmbeddedEngine) and not engine.has_any(models):
            del self._answering[key]  # there may be an Ollama the next time
            raise _no_model(engine.folder, self._without if name == "auto" else None)
        return engine

    async def to_ask(self, name: str, settings: Settings, models: Sequence[str] = ()) -> Engine:
        """The same for a question: an Ollama that has no model answers none."""
        engine = await self.answering(name, settings, models)
        if name == "ollama" and engine.key not in self._stocked:
            await self.ollama(settings)
            self._stocked.add(engine.key)
        return engine

    async def aclose(self) -> None:
        """Release what the engines hold: connections, processes, models."""
        for engine in (*self._given.values(), *self._made.values()):
            await engine.aclose()

    async def _probed(self, name: str, settings: Settings) -> Engine:
        if name not in (*ENGINES, *self._given):  # another package's import may take long
            await asyncio.to_thread(plugins.load, "engine", name)
        engine = self.named(name, settings)
        await engine.probe()
        return engine

    async def _auto(self, settings: Settings) -> Engine:
        """Ollama where it answers and has a model, else the embedded engine."""
        try:
            return await self.ollama(settings)
        except EngineUnavailable as without:
            self._without = without
            try:
                return await self._probed("embedded", settings)
            except EngineUnavailable as neither:
                raise EngineUnavailable(
                    f"{without.what}, and {neither.what}", f"{without.cure}, or {neither.cure}"
                ) from neither

    async def _at_host(self, settings: Settings) -> Engine:
        """Ollama at the host that was named, and nothing in its place."""
        try:
            return await self.ollama(settings)
        except EngineUnavailable as error:
            cure = f"{error.cure}, or leave out the host, or choose --engine embedded"
            raise EngineUnavailable(error.what, cure) from error

    async def ollama(self, settings: Settings) -> Engine:
        """Ollama, known to answer and to have a model. Raises EngineUnavailable."""
        ollama = await self._probed("ollama", settings)
        models = await ollama.models()
        if not any(model.chats for model in models):
            which = "no model to chat with" if models else "no model"
            raise EngineUnavailable(f"{ollama.label} has {which}", _SMALL)
        return ollama


def _no_model(folder: Path, without: EngineUnavailable | None) -> NoModel:
    """The two ways to a model, behind what is not there."""
    whats = [without.what] if without else []
    start = without.cure.replace("start it", "start Ollama", 1) if without else ""
    cures = [offered(SMOLLM2), *([start] if start else [])]
    home = Path.home()
    place = f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
    return NoModel(
        f"no model is here: {', and '.join([*whats, f'there is no GGUF file in {place}'])}",
        ", or ".join(cures),
    )


def _names_a_host(settings: Settings) -> bool:
    """Whether the user named one to Mirador; OLLAMA_HOST only says where an Ollama would be."""
    host = settings.given("host")
    return bool(host.value) and host.source != "OLLAMA_HOST"


def _place(name: str, settings: Settings) -> Place:
    """What an engine is made of, so that other settings make another one."""
    ollama, embedded = (settings["host"],), (settings["models"], settings["pace"])
    return {
        "ollama": ollama,
        _AT_HOST: ollama,
        "embedded": embedded,
        "auto": ollama + embedded,
    }.get(name, ())


def _new(name: str, settings: Settings) -> Engine:
    if name == "ollama":
        return OllamaEngine(settings["host"], keep=True)
    if name == "embedded":
        folder = settings["models"]
        return EmbeddedEngine(Path(folder).expanduser() if folder else None, settings["pace"])
    if name == "scripted":
        return ScriptedEngine()
    return _brought(name)


def _brought(name: str) -> Engine:
    """The engine of another package. Raises EngineUnavailable where it cannot be made."""
    make = plugins.load("engine", name)
    try:
        engine: Engine = cast(Callable[[], Engine], make)()
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise plugins.broken("engine", name, why) from error
    if lacks := [each for each in _DOES if not callable(getattr(engine, each, None))]:
        raise plugins.broken("engine", name, f"it has no {', '.join(lacks)}")
    return engine
