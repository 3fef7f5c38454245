"""What the stages' models lack, and how they come: from a registry on the loopback, into a real Ollama."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import Client, ProgressResponse

from mirador_magic.engines import provision
from mirador_magic.engines.base import ModelInfo
from mirador_magic.engines.ollama.engine import OllamaEngine
from mirador_magic.engines.ollama.models import (
    Installing,
    Layers,
    Modelfile,
    Value,
    is_loopback,
    read_modelfile,
)
from mirador_magic.engines.provision import Need, fulfil, plan, read_context, told
from mirador_magic.errors import (
    BrokenStream,
    EngineError,
    EngineUnavailable,
    MiradorError,
    ModelMissing,
    RequestRefused,
    UsageError,
)
from mirador_magic.pipeline import prompts
from mirador_magic.stages import DEFAULT_STAGES, ModelStage
from tests.support.fault_server import Drop, FaultServer, Raw, Refuse, Step
from tests.support.ollama_server import OllamaServer
from tests.support.patience import PATIENCE
from tests.support.real import ollama_binary
from tests.support.reciting_gguf import write
from tests.support.registry import Registry

T = TypeVar("T")

QUICK, DEEP, PERSONAL = (stage.model for stage in DEFAULT_STAGES)
WORDS = "These words came a long way."
PAUSE = 5_000  # bytes
HINT = ", without a text about you (%mirador provision --context about_me.md takes one)"
BY_HAND = {"quick_response": "speed_optimizer_phi", "synthesis": "context_provider"}


def on(model: str, name: str = "own") -> ModelStage:
    return ModelStage(name, model, 0.5, 30.0, "Be brief.")


def infos(*names: str) -> list[ModelInfo]:
    return [ModelInfo(name, size) for size, name in enumerate(names, 1)]


@pytest.fixture
def about_me(tmp_path: Path) -> Path:
    file = tmp_path / "about_me.md"
    file.write_text('I keep bees, and """three""" goats.\n', encoding="utf-8-sig")
    return file


# ---- Modelfiles ----


@pytest.mark.parametrize("stage", DEFAULT_STAGES, ids=lambda stage: stage.name)
def test_a_model_that_is_made_is_as_its_stage_would_have_it(stage: ModelStage) -> None:
    made = provision.modelfile(stage.model)
    if stage.model == DEEP:
        assert made is None
        return
    assert made and made.base in ("phi3:mini", "gemma2:9b")
    assert made.system == stage.system_prompt
    asked = {k: v for k, v in dataclasses.asdict(stage.options).items() if v not in (None, ())}
    stops = made.parameters["stop"]
    assert made.parameters == asked | {"stop": stops}
    assert isinstance(stops, list) and all(stop.startswith("<") for stop in stops)


def test_a_modelfile_is_read() -> None:
    read = read_modelfile(
        "# of a base\r\nfrom  phi3:mini \r\n\nPARAMETER temperature 0.1\n"
        'Parameter STOP "# a"\nPARAMETER stop b c\n PARAMETER num_ctx 4096 # no comment\n'
        'SYSTEM """Two "lines",\n# of text"""\n'
    )
    parameters: dict[str, Value] = {
        "temperature": 0.1,
        "stop": ["# a", "b c"],
        "num_ctx": "4096 # no comment",
    }
    assert read == Modelfile("phi3:mini", 'Two "lines",\n# of text', parameters)
    assert isinstance(read_modelfile("FROM a\nPARAMETER num_ctx 9").parameters["num_ctx"], int)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM a\nTEMPLATE b", "line 2 of the Modelfile cannot be read"),
        ('FROM a\n\nSYSTEM """b', "line 3"),
        ("FROM a\nPARAMETER stop", "line 2"),
        ("FROMage", "line 1"),
        ("SYSTEM a", "names no base"),
        ("", "names no base"),
    ],
)
def test_what_is_no_modelfile(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_modelfile(text)


LINES = st.sampled_from(["FROM a", "PARAMETER stop ", "SYSTEM ", '"""', '"', "\n", "#", " b", "1"])


@given(st.lists(LINES | st.text(max_size=5)).map("".join))
def test_any_text_is_a_modelfile_or_is_refused(text: str) -> None:
    try:
        assert read_modelfile(text).base
    except UsageError as refused:
        assert refused.cure


@given(
    st.text(st.characters(exclude_characters='"'), min_size=1),
    st.lists(st.text(st.characters(exclude_characters='"\n'), min_size=1), min_size=1),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_modelfile_says_what_was_written(system: str, stops: list[str], number: float) -> None:
    rows = [f'PARAMETER stop "{stop}"' for stop in stops]
    text = "\n".join([f'SYSTEM """{system}"""', *rows, f"PARAMETER seed {number}", "FROM a:b"])
    assert read_modelfile(text) == Modelfile("a:b", system, {"stop": stops, "seed": number})


# ---- The plan ----


def test_the_plan_of_who_has_nothing() -> None:
    needs = plan(DEFAULT_STAGES, [])
    assert needs == [
        Need("quick_response", QUICK, "missing", "create", "phi3:mini", "phi3:mini"),
        Need("deep_analysis", DEEP, "missing", "pull", pulls=DEEP),
        Need("synthesis", PERSONAL, "missing", "create", DEEP),
    ]
    assert [told(need) for need in needs] == [
        f"quick_response  {QUICK}  not installed → pull phi3:mini, create it from phi3:mini",
        f"deep_analysis  {DEEP}  not installed → pull {DEEP}",
        f"synthesis  {PERSONAL}  not installed → create it from {DEEP}{HINT}",
    ]
    assert "the size of phi3:mini and gemma2:9b when the download" in provision.note(needs)


def test_the_plan_of_who_has_everything() -> None:
    needs = plan(DEFAULT_STAGES, infos("speed_optimizer_phi", DEEP, PERSONAL, "phi3:mini"))
    assert {need.action for need in needs} == {"none"}
    assert told(needs[0]) == f"quick_response  {QUICK}  installed"
    assert provision.note(needs) == ""


def test_what_answers_meanwhile_is_told() -> None:
    needs = plan([*DEFAULT_STAGES, on("own:1b")], infos("small", "large", DEEP))
    assert [need.instead for need in needs] == ["small", None, DEEP, None]
    assert "  not installed, small answers → pull phi3:mini, create" in told(needs[0])
    assert told(needs[2]).endswith(f"{DEEP} answers → create it from {DEEP}{HINT}")


def test_what_is_there_or_comes_anyway_is_not_pulled_again() -> None:
    stages = [on(PERSONAL, "a"), on("gemma2:9b", "b"), on("x", "c"), on("x:latest", "d")]
    needs = plan(stages, [])
    assert [(need.action, need.pulls, need.shared) for need in needs] == [
        ("create", DEEP, None),
        ("none", None, "a"),
        ("pull", "x", None),
        ("none", None, "c"),
    ]
    assert told(needs[3]) == "d  x:latest  not installed → comes with c"
    needs = plan(stages[:2], infos(DEEP))
    assert [(need.action, need.pulls, need.shared) for need in needs] == [
        ("create", None, None),
        ("none", None, None),
    ]


def test_a_file_is_nothing_to_install(tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    (need,) = plan([on(str(file))], [])
    assert (need.state, need.action) == ("missing", "none")
    file.touch()
    (need,) = plan([on(str(file))], [])
    assert (need.state, need.action) == ("installed", "none")


def test_a_spare_model_stands_back_where_there_is_another() -> None:
    both = [ModelInfo("smollm2", 9, spare=True), ModelInfo("tiny", 2)]
    for stage in DEFAULT_STAGES:
        assert (instead := provision.substitute(stage, both)) and instead.model == "tiny"
        assert (alone := provision.substitute(stage, both[:1])) and alone.model == "smollm2"
        assert provision.substitute(stage, []) is None


def test_a_context_is_taken_even_where_the_model_is_there(about_me: Path) -> None:
    *others, need = plan(DEFAULT_STAGES, infos(QUICK, DEEP, PERSONAL), about_me)
    assert {other.action for other in others} == {"none"}
    assert {other.context for other in others} == {None}
    assert told(need) == (
        f"synthesis  {PERSONAL}  installed → create it from {DEEP} with about_me.md in its prompt, "
        "in the place of the one that is there"
    )
    with pytest.raises(UsageError, match="no stage runs on matthew_context_provider_v5_complete"):
        plan(DEFAULT_STAGES[:2], [], about_me)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x" * 8001, "is longer than 8,000 bytes → shorten it"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b" \n", "is empty"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_context(tmp_path: Path, data: bytes | None, said: str) -> None:
    file = tmp_path / "about.md"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(UsageError, match=said) as refused:
        plan(DEFAULT_STAGES, [], file)
    assert refused.value.cure.endswith("%mirador provision --context about_me.md")


def test_a_context_is_its_text(about_me: Path) -> None:
    assert read_context(about_me) == 'I keep bees, and """three""" goats.'
    about_me.write_bytes(b"x" * 8000)
    assert len(read_context(about_me)) == 8000


# ---- Pulling, as Ollama tells of it ----


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9), st.integers(0, 9)),
    )
)
def test_a_bar_never_goes_back_and_is_full_once(rows: list[tuple[str, int | None, int]]) -> None:
    layers = Layers("m")
    steps = [
        layers.hear(ProgressResponse(status="x", digest=d, completed=done, total=total))
        for d, done, total in rows
    ]
    last = layers.hear(ProgressResponse(status="success"))
    done = [step.done for step in [*steps, last]]
    totals = [step.total or 0 for step in [*steps, last]]
    assert done == sorted(done) and totals == sorted(totals)
    assert all(step.total is None or step.done < step.total for step in steps)
    assert last.done == (last.total or 0)


