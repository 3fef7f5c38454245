"""What the doctor finds: on scripted engines in virtual time, on one that fails, on a real Ollama."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest

from mirador_magic.engines.base import ChatRequest, Chunk, ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.scripted import Script, ScriptedEngine
from mirador_magic.errors import EngineLost
from mirador_magic.session.session import Session
from mirador_magic.stages import DEFAULT_STAGES
from mirador_magic.workbench.doctor import Finding, as_json, checks, examine, exit_code, line
from mirador_magic.workbench.doctor import engine as engine_
from tests.support.fault_server import FAULTS, FaultServer
from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.virtual_time import now, run

QUICK, DEEP, SYNTHESIS = (stage.model for stage in DEFAULT_STAGES)
FINE = {"ipykernel": "7.4.0", "ipywidgets": "8.1.9", "nest-asyncio2": "1.7.4", "ollama": "0.6.3"}
GB = 10**9


class Played(ScriptedEngine):
    """In Ollama's place: `sizes` are in bytes on disk, each chunk has its log-probability where `told`.

    Of a model in memory, `vram` bytes are a GPU's; `room` is how many models that memory holds.
    """

    name = key = "ollama"

    def __init__(self, scripts: Mapping[str, Script], told: bool = True, **given: Any) -> None:
        super().__init__(scripts)
        self.told = told
        self.sizes: Mapping[str, int] = given.get("sizes", {})
        self.vram: int = given.get("vram", 0)
        self.room: int = given.get("room", 9)

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo(name, self.sizes.get(name, 0)) for name in self.scripts]

    async def resident(self) -> list[ModelInfo]:
        kept = self.loaded[-self.room :]
        return [ModelInfo(name, self.sizes.get(name, 0), self.vram) for name in kept]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().stream(request):
            yield Chunk(chunk.text, chunk.thinking, (-0.1,) if self.told else (), chunk.end)


def played(quick: Script | None = None, **given: Any) -> Played:
    first = quick or Script("Hello there.", first=0.2, load=3.0)
    return Played({QUICK: first, DEEP: Script("a"), SYNTHESIS: Script("b")}, **given)


def found(
    engine: ScriptedEngine | None = None, environ: Any = None, **settings: Any
) -> list[Finding]:
    """What is found on this engine, in virtual time."""
    session = Session()
    session.use(engine or played())
    session.configure({"engine": "ollama"} | settings)
    return run(_examined(session, environ or {}, now))


async def _examined(session: Session, environ: Mapping[str, str], clock: Any) -> list[Finding]:
    return [each async for each in examine(session, clock=clock, environ=environ)]


def really_found(session: Session, environ: Mapping[str, str] | None = None) -> list[Finding]:
    """The same in real time, and the session closed."""

    async def examined() -> list[Finding]:
        try:
            async with asyncio.timeout(PATIENCE):
                return [each async for each in examine(session, environ=environ or {})]
        finally:
            await session.aclose()

    return asyncio.run(examined())


def of(findings: list[Finding], topic: str) -> list[Finding]:
    return [each for each in findings if each.topic == topic]


def only(findings: list[Finding], topic: str) -> Finding:
    (one,) = of(findings, topic)
    return one


def check(findings: list[Finding]) -> None:
    """Each is one line, with a cure where there is something to mend, and none where there is not."""
    assert findings
    for each in findings:
        assert line(each).isprintable(), each
        assert each.what, each
        assert bool(each.cure) is (each.level != "ok"), each


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel and a machine that nothing is wrong with, and no setting but the test's own."""
    monkeypatch.setattr(checks, "installed", lambda name: FINE.get(name, ""))
    monkeypatch.setattr(checks, "memory", lambda: (64 * GB, 32 * GB))
    monkeypatch.setattr(engine_, "LOCAL", "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.delenv("OLLAMA_HOST", raising=False)


def test_where_all_is_well_every_line_says_so() -> None:
    engine = played(sizes={QUICK: 2 * GB, DEEP: 5 * GB}, vram=0)
    engine.loaded = [QUICK, "another"]
    findings = found(engine)
    check(findings)
    assert {each.level for each in findings} == {"ok"}
    assert exit_code(findings) == 0
    assert "scripted" in only(findings, "engine").what
    assert [each.what for each in of(findings, "first token")] == [f"{QUICK}: 0.20 s warm"]
    assert only(findings, "memory").what.startswith("the stages' models take 7.0 GB")
    assert only(findings, "residency").what == (f"in memory: {QUICK} (2.0 GB, CPU), another (CPU)")
    assert engine.loaded == [QUICK, "another"]  # nothing of the user's was unloaded


def test_a_cold_model_is_timed_with_its_load_and_then_warm() -> None:
    cold, warm = of(found(), "first token")
    assert (cold.level, cold.what) == ("warn", f"{QUICK}: 3.2 s cold, with loading it")
    assert "%mirador warm" in cold.cure
    assert (warm.level, warm.what) == ("ok", f"{QUICK}: 0.20 s warm")


def test_a_first_token_over_a_second_wants_a_smaller_model() -> None:
    *_, warm = of(found(played(Script("Hello.", first=1.5))), "first token")
    assert (warm.level, warm.what) == ("warn", f"{QUICK}: 1.5 s warm")
    assert "quick_response.model" in warm.cure


def test_thinking_is_no_first_token() -> None:
    class Thoughtful(Played):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
            yield Chunk(thinking="Hm.")
            await asyncio.sleep(2)
            async for chunk in super().stream(request):
                yield chunk

    engine = Thoughtful({QUICK: Script("Hello."), DEEP: Script("a"), SYNTHESIS: Script("b")})
    *_, warm = of(found(engine), "first token")
    assert warm.what == f"{QUICK}: 2.0 s warm"
    assert "quick_response.think" in warm.cure
    assert engine.loaded == [QUICK]


def test_a_model_that_only_thinks_is_told_to_stop_that() -> None:
    model = "thinker"
    script = Script([], thinking="Hm.")
    for think, cure in (("on", "critic.think"), ("off", "take another model")):
        engine = Played({model: script})
        stage = {"critic.model": model, "critic.think": think, "default_stages": "critic"}
        first = only(found(engine, **stage), "first token")
        assert first.level == "warn" and cure in first.cure


def test_few_tokens_are_asked_for_and_all_are_heard() -> None:
    engine = played()
    check(found(engine))
    asked = [(request.model, request.options.num_predict) for request in engine.requests]
    assert asked == [(QUICK, engine_.TOKENS)] * 2
    assert not engine.closed_early


def test_without_log_probabilities_the_cure_names_the_version() -> None:
    untold = only(found(played(told=False)), "confidence")
    assert untold.level == "warn"
    assert "0.12.11" in untold.cure


def test_a_missing_model_is_told_with_the_one_that_answers() -> None:
    engine = Played({"tiny": Script("Hello.")}, sizes={"tiny": GB})
    findings = found(engine)
    check(findings)
    models = of(findings, "models")
    assert [each.level for each in models] == ["warn"] * 3
    assert models[0].what == f"quick_response: {QUICK} is not installed, tiny answers"
    assert {each.cure for each in models} == {"%mirador provision"}
    assert [request.model for request in engine.requests] == ["tiny", "tiny"]
    assert exit_code(findings) == 0


def test_where_no_model_is_there_nothing_is_asked() -> None:
    engine = Played({})
    findings = found(engine)
    check(findings)
    assert [each.level for each in of(findings, "models")] == ["bad"] * 3
    assert not of(findings, "first token") and not engine.requests
    assert exit_code(findings) == 1


def test_a_model_of_the_users_own_is_pulled() -> None:
    engine = played()
    findings = found(engine, **{"critic.model": "llama3.2", "default_stages": "critic"})
    assert only(findings, "models").cure == "ollama pull llama3.2"


def test_a_model_that_fails_or_says_nothing_is_told_once() -> None:
    for script, said in (
        (Script([EngineLost("the cable fell out")]), "the cable fell out"),
        (Script([]), "ended without a word"),
        (Script([1e6]), "nothing came within 120 s"),
    ):
        findings = found(played(script))
        check(findings)
        first = only(findings, "first token")
        assert first.level == "bad" and said in first.what
        assert of(findings, "memory")  # the examination went on


def test_what_nobody_foresaw_is_a_finding_too() -> None:
    class Strange(Played):
        async def resident(self) -> list[ModelInfo]:
            raise RuntimeError("two\nlines")

    findings = found(Strange({QUICK: Script("Hello.")}))
    check(findings)
    assert only(findings, "models").what == "RuntimeError: two lines"


def test_a_model_that_had_to_leave_memory_is_told() -> None:
    engine = played(room=1)
    engine.loaded = [DEEP]
    gone = [each for each in of(found(engine), "residency") if each.level == "warn"]
    assert [each.what for each in gone] == [f"{DEEP} left memory while {QUICK} was asked"]


@pytest.mark.parametrize(
    ("total", "free", "level", "said"),
    [
        (0, 0, "ok", "cannot be told"),
        (16, 14, "ok", "14.0 GB are free of 16.0 GB"),
        (16, 4, "warn", "5.0 GB are still to come, 4.0 GB are free"),
        (6, 6, "warn", "not all at once"),
        (4, 4, "bad", "the largest model alone has 5.0 GB"),
    ],
)
def test_the_models_are_weighed_against_the_memory(
    total: int, free: int, level: str, said: str
) -> None:
    sizes = {"a": 2 * GB, "b:latest": 5 * GB}
    weighed = checks.memory_needs(sizes, [ModelInfo("a:latest")], total * GB, free * GB)
    check([weighed])
    assert weighed.level == level and said in weighed.what
    on_gpu = checks.memory_needs(sizes, [ModelInfo("a", GB, GB)], total * GB, free * GB)
    assert on_gpu.level == "ok" and "GPU" in on_gpu.what


def test_what_runs_half_on_the_gpu_is_told() -> None:
    half = checks.residency([ModelInfo("a", 4 * GB, GB)], tells_gpu=True)
    check([half])
    assert half.level == "warn" and "a (4.0 GB, 25% GPU)" in half.what
    whole = checks.residency([ModelInfo("a", 4 * GB, 4 * GB)], tells_gpu=True)
    assert (whole.level, whole.what) == ("ok", "in memory: a (4.0 GB, GPU)")


@pytest.mark.parametrize(
    ("there", "topic", "said"),
    [
        ({"ipykernel": "6.29.5"}, "kernel", "no Stop button"),
        ({"ipykernel": "7.2.0"}, "kernel", "in JupyterLab alone"),
        ({"ipywidgets": "7.7.1"}, "front end", "ipywidgets 7.7.1 is old"),
        ({"jupyterlab": "4.6.6"}, "front end", "no jupyterlab_widgets"),
        ({"ollama": "0.5.1"}, "client", "ollama 0.5.1 is old"),
        ({"ollama": ""}, "client", "(none)"),
    ],
)
def test_what_is_too_old_is_told(there: dict[str, str], topic: str, said: str) -> None:
    findings = checks.versions(lambda name: (FINE | there).get(name, ""))
    check(findings)
    assert any(each.level == "warn" and said in each.what for each in of(findings, topic))


def test_a_terminal_needs_no_kernel() -> None:
    kernel = only(checks.versions(lambda name: {"ollama": "0.6.3"}.get(name, "")), "kernel")
    assert kernel.level == "ok"


def _loop(module: str, *, patched: bool) -> asyncio.AbstractEventLoop:
    """A loop, not run, that this module has patched."""

    def run_until_complete(self: object, future: object) -> None:
        raise NotImplementedError

    run_until_complete.__module__ = module
    own = {"run_until_complete": run_until_complete} | ({"_nest_patched": True} if patched else {})
    kind: type[asyncio.AbstractEventLoop] = type("Loop", (asyncio.BaseEventLoop,), own)
    return kind()


@pytest.mark.parametrize(
    ("module", "there", "said"),
    [
        ("nest_asyncio", {}, "queued behind a nested run are lost"),
        ("asyncio", {"nest-asyncio2": ""}, "a thread of its own"),
        ("asyncio", {"nest-asyncio2": "1.7.1"}, "loses cells"),
        ("nest_asyncio2", {}, ""),
        ("asyncio", {}, ""),
        ("nest_asyncio", {"ipykernel": "7.0.1"}, ""),
        ("asyncio", {"ipykernel": "6.29.5", "nest-asyncio2": ""}, ""),
    ],
)
def test_a_loop_that_loses_cells_is_told(module: str, there: dict[str, str], said: str) -> None:
    loop = _loop(module, patched=module != "asyncio")
    findings = checks.nesting(loop, lambda name: (FINE | there).get(name, ""))
    loop.close()
    check(findings)
    assert [each.level for each in findings] == ["warn" if said else "ok"]
    assert said in findings[0].what


def test_a_loop_that_is_not_asyncios_own_is_fine() -> None:
    class Foreign:
        pass

    loop = cast("asyncio.AbstractEventLoop", Foreign())
    findings = checks.nesting(loop, FINE.__getitem__)
    check(findings)
    assert findings[0].level == "ok" and "cannot nest" in findings[0].what


def test_settings_that_cannot_be_read_are_told_each_and_the_rest_is_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = {"MIRADOR_STREAMNG": "1", "MIRADOR_TEMPERATURE": "hot"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    findings = found(environ=wrong | {"MIRADOR_ENGINE": "ollama"})
    check(findings)
    said = of(findings, "settings")
    assert [each.level for each in said] == ["bad", "bad"]
    assert "did you mean MIRADOR_STREAMING?" in said[0].cure
    assert of(findings, "memory")


def test_a_stage_that_is_none_is_a_finding() -> None:
    findings = found(default_stages="quick_respnse")
    check(findings)
    assert only(findings, "settings").cure == "did you mean quick_response?"
    assert len(of(findings, "models")) == 3


def test_what_is_set_is_told_with_its_place_and_without_passwords(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://me:secret@127.0.0.1:1")
    said = only(found(pace=5), "settings").what
    assert "pace = 5 (the notebook)" in said and "(OLLAMA_HOST)" in said
    assert "secret" not in said


def test_json_is_for_scripts() -> None:
    findings = [Finding("ok", "engine", "é"), Finding("bad", "models", "none", "ollama pull x")]
    told = json.loads(as_json(findings))
    assert told["exit_code"] == exit_code(findings) == 1
    assert told["findings"][1] == {
        "level": "bad",
        "topic": "models",
        "what": "none",
        "cure": "ollama pull x",
    }
    assert line(findings[1]) == "✗ models       none → ollama pull x"


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_where_no_ollama_answers_the_cure_starts_one() -> None:
    session = Session()
    session.configure({"engine": "ollama", "host": f"127.0.0.1:{_free_port()}"})
    findings = really_found(session)
    check(findings)
    engine = findings[-1]
    assert (engine.topic, engine.level, exit_code(findings)) == ("engine", "bad", 1)
    assert "does not answer" in engine.what and "ollama serve" in engine.cure


def test_an_ollama_host_that_points_elsewhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = f"http://127.0.0.1:{_free_port()}"
    monkeypatch.setenv("OLLAMA_HOST", wrong)
    session = Session()
    session.configure({"engine": "ollama"})
    with FaultServer() as server:
        monkeypatch.setattr(engine_, "LOCAL", server.host)
        findings = really_found(session)
    check(findings)
    assert only(findings, "host").cure == f"%env OLLAMA_HOST={server.host}"
    assert wrong in only(findings, "host").what


def test_a_host_behind_a_proxy_is_told() -> None:
    session = Session()
    session.configure({"engine": "ollama", "host": "192.0.2.1.invalid:1"})
    findings = really_found(session, {"https_proxy": "http://me:secret@proxy:1", "NO_PROXY": ""})
    check(findings)
    levels = [each.level for each in of(findings, "proxy")]
    assert levels == ["ok", "warn"]
    assert "secret" not in "".join(map(line, findings))


def test_proxies_and_certificates_that_cannot_be_read_are_told_by_their_names() -> None:
    environ = {"all_proxy": "ftp://me:secret@proxy:1", "SSL_CERT_FILE": "/none.pem"}
    proxy, certificates = told = checks.surroundings(environ)
    check(told)
    assert (proxy.topic, proxy.level, certificates.topic) == ("proxy", "warn", "certificates")
    assert proxy.what.startswith("all_proxy ") and "secret" not in line(proxy)
    assert certificates.cure == "unset SSL_CERT_FILE"
    well = checks.surroundings({"NO_PROXY": "::1", "SSL_CERT_DIR": "/"})
    assert [each.level for each in well] == ["ok", "ok"]
    assert well[1].what == "SSL_CERT_DIR can be read"


def test_a_password_that_goes_over_the_network_as_clear_text_is_told() -> None:
    session = Session()
    session.configure({"engine": "ollama", "host": "http://me:secret@gpu.invalid"})
    patient = engine_.Patient(session, session.settings(), [], now, {})
    (told,) = patient._clear(OllamaEngine("http://me:secret@gpu.invalid"))
    check([told])
    assert told.topic == "host" and "secret" not in line(told)
    assert patient._clear(OllamaEngine("https://me:secret@gpu.invalid")) == []
    assert patient._clear(OllamaEngine("http://me:secret@127.0.0.1")) == []


def test_a_proxy_is_no_matter_on_the_way_to_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    for name, value in dead.items():
        monkeypatch.setenv(name, value)
    session = Session()
    with FaultServer({QUICK: FAULTS["good"]}) as server:
        session.configure({"engine": "ollama", "host": server.host})
        findings = really_found(session, dead)
    check(findings)
    assert only(findings, "proxy").what.startswith("ALL_PROXY, HTTP_PROXY")
    assert only(findings, "engine").level == "ok"
    assert of(findings, "first token")[-1].what.endswith("warm")


def test_without_ollama_the_embedded_engine_answers_and_that_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Inside(Played):
        name = key = "embedded"

    session = Session()
    session.use(Inside({"phrases": Script("Hello.")}))
    monkeypatch.setenv(
        "OLLAMA_HOST", f"127.0.0.1:{_free_port()}"
    )  # a host that is named is no auto
    session.configure({"engine": "auto"})
    findings = really_found(session)
    check(findings)
    engine = only(findings, "engine")
    assert engine.level == "warn" and "answers in its place" in engine.what
    assert {each.level for each in of(findings, "models")} == {"warn"}
    assert all("%mirador pull" in each.cure for each in of(findings, "models"))


@pytest.mark.parametrize("fault", ["busy", "dropped", "failing", "unfinished", "malformed"])
def test_a_faulty_ollama_is_told_in_one_line_each(fault: str) -> None:
    session = Session()
    with FaultServer({QUICK: FAULTS[fault]}) as server:
        session.configure({"engine": "ollama", "host": server.host})
        findings = really_found(session)
    check(findings)
    assert of(findings, "memory")


def test_a_real_ollama_is_examined_from_end_to_end(ollama: OllamaServer) -> None:
    session = Session()
    session.use(OllamaEngine(ollama.host))
    session.configure({"engine": "ollama"})
    findings = really_found(session)
    check(findings)
    assert only(findings, "engine").what == f"Ollama {ollama.version} at {ollama.host}"
    assert [each.what for each in of(findings, "models")] == [
        f"{stage.name}: {stage.model}" for stage in DEFAULT_STAGES
    ]
    assert only(findings, "confidence").level == "ok"
    assert of(findings, "first token")[-1].what.startswith(f"{QUICK}: ")
    assert f"{QUICK} (" in only(findings, "residency").what
    assert only(findings, "memory").level == "ok"
    assert exit_code(findings) == 0
