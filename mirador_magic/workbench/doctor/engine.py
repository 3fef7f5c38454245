"""What the engine tells when it is asked: its models, its first token, what it has in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from mirador_magic.answer.words import seconds
from mirador_magic.engines import provision, surroundings
from mirador_magic.engines.base import Engine, ModelInfo, held, is_same
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.wire import address
from mirador_magic.errors import EngineUnavailable
from mirador_magic.pipeline import prompts
from mirador_magic.session.session import Session
from mirador_magic.settings.settings import Settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, install_command, plain
from mirador_magic.workbench.doctor import checks, kinds
from mirador_magic.workbench.doctor.finding import Finding, ok
from mirador_magic.workbench.doctor.kinds import Kind

LOCAL = "http://127.0.0.1:11434"
FIRST_TOKEN_S = 1.0  # the first token that Mirador promises
TOKENS = 32  # of an answer, at the most
ANEW = "run it again; if it stays so, start the engine anew: ollama serve"


@dataclass(frozen=True)
class _Heard:
    """What came of one question: seconds to the first word (None: no word came), and what with it."""

    first: float | None
    told: bool
    thought: bool


class Patient:
    """The engine and the stages' models while they are examined; each step tells what it found."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        stages: Sequence[ModelStage],
        clock: Callable[[], float],
        environ: Mapping[str, str],
    ) -> None:
        self.engine: Engine | None = None
        self._session, self._settings, self._stages = session, settings, stages
        self._clock, self._environ = clock, environ
        self._sizes: dict[str, int] = {}  # of what is installed
        self._running: list[ModelStage] = []  # on the models that answer
        self._before: list[ModelInfo] = []  # in memory before the first question
        self._answers = False

    async def find_engine(self) -> list[Finding]:
        name, engines = self._settings["engine"], self._session.engines
        if name == "auto" and self._stages[0].model.endswith(".gguf"):
            name = "embedded"
        engines.forget()  # an answer of an hour ago says nothing now
        try:
            models = tuple(stage.model for stage in self._stages)
            engine = self.engine = await engines.answering(name, self._settings, models)
        except EngineUnavailable as error:
            said = kinds.NO_ENGINE.found(error=error.what, its_cure=error.cure or ANEW)
            return [said, *await self._ways()]
        found = [ok("engine", f"{engine.label}{_where(engine)}"), *self._clear(engine)]
        if name == "auto" and engine.name != "ollama":
            try:
                await engines.ollama(self._settings)
            except EngineUnavailable as error:
                given = {"error": error.what, "its_cure": error.cure or ANEW}
                said = kinds.OTHER_ENGINE.found(engine=engine.label, **given)
                found = [said, *await self._ways()]
        return found

    def _clear(self, engine: Engine) -> list[Finding]:
        """That a password goes where others may read it."""
        login = self._settings["host"].login
        if not (login and isinstance(engine, OllamaEngine) and engine.host.startswith("http:")):
            return []
        return [] if _is_here(engine) else [kinds.CLEAR_LOGIN.found(host=engine.host)]

    async def _ways(self) -> list[Finding]:
        """Why the Ollama that was looked for may be unreachable while there is one."""
        given, found = self._settings.given("host"), []
        host = address(str(given.value))
        if host == LOCAL:
            return []
        proxied = ", ".join(surroundings.proxies_set(self._environ))
        if proxied and not _is_loopback(host):
            found.append(kinds.BEHIND_PROXY.found(names=proxied, host=host, local=LOCAL))
        with suppress(EngineUnavailable):
            here = OllamaEngine(LOCAL)
            await here.probe()
            is_variable = given.source == "OLLAMA_HOST"
            kind = kinds.HOST_VARIABLE if is_variable else kinds.HOST_SET
            said = {"setting": given.source, "host": host, "engine": here.label, "local": LOCAL}
            found.append(kind.found(**said))
        return found

    async def list_models(self) -> list[Finding]:
        assert self.engine
        models, self._before = await self.engine.models(), await self.engine.resident()
        self._sizes = {plain(model.name): model.size for model in models}
        found = []
        for stage, need in zip(self._stages, provision.plan(self._stages, models), strict=True):
            if need.state == "installed":
                self._running.append(stage)
                found.append(ok("models", f"{stage.name}: {stage.model}"))
                continue
            if need.instead:
                self._running.append(provision.on(stage, need.instead))
            kind = kinds.SUBSTITUTED if need.instead else kinds.NO_MODEL
            install, other = self._install(stage), need.instead
            told = kind.found(stage=stage.name, model=stage.model, other=other, install=install)
            found.append(told)
        return found

    def _install(self, stage: ModelStage) -> str:
        """The command that brings the stage's model."""
        assert self.engine
        if stage.model.endswith(".gguf"):
            return "%mirador pull hf:ORG/REPO/FILE.gguf fetches one, or name another file"
        if self.engine.name == "ollama":
            is_default = stage.name in {each.name for each in DEFAULT_STAGES}
            return "%mirador provision" if is_default else install_command(stage.model)
        if self.engine.name == "embedded":
            return "%mirador pull hf:ORG/REPO/FILE.gguf, or ollama serve and %mirador provision"
        return "ask an engine that has models: --engine auto"

    async def ask_first(self) -> list[Finding]:
        """The first question: what a cold model takes, and whether log-probabilities come."""
        if not self._running:
            return []
        heard, stage = await self._ask("Hello?"), self._running[0]
        if heard.first is None:
            return [self._silent(heard, stage)]
        self._answers, found = True, []
        if plain(stage.model) not in {plain(model.name) for model in self._before}:
            found.append(_in_time(heard.first, kinds.COLD, stage))
        return [*found, self._confidence(heard.told)]

    def _confidence(self, is_told: bool) -> Finding:
        if is_told:
            return ok("confidence", "log-probabilities come: it is measured")
        is_ollama = self.engine is not None and self.engine.name == "ollama"
        return (kinds.OLLAMA_OLD if is_ollama else kinds.NO_PROBABILITIES).found()

    async def ask_again(self) -> list[Finding]:
        """The second question, to what is warm now."""
        if not self._answers:
            return []
        heard, stage = await self._ask("Ready?"), self._running[0]
        if heard.first is None:
            return [self._silent(heard, stage)]
        kind = kinds.THINKS_FIRST if heard.thought else kinds.SLOW
        return [_in_time(heard.first, kind, stage)]

    def _silent(self, heard: _Heard, stage: ModelStage) -> Finding:
        if not heard.thought:
            return kinds.SILENT.found(model=stage.model)
        kind = kinds.ONLY_THINKS_STILL if stage.think is False else kinds.ONLY_THINKS
        return kind.found(model=stage.model, stage=stage.name, tokens=TOKENS)

    async def _ask(self, question: str) -> _Heard:
        """Ask the first stage's model as a run would, for a few tokens; nothing is hung up on."""
        assert self.engine
        own = self._running[0]
        few = min(own.options.num_predict or TOKENS, TOKENS)
        stage = replace(own, options=replace(own.options, num_predict=few))
        began, first, told, thought = self._clock(), None, False, False
        async with aclosing(self.engine.stream(prompts.request(stage, question, ()))) as chunks:
            async for chunk in chunks:
                thought |= bool(chunk.thinking)
                told |= bool(chunk.logprobs)
                if chunk.text and first is None:
                    first = self._clock() - began
        return _Heard(first, told, thought)

    async def weigh(self) -> list[Finding]:
        """What is in memory now, what had to leave for it, and whether all fits."""
        assert self.engine
        resident = await self.engine.resident()
        found = [checks.residency(resident, tells_gpu=self.engine.name == "ollama")]
        gone = [
            model.name
            for model in self._before
            if not held(self.engine, resident, model.name)
            and (model.until is None or model.until > time.time())
        ]
        if gone and self._running:
            mine = self._running[0].model
            found.append(kinds.PUSHED_OUT.found(model=mine, others=", ".join(gone)))
        sizes: dict[str, int] = {}
        for each in self._running:  # weights of two names are there once
            if not any(is_same(self.engine, each.model, other) for other in sizes):
                sizes[plain(each.model)] = self._sizes.get(plain(each.model), 0)
        total, free = checks.memory() if _is_here(self.engine) else (0, 0)
        return [*found, checks.memory_needs(sizes, resident, total, free)]


def _in_time(first: float, kind: Kind, stage: ModelStage) -> Finding:
    """What `kind` tells of the time to the first token, which is well where it was short."""
    told = kind.found(model=stage.model, time=seconds(first), stage=stage.name)
    return told if first > FIRST_TOKEN_S else ok(told.topic, told.what)


def _is_here(engine: Engine) -> bool:
    """Whether the engine's memory is this machine's."""
    return not isinstance(engine, OllamaEngine) or _is_loopback(engine.host)


def _is_loopback(host: str) -> bool:
    return urlsplit(host).hostname in ("127.0.0.1", "::1", "localhost")


def _where(engine: Engine) -> str:
    if not isinstance(engine, OllamaEngine):
        return ""
    return f" at {engine.host}" + ("" if _is_here(engine) else ", another machine")