@pytest.mark.parametrize(
    ("model", "loopback"),
    [
        ("127.0.0.1:5000/library/tiny:latest", True),
        ("http://localhost/library/tiny", True),
        ("[::1]:5000/library/tiny", True),
        ("gemma2:9b", False),
        ("localhost/tiny", False),
        ("127.0.0.1.example.org/library/tiny", False),
        ("127.0.0.1@example.org/library/tiny", False),
        ("example.org:443/127.0.0.1/tiny", False),
        ("10.0.0.1/library/tiny", False),
        ("[/library/tiny", False),
    ],
)
def test_plain_http_is_for_the_loopback_alone(model: str, loopback: bool) -> None:
    assert is_loopback(model) is loopback


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def run(host: str, do: Callable[[OllamaEngine], Awaitable[T]]) -> T:
    async def inside() -> T:
        engine = OllamaEngine(host)
        try:
            return await do(engine)
        finally:
            await engine.aclose()

    return asyncio.run(inside())


def pulls(host: str, model: str) -> list[Installing]:
    async def pull(engine: OllamaEngine) -> list[Installing]:
        async with aclosing(engine.pull(model)) as steps:
            return [step async for step in steps]

    return run(host, pull)


def line(**told: Any) -> Raw:
    return Raw(json.dumps(told).encode() + b"\n")


