"""What is wrong here, and the command that mends it: `%mirador doctor`.

    async for finding in examine(session):
        print(line(finding))

What costs nothing is told first; then the engine is asked, each question with a limit, so that an
examination ends whatever the engine does. It asks the first stage's model twice, and so may bring
that one into memory, as any question does; it unloads nothing.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import platform
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mirador_magic import prompts, provision
from mirador_magic import settings as settings_
from mirador_magic.engines._ollama_wire import address
from mirador_magic.engines.base import Engine, ModelInfo
from mirador_magic.engines.ollama import OllamaEngine
from mirador_magic.errors import EngineUnavailable, MiradorError, UsageError
from mirador_magic.session import Session
from mirador_magic.settings import Layer, Settings
from mirador_magic.stages import DEFAULT_STAGES, ModelStage, agree, choose, install_command, plain
from mirador_magic.views.words import one_line, seconds

log = logging.getLogger(__name__)

Level = Literal["ok", "warn", "bad"]
Version = Callable[[str], str]  # of an installed distribution, "" where there is none

LOCAL = "http://127.0.0.1:11434"
FIRST_TOKEN_S = 1.0  # the first token that Mirador promises
ASK_S = (
    30.0  # for a question that an engine answers out of hand, one token of a warm model among them
)
TOKENS = 32  # of an answer, at the most
LOAD_S = 120.0  # for a cold model's first token

_MARKS: Mapping[Level, str] = {"ok": "✓", "warn": "!", "bad": "✗"}
_ANEW = "run it again; if it stays so, start the engine anew: ollama serve"
_CURES = {"first token": "take a smaller model, or look what is at work: ollama ps"}


_THINK_LESS = "mirador_magic.configure(**{{'{}.think': 'off'}})"


@dataclass(frozen=True)
class Finding:
    """One line: `what` was found of a `topic` (a word or two), and the `cure`, "" where it is ok."""

    level: Level
    topic: str
    what: str
    cure: str = ""


def line(finding: Finding) -> str:
    """The finding for people, as "✗ models  gemma2:9b is not installed → %mirador provision"."""
    cure = f" → {finding.cure}" if finding.cure else ""
    return f"{_MARKS[finding.level]} {finding.topic:11}  {finding.what}{cure}"


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where something is bad; 0 where all works, warnings or not."""
    return int(any(finding.level == "bad" for finding in findings))


def as_json(findings: Sequence[Finding]) -> str:
    """An object: `exit_code`, and `findings`, each with its level, topic, what and cure."""
    told = {"exit_code": exit_code(findings), "findings": [asdict(each) for each in findings]}
    return json.dumps(told, ensure_ascii=False, indent=2)


async def examine(
    session: Session,
    *,
    clock: Callable[[], float] = time.perf_counter,
    environ: Mapping[str, str] = os.environ,
) -> AsyncGenerator[Finding, None]:
    """Each finding as it is made. `clock` is in seconds; raises nothing that was found wrong."""
    settings, stages, said = _settings(session, environ)
    loop = asyncio.get_running_loop()
    for finding in (
        *said,
        *versions(installed),
        *nesting(loop, installed),
        proxies(environ, installed),
    ):
        yield finding
    patient = _Patient(session, settings, stages, clock, environ)
    for topic, limit, step in (
        ("engine", ASK_S, patient.find_engine),
        ("models", ASK_S, patient.list_models),
        ("first token", LOAD_S, patient.ask_first),
        ("first token", ASK_S, patient.ask_again),
        ("memory", ASK_S, patient.weigh),
    ):
        for finding in await _within(topic, limit, step()):
            yield finding
        if patient.engine is None:
            return


def installed(name: str) -> str:
    """The version of a distribution in this environment, "" where there is none."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""


def versions(version: Version) -> list[Finding]:
    """What of Mirador, the kernel, the front end and the client is there, and what is too old."""
    system = f"Python {platform.python_version()} on {platform.system()}"
    found = [_found("ok", "mirador", f"{version('mirador-magic') or 'from source'}, {system}")]
    kernel = version("ipykernel")
    is_old = "" if _is_at_least(kernel, (7, 4)) else "the panel's Stop works in JupyterLab alone"
    if not _is_at_least(kernel, (7,)):
        is_old = "no Stop button while a cell runs: the kernel's interrupt stops it"
    if kernel:
        found.append(_too_old("kernel", "ipykernel", kernel, "7.4", is_old))
    else:
        found.append(_found("ok", "kernel", "no ipykernel: a terminal, without panels"))
    for name, least in {"ipywidgets": "8.1", "anywidget": "0.9.13", "jupyterlab": "4.0"}.items():
        there, fit = version(name), _is_at_least(version(name), _numbers(least))
        if there:
            is_old = "" if fit else "panels may not show"
            found.append(_too_old("front end", name, there, least, is_old))
    if version("jupyterlab") and not version("jupyterlab-widgets"):
        what = "JupyterLab here has no jupyterlab_widgets: panels show as text"
        found.append(_found("warn", "front end", what, "%pip install jupyterlab_widgets"))
    client = version("ollama")
    is_old = "" if _is_at_least(client, (0, 6)) else "it tells no log-probabilities"
    return [*found, _too_old("client", "ollama", client or "(none)", "0.6", is_old)]


def nesting(loop: asyncio.AbstractEventLoop, version: Version) -> list[Finding]:
    """What becomes of a cell that cannot be awaited, as under %%time: async errors begin there."""
    kind = type(loop)
    patch = str(getattr(kind, "run_until_complete", kind).__module__)
    is_patched_by_old = getattr(kind, "_nest_patched", False) and patch == "nest_asyncio"
    loses = _is_at_least(version("ipykernel"), (7, 1))
    if is_patched_by_old and loses:
        what = "nest_asyncio 1.6 has patched it: cells queued behind a nested run are lost"
        cure = "apply nest_asyncio2 in its place, and restart the kernel"
        return [_found("warn", "loop", what, cure)]
    if not isinstance(loop, asyncio.BaseEventLoop):
        what = f"{kind.__module__} cannot nest: under %%time a cell runs in a thread of its own"
        return [_found("ok", "loop", what)]
    nester, get = version("nest-asyncio2"), '%pip install -U "nest-asyncio2>=1.7.3"'
    if not nester and loses:
        what = "no nest_asyncio2: under %%time a cell runs in a thread of its own"
        return [_found("warn", "loop", what, get)]
    if nester and loses and not _is_at_least(nester, (1, 7, 3)):
        what = f"nest_asyncio2 {nester} loses cells that are queued behind one under %%time"
        return [_found("warn", "loop", what, f"{get}, and restart the kernel")]
    rest = f"nest_asyncio2 {nester}" if nester else "nest_asyncio"
    return [_found("ok", "loop", f"cells are awaited; what cannot be is nested by {rest}")]


def proxies(environ: Mapping[str, str], version: Version) -> Finding:
    """Proxies are no hindrance on the way to Ollama. Their values may hold passwords: names alone."""
    named = _proxies(environ)
    if not named:
        return _found("ok", "proxy", "none is set")
    if any(environ[name].startswith("socks") for name in named) and not version("socksio"):
        what = f"{', '.join(named)}: Ollama's client cannot be imported beside a SOCKS proxy"
        return _found("bad", "proxy", what, "%pip install socksio")
    return _found("ok", "proxy", f"{', '.join(named)} set, and no matter: Ollama is asked directly")


def memory_needs(
    sizes: Mapping[str, int], resident: Sequence[ModelInfo], total: int, free: int
) -> Finding:
    """Whether the models (name → bytes) fit into `total` bytes and, those not resident, into `free`.

    0 is unknown. How much a GPU has is told by nobody: where one is at work, nothing is judged.
    """
    there = {plain(model.name) for model in resident}
    need, most = sum(sizes.values()), max(sizes.values(), default=0)
    rest = sum(size for name, size in sizes.items() if plain(name) not in there)
    what = f"the stages' models take {_gb(need)}, more with their context"
    if not need:
        return _found("ok", "memory", "the engine does not tell how large the models are")
    if any(model.vram for model in resident):
        return _found("ok", "memory", f"{what}; how much the GPU has is not told")
    if not total:
        return _found("ok", "memory", f"{what}; how much memory there is cannot be told from here")
    smaller = "take smaller models, or ask --fast: %mirador settings tells which are in force"
    if most > total:
        what = f"the largest model alone has {_gb(most)}, the machine {_gb(total)}"
        return _found("bad", "memory", what, smaller)
    if need > total:
        what += f", the machine {_gb(total)}: they push each other out"
        return _found("warn", "memory", what, smaller)
    if free and rest > free:
        what += f"; {_gb(rest)} are still to come, {_gb(free)} are free of {_gb(total)}"
        cure = "close what takes memory, or unload a model that you do not need: ollama stop NAME"
        return _found("warn", "memory", what, cure)
    return _found("ok", "memory", f"{what}; {_gb(free)} are free of {_gb(total)}")


def residency(resident: Sequence[ModelInfo], *, tells_gpu: bool) -> Finding:
    """Which models are in memory, and on what they run where the engine tells that."""
    if not resident:
        return _found("ok", "residency", "no model is in memory")
    halves = [model.name for model in resident if 0 < model.vram < model.size]
    told = [f"{m.name} ({_place(m, tells_gpu)})" for m in resident]
    what = f"in memory: {', '.join(told)}"
    if halves:
        cure = f"give {halves[0]} less context (--num-ctx 2048), or take a smaller model"
        return _found("warn", "residency", f"{what}; what is not on the GPU is slow", cure)
    return _found("ok", "residency", what)


@dataclass(frozen=True)
class _Heard:
    """What came of one question: seconds to the first word (None: no word came), and what with it."""

    first: float | None
    told: bool
    thought: bool


class _Patient:
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
            engine = self.engine = await engines.answering(name, self._settings)
        except EngineUnavailable as error:
            said = _found("bad", "engine", error.what, error.cure or _ANEW)
            return [said, *await self._ways()]
        found = [_found("ok", "engine", f"{engine.label}{_where(engine)}")]
        if name == "auto" and engine.name != "ollama":
            try:
                await engines.named("ollama", self._settings).probe()
            except EngineUnavailable as error:
                what = f"{error.what}; {engine.label} answers in its place"
                found = [_found("warn", "engine", what, error.cure or _ANEW), *await self._ways()]
        return found

    async def _ways(self) -> list[Finding]:
        """Why the Ollama that was looked for may be unreachable while there is one."""
        given, found = self._settings.given("host"), []
        host = address(str(given.value))
        if host == LOCAL:
            return []
        proxied = ", ".join(_proxies(self._environ))
        if proxied and not _is_loopback(host):
            what = f"Mirador goes past {proxied}, and {host} may be behind it"
            cure = f"tunnel to it: ssh -L 11434:127.0.0.1:11434 HOST, and %env OLLAMA_HOST={LOCAL}"
            found.append(_found("warn", "proxy", what, cure))
        with suppress(EngineUnavailable):
            here = OllamaEngine(LOCAL)
            await here.probe()
            cure = f"mirador_magic.configure(host={LOCAL!r})"
            if given.source == "OLLAMA_HOST":
                cure = f"%env OLLAMA_HOST={LOCAL}"
            what = f"{given.source} says {host}, but {here.label} answers at {LOCAL}"
            found.append(_found("warn", "host", what, cure))
        return found

    async def list_models(self) -> list[Finding]:
        assert self.engine
        models, self._before = await self.engine.models(), await self.engine.resident()
        self._sizes = {plain(model.name): model.size for model in models}
        found = []
        for stage, need in zip(self._stages, provision.plan(self._stages, models), strict=True):
            said = f"{stage.name}: {stage.model}"
            if need.state == "installed":
                self._running.append(stage)
                found.append(_found("ok", "models", said))
                continue
            if need.instead:
                self._running.append(provision.on(stage, need.instead))
            what = f"{said} is not installed, {need.instead or 'and nothing'} answers"
            level: Level = "warn" if need.instead else "bad"
            found.append(_found(level, "models", what, self._install(stage)))
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
            what = f"{stage.model}: {seconds(heard.first)} cold, with loading it"
            cure = (
                "load it before the first question: %mirador warm; pre_warm = on does it by itself"
            )
            found.append(_in_time(heard.first, what, cure))
        if heard.told:
            what = "log-probabilities come: it is measured"
            return [*found, _found("ok", "confidence", what)]
        cure = "ask a real model: --engine auto"
        if self.engine and self.engine.name == "ollama":
            cure = "update Ollama to 0.12.11 or later: ollama --version tells which you have"
        what = "no log-probabilities come: it is only declared, the same for every question"
        return [*found, _found("warn", "confidence", what, cure)]

    async def ask_again(self) -> list[Finding]:
        """The second question, to what is warm now."""
        if not self._answers:
            return []
        heard, stage = await self._ask("Ready?"), self._running[0]
        if heard.first is None:
            return [self._silent(heard, stage)]
        own = f"{stage.name}.model"
        cure = f"a smaller model: mirador_magic.configure(**{{{own!r}: NAME}}), or a GPU"
        if heard.thought:
            cure = f"it thinks first: {_THINK_LESS.format(stage.name)}"
        return [_in_time(heard.first, f"{stage.model}: {seconds(heard.first)} warm", cure)]

    def _silent(self, heard: _Heard, stage: ModelStage) -> Finding:
        other = "take another model for it: %mirador settings tells which are in force"
        if not heard.thought:
            return _found("bad", "first token", f"{stage.model} ended without a word", other)
        what = f"{stage.model} has thought for {TOKENS} tokens, and written no word"
        cure = other if stage.think is False else _THINK_LESS.format(stage.name)
        return _found("warn", "first token", what, cure)

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
        found = [residency(resident, tells_gpu=self.engine.name == "ollama")]
        there = {plain(model.name) for model in resident}
        gone = [
            model.name
            for model in self._before
            if plain(model.name) not in there and (model.until is None or model.until > time.time())
        ]
        if gone and self._running:
            what = f"for {self._running[0].model}, {', '.join(gone)} had to leave memory"
            cure = "take smaller models, or less context: --num-ctx 2048"
            found.append(_found("warn", "residency", what, cure))
        sizes = {plain(each.model): self._sizes.get(plain(each.model), 0) for each in self._running}
        total, free = memory() if _is_here(self.engine) else (0, 0)
        return [*found, memory_needs(sizes, resident, total, free)]


def memory() -> tuple[int, int]:
    """This machine's memory and what of it is free, in bytes; 0 where the system does not tell."""
    total = free = 0
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        told = re.search(
            r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE
        )
        free = int(told[1]) * 1024 if told else 0
    return max(total, 0), free