PULLING = line(status="pulling manifest")
GET = 'pull model manifest: Get "https://registry.example/v2/library/good/manifests/latest": '


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        (
            "pull model manifest: file does not exist",
            ModelMissing,
            "there is no model goodish to pull → did you mean good? It is installed; else look",
        ),
        (
            f"{GET}dial tcp: lookup registry.example: no such host",
            EngineError,
            "could not pull goodish: dial tcp: lookup registry.example: no such host → connect, then",
        ),
        (f"{GET}net/http: TLS handshake timeout", EngineError, "TLS handshake timeout → connect"),
        ("max retries exceeded: unexpected EOF", EngineError, "unexpected EOF → connect, then run"),
        (
            "write /models/blobs/sha256-ab-partial-0: no space left on device",
            EngineError,
            "no space left on device → free some space where Ollama keeps its models",
        ),
        (
            "pull model manifest: 412: this model requires a newer version of Ollama",
            EngineError,
            "→ update Ollama",
        ),
        ("pull model manifest: 503: later\n", EngineError, "503: later → wait a while, then run"),
        ("unauthorized: access denied", EngineError, "→ check the name, or sign in: ollama signin"),
        ("digest mismatch, file must be downloaded again", EngineError, "downloaded anew"),
        ("the moon", EngineError, "could not pull goodish: the moon → try it alone: ollama pull"),
    ],
)
def test_a_pull_that_fails_is_one_line_with_its_cure(
    faults: FaultServer, said: str, kind: type[EngineError], expected: str
) -> None:
    faults.next_up = [[PULLING, line(error=said)]]
    error = failure(faults.host, "goodish")
    assert type(error) is kind
    assert expected in str(error)