def _settings(
    session: Session, environ: Mapping[str, str]
) -> tuple[Settings, Sequence[ModelStage], list[Finding]]:
    """The settings, the stages that they name, and what there is to say of them."""
    try:
        settings, known = session.settings(), session.stages
        names = settings["default_stages"] or [stage.name for stage in DEFAULT_STAGES]
        stages = agree(choose(list(known.values()), names), known.values())
        return settings, stages, [_in_force(session)]
    except UsageError as error:
        settings, said = _readable(session, environ)
        said = said or [_unread(error)]
        return settings, agree(map(settings.stage, DEFAULT_STAGES)), said


def _readable(session: Session, environ: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """What can be read of the settings, place by place, and a finding for each that cannot."""
    layers: list[Layer] = []
    said: list[Finding] = []
    try:
        layers += settings_.of_files(Path.cwd(), settings_.user_file())
    except UsageError as error:
        said.append(_unread(error))
    for variable, value in environ.items():
        try:
            layers += filter(None, [settings_.of_environment({variable: value})])
        except UsageError as error:
            said.append(_unread(error))
    return Settings(*layers, session.notebook), said


def _unread(error: MiradorError) -> Finding:
    return _found("bad", "settings", error.what, error.cure or "%mirador settings")


def _in_force(session: Session) -> Finding:
    """What is set, and where; %mirador settings has the rest."""
    rows = [row for row in session.shown_settings() if row.source != "default"]
    told = [f"{row.name} = {_short(row.value)} ({row.source})" for row in rows]
    said = f"{', '.join(told)}; else" if told else "all"
    return _found("ok", "settings", f"{said} as it comes: %mirador settings lists them")


async def _within(topic: str, limit: float, step: Awaitable[list[Finding]]) -> list[Finding]:
    """What the step finds; that it took too long, or what it could not do, is a finding as well."""
    try:
        async with asyncio.timeout(limit):
            return await step
    except TimeoutError:
        cure = _CURES.get(topic, _ANEW)
        return [_found("bad", topic, f"nothing came within {limit:g} s", cure)]
    except MiradorError as error:
        return [_found("bad", topic, error.what, error.cure or _CURES.get(topic, _ANEW))]
    except Exception as error:  # what nobody foresaw is a finding too, and the rest is examined
        log.info("the doctor stumbled over %s", topic, exc_info=True)
        what = f"{type(error).__name__}: {error}"
        return [_found("bad", topic, what, _CURES.get(topic, _ANEW))]


def _found(level: Level, topic: str, what: str, cure: str = "") -> Finding:
    """A finding on one printable line, whatever text of a server or a file stands in it."""
    return Finding(level, topic, one_line(what), one_line(cure))


def _in_time(first: float, what: str, cure: str) -> Finding:
    slow = first > FIRST_TOKEN_S
    return _found("warn" if slow else "ok", "first token", what, cure if slow else "")


def _too_old(topic: str, name: str, version: str, least: str, what: str) -> Finding:
    """`what` is the harm of its age, "" where it is new enough."""
    if not what:
        return _found("ok", topic, f"{name} {version}")
    cure = f'%pip install -U "{name}>={least}", and restart the kernel'
    return _found("warn", topic, f"{name} {version} is old: {what}", cure)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _is_at_least(version: str, least: tuple[int, ...]) -> bool:
    return _numbers(version) >= least


def _proxies(environ: Mapping[str, str]) -> list[str]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return sorted(name for name, value in environ.items() if value and name.upper() in names)


def _is_here(engine: Engine) -> bool:
    """Whether the engine's memory is this machine's."""
    return not isinstance(engine, OllamaEngine) or _is_loopback(engine.host)


def _is_loopback(host: str) -> bool:
    return urlsplit(host).hostname in ("127.0.0.1", "::1", "localhost")


def _where(engine: Engine) -> str:
    if not isinstance(engine, OllamaEngine):
        return ""
    return f" at {engine.host}" + ("" if _is_here(engine) else ", another machine")


def _place(model: ModelInfo, tells_gpu: bool) -> str:
    parts = [_gb(model.size)] if model.size else []
    if tells_gpu and model.vram:
        parts.append("GPU" if model.vram >= model.size else f"{model.vram / model.size:.0%} GPU")
    elif tells_gpu:
        parts.append("CPU")
    return ", ".join(parts) or "size unknown"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _short(text: str) -> str:
    text = re.sub(r"//[^/@\s]*@", "//", one_line(text))  # a host may be written with a password
    return text if len(text) <= 40 else f"{text[:39]}…"