def failure(host: str, model: str) -> EngineError:
    with pytest.raises(EngineError) as raised:
        pulls(host, model)
    assert str(raised.value).isprintable()
    assert raised.value.cure
    return raised.value


@pytest.mark.parametrize(
    ("steps", "kind", "expected"),
    [
        ([PULLING], BrokenStream, "ended the download of odd early → run it again: it goes on"),
        ([PULLING, Drop()], MiradorError, "broke off while"),
        ([Raw(b"[]\n")], BrokenStream, "cannot be read"),
        ([Refuse(400, '{"error": "invalid model name"}')], ModelMissing, "no model odd to pull"),
        ([Refuse(404, "404 page not found")], RequestRefused, "HTTP 404"),
        ([Refuse(500, '{"error": "no space left"}')], EngineError, "→ free some space"),
    ],
)
def test_an_ollama_that_breaks_off_or_refuses(
    faults: FaultServer, steps: list[Step], kind: type[EngineError], expected: str
) -> None:
    faults.next_up = [steps]
    error = failure(faults.host, "odd")
    assert isinstance(error, kind)
    assert expected in str(error)


def test_no_ollama(faults: FaultServer) -> None:
    faults.stop()
    assert type(failure(faults.host, "any")) is EngineUnavailable


def test_a_download_that_is_still_ending_is_asked_for_again(faults: FaultServer) -> None:
    ending = [PULLING, line(error="context canceled")]
    faults.behaviours["m"] = ending
    faults.next_up = [ending, [PULLING, line(status="success")]]
    assert pulls(faults.host, "m")[-1].doing == "installed"
    assert "could not pull m: context canceled" in str(failure(faults.host, "m"))


# ---- A real Ollama, and a registry ----


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaServer]:
    with OllamaServer(ollama_binary("0.34.1"), tmp_path_factory.mktemp("empty")) as server:
        yield server


@pytest.fixture
def ollama(started: OllamaServer) -> Iterator[OllamaServer]:
    """One without any model."""
    yield started
    with Client(started.host) as client:
        for model in names(started):
            client.delete(model)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", WORDS).read_bytes()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def names(server: OllamaServer) -> set[str]:
    return run(server.host, lambda engine: _names(engine))


async def _names(engine: OllamaEngine) -> set[str]:
    return {model.name for model in await engine.models()}


def asked(server: OllamaServer, path: str, **body: object) -> Any:
    url = f"{server.host}/api/{path}"
    answer = httpx.post(url, json=body | {"stream": False}, trust_env=False, timeout=PATIENCE)
    return answer.raise_for_status().json()


def chatted(server: OllamaServer, model: str, *messages: str, **more: object) -> Any:
    """The answer to a system prompt and a question, or to a question alone."""
    roles = ["system", "user"][-len(messages) :]
    said = [{"role": r, "content": m} for r, m in zip(roles, messages, strict=True)]
    return asked(server, "chat", model=model, messages=said, **more)


def test_a_model_is_pulled(ollama: OllamaServer, registry: Registry, gguf: bytes) -> None:
    model = registry.add("pulled", gguf, licence="Do what you like.")
    assert pulls(ollama.host, model)[-1].doing == "installed"
    # What comes in less than 60 ms is not counted, what is there already is.
    size = sum(map(len, registry.blobs.values()))
    *steps, last = pulls(ollama.host, model)
    assert last == Installing(model, "pull", "installed", size, size)
    assert steps[-1].done == size - 1
    assert chatted(ollama, model, "Hello?")["message"]["content"] == WORDS
    assert asked(ollama, "show", model=model)["license"] == "Do what you like."


def test_a_pull_is_stopped_and_goes_on_where_it_stopped(
    ollama: OllamaServer, registry: Registry, tmp_path: Path
) -> None:
    data = write(tmp_path / "own.gguf", "Half of this comes later.").read_bytes()
    model = registry.add("halved", data)
    registry.pause_after = PAUSE

    async def stop_midway(engine: OllamaEngine) -> None:
        async with aclosing(engine.pull(model)) as steps:
            async for step in steps:
                if step.done >= PAUSE:
                    break

    async def go_on(engine: OllamaEngine) -> list[Installing]:
        heard = []
        async with aclosing(engine.pull(model)) as steps:
            async for step in steps:
                heard.append(step)
                if step.done >= 2 * PAUSE:
                    registry.pause_after = None
        return [step for step in heard if step.total]

    run(ollama.host, stop_midway)
    registry.wait_for(lambda: registry.gone)
    assert model not in names(ollama)
    steps = run(ollama.host, go_on)
    ranges = [(first, last) for _, first, last in registry.ranges if last == len(data) - 1]
    assert ranges == [(0, len(data) - 1), (PAUSE, len(data) - 1)]
    assert steps[0].done >= PAUSE
    assert steps[-1].done == steps[-1].total
    assert chatted(ollama, model, "Hello?")["message"]["content"] == "Half of this comes later."


def test_a_name_that_no_registry_knows(
    ollama: OllamaServer, registry: Registry, gguf: bytes
) -> None:
    there = registry.add("gemini", gguf)
    pulls(ollama.host, there)
    error = failure(ollama.host, registry.name_of("gemimi"))
    assert type(error) is ModelMissing
    assert f"did you mean {there.removesuffix(':latest')}?" in error.cure
    assert "no model No Such Name! to pull" in str(failure(ollama.host, "No Such Name!"))


def test_a_registry_that_is_closed_or_gone(ollama: OllamaServer, registry: Registry) -> None:
    model = registry.name_of("any")
    registry.closed = True
    assert "503: closed for today → wait a while" in str(failure(ollama.host, model))
    with Registry() as other:
        model = other.name_of("any")
    assert "connection refused → connect, then run it again" in str(failure(ollama.host, model))


def test_stages_get_their_models_and_a_stop_between_leaves_the_rest(
    ollama: OllamaServer,
    registry: Registry,
    gguf: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = registry.add("base", gguf, temperature=0.9, top_k=7)
    data = write(tmp_path / "second.gguf", "The second one.").read_bytes()
    second = registry.add("second", data)
    small = f'FROM {base}\nPARAMETER num_predict 3\nPARAMETER temperature 0\nSYSTEM """Hurry."""'
    (tmp_path / "speed_optimizer_phi.Modelfile").write_text(small)
    monkeypatch.setattr(provision, "MODELS", tmp_path)
    stages = [on(QUICK, "a"), on(second, "b"), on(base, "c")]
    heard: list[Installing] = []

    async def stop_in_the_second(engine: OllamaEngine) -> None:
        midway = asyncio.Event()

        def tell(step: Installing) -> None:
            heard.append(step)
            if step.model == QUICK and step.doing == "created":
                registry.pause_after = PAUSE
            if step.model == second and step.done >= PAUSE:
                midway.set()

        task = asyncio.create_task(fulfil(plan(stages, []), engine, tell))
        await asyncio.wait(
            {task, asyncio.create_task(midway.wait())}, return_when="FIRST_COMPLETED"
        )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(ollama.host, stop_in_the_second)
    assert list(dict.fromkeys((step.model, step.action) for step in heard)) == [
        (base, "pull"),
        (QUICK, "create"),
        (second, "pull"),
    ]
    assert {base, QUICK} <= names(ollama) and second not in names(ollama)
    registry.wait_for(lambda: registry.gone)
    registry.pause_after = None

    async def go_on(engine: OllamaEngine) -> list[Need]:
        needs = plan(stages, await engine.models())
        await fulfil(needs, engine, heard.append)
        return needs

    assert [need.action for need in run(ollama.host, go_on)] == ["none", "pull", "none"]
    assert [first for _, first, last in registry.ranges if last == len(data) - 1] == [0, PAUSE]
    assert {need.action for need in run(ollama.host, go_on)} == {"none"}

    shown = asked(ollama, "show", model=QUICK)
    options = dict(row.split() for row in shown["parameters"].splitlines())
    assert options == {"num_predict": "3", "temperature": "0", "top_k": "7"}
    assert shown["system"] == "Hurry."
    answer = chatted(ollama, QUICK, "Hello?")
    assert (answer["done_reason"], answer["eval_count"]) == ("length", 3)
    prompt = chatted(ollama, QUICK, "Hello?", _debug_render_only=True)
    assert "Hurry." in prompt["_debug_info"]["rendered_template"]


def test_the_default_models_are_made_as_ollama_s_own_command_makes_them(
    ollama: OllamaServer, gguf: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "base.gguf"
    file.write_bytes(gguf)
    for base in ("phi3:mini", "gemma2:9b"):
        ollama.create(base, file)
    heard: list[Installing] = []

    async def make(engine: OllamaEngine) -> None:
        await fulfil(plan(DEFAULT_STAGES, await engine.models()), engine, heard.append)

    run(ollama.host, make)
    assert [(step.model, step.doing) for step in heard] == [
        (QUICK, "being created"),
        (QUICK, "created"),
        (PERSONAL, "being created"),
        (PERSONAL, "created"),
    ]
    env = os.environ | {"OLLAMA_HOST": ollama.host, "HOME": str(tmp_path)}
    for stage in DEFAULT_STAGES:
        if stage.name in BY_HAND:
            modelfile = provision.MODELS / f"{BY_HAND[stage.name]}.Modelfile"
            create: list[str | Path] = [ollama.binary, "create", "by-hand", "-f", modelfile]
            subprocess.run(create, env=env, check=True, capture_output=True)
            ours, theirs = (asked(ollama, "show", model=m) for m in (stage.model, "by-hand"))
            assert ours["system"] == theirs["system"] == stage.system_prompt
            assert sorted(ours["parameters"].split()) == sorted(theirs["parameters"].split())


def test_what_the_reader_wrote_is_in_every_prompt(
    ollama: OllamaServer, gguf: bytes, about_me: Path, tmp_path: Path
) -> None:
    """Beside the system prompt that a stage brings, which takes the place of the model's own."""
    file = tmp_path / "base.gguf"
    file.write_bytes(gguf)
    ollama.create("gemma2:9b", file)
    stage = DEFAULT_STAGES[2]

    async def make(engine: OllamaEngine) -> None:
        needs = plan([stage], await engine.models(), about_me)
        await fulfil(needs, engine, lambda _: None)

    run(ollama.host, make)
    for messages in (["Who am I?"], ["Be kind.", "Who am I?"]):
        prompt = chatted(ollama, PERSONAL, *messages, _debug_render_only=True)
        text = prompt["_debug_info"]["rendered_template"]
        assert 'I keep bees, and """three""" goats.' in text
        assert (stage.system_prompt in text, "Be kind." in text) == (len(messages) == 1,) + (
            len(messages) == 2,
        )

    about_me.write_text("I keep bees. " * 500)  # a token a byte, for these models
    run(ollama.host, make)

    async def ask(engine: OllamaEngine) -> bool:
        request = prompts.request(stage, "Who am I?", [])
        async with aclosing(engine.stream(request)) as stream:
            ends = [chunk.end async for chunk in stream if chunk.end]
        return ends[0].prompt_cut

    assert run(ollama.host, ask), "what the model itself adds to a prompt may be too much too"
